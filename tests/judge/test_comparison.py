"""The comparators: tables of what they must say, and properties against their definitions."""

from __future__ import annotations

import contextlib
import json
import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox.wire import Tolerance
from execbox_service.judge.comparison import (
    COMPARISON_STEPS_MAX,
    Comparator,
    ComparisonTooLong,
    equal,
)
from tests.effort import refuse_effort

HUGE = 10**4299

EXACT = [
    (1, 1.0, True),
    (1, True, False),
    (0, False, False),
    (True, True, True),
    (True, False, False),
    (None, None, True),
    (None, 0, False),
    (None, False, False),
    ("1", 1, False),
    ("a", "a", True),
    ("a", "A", False),
    ("\u00e9", "e\u0301", False),
    ("", [], False),
    ([], {}, False),
    ([], [], True),
    ({}, {}, True),
    ([1, [2, {"a": 3}]], [1, [2, {"a": 3.0}]], True),
    ([1, 2], [2, 1], False),
    ([1, 2], [1, 2, 3], False),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
    ({"a": 1}, {"b": 1}, False),
    ({"a": 1}, {"a": 1, "b": None}, False),
    ([True], [1], False),
    ([0.0], [-0.0], True),
    (0.1 + 0.2, 0.3, False),
    (2**53 + 1, float(2**53), False),
    (HUGE, HUGE, True),
    (HUGE, HUGE + 1, False),
    (HUGE, 1e308, False),
    (math.nan, math.nan, False),
    (math.inf, math.inf, False),
    ([math.nan] * 50, [math.nan] * 50, False),
    ([math.inf] * 50, [math.inf] * 50, False),
    ([True] * 50, [1] * 50, False),
    ([1] * 50, [True] * 50, False),
    ([1] * 50, [1.0] * 50, True),
    (["x"] * 50, ["x"] * 50, True),
]

CODEIO = [
    (2.501, 2.5, True),
    (2.5, 2.5, True),
    (2.51, 2.5, False),
    (1.9999, 2.0, False),
    (2.0, 1.9999, False),
    (2.0001, 2, True),
    (2, 2.0001, True),
    (1000001, 1000000, False),
    (1000000.5, 1000000, True),
    (1000001.0, 1000000, False),
    (-2.501, -2.5, True),
    (-0.1, 0.1, False),
    (0.0001, 0, False),
    (0.0, 0, True),
    (0, 1e-9, False),
    (1, True, False),
    (1.0, True, False),
    ("2.5", 2.5, False),
    (math.nan, math.nan, False),
    (math.inf, math.inf, False),
    (1e308, math.inf, False),
    ([2.501, "a"], [2.5, "a"], True),
    ({"x": {"y": [2.501]}}, {"x": {"y": [2.5]}}, True),
    ({"x": {"y": [2.501]}}, {"x": {"z": [2.5]}}, False),
    (HUGE, 1e308, False),
    (int(1e308), 1e308, True),
    (int(1e308) + 1, 1e308, False),
]

TOLERANCE = [
    (1.0, 1.1, {"rel": 0.1}, True),
    (1.1, 1.0, {"rel": 0.1}, True),
    (1.0, 1.2, {"rel": 0.1}, False),
    (0.0, 1e-7, {"rel": 0.1}, False),
    (0.0, 1e-7, {"rel": 0, "abs": 1e-6}, True),
    (100, 101, {"rel": 0, "abs": 1}, True),
    (100, 102, {"rel": 0, "abs": 1}, False),
    ([[1.0], {"a": 2}], [[1.0000001], {"a": 2}], {"rel": 1e-6}, True),
    ([1.0, "a"], [1.0, "b"], {"rel": 1}, False),
    (True, 1, {"rel": 1}, False),
    (math.nan, math.nan, {"rel": 1, "abs": 1e300}, False),
    (math.inf, math.inf, {"rel": 1}, False),
    (HUGE, HUGE + 1, {"rel": 1e-6}, True),
    (HUGE, 2 * HUGE, {"rel": 0.25}, False),
    (HUGE, 2 * HUGE, {"rel": 0.5}, True),
    (HUGE, 1.5, {"rel": 0.5}, False),
    (1e308, -1e308, {"rel": 1}, False),
    (1e308, 1.01e308, {"rel": 0.1}, True),
    (15 * 10**307, -15 * 10**307, {"rel": 1e-6}, False),
    (15 * 10**307, -15 * 10**307, {"rel": 1}, False),
    (15 * 10**307, -3 * 10**307, {"rel": 1, "abs": 1.7e308}, False),
    (15 * 10**307, -3 * 10**307, {"rel": 1, "abs": 1.797e308}, False),
    (15 * 10**307, -2 * 10**307, {"rel": 0, "abs": 1.75e308}, True),
    (15 * 10**307, -1.5e308, {"rel": 1}, False),
    (2**1024, -1.5e308, {"rel": 1}, False),
    (5, 5.0, {"rel": 0}, True),
]


