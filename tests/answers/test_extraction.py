"""What is extracted from a model's text: a table of answers, and texts made to be expensive."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox_service.answers.extraction import Answer, NoAnswer, extract
from tests.answers.more_answers import DECIDED, NOT_DECIDED
from tests.effort import EXTRACTION_LINES_MAX, refuse_effort

EMOJI = "\U0001f600"

ANSWERS: list[tuple[str, str, Any]] = [
    # Fenced
    ("fenced", '```json\n{"output": 5}\n```', 5),
    ("fenced_upper_label", '```JSON\n{"output": 5}\n```', 5),
    ("fenced_label_with_space", '``` json\n{"output": 5}\n```', 5),
    ("fenced_one_line", 'So: ```json {"output": [1, 2]} ``` as asked.', [1, 2]),
    ("fenced_without_label", '```\n{"output": {"a": 1}}\n```', {"a": 1}),
    ("fenced_python_dict", "```python\n{'output': None}\n```", None),
    ("fenced_crlf", '```json\r\n{"output": "x"}\r\n```\r\n', "x"),
    ("fenced_indented", '1. Thus\n   ```json\n   {"output": 1}\n   ```', 1),
    ("fenced_four_ticks", '````json\n{"output": 1}\n````', 1),
    ("fenced_last_of_two", '```json\n{"output": 1}\n```\nwait\n```json\n{"output": 2}\n```', 2),
    ("fenced_before_bare", '```json\n{"output": 1}\n```\nsince {"x": 2} holds', 1),
    ("fenced_array_in_json", "```json\n[1, 2, 3]\n```", [1, 2, 3]),
    ("fenced_scalar_in_json", "```json\n42\n```", 42),
    ("fenced_prose_inside", '```json\nThe answer:\n{"output": 3}\n```', 3),
    ("fenced_several_inside", '```json\n{"output": 1}\n{"output": 2}\n```', 2),
    ("fenced_then_code", '```json\n{"output": 1}\n```\n```python\nprint({"a": 2})\n```', 1),
    ("code_then_fenced", '```python\nd = {"output": 9}\n```\n```json\n{"output": 1}\n```', 1),
    ("code_then_bare", '```python\nx = {"a": 1}\n```\nSo {"output": 7}.', 7),
    ("fence_never_closed", 'So\n```json\n{"output": 8}\n', 8),
    ("fence_in_a_string", '```json\n{"output": "a ``` b"}\n```', "a ``` b"),
    ("fence_broken_then_bare", '```json\n{"output": ...}\n```\nI mean {"output": 4}', 4),
    ("fenced_array_without_label", "Result:\n```\n[1, [2]]\n```", [1, [2]]),
    # Bare
    ("bare", '{"output": 5}', 5),
    ("bare_in_prose", 'The output is {"output": "abc"}, as computed.', "abc"),
    ("bare_trailing_text", '{"output": [1]} That is my final answer.', [1]),
    ("bare_multiline", 'So:\n{\n  "output": [\n    1,\n    2\n  ]\n}\n', [1, 2]),
    ("bare_last_of_two", 'First {"output": 1}, no: {"output": 2}', 2),
    ("bare_last_of_many", " ".join(f'{{"output": {n}}}' for n in range(50)), 49),
    ("bare_not_inner", '{"output": {"a": {"b": [{"c": 1}]}}}', {"a": {"b": [{"c": 1}]}}),
    ("bare_after_set_notation", 'S = {1, 2, 3} so {"output": 3}', 3),
    ("bare_before_set_notation", '{"output": 3} as S = {1, 2, 3}', 3),
    ("bare_after_open_brace", 'if (x) { y = 1; {"output": 6}', 6),
    ("bare_after_apostrophes", "it's {not that} but {\"output\": 6}, isn't it", 6),
    ("bare_without_wrapper", '{"a": 1}', {"a": 1}),
    ("bare_wrapper_and_more", '{"why": "because", "output": 9}', 9),
    ("bare_wrapped_twice", '{"output": {"output": 9}}', {"output": 9}),
    ("bare_other_wrapper", '{"input": 9}', {"input": 9}),
    ("braces_in_string", '{"output": "}{"}', "}{"),
    ("braces_and_quotes_in_string", '{"output": "say \\"}\\" now"}', 'say "}" now'),
    ("brackets_in_string", '{"output": ["[", "]", "{", "}"]}', ["[", "]", "{", "}"]),
    ("object_as_string", '{"output": "{\\"output\\": 1}"}', '{"output": 1}'),
    ("object_in_unfinished_string", '{"note: use {"output": 5}" x', 5),
    ("backslash_before_quote", '{"output": "a\\\\"}', "a\\"),
    ("newline_in_string", '{"output": "a\nb"}', "a\nb"),
    ("whole_text_array", "[1, 2, 3]", [1, 2, 3]),
    ("whole_text_scalar", " 42\n", 42),
    ("whole_text_string", '"abc"', "abc"),
    ("empty_object", "{}", {}),
    ("empty_containers", '{"output": [[], {}, ""]}', [[], {}, ""]),
    ("markdown_emphasis", '**Answer:** **{"output": 2}**', 2),
    ("inline_code", 'Answer: `{"output": 2}`', 2),
    ("html", '<answer>{"output": 2}</answer>', 2),
    # Python literals
    ("python_quotes", "{'output': 'abc'}", "abc"),
    ("python_constants", "{'output': [True, False, None]}", [True, False, None]),
    ("python_tuple", "{'output': (1, (2, 3), ())}", [1, [2, 3], []]),
    ("python_one_tuple", "{'output': (1,)}", [1]),
    ("python_parentheses", "{'output': (1)}", 1),
    ("python_integer_keys", "{'output': {1: 'a', 2: 'b'}}", {"1": "a", "2": "b"}),
    (
        "python_other_keys",
        "{'output': {True: 1, None: 2, 1.5: 3}}",
        {"true": 1, "null": 2, "1.5": 3},
    ),
    ("python_trailing_commas", "{'output': [1, 2,],}", [1, 2]),
    ("python_apostrophe", '{"output": "it\'s"}', "it's"),
    ("python_escapes", "{'output': 'a\\x41\\u0042\\n\\'\\101'}", "aAB\n'A"),
    ("python_unknown_escape", "{'output': 'a\\d'}", "a\\d"),
    (
        "python_numbers",
        "{'output': [0x1F, 0b11, 0o17, 1_000, .5, 5., +3]}",
        [31, 3, 15, 1000, 0.5, 5.0, 3],
    ),
    ("mixed_quotes", '{"output": [\'a\', "b"]}', ["a", "b"]),
    # Numbers
    ("integer", '{"output": -7}', -7),
    ("float", '{"output": 0.30000000000000004}', 0.1 + 0.2),
    ("exponent", '{"output": [1e3, 1E-2, 2.5e+1]}', [1000.0, 0.01, 25.0]),
    ("float_stays_float", '{"output": 5.0}', 5.0),
    ("big_integer", '{"output": ' + "9" * 100 + "}", int("9" * 100)),
    ("longest_integer", '{"output": ' + "9" * 4300 + "}", int("9" * 4300)),
    ("booleans", '{"output": [true, false]}', [True, False]),
    ("null", '{"output": null}', None),
    # \boxed
    ("boxed", "Thus \\boxed{42}.", 42),
    ("boxed_string", '\\boxed{"a}b"}', "a}b"),
    ("boxed_array", "$$\\boxed{[1, 2]}$$", [1, 2]),
    ("boxed_object", '\\boxed{{"output": 5}}', 5),
    ("boxed_escaped_object", '\\boxed{\\{"output": 5\\}}', 5),
    ("boxed_text", "\\boxed{\\text{True}}", True),
    ("boxed_left_right", "\\boxed{\\left[1, 2\\right]}", [1, 2]),
    ("boxed_after_object", 'For {"n": 3} we get \\boxed{6}', 6),
    ("boxed_before_object", '\\boxed{6} hence {"output": 7}', 7),
    ("boxed_last_of_two", "\\boxed{1} no \\boxed{2}", 2),
    ("boxed_negative", "\\boxed{-1}", -1),
    ("boxed_in_a_string", 'So {"output": "\\\\boxed{3}"} is it', "\\boxed{3}"),
    ("boxed_in_a_string_and_after", '{"output": "\\\\boxed{3}"} so \\boxed{4}', 4),
    ("boxed_before_one_in_a_string", '\\boxed{4} or {"output": "\\\\boxed{3}"}.', "\\boxed{3}"),
    ("boxed_around_one_in_a_string", 'So \\boxed{[{"a": "\\\\boxed{3}"}]}.', [{"a": "\\boxed{3}"}]),
    (
        "boxed_often_in_a_string",
        '\\boxed{{"a": "' + 20 * "\\\\boxed{3}" + '"}}',
        {"a": 20 * "\\boxed{3}"},
    ),
    ("boxed_formula_then_object", '\\boxed{x^2} {"output": 1}', 1),
    ("escaped_braces", '$\\{"output": 5\\}$', 5),
    # Other writing
    ("cjk", '答案是 {"output": "你好世界"}。', "你好世界"),
    ("cjk_key", '{"output": {"名": ["あ", "한"]}}', {"名": ["あ", "한"]}),
    ("emoji", f'{{"output": "{EMOJI}"}}', EMOJI),
    ("surrogate_pair", '{"output": "\\ud83d\\ude00"}', EMOJI),
    ("right_to_left", '{"output": "שלום"}', "שלום"),
    ("line_separator", '{"output": "a\u2028b"}', "a\u2028b"),
    ("escaped_slash", '{"output": "a\\/b"}', "a/b"),
    *DECIDED,
]

MISSING: list[tuple[str, str, str]] = [
    ("empty", "", "empty"),
    ("blank", " \n\t", "empty"),
    ("prose", "I do not know.", "no JSON object"),
    ("prose_with_braces", "f(x) { return x; }", "no valid JSON object"),
    ("truncated", '{"output": [1, 2', "cut off"),
    ("truncated_string", '{"output": "abc', "cut off"),
    ("truncated_after_key", 'So {"output":', "cut off"),
    ("truncated_after_another", 'Not {"output": 1}. But {"output": [1,', "cut off"),
    ("truncated_inner_complete", '{"output": [{"a": 1}, {"b"', "cut off"),
    ("truncated_fence", '```json\n{"output": [1,\n', "cut off"),
    ("truncated_fence_again", '```json\n{"output": 1}\n```\n```json\n{"output"', "cut off"),
    ("truncated_fence_at_once", '```json\n{"output": 1}\n```\n```json\n', "cut off"),
    ("truncated_python", "{'output': (1, ", "cut off"),
    ("malformed", '{"output": 1 2}', "no valid JSON at"),
    ("malformed_inner_complete", '{"output": {"a": 1} oops}', '"oops"'),
    ("placeholder", '{"output": <your output>}', "<your"),
    ("ellipsis", '{"output": [1, 2, ...]}', "..."),
    ("expression", '{"output": 2 ** 10}', "**"),
    ("call", '{"output": range(3)}', '"range"'),
    ("name", '{"output": x}', '"x"'),
    ("duplicate_key", '{"output": 1, "output": 2}', "given twice"),
    ("duplicate_key_after_conversion", "{'output': {1: 2, '1': 3}}", "given twice"),
    ("nan", '{"output": NaN}', "NaN is no JSON number"),
    ("infinity", '{"output": -Infinity}', "-Infinity is no JSON number"),
    ("python_inf", "{'output': inf}", "inf is no JSON number"),
    ("beyond_a_double", '{"output": 1e400}', "beyond the range"),
    ("too_many_digits", '{"output": ' + "9" * 4301 + "}", "4300 digits"),
    ("too_many_hexadecimal_digits", "{'output': 0x" + "f" * 4300 + "}", "4300 digits"),
    ("too_deep", '{"output": ' + "[" * 64 + "]" * 64 + "}", "nests deeper than 64"),
    ("half_surrogate", '{"output": "\\ud83d"}', "half of a surrogate pair"),
    ("incomplete_escape", '{"output": "\\u12"}', "escape"),
    ("leading_zero", '{"output": 007}', "007"),
    ("bytes", "{'output': b'x'}", '"b"'),
    ("string_prefix", "{'output': f'{x}'}", '"f"'),
    ("complex", "{'output': 1j}", "no valid JSON"),
    *NOT_DECIDED,
]


@pytest.mark.parametrize(
    ("text", "value"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS]
)
def test_answer_in_a_text_is_extracted(text: str, value: Any) -> None:
    """The value, and its type: 1 and True and 1.0 are three answers."""
    found = extract(text, kind="output")
    assert isinstance(found, Answer), found
    assert json.dumps(found.value) == json.dumps(value)


@pytest.mark.parametrize(
    ("text", "reason"), [row[1:] for row in MISSING], ids=[row[0] for row in MISSING]
)
def test_text_without_answer_says_what_is_missing(text: str, reason: str) -> None:
    """No answer is guessed, and the reason is one a model can act on."""
    found = extract(text, kind="output")
    assert isinstance(found, NoAnswer), found
    assert reason in found.reason
    assert len(found.reason) < 300


def test_tables_name_each_answer_once() -> None:
    """A name that stands twice hides a row from whoever reads a failure."""
    assert len(ANSWERS) + len(MISSING) >= 200
    names = [row[0] for row in ANSWERS + MISSING]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"input": {"n": 3}}', {"n": 3}),
        ('{"input": {"input": 3}}', {"input": 3}),
        ('{"n": 3}', {"n": 3}),
        ('{"input": 3}', 3),
        ('{"answer": 3}', {"answer": 3}),
        ('For\n```json\n{"input": {"n": 1}}\n```\nit is 2, so:\n{"input": {"n": 4}}', {"n": 4}),
        ('{"n": 4} gives {"output": 8}; so {"input": {"n": 4}} or {"output": 9}', {"n": 4}),
        ('Input: {"n": 4}\nOutput: 8', {"n": 4}),
        ('{"output": 3}', {"output": 3}),
        ("```json\n[3]\n```", [3]),
        ('{"input": {"n": 5}}\n\nThe result is \\boxed{10}.', {"n": 5}),
    ],
)
def test_input_is_unwrapped_once_from_its_own_key(text: str, value: Any) -> None:
    """Only ``input``, and only once: a parameter may have the same name."""
    assert extract(text, kind="input") == Answer(value)


PIECES = [
    "{",
    "[",
    '{"',
    "{'",
    '{"a":',
    '{"a":[',
    "{ ",
    "{1",
    '{"a":1}',
    '{"a":"{"',
    '{"x{" ',
    '{"a":\'{"b":',
    "```",
    "```json{",
    '```json{"a":"',
    '```json\n{"a": "```',
    "\\boxed{",
    '\\boxed{"',
    "\\boxed{[1,",
    "\\",
    "\\{",
    '"\\"',
    " ",
    "\n",
    "1,",
    "9",
    "-",
    '{"output": ',
    '{"a":"{{{{" oops ',
    "{'a': (",
    "\\boxed{\\text{",
    "{0x",
    '{"\\u',
]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("around", ["{}", '{{"output": {}', '```json\n{{"output": "{}', "x{}}}]"])
def test_text_made_to_be_expensive_costs_no_more_than_permitted(piece: str, around: str) -> None:
    """A text of 3 MB of anything; 50 ms of work are usual at most."""
    text = around.format(piece * (3_000_000 // len(piece)))
    refuse_effort(lambda: extract(text, kind="output"), lines_max=EXTRACTION_LINES_MAX)


def test_answer_at_the_end_of_a_very_long_text_is_found() -> None:
    """Only the end is looked at, and that is where answers are."""
    assert extract("word " * 2_000_000 + '{"output": 5}', kind="output") == Answer(5)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(values, st.booleans(), st.sampled_from([None, 2]))
def test_any_json_value_written_by_a_model_is_extracted(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    """Whatever the value is, JSON text of it is read as json would."""
    text = json.dumps({"output": value}, ensure_ascii=ascii_only, indent=indent)
    found = extract(f"I think that {text} is right", kind="output")
    assert isinstance(found, Answer)
    assert json.dumps(found.value) == json.dumps(value)


@given(values)
def test_any_json_value_written_as_a_python_literal_is_extracted(value: Any) -> None:
    """What repr writes is read, too."""
    found = extract(f"Thus: { ({'output': value})!r}", kind="output")
    assert isinstance(found, Answer)
    assert json.dumps(found.value) == json.dumps(value)


@given(st.text(max_size=200) | st.text(alphabet="{}[]()\"'\\:,`1ax \n", max_size=300))
def test_no_text_makes_extraction_fail(text: str) -> None:
    """Every text has an answer or a reason."""
    found = extract(text, kind="input")
    assert isinstance(found, Answer | NoAnswer)
    if isinstance(found, Answer):
        json.dumps(found.value, allow_nan=False)


@pytest.mark.parametrize("read", ["{}" * 2_900, '```json\n{"a": 1}\n```\n' * 60])
def test_boxes_after_objects_cost_no_more_than_permitted(read: str) -> None:
    """Whether a box lies in one of thousands of objects is not asked of each of them."""
    text = read + "\\boxed{" * 17_000
    refuse_effort(lambda: extract(text, kind="output"), lines_max=EXTRACTION_LINES_MAX)
