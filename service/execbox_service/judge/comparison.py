"""Whether a predicted value equals an expected one: the three comparators, on decoded JSON. Pure.

What the values are and where they come from is decided elsewhere; text is never parsed here.
Why the comparators are what they are: ``docs/decisions/0040-comparators.md``.

The work is counted and bounded, because whoever predicts also chooses the size of the prediction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Literal, TypeAlias

from execbox.wire import Tolerance

__all__ = ["COMPARISON_STEPS_MAX", "Comparator", "ComparisonTooLong", "equal"]

JSON: TypeAlias = Any
Comparator: TypeAlias = Literal["codeio", "exact", "tolerance"]

COMPARISON_STEPS_MAX: Final = 60_000
"""Steps of one comparison, at most: one for each pair of members, fewer in flat arrays."""

_FLAT_ITEMS_PER_STEP = 8
_CODEIO_RELATIVE = 1e-3
_PLAIN = frozenset({str, int, float, type(None)})


class ComparisonTooLong(Exception):
    """The values are alike so far, and too large to go on within the time a comparison has."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a comparator treats two numbers; everything else it treats as every other one does."""

    same_number: Callable[[int | float, int | float], bool]


def equal(
    predicted: JSON,
    expected: JSON,
    *,
    comparator: Comparator = "codeio",
    tolerance: Tolerance | None = None,
) -> bool:
    """Whether ``predicted`` counts as ``expected``; the order matters to ``codeio`` only.

    Both are decoded JSON; NaN and infinities, which are none, equal nothing. Raises
    ComparisonTooLong where telling would take more than ``COMPARISON_STEPS_MAX`` steps.
    """
    rule = _rule(comparator, tolerance or Tolerance())
    steps_left = COMPARISON_STEPS_MAX
    pending: list[tuple[JSON, JSON]] = [(predicted, expected)]
    while pending:
        left, right = pending.pop()
        if isinstance(left, dict | list):
            if type(left) is not type(right) or len(left) != len(right):
                return False
            steps_left -= 1 + len(left) // _FLAT_ITEMS_PER_STEP
            if steps_left >= 0 and isinstance(left, list) and _flat_and_identical(left, right):
                continue
            steps_left -= len(left)
            if steps_left < 0:
                raise ComparisonTooLong
            if isinstance(left, list):
                pending.extend(zip(left, right, strict=True))
            elif left.keys() != right.keys():
                return False
            else:
                pending.extend((member, right[key]) for key, member in left.items())
        elif not _same_scalar(left, right, rule):
            return False
    return True


def _rule(comparator: Comparator, tolerance: Tolerance) -> _Rule:
    match comparator:
        case "exact":
            return _Rule(lambda left, right: left == right)
        case "codeio":
            return _Rule(_near_as_in_codeio)
        case "tolerance":
            return _Rule(lambda left, right: _near(left, right, tolerance))


def _flat_and_identical(left: list[JSON], right: list[JSON]) -> bool:
    """Whether two arrays of plain values are the same, at the speed of C; no is no answer.

    Booleans are left to the slow way, because Python finds them equal to numbers.
    """
    if not _PLAIN.issuperset(map(type, left)) or left != right:
        return False
    kinds = set(map(type, right))
    if not _PLAIN.issuperset(kinds):
        return False
    return float not in kinds or all(
        map(math.isfinite, (value for value in chain(left, right) if type(value) is float))
    )


def _same_scalar(left: JSON, right: JSON, rule: _Rule) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return _finite(left) and _finite(right) and rule.same_number(left, right)
    return type(left) is type(right) and bool(left == right)


def _finite(number: int | float) -> bool:
    return isinstance(number, int) or math.isfinite(number)


def _near_as_in_codeio(predicted: int | float, expected: int | float) -> bool:
    """Integers exactly; else within a thousandth of ``expected``, and of the same integer part."""
    if isinstance(predicted, int) and isinstance(expected, int):
        return predicted == expected
    # The integer parts first: once they agree, no difference can overflow.
    if int(predicted) != int(expected):
        return False
    return abs(predicted - expected) <= _CODEIO_RELATIVE * abs(expected)


def _near(left: int | float, right: int | float, tolerance: Tolerance) -> bool:
    try:
        distance = abs(left - right)
        bound = max(tolerance.rel * max(abs(left), abs(right)), tolerance.abs)
    except OverflowError:
        return _near_exactly(left, right, tolerance)
    if math.isinf(bound) or math.isinf(distance):
        return _near_exactly(left, right, tolerance)
    return distance <= bound


def _near_exactly(left: int | float, right: int | float, tolerance: Tolerance) -> bool:
    """The same with whole numbers only, for what is beyond the range of a double."""
    left_over, left_under = left.as_integer_ratio()
    right_over, right_under = right.as_integer_ratio()
    under = left_under * right_under
    left_over, right_over = left_over * right_under, right_over * left_under
    distance = abs(left_over - right_over)
    largest = max(abs(left_over), abs(right_over))
    relative_over, relative_under = tolerance.rel.as_integer_ratio()
    absolute_over, absolute_under = tolerance.abs.as_integer_ratio()
    return (
        distance * relative_under <= relative_over * largest
        or distance * absolute_under <= absolute_over * under
    )
