"""What the page shows live, out of the metrics: percentiles, counts, ten minutes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from execbox.wire import Execution, Readiness, Status, Usage
from execbox_service.api.page.live import Live, Watched
from execbox_service.api.page.readings import (
    Latency,
    Reading,
    latency_between,
    reading_of,
    sample_of,
    statuses_between,
)
from execbox_service.metrics import Metrics, MetricSample, samples_in

INFINITY = float("inf")
PATHS = frozenset({"/v1/execute"})


def reading(buckets: Mapping[float, float]) -> Reading:
    """One in which executions took so long."""
    return Reading(0.0, times={"executions": buckets})


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({}, {}, Latency(count=0)),
        ({1.0: 5, INFINITY: 5}, {1.0: 5, INFINITY: 5}, Latency(count=0)),
        (
            {},
            {1.0: 100, 2.0: 100, INFINITY: 100},
            Latency(count=100, p50_s=0.5, p95_s=0.95, p99_s=0.99),
        ),
        (
            {1.0: 50, 2.0: 50, INFINITY: 50},
            {1.0: 50, 2.0: 150, INFINITY: 150},
            Latency(count=100, p50_s=1.5, p95_s=1.95, p99_s=1.99),
        ),
        (
            {},
            {1.0: 50, 2.0: 50, 4.0: 100, INFINITY: 100},
            Latency(count=100, p50_s=1.0, p95_s=3.8, p99_s=3.96),
        ),
        ({}, {1.0: 0, INFINITY: 10}, Latency(count=10, p50_s=1.0, p95_s=1.0, p99_s=1.0)),
    ],
    ids=["nothing", "nothing new", "one bucket", "since before", "a gap", "beyond the last"],
)
def test_latency_between_readings_is_of_what_ended_between_them(
    before: dict[float, float], now: dict[float, float], expected: Latency
) -> None:
    """Spread evenly within a bucket; what is beyond the last one counts as its beginning."""
    found = latency_between(reading(before), reading(now), of="executions")
    assert found == expected.model_copy(
        update={
            name: pytest.approx(value) for name, value in expected.model_dump().items() if value
        }
    )


def executed(metrics: Metrics, *statuses: Status) -> None:
    usage = Usage(cpu_time_s=0.01, wall_time_s=0.02, peak_memory_bytes=1)
    metrics.executed([Execution(status=status, usage=usage) for status in statuses])


def test_reading_of_metrics_counts_statuses_times_and_requests_of_operations() -> None:
    """The names of the metrics are those that the service gives them: a renamed one fails here."""
    metrics = Metrics()
    before = reading_of(metrics.samples(), time_s=1.0, paths=PATHS)
    executed(metrics, Status.OK, Status.OK, Status.TIMEOUT)
    metrics.answered("/v1/execute", status_code=200, duration_s=0.02)
    metrics.answered("/v1/execute", status_code=503, duration_s=0.02)
    metrics.answered("/page/live", status_code=200, duration_s=500)
    now = reading_of(metrics.samples(), time_s=3.0, paths=PATHS)
    sample = sample_of(before, now)
    assert sample.statuses == {"ok": 2, "timeout": 1}
    assert sample.executions.count == 3
    assert sample.requests.count == 2
    assert sample.requests.p99_s is not None
    assert 0.01 < sample.requests.p99_s <= 0.025
    assert statuses_between(now, now) == {}


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


async def test_live_keeps_ten_minutes_and_counts_over_them() -> None:
    """What is older is dropped, from the samples and from the counts."""
    clock, metrics = Clock(), Metrics()

    async def samples() -> Iterable[MetricSample]:
        return metrics.samples()

    live = Live(
        Watched(
            samples=samples,
            readiness=lambda: Readiness(ready=True),
            queues=list,
            paths=PATHS,
        ),
        clock=clock,
    )
    assert live.state is None
    await live.read()
    executed(metrics, Status.EXCEPTION)
    clock.now_s += 2
    await live.read()
    assert live.state is not None
    assert live.state.statuses == {"exception": 1}
    for _ in range(400):
        clock.now_s += 2
        await live.read()
    assert len(live.samples) == 300
    assert live.samples[-1].time_s - live.samples[0].time_s == 598
    assert live.state.statuses == {}
    assert live.state.kept_s == 600
    clock.now_s += 60
    await live.read()
    assert live.samples == []
    assert live.state.kept_s == 0


def test_samples_read_from_text_are_those_of_the_metrics() -> None:
    """Labels, infinities and all: what a worker reads of the whole is what one process has."""
    metrics = Metrics()
    executed(metrics, Status.OK, Status.TIMEOUT)
    metrics.answered("/v1/sessions/{id}/run", status_code=503, duration_s=0.02)
    of_process = "process_"
    given = {
        (name, tuple(sorted(labels.items()))): value
        for name, labels, value in metrics.samples()
        if not name.startswith(of_process)
    }
    read = {
        (name, tuple(sorted(labels.items()))): value
        for name, labels, value in samples_in(metrics.render().decode())
        if not name.startswith(of_process)
    }
    assert given.keys() == read.keys()
    assert read == pytest.approx(given)
