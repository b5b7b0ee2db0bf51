from __future__ import annotations

import contextlib
import gc
import inspect
import json
import math
import pickle
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execbox.strict_json import (
    Reason,
    StrictJSONError,
    decode,
    encode,
    nesting_depth,
    shortened,
)
from tests.effort import lines_run

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)
MEBIBYTE = 1024 * 1024

REFUSED: list[tuple[str, bytes, Reason]] = [
    ("empty", b"", Reason.EMPTY),
    ("blank", b" \n", Reason.SYNTAX),
    ("byte_order_mark", b"\xef\xbb\xbf{}", Reason.ENCODING),
    ("utf_16", "{}".encode("utf-16"), Reason.ENCODING),
    ("latin_1", '"é"'.encode("latin-1"), Reason.ENCODING),
    ("overlong", b'"\xc0\xaf"', Reason.ENCODING),
    ("surrogate_bytes", b'"\xed\xa0\x80"', Reason.ENCODING),
    ("cut_off", b'{"a": [1', Reason.SYNTAX),
    ("trailing_data", b"{} {}", Reason.SYNTAX),
    ("trailing_nul", b"{}\x00", Reason.SYNTAX),
    ("trailing_comma", b"[1,]", Reason.SYNTAX),
    ("single_quotes", b"{'a': 1}", Reason.SYNTAX),
    ("comment", b"[1] // one", Reason.SYNTAX),
    ("leading_zero", b"[01]", Reason.SYNTAX),
    ("leading_plus", b"[+1]", Reason.SYNTAX),
    ("bare_point", b"[1.]", Reason.SYNTAX),
    ("hexadecimal", b"[0x1]", Reason.SYNTAX),
    ("arabic_digit", "[٣]".encode(), Reason.SYNTAX),
    ("no_break_space", "[\u00a01]".encode(), Reason.SYNTAX),
    ("form_feed", b"[\x0c1]", Reason.SYNTAX),
    ("raw_newline_in_string", b'"a\nb"', Reason.SYNTAX),
    ("raw_nul_in_string", b'"a\x00b"', Reason.SYNTAX),
    ("unknown_escape", b'"\\x41"', Reason.SYNTAX),
    ("cut_escape", b'"\\u12"', Reason.SYNTAX),
    ("closing_first", b"]", Reason.SYNTAX),
    ("mismatched", b"[}", Reason.SYNTAX),
    ("number_key", b"{1: 2}", Reason.SYNTAX),
    ("duplicate_key", b'{"a": 1, "b": 2, "a": 3}', Reason.DUPLICATE_KEY),
    ("duplicate_key_inside", b'[{"x": {"k": 1, "k": 1}}]', Reason.DUPLICATE_KEY),
    ("duplicate_key_escaped", b'{"a": 1, "\\u0061": 2}', Reason.DUPLICATE_KEY),
    ("nan", b"[NaN]", Reason.NOT_FINITE),
    ("infinity", b"[Infinity]", Reason.NOT_FINITE),
    ("minus_infinity", b"[-Infinity]", Reason.NOT_FINITE),
    ("overflow", b"[1e400]", Reason.NOT_FINITE),
    ("minus_overflow", b"[-1e400]", Reason.NOT_FINITE),
    ("overflow_digits", b"[1" + b"0" * 400 + b".0]", Reason.NOT_FINITE),
    ("integer_4301_digits", b"1" * 4301, Reason.INTEGER_TOO_LONG),
    ("integer_million_digits", b"-" + b"1" * 1_000_000, Reason.INTEGER_TOO_LONG),
    ("high_surrogate", b'["\\ud800"]', Reason.LONE_SURROGATE),
    ("low_surrogate", b'["\\uDFFF"]', Reason.LONE_SURROGATE),
    ("two_high_surrogates", b'["\\ud800\\ud800"]', Reason.LONE_SURROGATE),
    ("reversed_pair", b'["\\udc00\\ud800"]', Reason.LONE_SURROGATE),
    ("surrogate_in_key", b'{"\\ud83d": 1}', Reason.LONE_SURROGATE),
    ("surrogate_after_backslash", b'["\\\\\\ud800"]', Reason.LONE_SURROGATE),
    ("high_surrogate_then_text", b'["\\ud83dxde00"]', Reason.LONE_SURROGATE),
    ("arrays_65_deep", b"[" * 65 + b"]" * 65, Reason.TOO_DEEP),
    ("objects_65_deep", b'{"a":' * 65 + b"1" + b"}" * 65, Reason.TOO_DEEP),
    ("deep_after_backslash", b'["\\\\",' + b"[" * 64 + b"]" * 65, Reason.TOO_DEEP),
    ("deep_after_quote", b'["\\\\\\"",' + b"[" * 64 + b"]" * 65, Reason.TOO_DEEP),
    ("deep_after_bracket", b'["[","]",' + b"[" * 64 + b"]" * 65, Reason.TOO_DEEP),
    ("arrays_200000_open", b"[" * 200_000, Reason.TOO_DEEP),
    ("arrays_200000_deep", b"[" * 200_000 + b"]" * 200_000, Reason.TOO_DEEP),
]

