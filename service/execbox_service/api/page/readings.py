"""What the page shows live, out of the metrics: pure arithmetic over two readings of them.

When they are read, and who is shown what, is in ``live.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from execbox_service.metrics import MetricSample

__all__ = ["Buckets", "Latency", "Reading", "Sample", "latency_between", "reading_of", "sample_of"]

Timed: TypeAlias = Literal["requests", "executions", "queue"]
_TIMED: Final[Mapping[str, Timed]] = {
    "execbox_request_seconds_bucket": "requests",
    "execbox_execution_seconds_bucket": "executions",
    "execbox_queue_seconds_bucket": "queue",
}
_STATUSES: Final = "execbox_executions_total"
_NUMBERS: Final[Mapping[str, str]] = {
    f"execbox_{name}{end}": name
    for end, names in {
        "": (
            *("slots", "slots_active", "queue_waiting", "sandboxes_warm", "sandboxes_idle"),
            "sandboxes_leased",
        ),
        "_total": ("sandboxes_made", "sandboxes_destroyed", "sandboxes_failed"),
    }.items()
    for name in names
}
Buckets: TypeAlias = Mapping[float, float]
"""How many took at most so many seconds, since the start."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The metrics at one moment, as far as the page shows them."""

    time_s: float
    """Seconds since the epoch."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    statuses: Mapping[str, float] = field(default_factory=dict)
    times: Mapping[Timed, Buckets] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """A gauge or a counter; 0 where the metrics have none, as before the start."""
        return int(self.numbers.get(name, 0))


class Latency(BaseModel):
    """How long something took: estimated within the buckets of the metrics. Null where there was
    none; the last bucket has no end, so what is in it counts as its beginning."""

    model_config = ConfigDict(frozen=True)

    count: int
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None


class Sample(BaseModel):
    """What the page plots for one moment; ``made`` to ``statuses`` are of the time since the sample
    before."""

    model_config = ConfigDict(frozen=True)

    time_s: float
    slots: int
    slots_active: int
    waiting: int
    warm: int
    idle: int
    leased: int
    made: int
    destroyed: int
    failed: int
    statuses: dict[str, int]
    requests: Latency
    executions: Latency
    queue: Latency


def reading_of(samples: Iterable[MetricSample], *, time_s: float, paths: frozenset[str]) -> Reading:
    """Read ``samples``; of the requests, those at ``paths`` are counted."""
    numbers: dict[str, float] = {}
    statuses: dict[str, float] = {}
    times: dict[Timed, dict[float, float]] = {}
    for name, labels, value in samples:
        if name in _NUMBERS:
            numbers[_NUMBERS[name]] = numbers.get(_NUMBERS[name], 0) + value
        elif name == _STATUSES:
            statuses[labels["status"]] = statuses.get(labels["status"], 0) + value
        elif name in _TIMED and labels.get("path", "") in paths | {""}:
            buckets = times.setdefault(_TIMED[name], {})
            upper_s = float(labels["le"])
            buckets[upper_s] = buckets.get(upper_s, 0) + value
    return Reading(time_s, numbers, statuses, times)


def sample_of(before: Reading, now: Reading) -> Sample:
    """What happened between two readings, and what is at the second."""

    def since(name: str) -> int:
        return max(0, now.number(name) - before.number(name))

    return Sample(
        time_s=now.time_s,
        slots=now.number("slots"),
        slots_active=now.number("slots_active"),
        waiting=now.number("queue_waiting"),
        warm=now.number("sandboxes_warm"),
        idle=now.number("sandboxes_idle"),
        leased=now.number("sandboxes_leased"),
        made=since("sandboxes_made"),
        destroyed=since("sandboxes_destroyed"),
        failed=since("sandboxes_failed"),
        statuses=statuses_between(before, now),
        requests=latency_between(before, now, of="requests"),
        executions=latency_between(before, now, of="executions"),
        queue=latency_between(before, now, of="queue"),
    )


def statuses_between(before: Reading, now: Reading) -> dict[str, int]:
    """How many executions ended in each status; those that did in none are left out."""
    counts = {
        status: int(count - before.statuses.get(status, 0))
        for status, count in sorted(now.statuses.items())
    }
    return {status: count for status, count in counts.items() if count > 0}


def latency_between(before: Reading, now: Reading, *, of: Timed) -> Latency:
    """The percentiles of what ended between two readings."""
    earlier = before.times.get(of, {})
    later = now.times.get(of, {})
    counts = [(upper_s, later[upper_s] - earlier.get(upper_s, 0)) for upper_s in sorted(later)]
    total = counts[-1][1] if counts else 0
    if total <= 0:
        return Latency(count=0)
    return Latency(
        count=int(total),
        p50_s=_percentile(counts, total * 0.5),
        p95_s=_percentile(counts, total * 0.95),
        p99_s=_percentile(counts, total * 0.99),
    )


def _percentile(counts: list[tuple[float, float]], rank: float) -> float:
    """The time that ``rank`` of them took at most, taken as spread evenly in their bucket."""
    for (lower_s, below), (upper_s, upto) in pairwise([(0.0, 0.0), *counts]):
        if upto >= rank:
            if upper_s == float("inf"):
                return lower_s
            return lower_s + (upper_s - lower_s) * (rank - below) / (upto - below)
    return counts[-1][0]
