"""Measuring one way on one list of checks: speed, latency, CPU and memory as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.meters import MemoryWatch, read_cpu_times

from benchmarks.ways import Way
from benchmarks.work import Check


@dataclass(frozen=True)
class Series:
    """One way on one kind of work. CPU is per check; None is what was not measured."""

    way: str
    work: str
    check_count: int
    ok_count: int
    concurrency: int
    per_second: float
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    machine_cpu_ms: float
    service_and_containers_cpu_ms: float | None
    peak_memory_mb: float


def measure(
    way: Way,
    checks: Sequence[Check],
    *,
    work: str,
    rounds: int = 1,
    service_pid: int | None = None,
    others_bytes: int = 0,
) -> Series:
    """Run every check ``rounds`` times.

    ``service_pid`` is of the service, where one takes part; ``others_bytes`` as in MemoryWatch.
    """
    before = read_cpu_times(service_pid)
    with MemoryWatch(service_pid, others_bytes=others_bytes) as memory:
        runs = way.run(checks, rounds)
    used = read_cpu_times(service_pid).since(before)
    count = len(checks) * rounds
    ours_s = None
    if used.containers_s is not None:
        ours_s = used.containers_s + (used.service_s or 0.0)
    return Series(
        way=way.name,
        work=work,
        check_count=count,
        ok_count=runs.ok_count,
        concurrency=way.concurrency,
        per_second=count / runs.elapsed_s,
        latency_p50_ms=_percentile_ms(runs.latencies_s, 50),
        latency_p95_ms=_percentile_ms(runs.latencies_s, 95),
        latency_p99_ms=_percentile_ms(runs.latencies_s, 99),
        machine_cpu_ms=used.machine_s / count * 1000,
        service_and_containers_cpu_ms=None if ours_s is None else ours_s / count * 1000,
        peak_memory_mb=memory.peak_bytes / 2**20,
    )


def _percentile_ms(latencies_s: Sequence[float], percent: float) -> float | None:
    return percentile(latencies_s, percent) * 1000 if latencies_s else None


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