ACCEPTED: list[tuple[str, bytes, Any]] = [
    ("scalar", b" 1 ", 1),
    ("escaped_nul", b'"a\\u0000b"', "a\0b"),
    ("surrogate_pair", b'"\\ud83d\\ude00"', "\U0001f600"),
    ("escaped_backslash_before_u", b'"\\\\ud800"', "\\ud800"),
    ("delete_character", b'"\x7f"', "\x7f"),
    ("line_separator", '"\u2028"'.encode(), "\u2028"),
    ("noncharacter", '"\uffff"'.encode(), "\uffff"),
    ("integer_4300_digits", b"-" + b"9" * 4300, -(10**4300 - 1)),
    ("same_key_in_siblings", b'[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
    ("keys_differing_in_form", '{"é": 1, "e\u0301": 2}'.encode(), {"é": 1, "e\u0301": 2}),
    ("underflow", b"[1e-400]", [0.0]),
    ("largest_double", b"1.7976931348623157e308", sys.float_info.max),
    ("brackets_in_strings", b'["' + b"[{" * 100 + b'"]', ["[{" * 100]),
    ("escaped_quote_before_bracket", b'["\\"' + b"[" * 100 + b'"]', ['"' + "[" * 100]),
    ("arrays_64_deep", b"[" * 63 + b"[]" + b"]" * 63, None),
]


@pytest.mark.parametrize(("body", "reason"), [pytest.param(b, r, id=n) for n, b, r in REFUSED])
def test_decode_of_what_is_no_strict_json_is_refused(body: bytes, reason: Reason) -> None:
    """Each deviation has its reason, and a short message without the document in it."""
    with pytest.raises(StrictJSONError) as caught:
        decode(body)
    assert caught.value.reason is reason
    assert 0 < len(caught.value.message) < 200
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(("body", "value"), [pytest.param(b, v, id=n) for n, b, v in ACCEPTED])
def test_decode_of_strict_json_gives_the_value(body: bytes, value: Any) -> None:
    """What merely looks suspicious is data."""
    assert decode(body) == (json.loads(body) if value is None else value)


@pytest.mark.parametrize(("body", "reason"), [pytest.param(b, r, id=n) for n, b, r in REFUSED])
def test_decode_of_text_refuses_what_decode_of_bytes_refuses(body: bytes, reason: Reason) -> None:
    """The command line has texts, the network bytes; the rules are the same."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return
    with pytest.raises(StrictJSONError) as caught:
        decode(text)
    assert caught.value.reason is reason


def test_decode_of_text_with_half_a_character_in_it_is_refused() -> None:
    """A text of Python may hold what no bytes of UTF-8 can."""
    with pytest.raises(StrictJSONError, match="character 1: not a character"):
        decode('"\ud800"')


def test_decode_non_finite_lets_the_words_in_and_nothing_else() -> None:
    """NaN and infinities are words of Python's JSON; 1e400 is a number that did not fit."""
    not_a_number, infinite, finite = decode(b"[NaN,-Infinity,1.5]", non_finite=True)
    assert not_a_number != not_a_number
    assert (infinite, finite) == (-math.inf, 1.5)
    for other in (b"1e400", b"nan", b"[inf]"):
        with pytest.raises(StrictJSONError):
            decode(other, non_finite=True)


def test_decode_lone_surrogates_keeps_the_halves_that_files_have() -> None:
    """Models' texts are cut off inside characters, and such a line is still a record."""
    assert decode(b'["a\\ud83d"]', lone_surrogates=True) == ["a\ud83d"]


def test_strict_json_error_survives_a_process_pool() -> None:
    """Message and reason are there after pickling."""
    error = StrictJSONError("too deep", reason=Reason.TOO_DEEP)
    back = pickle.loads(pickle.dumps(error))
    assert (back.message, back.reason, str(back)) == ("too deep", Reason.TOO_DEEP, "too deep")


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_decode_of_valid_documents_agrees_with_json(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    """Strict means refusing more, never reading differently."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert decode(text.encode("utf-8")) == json.loads(text)


@given(st.binary(max_size=200))
def test_decode_of_any_bytes_raises_nothing_else(body: bytes) -> None:
    """Bodies come from strangers: there is one exception to catch."""
    try:
        value = decode(body)
    except StrictJSONError:
        return
    assert value == json.loads(body)


@settings(max_examples=500)
@given(st.text(alphabet='[]{}",:\\/u0dD8cC1e+-.9 \n\0é\x7fNaIn', max_size=60))
def test_decode_of_near_json_raises_nothing_else_or_agrees(text: str) -> None:
    """Documents made of JSON's own pieces reach further into the decoder than random bytes."""
    try:
        value = decode(text.encode("utf-8"))
    except StrictJSONError:
        return
    assert value == json.loads(text)
    assert encode(value).decode("utf-8")


@given(VALUES)
def test_nesting_depth_of_valid_documents_is_exact(value: Any) -> None:
    """The scan must neither refuse what is allowed nor let pass what is not."""

    def depth(node: Any) -> int:
        members = node.values() if isinstance(node, dict) else node
        inner = max((depth(m) for m in members), default=0) if is_container(node) else -1
        return inner + 1

    def is_container(node: Any) -> bool:
        return isinstance(node, dict | list)

    assert nesting_depth(json.dumps(value).encode("utf-8")) == depth(value)


@pytest.mark.parametrize("depth", [1, 7, 8, 9, 63, 64, 65, 4097])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")], ids=["array", "object"])
def test_nesting_depth_at_the_borders_of_bytes_is_exact(
    depth: int, brackets: tuple[bytes, bytes]
) -> None:
    """Brackets are packed eight to a byte, and the depth must not depend on where a byte ends."""
    opening, closing = brackets
    nested = opening * depth + b"1" + closing * depth
    assert nesting_depth(nested) == depth
    assert nesting_depth(b"[1,[]," + nested + b",[2]]") == depth + 1


def test_decode_depth_max_given_replaces_the_default() -> None:
    """Outputs of sandboxes may have a limit of their own."""
    assert decode(b"[[1]]", depth_max=2) == [[1]]
    with pytest.raises(StrictJSONError, match="1 levels"):
        decode(b"[[1]]", depth_max=1)


def test_decode_with_little_stack_left_raises_no_recursion_error() -> None:
    """A shallow document read by a deep caller is refused like any other, or read."""
    body = b"[" * 64 + b"]" * 64

    def descend(frames: int) -> Any:
        return descend(frames - 1) if frames else decode(body)

    spare_frames = sys.getrecursionlimit() - len(inspect.stack()) - 40
    # Newer interpreters count a decoder's nesting apart from Python's frames, and succeed.
    expected: Any = (
        pytest.raises(StrictJSONError, match="deeper than")
        if sys.version_info < (3, 12)
        else contextlib.nullcontext()
    )
    with expected:
        descend(spare_frames)


def _filled(unit: bytes, *, size: int = 16 * MEBIBYTE) -> bytes:
    return b"[" + unit * (size // len(unit)) + b"0]"


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(b"[],", id="empty_arrays"),
        pytest.param(b"[" * 63 + b"]" * 63 + b",", id="deep_arrays"),
        pytest.param(b'"[",', id="strings_of_brackets"),
        pytest.param(b'"\\"",', id="escaped_quotes"),
        pytest.param(b'{"kwargs":{"a":[1,2,3],"b":"hello"}},', id="calls"),
        pytest.param(b"[", id="open_arrays"),
    ],
)
def test_nesting_depth_of_a_larger_body_executes_no_more_lines(unit: bytes) -> None:
    """The scan runs on every body: its loops are the interpreter's own, in C, and linear."""
    nesting_depth(b"[]")  # Its tables are made once.
    small, large = _filled(unit, size=MEBIBYTE // 16), _filled(unit, size=MEBIBYTE)
    line_count = lines_run(lambda: nesting_depth(small))
    assert 0 < line_count < 40
    assert lines_run(lambda: nesting_depth(large)) == line_count


def test_decode_of_a_large_body_leaves_garbage_collection_on() -> None:
    """It is paused for large bodies, and must be on again also after a failure."""
    body = _filled(b'{"a":1},', size=MEBIBYTE)
    assert isinstance(decode(body), list)
    assert gc.isenabled()
    with pytest.raises(StrictJSONError):
        decode(body + b"x")
    assert gc.isenabled()


@given(VALUES)
def test_encode_of_json_values_is_read_back_the_same(value: Any) -> None:
    """Numbers keep their type, big integers their digits, text its characters."""
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), Reason.NOT_FINITE),
        ([float("inf")], Reason.NOT_FINITE),
        ({"a": {1}}, Reason.NOT_JSON),
        (10**4300, Reason.INTEGER_TOO_LONG),
        ("\ud800", Reason.LONE_SURROGATE),
    ],
    ids=["nan", "infinity", "set", "huge_integer", "surrogate"],
)
def test_encode_of_what_has_no_strict_form_is_refused(value: Any, reason: Reason) -> None:
    """Nothing that decode would refuse is ever written."""
    with pytest.raises(StrictJSONError) as caught:
        encode(value)
    assert caught.value.reason is reason


def test_encode_of_endless_nesting_is_refused() -> None:
    """A list of lists deeper than the stack has no recursion error either."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(StrictJSONError) as caught:
        encode(value)
    assert caught.value.reason is Reason.TOO_DEEP


def test_shortened_of_long_text_is_short_printable_and_quoted() -> None:
    """Messages never repeat anything long, nor characters that could forge a log line."""
    assert shortened("a\nb") == '"a\\nb"'
    assert len(shortened("x" * 10_000)) == 62
