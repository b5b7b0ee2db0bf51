"""Whether a program printed what was expected: pure, linear in the length of both texts.

Comparing values, which functions return, is in ``comparison``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from execbox.wire import StdoutComparator

__all__ = ["same_stdout"]

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NUMBER_CHARS_MAX: Final = 400
"""Of a number that is compared as one: every float's digits fit, and reading it stays cheap."""
_TOLERANCE: Final = 1e-6
"""Absolute or relative, whichever is met: what problem setters most often permit."""


def same_stdout(expected: str, printed: str, *, comparator: StdoutComparator) -> bool:
    """Whether ``printed`` is what was expected, by the comparator's rule (``StdoutComparator``)."""
    return _RULES[comparator](expected, printed)


def _exact(expected: str, printed: str) -> bool:
    return expected == printed


def _trimmed(expected: str, printed: str) -> bool:
    return _trimmed_lines(expected) == _trimmed_lines(printed)


def _trimmed_lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().split("\n")]


def _tokens(expected: str, printed: str) -> bool:
    return expected.split() == printed.split()


def _numbers(expected: str, printed: str) -> bool:
    wanted, got = expected.split(), printed.split()
    return len(wanted) == len(got) and all(map(_same_token, wanted, got))


def _same_token(expected: str, printed: str) -> bool:
    if expected == printed:
        return True
    if not (_is_number(expected) and _is_number(printed)):
        return False
    if expected.lstrip("+-").isdigit() and printed.lstrip("+-").isdigit():
        return int(expected) == int(printed)
    one, other = float(expected), float(printed)
    # Infinite where the text is too large for a float; then only the same text is the same number.
    if not (math.isfinite(one) and math.isfinite(other)):
        return False
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _is_number(token: str) -> bool:
    return len(token) <= _NUMBER_CHARS_MAX and _NUMBER.fullmatch(token) is not None


_RULES: Final[dict[StdoutComparator, Callable[[str, str], bool]]] = {
    "exact": _exact,
    "trimmed": _trimmed,
    "tokens": _tokens,
    "numbers": _numbers,
}
