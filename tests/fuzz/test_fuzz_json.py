"""The strict decoder and encoder beside Python's own: they refuse more and read nothing else."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox.dataset.files.json_lines import BadRecord, decode_line
from execbox.strict_json import Reason, StrictJSONError, decode, encode, nesting_depth
from execbox.wire import JSON_DEPTH_MAX
from tests.effort import refuse_effort
from tests.fuzz.bounds import VALUES, bounded, damaged, same

DIGITS = "9" * 4301
ODD = st.sampled_from(
    [
        *("NaN", "-Infinity", "1e400", "-1e400", "1e-400", "-0", "-0.0", "01", "+1", "1.", ".5"),
        *('"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\\\ud800"', '"\\u0000"'),
        *('{"a":1,"a":1}', '{"a":{"b":1,"b":2}}', '{"\\u0061":1,"a":2}', "[1,]", "{,}", "[1 2]"),
        *(DIGITS[1:], DIGITS, "-" + DIGITS[1:], "-" + DIGITS, DIGITS + ".5", "0." + DIGITS * 2),
        *("'a'", "True", "None", "nul", "//x", "\ufeff1", "1\x00", "\u00a01", '"\u2028"', ""),
        *("[" * 64 + "]" * 64, "[" * 65 + "]" * 65, "[" * 5000, "]" * 100, '"\x01"'),
        *('{"a":' * 64 + "1" + "}" * 64, '{"a":' * 65 + "1" + "}" * 65, '["\\\\",[]]'),
        *('"' + "[" * 100 + '"', '"\\"' + "{" * 100 + '"', '"\\\\"' + "[" * 100),
    ]
)
DOCUMENTS = st.recursive(
    VALUES.map(json.dumps) | ODD,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: f"[{','.join(each)}]")
        | st.lists(
            st.tuples(st.sampled_from(['"a"', '"b"', '"\\u0061"', "1"]), inner), max_size=3
        ).map(lambda each: "{" + ",".join(f"{key}:{value}" for key, value in each) + "}")
    ),
    max_leaves=4,
).map(str.encode)
BODIES = DOCUMENTS | damaged(DOCUMENTS) | st.binary(max_size=30)


def read_by_json(body: bytes) -> Any:
    """What the module reads of it: raises ValueError or RecursionError where it is no JSON."""
    return json.loads(body.decode("utf-8"))


def strictly_wrong(body: bytes) -> set[Reason]:
    """Why a document that Python's module reads may be refused all the same."""
    reasons: set[Reason] = set()

    def members(pairs: list[tuple[str, Any]]) -> Any:
        if len(dict(pairs)) < len(pairs):
            reasons.add(Reason.DUPLICATE_KEY)
        return Members(pairs)

    def number(text: str) -> float:
        if not math.isfinite(float(text)):
            reasons.add(Reason.NOT_FINITE)
        return float(text)

    level = [
        json.loads(
            body.decode("utf-8"),
            object_pairs_hook=members,
            parse_float=number,
            parse_constant=number,
        )
    ]
    depth = -1
    while level:
        depth += 1
        if any(isinstance(each, str) and re.search("[\ud800-\udfff]", each) for each in level):
            reasons.add(Reason.LONE_SURROGATE)
        containers = [each for each in level if isinstance(each, list)]
        level = [part for each in containers for part in parts(each)]
        depth -= not containers
    return reasons | ({Reason.TOO_DEEP} if depth >= JSON_DEPTH_MAX else set())


class Members(list[tuple[str, Any]]):
    """An object with every member that was written, equal keys included."""


def parts(container: list[Any]) -> list[Any]:
    """What is one level further in; an empty container is a level, too."""
    if isinstance(container, Members):
        return [None, *(part for member in container for part in member)]
    return [None, *container]


@bounded(250)
@given(body=BODIES)
def test_decode_of_any_bytes_agrees_with_json_or_says_why_not(body: bytes) -> None:
    """F04, F08: where the module reads a value, the same one or a reason that holds; else a
    refusal."""
    try:
        expected = read_by_json(body)
    except (ValueError, RecursionError):
        with pytest.raises(StrictJSONError):
            decode(body)
        return
    wrong = strictly_wrong(body)
    value, refusal = None, None
    try:
        value = decode(body)
    except StrictJSONError as error:
        refusal = error
    if refusal is not None:
        assert refusal.reason in wrong, refusal.message
        assert len(refusal.message) < 300
        return
    assert not wrong
    assert same(value, expected)
    assert nesting_depth(body) <= JSON_DEPTH_MAX


@bounded(300)
@given(value=VALUES)
def test_encode_of_any_value_is_read_back(value: Any) -> None:
    """What one side sends is what the other side has."""
    assert same(decode(encode(value)), value)


@bounded(250)
@given(body=BODIES)
def test_decode_line_of_any_bytes_raises_only_what_it_says(body: bytes) -> None:
    """A line of a file is a record as Python's module reads it, or a BadRecord."""
    try:
        record = decode_line(body)
    except BadRecord:
        return
    assert same(record, read_by_json(body))


@bounded(300)
@given(
    value=st.recursive(
        VALUES | st.floats() | st.binary(max_size=3) | st.complex_numbers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.tuples(inner)
            | st.dictionaries(st.text(max_size=2) | st.integers() | st.none(), inner, max_size=3)
        ),
    )
)
def test_encoders_of_any_value_refuse_or_agree(value: Any) -> None:
    """NaN, bytes, odd keys and half characters are refused, not sent as something else."""
    try:
        body = encode(value)
    except StrictJSONError:
        return
    assert same(decode(body), json.loads(json.dumps(value)))


PATTERNS = [
    "[",
    "{",
    '{"a":',
    "]",
    '"',
    "\\",
    '\\"',
    '["',
    "[[]],",
    '{"":{}},',
    "1,",
    "\\ud800",
    "-",
    "e",
    " ",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_decode_of_a_repeated_piece_takes_linear_time(pattern: str) -> None:
    """Two megabytes of it would take minutes otherwise."""
    text = b"[" + pattern.encode() * (2_000_000 // len(pattern))

    def refused() -> None:
        with pytest.raises(StrictJSONError):
            decode(text)

    refuse_effort(refused)
