from __future__ import annotations

import math

import pytest

from execbox.report.counts import OTHER_WORDS, Spread, WordCounts


def test_word_counts_of_many_words_keep_few_and_lose_none() -> None:
    """A file of strangers may have a different reason on every line."""
    counts = WordCounts()
    for number in range(10_000):
        counts.add(f"reason {number}")
    assert len(counts.by_size()) <= 501
    assert counts.total() == 10_000
    assert counts[OTHER_WORDS] == 9_500


def test_word_counts_cut_long_words() -> None:
    """A reason of a megabyte is none that anybody reads."""
    counts = WordCounts()
    counts.add("a" * 1_000_000)
    assert counts.by_size() == {"a" * 100: 1}


def test_word_counts_are_ordered_by_size_then_by_word() -> None:
    """The order of a page does not depend on that of the lines."""
    counts = WordCounts()
    counts.add_all({"b": 2, "a": 2, "c": 5, "none": 0, "less": -3})
    assert list(counts.by_size().items()) == [("c", 5), ("a", 2), ("b", 2)]


def test_spread_finds_quantiles_within_a_tenth() -> None:
    """Of 1 to 1000, which a list would give as they are."""
    spread = Spread()
    for number in range(1, 1001):
        spread.add(number)
    for share in (0.05, 0.5, 0.95, 1.0):
        assert 1000 * share <= spread.quantile(share) <= 1000 * share * 1.1
    assert (spread.count, spread.total, spread.largest) == (1000, 500_500, 1000)


def test_spread_in_doublings_has_every_quantity_in_its_bin() -> None:
    """What lies between two powers of two, the lower one included; empty bins are there."""
    spread = Spread()
    for quantity in (0, 1, 1.5, 8, 15.9, 16):
        spread.add(quantity)
    bins = [(one.low, one.high, one.count) for one in spread.doublings()]
    assert bins == [(1, 2, 3), (2, 4, 0), (4, 8, 0), (8, 16, 2), (16, 32, 1)]


@pytest.mark.parametrize("quantity", [-1.0, math.nan, math.inf])
def test_spread_does_not_count_what_is_no_quantity(quantity: float) -> None:
    """An answer that claims a negative time does not spoil the others."""
    spread = Spread()
    spread.add(quantity)
    assert (spread.count, spread.quantile(0.5), list(spread.doublings())) == (0, 0.0, [])
