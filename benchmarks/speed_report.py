"""What ``python -m benchmarks`` found, and which tables show it, ratios first. Measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.report import facts_text, number, ratio, table

from benchmarks.series import Series
from benchmarks.single import Latency, ManyCalls

CODEIO_WAY = "process per check"
FLOOR = "bare fork"
DOCKER_RUN = "docker run"


@dataclass
class SpeedReport:
    """Everything one run measured."""

    machine: dict[str, str]
    first_passes: list[Series] = field(default_factory=list)
    """Of the ways that run all work several times: what they did before anything was warm."""
    series: list[Series] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    many_calls: list[ManyCalls] = field(default_factory=list)

    def as_markdown(self) -> str:
        """All tables, under headings."""
        works = list(dict.fromkeys(one.work for one in self.series))
        parts = [facts_text(self.machine)]
        for work in works:
            series = [one for one in self.series if one.work == work]
            parts += [f"## {work}: ratios of throughput", _ratio_table(series)]
            parts += [f"## {work}: figures", _figures_table(series)]
            first = [one for one in self.first_passes if one.work == work]
            if first:
                parts += [f"## {work}: the pass before those", _ratio_table(first)]
        parts += ["## Single requests", _latency_table(self.latencies)]
        parts += ["## Many calls of one function in one request, per call"]
        parts += [_many_calls_table(self.many_calls)]
        return "\n\n".join(parts) + "\n"


def _ratio_table(series: Sequence[Series]) -> str:
    rates = {one.way: one.per_second for one in series}
    bases = [name for name in (CODEIO_WAY, DOCKER_RUN, FLOOR) if name in rates]
    head = ["way", *(f"times {name}" for name in bases)]
    rows = [[one.way, *(ratio(one.per_second / rates[name]) for name in bases)] for one in series]
    return table(head, rows)


def _figures_table(series: Sequence[Series]) -> str:
    head = ["way", "checks", "ok", "at once", "per second", "p50 ms", "p95 ms", "p99 ms"]
    head += ["CPU ms (machine)", "CPU ms (service + containers)", "memory MB"]
    rows = [
        [
            one.way,
            str(one.check_count),
            str(one.ok_count),
            str(one.concurrency),
            number(one.per_second),
            number(one.latency_p50_ms),
            number(one.latency_p95_ms),
            number(one.latency_p99_ms),
            number(one.machine_cpu_ms),
            number(one.service_and_containers_cpu_ms),
            f"{one.peak_memory_mb:.0f}",
        ]
        for one in series
    ]
    return table(head, rows)


def _latency_table(latencies: Sequence[Latency]) -> str:
    rows = [
        [
            one.name,
            str(one.count),
            f"one every {one.interval_s:g} s" if one.interval_s else "back to back",
            number(one.p50_ms),
            number(one.p95_ms),
            number(one.max_ms),
        ]
        for one in latencies
    ]
    return table(["request", "count", "pace", "p50 ms", "p95 ms", "max ms"], rows)


def _many_calls_table(many: Sequence[ManyCalls]) -> str:
    head = ["isolation", "calls", "elapsed ms", "CPU ms: all", "service", "containers"]
    head += ["of which the job process", "job, fork to end, ms"]
    rows = []
    for one in many:
        total_ms = one.service_cpu_ms + (one.containers_cpu_ms or 0.0)
        figures = [one.elapsed_ms, total_ms if one.containers_cpu_ms is not None else None]
        figures += [one.service_cpu_ms, one.containers_cpu_ms, one.job_cpu_ms, one.job_wall_ms]
        rows.append([one.isolation, str(one.count), *map(number, figures)])
    return table(head, rows)