@pytest.mark.parametrize(("predicted", "expected", "same"), EXACT)
def test_exact_of_two_values_is_equality_of_json(
    predicted: Any, expected: Any, *, same: bool
) -> None:
    """Numbers by value, booleans never numbers, objects without order, both ways round."""
    assert equal(predicted, expected, comparator="exact") is same
    assert equal(expected, predicted, comparator="exact") is same


@pytest.mark.parametrize(("predicted", "expected", "same"), CODEIO)
def test_codeio_of_two_values_is_the_papers_rule(
    predicted: Any, expected: Any, *, same: bool
) -> None:
    """Within a thousandth of what is expected, with the same integer part; integers exactly."""
    assert equal(predicted, expected, comparator="codeio") is same


@pytest.mark.parametrize(("predicted", "expected", "bounds", "same"), TOLERANCE)
def test_tolerance_of_two_values_holds_at_every_number(
    predicted: Any, expected: Any, bounds: dict[str, float], *, same: bool
) -> None:
    """Either bound suffices; nothing but numbers is near anything."""
    tolerance = Tolerance.model_validate(bounds)
    assert equal(predicted, expected, comparator="tolerance", tolerance=tolerance) is same


def test_codeio_measures_from_the_expected_value() -> None:
    """The rule is not symmetric, and the published checker measures from the known output."""
    assert equal(0.998, 0.9989985) is True
    assert equal(0.9989985, 0.998) is False


@pytest.mark.parametrize("comparator", ["exact", "codeio", "tolerance"])
@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ([0.5] * 5_000_000, [0.5] * 5_000_000),
        ([True] * 5_000_000, [True] * 5_000_000),
        ([[i] for i in range(200_000)], [[i] for i in range(200_000)]),
        ({str(i): i for i in range(200_000)}, {str(i): i for i in range(200_000)}),
        ([HUGE + i for i in range(3000)], [HUGE - i for i in range(3000)]),
        ([float(i) + 0.5 for i in range(30_000)], [float(i) + 0.5001 for i in range(30_000)]),
        (["x" * 10_000_000], ["x" * 9_999_999 + "y"]),
        ([1] * 5_000_000, [1] * 4_999_999),
    ],
    ids=["floats", "booleans", "arrays", "object", "digits", "near", "text", "lengths"],
)
def test_comparison_of_anything_large_takes_no_longer_than_permitted(
    comparator: Comparator, predicted: Any, expected: Any
) -> None:
    """An answer or a refusal, after as much work as no size can stretch (F30: 50 ms of it)."""

    def compared() -> None:
        with contextlib.suppress(ComparisonTooLong):
            equal(predicted, expected, comparator=comparator)

    refuse_effort(compared, lines_max=4 * COMPARISON_STEPS_MAX)


def test_comparison_of_large_alike_values_is_refused_not_guessed() -> None:
    """What cannot be told in time has no verdict."""
    value = [[index] for index in range(100_000)]
    with pytest.raises(ComparisonTooLong):
        equal(value, [list(each) for each in value])


def test_comparison_of_a_megabyte_of_numbers_is_made() -> None:
    """What the default output_bytes permits as one flat array can still be compared."""
    value = [index % 10 for index in range(400_000)]
    assert equal(value, list(value), comparator="exact")
    assert not equal(value, [*value[:-1], 11], comparator="exact")


# Properties

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, 0.0, -0.0, 1, 1.0, True, 2.5, 2.501, 1e308, 10**400])
    | st.text(max_size=5)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every scalar and every container's shape, by path."""
    found: list[tuple[str, Any]]
    if isinstance(value, dict):
        found = [(path, frozenset(value))]
        for key, member in value.items():
            found += leaves(member, f"{path}/{json.dumps(key)}")
        return sorted(found, key=lambda each: each[0])
    if isinstance(value, list):
        found = [(path, ("array", len(value)))]
        for index, member in enumerate(value):
            found += leaves(member, f"{path}/{index}")
        return sorted(found, key=lambda each: each[0])
    return [(path, value)]


