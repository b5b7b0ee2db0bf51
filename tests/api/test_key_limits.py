"""What one key may ask for at once and a second, on a clock that only moves when told to."""

from __future__ import annotations

import contextlib

import pytest

from execbox_service.api.key_limits import KeyLimited, KeyLimits, TokenBucket


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def limits(
    clock: Clock, *, concurrency_max: int | None = None, rate_per_s: float = 0, burst_count: int = 1
) -> KeyLimits:
    return KeyLimits(
        concurrency_max=concurrency_max,
        rate_per_s=rate_per_s,
        burst_count=burst_count,
        clock=clock,
    )


@pytest.mark.parametrize(
    ("rate_per_s", "burst_count", "asked_at_s", "waits_s"),
    [
        (2, 1, [0, 0, 0.5, 0.75], [0, 0.5, 0, 0.25]),
        (2, 3, [0, 0, 0, 0], [0, 0, 0, 0.5]),
        (2, 3, [0, 0, 0, 60, 60, 60, 60], [0, 0, 0, 0, 0, 0, 0.5]),
        (0.1, 1, [0, 1, 10], [0, 9, 0]),
        (2, 1, [5, 3, 5.5], [0, 0.5, 0]),
        (1e6, 1, [0, 1e-6], [0, 0]),
    ],
    ids=["steady", "burst", "full_again", "slow", "clock_back", "fast"],
)
def test_bucket_taken_from_gives_a_token_or_the_time_until_one(
    rate_per_s: float, burst_count: int, asked_at_s: list[float], waits_s: list[float]
) -> None:
    """Refused tries take nothing, and tokens beyond the burst are lost."""
    bucket = TokenBucket(rate_per_s=rate_per_s, burst_count=burst_count, now_s=0)
    assert [bucket.take(now_s) for now_s in asked_at_s] == pytest.approx(waits_s)


def test_bucket_after_the_wait_it_named_has_a_token() -> None:
    """Whoever comes back when told to is let in."""
    bucket = TokenBucket(rate_per_s=3, burst_count=1, now_s=0)
    now_s = 0.0
    bucket.take(now_s)
    for _ in range(100):
        now_s += bucket.take(now_s) + 1e-9
        assert bucket.take(now_s) == 0


def test_requests_under_way_beyond_the_maximum_are_refused_for_their_key_only() -> None:
    """The third of one key, while the first of another is let in."""
    keys = limits(Clock(), concurrency_max=2)
    with keys.under_way("a"), keys.under_way("a"):
        with pytest.raises(KeyLimited, match="2 requests") as refused, keys.under_way("a"):
            pytest.fail("it was let in")
        with keys.under_way("b"):
            pass
    assert (refused.value.limit, refused.value.http_status) == ("concurrency", 429)
    assert refused.value.retryable


def test_requests_that_ended_or_failed_make_room() -> None:
    """Nothing leaks a place, however a request ends."""
    keys = limits(Clock(), concurrency_max=1)
    for failure in (KeyError, GeneratorExit, None):
        with contextlib.suppress(KeyError, GeneratorExit), keys.under_way("a"):
            if failure is not None:
                raise failure
    with keys.under_way("a"):
        pass


def test_concurrency_refused_takes_no_token() -> None:
    """What was not let in cannot cost a later request its turn."""
    keys = limits(Clock(), concurrency_max=1, rate_per_s=0.01, burst_count=2)
    with keys.under_way("a"):
        for _ in range(5):
            with pytest.raises(KeyLimited) as refused, keys.under_way("a"):
                pass
            assert refused.value.limit == "concurrency"
    with keys.under_way("a"):
        pass


def test_rate_exceeded_names_the_wait_and_holds_then() -> None:
    """Refused with the time that is left, let in after it."""
    clock = Clock()
    keys = limits(clock, rate_per_s=0.25)
    with keys.under_way("a"):
        pass
    clock.now_s += 1
    with pytest.raises(KeyLimited) as refused, keys.under_way("a"):
        pass
    assert refused.value.limit == "rate"
    assert refused.value.retry_after_s == pytest.approx(3)
    clock.now_s += refused.value.retry_after_s
    with keys.under_way("a"), keys.under_way("b"):
        pass


def third_waits_s(keys: KeyLimits) -> float:
    with contextlib.ExitStack() as stack:
        stack.enter_context(keys.under_way("a"))
        stack.enter_context(keys.under_way("a"))
        with pytest.raises(KeyLimited) as refused:
            stack.enter_context(keys.under_way("a"))
    return refused.value.retry_after_s


def test_concurrency_exceeded_says_when_a_place_is_likely_to_be_free() -> None:
    """Learned from how long this key's requests take, and never more than a minute."""
    clock = Clock()
    keys = limits(clock, concurrency_max=2)
    for _ in range(200):
        with keys.under_way("a"):
            clock.now_s += 30
    assert third_waits_s(keys) == pytest.approx(15, rel=0.01)
    for _ in range(200):
        with keys.under_way("a"):
            clock.now_s += 3000
    assert third_waits_s(keys) == 60


def test_without_limits_everything_is_let_in() -> None:
    """None and 0 are no limits, not limits of nothing."""
    keys = limits(Clock())
    with contextlib.ExitStack() as stack:
        for _ in range(5000):
            stack.enter_context(keys.under_way("a"))
