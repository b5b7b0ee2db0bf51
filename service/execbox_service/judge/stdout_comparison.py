"""Whether a program printed what was expected: pure, linear in the length of both texts.

Comparing values, which functions return, is in ``comparison``.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from typing import Final

from execbox.wire import StdoutComparator

__all__ = ["same_lines", "same_stdout"]

_WORD = re.compile(r"\S+")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NUMBER_CHARS_MAX: Final = 400
"""Of a number that is compared as one: every float's digits fit, and reading it stays cheap."""
_TOLERANCE: Final = 1e-6
"""Absolute or relative, whichever is met: what problem setters most often permit."""


def same_stdout(expected: str, printed: str, *, comparator: StdoutComparator) -> bool:
    """Whether ``printed`` is what was expected, by the comparator's rule (``StdoutComparator``).

    Nothing is made of the whole of a text at once, nor of what comes after the first difference:
    either may have millions of words.
    """
    return expected == printed or _RULES[comparator](expected, printed)


def same_lines(printed: str, expected: str) -> bool:
    """Whether both have the same lines but for white space around each, or lines of the same
    numbers, however precise these are written: open-instruct's rule."""
    found, wanted = _stripped_lines(printed), _stripped_lines(expected)
    return len(found) == len(wanted) and all(map(_same_line, found, wanted))


def _stripped_lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_line(found: str, wanted: str) -> bool:
    if found == wanted:
        return True
    try:
        return [Decimal(word) for word in found.split()] == [
            Decimal(word) for word in wanted.split()
        ]
    except (InvalidOperation, ValueError):
        return False


def _exact(_expected: str, _printed: str) -> bool:
    return False


def _trimmed(expected: str, printed: str) -> bool:
    return _pairwise(_trimmed_lines(expected), _trimmed_lines(printed), same=operator.eq)


def _trimmed_lines(text: str) -> Iterator[str]:
    text = text.strip()
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end].rstrip()
        start = end + 1
    yield text[start:]


def _tokens(expected: str, printed: str) -> bool:
    return _pairwise(_words(expected), _words(printed), same=operator.eq)


def _numbers(expected: str, printed: str) -> bool:
    return _pairwise(_words(expected), _words(printed), same=_same_token)


def _words(text: str) -> Iterator[str]:
    """As ``str.split`` finds them."""
    return (found[0] for found in _WORD.finditer(text))


def _pairwise(
    expected: Iterator[str], printed: Iterator[str], *, same: Callable[[str, str], bool]
) -> bool:
    return all(
        one is not None and other is not None and same(one, other)
        for one, other in zip_longest(expected, printed)
    )


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
