from __future__ import annotations

import enum
import json
import math
import sys
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox.strict_json import StrictJSONError, decode, encode, path_text
from execbox.wire import JSON_DEPTH_MAX

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda members: (
        st.lists(members)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), members)
    ),
    max_leaves=20,
)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


class Color(enum.IntEnum):
    RED = 1


@given(JSON_VALUES)
def test_encode_any_json_value_comes_back_equal(value: object) -> None:
    """Encoding and decoding together change nothing, types included."""
    back = decode(encode(value))
    assert back == value
    assert repr(back) == repr(value)


@given(JSON_VALUES)
def test_encode_any_json_value_is_what_the_standard_library_reads(value: object) -> None:
    """The bytes are ordinary UTF-8 JSON."""
    assert json.loads(encode(value).decode("utf-8")) == value


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        (math.nan, "the value", "nan has no JSON form"),
        ({"a": [1, math.inf]}, "a[1]", "inf has no JSON form"),
        ({"a": {"b c": -math.inf}}, 'a["b c"]', "-inf has no JSON form"),
        ([{"x": "\ud83d"}], "[0].x", "lone surrogate U+D83D"),
        ({"x": {"\udc00": 1}}, "x", "a key is a string with the lone surrogate U+DC00"),
        ({"x": {1: 2}}, "x", "key 1 is not a string"),
        ({"x": [{1, 2}]}, "x[0]", "a set has no JSON form"),
        ([b"x"], "[0]", "a bytes has no JSON form"),
        ([Decimal(1)], "[0]", "a decimal.Decimal has no JSON form"),
        ([1, 10**4300], "[1]", "more than 4300 digits"),
        ([1, -(10**4300)], "[1]", "more than 4300 digits"),
    ],
)
def test_encode_what_json_cannot_carry_is_refused_with_its_path(
    value: object, path: str, problem: str
) -> None:
    """The error is a ValueError of ours that says where and what."""
    with pytest.raises(StrictJSONError) as caught:
        encode(value)
    assert caught.value.message.startswith(f"{path}: ")
    assert problem in caught.value.message


def test_encode_depth_at_the_maximum_is_sent_and_one_more_is_refused() -> None:
    """The bound is JSON_DEPTH_MAX, counted from the outermost array."""
    assert encode(nested(JSON_DEPTH_MAX)).count(b"[") == JSON_DEPTH_MAX
    with pytest.raises(StrictJSONError, match="nested deeper than 64"):
        encode(nested(JSON_DEPTH_MAX + 1))


@pytest.mark.parametrize("depth", [10_000, 200_000])
def test_encode_depth_beyond_the_recursion_limit_is_refused(depth: int) -> None:
    """Depth no recursive walk survives is an error like any other."""
    with pytest.raises(StrictJSONError, match="nested deeper than 64"):
        encode(nested(depth))


def test_encode_value_that_contains_itself_is_refused() -> None:
    """A cycle ends as too deep, not in an endless walk."""
    value: list[object] = []
    value.append(value)
    with pytest.raises(StrictJSONError, match="contain themselves"):
        encode(value)


def test_encode_tuples_and_enums_become_arrays_and_numbers() -> None:
    """Tuples are arrays everywhere in execbox; an int's subclass is its number."""
    assert encode({"t": (1, (True, None)), "c": Color.RED}) == b'{"t":[1,[true,null]],"c":1}'


@pytest.mark.parametrize("digits", [1, 19, 40, 4300])
@pytest.mark.parametrize("sign", ["", "-"])
def test_decode_integer_up_to_4300_digits_survives(digits: int, sign: str) -> None:
    """Big integers arrive exactly, and can be sent back."""
    text = sign + "9" * digits
    value = decode(text)
    assert type(value) is int
    assert str(value) == text
    assert encode(value).decode() == text


def test_encode_integer_too_long_is_refused_where_the_interpreter_counts_no_digits() -> None:
    """A program that lifted the cap sends no more digits than any other."""
    assert refused_with_the_cap_lifted(lambda: encode({"a": [10**4300]})) == (
        "a[0]: an integer of more than 4300 digits cannot be sent"
    )
    assert refused_with_the_cap_lifted(lambda: encode(-(10**4300))) is not None
    assert refused_with_the_cap_lifted(lambda: encode([10**4300 - 1])) is None


def refused_with_the_cap_lifted(action: Callable[[], object]) -> str | None:
    usual = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        action()
    except StrictJSONError as error:
        return error.message
    finally:
        sys.set_int_max_str_digits(usual)
    return None


def test_decode_integer_too_long_is_refused_where_the_interpreter_counts_no_digits() -> None:
    """Reading millions of digits takes quadratic time, which the cap is there for."""
    message = "a number has more than 4300 digits; write it as a string"
    assert refused_with_the_cap_lifted(lambda: decode("[" + "9" * 4301 + "]")) == message
    assert refused_with_the_cap_lifted(lambda: decode("-" + "9" * 4300)) is None


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "the value"),
        (("calls", 0, "kwargs", "x"), "calls[0].kwargs.x"),
        ((0, "x y", 2), '[0]["x y"][2]'),
        (("limits", "memory_mb"), "limits.memory_mb"),
        (("a" * 100, "b\n"), f'["{"a" * 57}..."]["b\\n"]'),
    ],
)
def test_path_text_steps_are_written_as_in_python(path: tuple[str | int, ...], text: str) -> None:
    """Paths in messages look like the code that reaches the value."""
    assert path_text(path) == text
