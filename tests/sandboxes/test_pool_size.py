"""How many warm sandboxes the pool aims at: arithmetic only."""

from __future__ import annotations

import pytest

from execbox_service.sandboxes.pool_size import PoolSize


def made(*, count_min: int = 2, count_max: int = 5) -> PoolSize:
    return PoolSize(count_min=count_min, count_max=count_max, creating_max=2)


def test_size_without_demand_stays_at_the_least() -> None:
    """Nothing is kept ready for nobody, and never less than was asked for."""
    size = made()
    size.settle(now_s=100.0)
    size.settle(now_s=200.0)
    assert size.target_count == 2


@pytest.mark.parametrize(("missed_count", "target_count"), [(1, 3), (3, 5), (9, 5)])
def test_size_after_misses_grows_by_one_each_up_to_the_most(
    missed_count: int, target_count: int
) -> None:
    """Whoever found none shows that one more was needed."""
    size = made()
    for _ in range(missed_count):
        size.missed()
    assert size.target_count == target_count


def test_size_once_some_stay_unused_gives_up_just_those() -> None:
    """Two of five were never touched between two settlings: three are needed."""
    size = made()
    for _ in range(3):
        size.missed()
    size.settle(now_s=100.0)
    for left_count in (4, 3, 2, 3, 4):
        size.leased(left_count=left_count)
    size.settle(now_s=140.0)
    assert size.target_count == 3


def test_size_that_was_missed_lately_is_kept() -> None:
    """A burst counts until a whole interval without one has passed."""
    size = made()
    size.missed()
    size.settle(now_s=100.0)
    assert size.target_count == 3
    size.settle(now_s=140.0)
    assert size.target_count == 2


def test_size_asked_too_soon_does_not_settle() -> None:
    """Probes may come every second; what was needed is judged over half a minute."""
    size = made()
    size.settle(now_s=100.0)
    size.missed()
    size.settle(now_s=129.0)
    size.settle(now_s=129.5)
    assert size.target_count == 3


def test_most_below_the_least_means_the_least() -> None:
    """An operator who only raises the one gets what was asked for."""
    size = made(count_min=4, count_max=0)
    size.missed()
    assert size.target_count == 4


def test_refill_rate_follows_how_long_making_takes() -> None:
    """Two at a time, half a second each: four a second; nothing is claimed before any was made."""
    size = made()
    assert size.refill_per_s is None
    size.made(took_s=0.5)
    assert size.refill_per_s == pytest.approx(4.0)
    for _ in range(60):
        size.made(took_s=0.2)
    assert size.refill_per_s == pytest.approx(10.0, rel=0.01)
