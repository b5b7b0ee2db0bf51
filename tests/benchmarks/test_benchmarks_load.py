"""The numbers of a load run: percentiles, windows, flatness, fixed cost, growth of memory."""

from __future__ import annotations

import pytest
from benchmarks.load import memory_trend
from benchmarks.load_numbers import brief, fixed_cost, flatness, windows


@pytest.mark.parametrize(
    ("latencies_s", "expected_ms"),
    [
        ([], (0, 0, 0, 0)),
        ([0.1], (100, 100, 100, 100)),
        ([0.003, 0.001, 0.002], (2, 3, 3, 3)),
        ([n / 1000 for n in range(1, 101)], (50, 95, 99, 100)),
        ([0.001] * 98 + [1.0, 2.0], (1, 1, 1000, 2000)),
    ],
)
def test_brief_gives_the_percentiles(
    latencies_s: list[float], expected_ms: tuple[float, ...]
) -> None:
    """In milliseconds, each a latency that was there."""
    found = brief(latencies_s)
    assert found.count == len(latencies_s)
    assert (found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms) == pytest.approx(expected_ms)


def test_windows_sort_answers_by_when_they_ended() -> None:
    """In order of time; a stretch without any is left out."""
    found = windows([0.1, 0.9, 3.5, 1.2], [0.001, 0.003, 0.009, 0.005], length_s=1.0)
    assert [(one.begin_s, one.brief.count) for one in found] == [(0.0, 2), (1.0, 1), (3.0, 1)]
    assert [one.brief.max_ms for one in found] == pytest.approx([3, 5, 9])


@pytest.mark.parametrize(
    ("costs", "deviation", "flat"),
    [
        ([5.0], 0.0, True),
        ([5.0, 5.0, 5.0], 0.0, True),
        ([4.5, 5.0, 5.5], 0.1, True),
        ([5.0, 5.0, 6.0], 0.2, False),
        ([4.0, 5.0, 5.0], 0.2, False),
        ([10.0, 20.0], 1 / 3, False),
        ([100.0, 100.0, 86.0, 114.0], 0.14, True),
    ],
)
def test_flatness_is_the_largest_deviation_from_the_median(
    costs: list[float], deviation: float, flat: bool
) -> None:
    """Either way, as a share of the median."""
    found = flatness(costs, tolerance=0.15)
    assert found.deviation == pytest.approx(deviation)
    assert found.is_flat is flat


@pytest.mark.parametrize(("fixed", "each"), [(0.0, 5.0), (20.0, 4.0), (300.0, 0.5)])
def test_fixed_cost_is_told_from_the_cost_of_each(fixed: float, each: float) -> None:
    """From costs per execution, as they are measured."""
    counts = [10, 100, 1000, 10_000]
    costs = [(fixed + each * count) / count for count in counts]
    assert list(fixed_cost(counts, costs)) == pytest.approx([fixed, each], abs=1e-6)


def test_fixed_cost_of_one_size_is_none() -> None:
    """Nothing can be told apart."""
    assert fixed_cost([10, 10], [5.0, 5.0]) == (0.0, 5.0)


@pytest.mark.parametrize(
    ("per_minute_mb", "grows"), [(0.0, False), (0.5, False), (5.0, True), (-5.0, False)]
)
def test_memory_trend_is_of_what_comes_after_the_beginning(
    per_minute_mb: float, grows: bool
) -> None:
    """Caches fill in the first fifth; growth afterwards counts if it comes to some megabytes."""
    times_s = [float(n) for n in range(300)]
    noise_mb = [0.3 * (n % 3 - 1) for n in range(300)]
    service_mb = [
        100 + min(time_s, 60) + noise + per_minute_mb * time_s / 60
        for time_s, noise in zip(times_s, noise_mb, strict=True)
    ]
    trend = memory_trend(times_s, service_mb)
    assert trend is not None
    assert trend.grows is grows
