"""What is said about many samples: latencies in brief, latency over time, flatness. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.series import percentile


@dataclass(frozen=True)
class Brief:
    """Latencies of some requests, in milliseconds."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float

    @property
    def p99_over_p50(self) -> float:
        return self.p99_ms / self.p50_ms


def brief(latencies_s: Sequence[float]) -> Brief:
    """The latencies in brief; of none, all are 0."""
    if not latencies_s:
        return Brief(0, 0.0, 0.0, 0.0, 0.0)
    p50_s, p95_s, p99_s = (percentile(latencies_s, percent) for percent in (50, 95, 99))
    return Brief(
        len(latencies_s), p50_s * 1000, p95_s * 1000, p99_s * 1000, max(latencies_s) * 1000
    )


@dataclass(frozen=True)
class Window:
    """The requests that ended in one stretch of time, from ``begin_s`` on."""

    begin_s: float
    brief: Brief


def windows(
    ended_s: Sequence[float], latencies_s: Sequence[float], *, length_s: float
) -> list[Window]:
    """Requests by when they ended, in order; stretches in which none did are left out."""
    grouped: dict[int, list[float]] = {}
    for end_s, latency_s in zip(ended_s, latencies_s, strict=True):
        grouped.setdefault(int(end_s // length_s), []).append(latency_s)
    return [Window(number * length_s, brief(grouped[number])) for number in sorted(grouped)]


@dataclass(frozen=True)
class Flatness:
    """How far costs are from their median: ``deviation`` 0.1 is one of ten percent, the largest."""

    median: float
    deviation: float
    tolerance: float

    @property
    def is_flat(self) -> bool:
        return self.deviation <= self.tolerance


def flatness(costs: Sequence[float], *, tolerance: float) -> Flatness:
    """Costs are flat if none is further from their median than ``tolerance``, as a share of it."""
    ordered = sorted(costs)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    deviation = max(abs(cost / median - 1) for cost in costs)
    return Flatness(median, deviation, tolerance)


def fixed_cost(counts: Sequence[int], costs: Sequence[float]) -> tuple[float, float]:
    """What a batch costs whatever its length, and what each of its executions adds.

    The line through the total costs of batches of ``counts`` whose costs per execution are
    ``costs``, by least squares of the relative errors, so that long batches do not decide alone.
    """
    # Total t = a + b n, divided by t: 1 = a (1/t) + b (n/t), solved for a and b.
    totals = [count * cost for count, cost in zip(counts, costs, strict=True)]
    u = [1 / total for total in totals]
    v = [count / total for count, total in zip(counts, totals, strict=True)]
    uu, vv = sum(x * x for x in u), sum(x * x for x in v)
    uv = sum(x * y for x, y in zip(u, v, strict=True))
    determinant = uu * vv - uv * uv
    if determinant <= 1e-12 * uu * vv:
        return 0.0, sum(totals) / sum(counts)
    fixed = (sum(u) * vv - sum(v) * uv) / determinant
    each = (sum(v) * uu - sum(u) * uv) / determinant
    return fixed, each
