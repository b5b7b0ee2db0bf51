"""Which of many parts of a text a place lies in. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

__all__ = ["Spans"]


class Spans:
    """Parts of a text, to be asked thousands of times which of them a place lies in."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(spans)
        self._starts = [start for start, _ in ordered]
        self._ends = list(accumulate((end for _, end in ordered), max))
        """The furthest end of all spans so far: one that begins earlier may reach further."""

    def end_around(self, place: int) -> int | None:
        """The furthest end of those that ``place`` lies in; None where it lies in none."""
        count = bisect_right(self._starts, place)
        return self._ends[count - 1] if count and self._ends[count - 1] > place else None
