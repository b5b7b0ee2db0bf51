"""What an operator watches, as Prometheus metrics. Counts and times only: no code, value or key.

State that lives elsewhere (queue, slots, sandboxes) is read at each scrape, not copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from execbox.wire import Execution, ProgramRun
from execbox_service.durations import Durations
from execbox_service.sandboxes.pool import Pool
from execbox_service.scheduling.job_run import Effort
from execbox_service.scheduling.slots import Slots

MetricSample: TypeAlias = tuple[str, Mapping[str, str], float]
"""Name, labels and value, as a line of the text format has them."""
_LINE = re.compile(r"^(?P<name>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'([a-z]+)="([^"]*)"')


def samples_in(text: str) -> Iterator[MetricSample]:
    """The numbers in an exposition of this service's own, whose labels have no quotes in
    them. Prometheus' own reader takes 20 times as long."""
    for line in _LINE.finditer(text):
        labels = dict(_LABEL.findall(line["labels"])) if line["labels"] else {}
        yield line["name"], labels, float(line["value"])


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._executions = Counter(
            "execbox_executions",
            "Calls by the status of their baseline execution",
            ["status"],
            registry=self._registry,
        )
        # By status: to find a label's counter takes as long as to count.
        self._count_of = cache(self._executions.labels)
        self._cpu_s = Durations(
            "execbox_execution_cpu_seconds",
            "CPU time of an execution",
            registry=self._registry,
        ).of()
        self._runs = Counter(
            "execbox_executions_ended",
            "Executions that ended, with variations and those run again",
            registry=self._registry,
        )
        self._alone = Counter(
            "execbox_executions_alone",
            "Executions run again with the machine to themselves, because it had been too busy",
            registry=self._registry,
        )
        self._throttled_s = Counter(
            "execbox_throttled_seconds",
            "Time for which the kernel stopped containers that used more than their CPUs",
            registry=self._registry,
        )
        self._wall_s = Durations(
            "execbox_execution_seconds",
            "Wall time of an execution, from fork to end",
            registry=self._registry,
        ).of()
        self._lost = Counter(
            "execbox_sandboxes_lost",
            "Sandboxes that ended or broke the protocol while a job used them",
            registry=self._registry,
        )
        self._swept = Counter(
            "execbox_sandboxes_leaked",
            "Containers that the search for orphans found and removed",
            registry=self._registry,
        )
        self._errors = Counter(
            "execbox_errors",
            "Requests and lines of batches answered with an error, by its code",
            ["code"],
            registry=self._registry,
        )
        self._queue_s = Durations(
            "execbox_queue_seconds",
            "Waiting for a slot before the first execution of a job",
            registry=self._registry,
        ).of()
        self._requests_s = Durations(
            "execbox_request_seconds",
            "Requests by path and HTTP status, from the first byte to the last",
            ["path", "status"],
            registry=self._registry,
        )
        self._lines_s = Durations(
            "execbox_batch_line_seconds",
            "Lines of batches by operation, from when they are taken up to their answer",
            ["op"],
            registry=self._registry,
        )
        self._limited = Counter(
            "execbox_requests_limited",
            "Requests refused because their API key was over a limit of its own",
            ["limit"],
            registry=self._registry,
        )

    def watch(self, pool: Pool, slots: Slots | None) -> None:
        """Report the state of these from now on; slots only where they are this process's own."""
        self._registry.register(_PoolState(pool))
        if slots is not None:
            self._registry.register(SlotState(slots))

    def worked(self, effort: Effort) -> None:
        """Count what one job took, whether or not it came to an answer."""
        if effort.queue_time_s or effort.execution_count:
            # Or it was refused a slot, and then it did not wait for its first execution.
            self._queue_s.observe(effort.queue_time_s)
        self._runs.inc(effort.execution_count)
        # Each costs a lock, and most jobs have nothing to add.
        if effort.alone_count:
            self._alone.inc(effort.alone_count)
        if effort.throttled_s:
            self._throttled_s.inc(effort.throttled_s)
        if effort.lost_sandbox_count:
            self._lost.inc(effort.lost_sandbox_count)

    def executed(self, executions: Sequence[Execution] | Sequence[ProgramRun]) -> None:
        """Count the executions that one job is answered with."""
        for execution in executions:
            self._count_of(str(execution.status)).inc()
            if execution.usage is not None:
                self._cpu_s.observe(execution.usage.cpu_time_s)
                self._wall_s.observe(execution.usage.wall_time_s)

    def answered(self, path: str, *, status_code: int, duration_s: float) -> None:
        """Count one HTTP request; ``path`` must be one of ours, or labels would grow for ever."""
        self._requests_s.of(path, str(status_code)).observe(duration_s)

    def line_answered(self, op: str, *, duration_s: float) -> None:
        """Count one line of a batch; ``op`` must be one of ours."""
        self._lines_s.of(op).observe(duration_s)

    def failed(self, code: str) -> None:
        """Count one error; ``code`` must be one of ours."""
        self._errors.labels(code).inc()

    def swept(self, container_count: int) -> None:
        """Count containers that were found without an owner."""
        self._swept.inc(container_count)

    def limited(self, limit: str) -> None:
        """Count one refused request under its limit's name, ``concurrency`` or ``rate``."""
        self._limited.labels(limit).inc()

    def samples(self) -> Iterator[MetricSample]:
        """All numbers as they are now: a third of the time that writing them as text takes."""
        for family in self._registry.collect():
            for one in family.samples:
                yield one.name, one.labels, one.value

    def families(self) -> list[Metric]:
        """All of them as they are now."""
        return list(self._registry.collect())

    def render(self) -> bytes:
        """The text exposition format, version 0.0.4."""
        return generate_latest(self._registry)


class SlotState(Collector):
    """Slots, and the queue before them."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def collect(self) -> Iterable[Metric]:
        slots = self._slots
        yield _gauge("slots", "Executions that may run at once", slots.slot_count)
        yield _gauge("slots_active", "Slots in use", slots.active_count)
        yield _gauge("queue_waiting", "Requests waiting for a slot", slots.waiting_count)


class _PoolState(Collector):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def collect(self) -> Iterable[Metric]:
        pool = self._pool
        counts = pool.counts
        yield _gauge("sandboxes_warm", "Sandboxes ready for a job", pool.warm_count)
        yield _gauge("sandboxes_idle", "Used sandboxes kept for their key", pool.idle_count)
        leased_count = counts.made - counts.destroyed - pool.warm_count - pool.idle_count
        yield _gauge("sandboxes_leased", "Sandboxes in use by a job", leased_count)
        yield _gauge("sandboxes_wanted", "Jobs waiting for a sandbox", pool.waiting_count)
        target = pool.size.target_count
        yield _gauge("sandboxes_target", "Warm sandboxes aimed at, by recent bursts", target)
        yield _gauge("sandboxes_behind_seconds", "How long those who wait will wait", pool.behind_s)
        refill_per_s = pool.size.refill_per_s or 0.0
        yield _gauge("sandboxes_refill_per_second", "How many can be made a second", refill_per_s)
        yield _gauge("engine_ready", "1 while sandboxes can be made", int(pool.trouble is None))
        yield _counter("sandboxes_made", "Sandboxes made", counts.made)
        yield _counter("sandboxes_destroyed", "Sandboxes destroyed", counts.destroyed)
        yield _counter("sandboxes_failed", "Attempts to make one that failed", counts.failed)


def _gauge(name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(f"execbox_{name}", text)
    family.add_metric([], value)
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    family = CounterMetricFamily(f"execbox_{name}", text)
    family.add_metric([], value)
    return family
