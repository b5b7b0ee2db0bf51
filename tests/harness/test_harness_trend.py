"""What counts as growth: the slope of a series against its noise and its floor."""

from __future__ import annotations

import random

import pytest
from harness.trend import trend_of

HOUR = [30.0 * number for number in range(120)]


def noisy(seed: int, *, rise: float) -> list[float]:
    """A level of 100 with noise of about 2, that rises by so much over the hour."""
    chance = random.Random(seed)
    return [100 + rise * at / len(HOUR) + chance.gauss(0, 2) for at in range(len(HOUR))]


@pytest.mark.parametrize(
    ("rise", "floor", "grows"),
    [
        pytest.param(0, 4, False, id="level"),
        pytest.param(40, 8, True, id="rising"),
        pytest.param(6, 12, False, id="rising, but not worth a word"),
        pytest.param(-40, 8, False, id="falling"),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_trend_of_noisy_series_grows_only_beyond_noise_and_floor(
    rise: float, floor: float, grows: bool, seed: int
) -> None:
    """The verdict, whatever the noise."""
    trend = trend_of(HOUR, noisy(seed, rise=rise), floor=floor)
    assert trend is not None
    assert trend.grows is grows
    assert trend.growth == pytest.approx(rise, abs=3)


def test_trend_of_straight_line_has_its_slope_and_no_interval() -> None:
    """Three an hour, measured without noise."""
    trend = trend_of(HOUR, [3 * at_s / 3600 for at_s in HOUR], floor=1)
    assert trend is not None
    assert trend.slope_per_hour == pytest.approx(3)
    assert trend.high_per_hour - trend.low_per_hour == pytest.approx(0, abs=1e-9)
    assert trend.grows


def test_trend_of_constant_series_does_not_grow_with_floor_zero() -> None:
    """Nothing is more than nothing, though the interval has no width."""
    trend = trend_of(HOUR, [0.0] * len(HOUR), floor=0)
    assert trend is not None
    assert not trend.grows


def test_trend_of_few_samples_is_unknown() -> None:
    """Three points say nothing about noise."""
    assert trend_of([0, 1, 2], [1, 2, 3], floor=0) is None


def test_trend_explained_by_another_series_leaves_only_its_own_growth() -> None:
    """Eight descriptors for each container, whose number rises: the daemon itself is flat."""
    chance = random.Random(1)
    containers = [10 + at / 12 + chance.randrange(3) for at in range(len(HOUR))]
    held = [8 * count + 50 + chance.gauss(0, 1) for count in containers]
    alone = trend_of(HOUR, held, floor=8)
    explained = trend_of(HOUR, held, floor=8, explained_by=containers)
    assert alone is not None
    assert explained is not None
    assert alone.grows
    assert not explained.grows
