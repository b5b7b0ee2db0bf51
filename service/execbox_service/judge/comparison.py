"""Whether a predicted value equals an expected one: the three comparators, on decoded JSON. Pure.

What the values are and where they come from is decided elsewhere; text is never parsed here.
Why the comparators are what they are: ``docs/decisions/0020-comparators.md``.

The work is counted and bounded, because a model chooses the size of its prediction.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import compress, islice
from typing import Any, Final, TypeAlias

from execbox.wire import Comparator, Tolerance

__all__ = ["COMPARISON_STEPS_MAX", "Comparator", "ComparisonTooLong", "equal"]

JSON: TypeAlias = Any
NumberRule: TypeAlias = Callable[[int | float, int | float], bool]

COMPARISON_STEPS_MAX: Final = 30_000
"""Steps of one comparison, at most: one for each pair of members, and fewer for those that Python
finds equal in an array without objects, arrays and booleans."""

_PLAIN_ITEMS_PER_STEP = 16
_CODEIO_RELATIVE = 1e-3
# Not bool: Python finds it equal to a number.
_PLAIN = frozenset({str, int, float, type(None)})


class ComparisonTooLong(Exception):
    """The values are alike so far, and too large to go on within the time a comparison has."""


@dataclass(slots=True)
class _Steps:
    """What is left of one comparison's share of time."""

    left_count: int

    def spend(self, count: int) -> None:
        self.left_count -= count
        if self.left_count < 0:
            raise ComparisonTooLong


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
    same_number = _number_rule(comparator, tolerance or Tolerance())
    steps = _Steps(COMPARISON_STEPS_MAX)
    pending: list[tuple[JSON, JSON]] = [(predicted, expected)]
    while pending:
        left, right = pending.pop()
        if isinstance(left, dict | list):
            if type(left) is not type(right) or len(left) != len(right):
                return False
            members = _members_to_compare(left, right, steps)
            if members is None:
                return False
            pending.extend(members)
        elif not _same_scalar(left, right, same_number):
            return False
    return True


def _number_rule(comparator: Comparator, tolerance: Tolerance) -> NumberRule:
    match comparator:
        case "exact":
            return operator.eq
        case "codeio":
            return _near_as_in_codeio
        case "tolerance":
            return lambda left, right: _near(left, right, tolerance)


def _members_to_compare(
    left: JSON, right: JSON, steps: _Steps
) -> Iterable[tuple[JSON, JSON]] | None:
    """The members of two arrays or objects of one length, side by side; None if they differ."""
    if isinstance(left, dict):
        steps.spend(1 + len(left))
        if left.keys() != right.keys():
            return None
        return ((member, right[key]) for key, member in left.items())
    steps.spend(1 + len(left) // _PLAIN_ITEMS_PER_STEP)
    if not (_PLAIN.issuperset(map(type, left)) and _PLAIN.issuperset(map(type, right))):
        steps.spend(len(left))
        return zip(left, right, strict=True)
    # Plain values that Python finds equal are equal under every rule, but for infinities.
    if math.inf in left or -math.inf in left:
        return None
    unequal = compress(zip(left, right, strict=True), map(operator.ne, left, right))
    first = list(islice(unequal, steps.left_count + 1))
    steps.spend(len(first))
    return first


def _same_scalar(left: JSON, right: JSON, same_number: NumberRule) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return _finite(left) and _finite(right) and same_number(left, right)
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
        # Two integers within the range may be further apart than it is wide.
        beyond = math.isinf(bound) or math.isinf(distance)
    except OverflowError:
        beyond = True
    return _near_exactly(left, right, tolerance) if beyond else distance <= bound


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
