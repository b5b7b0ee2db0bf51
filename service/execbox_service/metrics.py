"""What an operator watches, as Prometheus metrics. Counts and times only: no code, value or key.

State that lives elsewhere (queue, slots, sandboxes) is read when somebody asks, not copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from execbox.wire import Execution
from execbox_service.admission import Admission
from execbox_service.pool import Pool

_TIMES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._executions = Counter(
            "execbox_executions",
            "Calls by the status of their baseline execution",
            ["status"],
            registry=self._registry,
        )
        self._cpu_s = Histogram(
            "execbox_execution_cpu_seconds",
            "CPU time of an execution",
            buckets=_TIMES_S,
            registry=self._registry,
        )
        self._queue_s = Histogram(
            "execbox_queue_seconds",
            "Waiting for a slot before the first execution of a job",
            buckets=_TIMES_S,
            registry=self._registry,
        )
        self._requests_s = Histogram(
            "execbox_request_seconds",
            "Requests by path and HTTP status, from the first byte to the last",
            ["path", "status"],
            buckets=_TIMES_S,
            registry=self._registry,
        )

    def watch(self, pool: Pool, admission: Admission) -> None:
        """Report the state of these from now on."""
        self._registry.register(_State(pool, admission))

    def executed(self, executions: Sequence[Execution], *, queue_time_s: float) -> None:
        """Count the executions of one job."""
        self._queue_s.observe(queue_time_s)
        for execution in executions:
            self._executions.labels(execution.status.value).inc()
            if execution.usage is not None:
                self._cpu_s.observe(execution.usage.cpu_time_s)

    def answered(self, path: str, *, status_code: int, duration_s: float) -> None:
        """Count one HTTP request; ``path`` must be one of ours, or labels would grow for ever."""
        self._requests_s.labels(path, str(status_code)).observe(duration_s)

    def render(self) -> bytes:
        """The text exposition format, version 0.0.4."""
        return generate_latest(self._registry)


class _State(Collector):
    def __init__(self, pool: Pool, admission: Admission) -> None:
        self._pool = pool
        self._admission = admission

    def collect(self) -> Iterable[Metric]:
        pool, admission = self._pool, self._admission
        counts = pool.counts
        yield _gauge("slots", "Executions that may run at once", admission.slot_count)
        yield _gauge("slots_active", "Slots in use", admission.active_count)
        yield _gauge("queue_waiting", "Requests waiting for a slot", admission.waiting_count)
        yield _gauge("sandboxes_warm", "Sandboxes ready for a job", pool.warm_count)
        yield _gauge("sandboxes_idle", "Used sandboxes kept for their key", pool.idle_count)
        yield _gauge("sandboxes_wanted", "Jobs waiting for a sandbox", pool.waiting_count)
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
