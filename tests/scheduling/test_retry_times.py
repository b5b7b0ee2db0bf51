"""How long places in a queue are expected to take, as they become free or do not: arithmetic."""

from __future__ import annotations

import pytest

from execbox_service.scheduling.retry_times import RetryTimes


def watched(gaps_s: list[float]) -> tuple[RetryTimes, float]:
    """After places became free so many seconds apart, and the time at which the last one did."""
    times, now_s = RetryTimes(256), 0.0
    times.place_freed(now_s, more_wait=True)
    for gap_s in gaps_s:
        now_s += gap_s
        times.place_freed(now_s, more_wait=True)
    return times, now_s


@pytest.mark.parametrize(
    ("gaps_s", "since_s", "least_s", "most_s"),
    [
        ([0.05] * 50, 0.0, 3.0, 3.5),
        # While a daemon is away for so long, and at once after it: its callers wait in vain for
        # a while, and not for all of the queue.
        ([0.05] * 50, 10.0, 5.0, 6.0),
        ([0.05] * 50 + [10.0], 0.0, 3.0, 6.0),
        # What has become slow for good.
        ([0.05] * 50 + [1.0] * 60, 0.0, 50.0, 62.0),
    ],
    ids=["as_ever", "pause", "after_a_pause", "slow"],
)
def test_wait_of_sixty_one_places_follows_the_pace_and_no_single_pause(
    gaps_s: list[float], since_s: float, least_s: float, most_s: float
) -> None:
    """Whom a contract lets wait 15 s is not sent away because a daemon was started again."""
    times, now_s = watched(gaps_s)
    assert least_s <= times.wait_s(now_s + since_s, ahead_count=60) <= most_s
