"""Counting in bounded memory, whatever is counted: words by how often, and quantities by size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from execbox.dataset.files.json_lines import BadRecord

__all__ = ["OTHER_WORDS", "Bin", "Spread", "WordCounts", "refuse_vast"]

OTHER_WORDS = "(other words)"
"""Under which words are counted that come when there are many different ones already."""
_WORDS_MAX = 500
_WORD_CHARS_MAX = 100
_STEPS_PER_DOUBLING = 8
_QUANTITY_MAX = 2**63
"""More than anything that a report counts; sums of many of these are finite numbers still."""


def refuse_vast(value: object) -> None:
    """Raise ``BadRecord`` where JSON has a number that is not finite, or is beyond all counting."""
    if isinstance(value, dict):
        for each in value.values():
            refuse_vast(each)
    elif isinstance(value, list):
        for each in value:
            refuse_vast(each)
    elif isinstance(value, float) and math.isnan(value):
        raise BadRecord("a number in it is not a finite number", reason="invalid_field")
    elif isinstance(value, int | float) and abs(value) > _QUANTITY_MAX:
        raise BadRecord("a number in it is too large to be counted", reason="invalid_field")


class WordCounts:
    """How often each word came. Files come from strangers: words are cut, and few are kept."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, word: str, count: int = 1) -> None:
        """Count ``word`` so many times more; nothing where that is not more."""
        if count <= 0:
            return
        word = word[:_WORD_CHARS_MAX]
        if word not in self._counts and len(self._counts) >= _WORDS_MAX:
            word = OTHER_WORDS
        self._counts[word] += count

    def add_all(self, counts: Mapping[str, int]) -> None:
        """Count each of several words."""
        for word, count in counts.items():
            self.add(word, count)

    def by_size(self) -> dict[str, int]:
        """The words that came, the commonest first."""
        ordered = sorted(self._counts.items(), key=lambda entry: (-entry[1], entry[0]))
        return dict(ordered)

    def total(self) -> int:
        return self._counts.total()

    def __getitem__(self, word: str) -> int:
        return self._counts[word]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """How many quantities are at least ``low`` and below ``high``."""

    low: float
    high: float
    count: int


class Spread:
    """How a quantity, 0 or more, is spread: counted in bins that each reach 9 % further.

    What is below ``smallest``, a power of two, is counted as that.
    """

    def __init__(self, *, smallest: float = 1.0) -> None:
        self._smallest = smallest
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.total = 0.0
        self.largest = 0.0

    def add(self, quantity: float) -> None:
        """Count one; what is no quantity, such as a negative number or NaN, is not counted."""
        if not 0 <= quantity <= _QUANTITY_MAX:
            return
        self.count += 1
        self.total += quantity
        self.largest = max(self.largest, quantity)
        steps = _STEPS_PER_DOUBLING * math.log2(max(quantity, self._smallest))
        self._counts[math.floor(steps)] += 1

    def quantile(self, share: float) -> float:
        """The quantity that ``share`` of all do not exceed, up to 9 % too large. 0 of none."""
        wanted, seen = share * self.count, 0
        for step in sorted(self._counts):
            seen += self._counts[step]
            if seen >= wanted:
                return min(self.largest, math.exp2((step + 1) / _STEPS_PER_DOUBLING))
        return self.largest

    def doublings(self) -> Iterator[Bin]:
        """Bins from one power of two to the next, empty ones between them too."""
        by_doubling: Counter[int] = Counter()
        for step, count in self._counts.items():
            by_doubling[step // _STEPS_PER_DOUBLING] += count
        for power in range(min(by_doubling, default=0), max(by_doubling, default=-1) + 1):
            yield Bin(low=2.0**power, high=2.0 ** (power + 1), count=by_doubling[power])