def canonical(value: Any) -> str:
    """JSON text in which equal values are the same text: keys in order, 1.0 written as 1."""

    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: plain(member) for key, member in item.items()}
        if isinstance(item, list):
            return [plain(member) for member in item]
        return int(item) if isinstance(item, float) and item.is_integer() else item

    return json.dumps(plain(value), sort_keys=True)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_codeio_defines(predicted: Any, expected: Any) -> bool:
    """The rule, leaf by leaf, in exact arithmetic."""
    ours, theirs = leaves(predicted), leaves(expected)
    if [path for path, _ in ours] != [path for path, _ in theirs]:
        return False
    for (_, left), (_, right) in zip(ours, theirs, strict=True):
        if is_number(left) and is_number(right):
            distance = abs(Fraction(left) - Fraction(right))
            near = distance <= Fraction(1, 1000) * abs(Fraction(right)) * (1 + Fraction(1, 10**9))
            both_whole = isinstance(left, int) and isinstance(right, int)
            if (left != right) if both_whole else not (near and int(left) == int(right)):
                return False
        elif type(left) is not type(right) or left != right:
            return False
    return True


@given(values, values)
def test_exact_agrees_with_canonical_json_text(left: Any, right: Any) -> None:
    """JSON equality: the same canonical text, neither more nor less."""
    assert equal(left, right, comparator="exact") is (canonical(left) == canonical(right))


@given(values)
def test_every_comparator_finds_a_value_equal_to_its_own_copy(value: Any) -> None:
    """What went through JSON text and back is still itself."""
    copy = json.loads(json.dumps(value))
    for comparator in ("exact", "codeio", "tolerance"):
        assert equal(value, copy, comparator=comparator)


@given(values, values)
def test_codeio_agrees_with_its_definition(left: Any, right: Any) -> None:
    """On unrelated values."""
    assert equal(left, right, comparator="codeio") is as_codeio_defines(left, right)


@given(values, st.floats(-0.003, 0.003), st.data())
def test_codeio_of_a_value_with_numbers_moved_agrees_with_its_definition(
    value: Any, share: float, data: st.DataObject
) -> None:
    """On values that differ by about as much as the rule permits."""

    def moved(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: moved(member) for key, member in item.items()}
        if isinstance(item, list):
            return [moved(member) for member in item]
        if isinstance(item, float) and abs(item) < 1e300 and data.draw(st.booleans()):
            return item * (1 + share)
        return item

    other = moved(value)
    # A hair inside or outside of the bound, floating point and exact arithmetic may differ.
    if abs(abs(share) - 0.001) > 1e-6:
        assert equal(other, value, comparator="codeio") is as_codeio_defines(other, value)


@given(
    st.integers(-(2**30), 2**30),
    st.integers(-(2**30), 2**30),
    st.integers(0, 10),
    st.sampled_from([0.0, 2**-20, 0.125, 0.5, 1.0]),
    st.sampled_from([0.0, 0.25, 1.0, 1024.0]),
)
def test_tolerance_agrees_with_its_definition(
    left: int, right: int, shift: int, rel: float, absolute: float
) -> None:
    """On numbers whose arithmetic is exact in floating point, against fractions."""
    a, b = left / 2**shift, right / 2**shift
    bound = max(Fraction(rel) * max(abs(Fraction(a)), abs(Fraction(b))), Fraction(absolute))
    tolerance = Tolerance(rel=rel, abs=absolute)
    same = equal(a, b, comparator="tolerance", tolerance=tolerance)
    assert same is (abs(Fraction(a) - Fraction(b)) <= bound)


@given(st.integers(1, 10**500), st.integers(1, 10**500), st.sampled_from([0.0, 0.25, 0.5]))
def test_tolerance_of_integers_beyond_doubles_agrees_with_its_definition(
    left: int, right: int, rel: float
) -> None:
    """Where floating point overflows, the answer is still the exact one."""
    same = equal(left, right, comparator="tolerance", tolerance=Tolerance(rel=rel))
    if max(left, right) > 2**1024:
        assert same is (abs(left - right) <= Fraction(rel) * max(left, right))
