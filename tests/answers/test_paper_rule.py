"""The strict rule: what CodeI/O's own scripts look for, by the same steps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox_service.answers.extraction import Answer, NoAnswer, extract

FOUND: list[tuple[str, str, Any]] = [
    ("bare", 'So {"output": 5}.', 5),
    ("last_bare", '{"output": 4} no {"output": 5}', 5),
    ("fenced", '```json\n{"output": 5}\n```', 5),
    ("last_fenced", '```json\n{"output": 4}\n```\n```json\n{"output": 5}\n```', 5),
    ("fenced_beats_bare_after_it", '```json\n{"output": 4}\n```\nNo: {"output": 5}', 4),
    ("thought_counts", '<think>\n```json\n{"output": 4}\n```</think>{"output": 5}', 4),
    ("fenced_array", "```json\n[1, 2]\n```", [1, 2]),
    ("fenced_not_closed", '```json\n{"output": 5}', 5),
    ("python_words", '{"output": [True, False, None]}', [True, False, None]),
    ("python_words_in_text", '{"output": ["None", True]}', ["None", True]),
    ("round_brackets", '{"output": (1, 2)}', [1, 2]),
    ("escaped_braces", '\\{"output": 5\\}', 5),
    ("boxed_object", '\\boxed{{"output": 5}}', 5),
    ("many_lines", '{\n"output": [\n1,\n2]\n}', [1, 2]),
    ("fence_of_python_is_none", '```python\nx = {"output": 5}\n```', 5),
]
MISSING: list[tuple[str, str]] = [
    ("prose", "I do not know."),
    ("another_key", '{"answer": 5}'),
    ("other_object_last", '{"output": 5} since {"n": 3}'),
    ("capital_key", '{"Output": 5}'),
    ("single_quotes", "{'output': 5}"),
    ("placeholder_last", '{"output": 5} as {"output": <your output>}'),
    ("boxed_number", "\\boxed{5}"),
    ("tag", "<answer>5</answer>"),
    ("label", "Output: 5"),
    ("cut_off", '{"output": [1,'),
    ("brace_in_text", '{"output": "}"}'),
    ("comment", '{"output": 5 // five\n}'),
    ("null", '{"output": null}'),
    ("twice", '{"output": 1, "output": 2}'),
]


@pytest.mark.parametrize(
    ("text", "value"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND]
)
def test_strict_answer_is_what_the_papers_scripts_find(text: str, value: Any) -> None:
    """Also where the tolerant rule knows better, since results are compared with theirs."""
    found = extract(text, kind="output", rule="strict")
    assert isinstance(found, Answer), found
    assert json.dumps(found.value) == json.dumps(value)


@pytest.mark.parametrize("text", [row[1] for row in MISSING], ids=[row[0] for row in MISSING])
def test_strict_rule_finds_nothing_where_the_papers_scripts_do_not(text: str) -> None:
    """None of the other places and spellings counts; the reason names the key."""
    found = extract(text, kind="output", rule="strict")
    assert isinstance(found, NoAnswer), found
    assert '"output"' in found.reason


def test_strict_rule_takes_the_key_of_the_items_kind() -> None:
    """An input is looked for under input."""
    assert extract('{"input": {"n": 3}}', kind="input", rule="strict") == Answer({"n": 3})
    assert isinstance(extract('{"output": 3}', kind="input", rule="strict"), NoAnswer)


@given(st.text(max_size=200) | st.text(alphabet="{}[]()\"'\\:,`1axjson \n", max_size=300))
def test_strict_rule_fails_on_no_text(text: str) -> None:
    """Every text has an answer or a reason."""
    found = extract(text, kind="output", rule="strict")
    if isinstance(found, Answer):
        json.dumps(found.value, allow_nan=False)
