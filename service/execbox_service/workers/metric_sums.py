"""The metrics of all workers as those of one service. What they count is in ``metrics.py``.

Counters never go down: what a worker that has ended had counted, as far as it was last asked for,
stays in the sum. What it counted after that is lost with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["MetricSums", "as_json", "process_metrics"]

_LOWEST: Final = ("execbox_engine_ready", "process_start_time_seconds", "process_max_fds")
_HIGHEST: Final = ("execbox_sandboxes_behind_seconds",)
_COUNTING: Final = ("counter", "histogram", "summary")

Labels = tuple[tuple[str, str], ...]
Samples = dict[tuple[str, Labels], float]


class _Family:
    def __init__(self, name: str, text: str, kind: str) -> None:
        self.name, self.text, self.kind = name, text, kind
        self.samples: Samples = {}

    def add(self, key: tuple[str, Labels], value: float) -> None:
        there = self.samples.get(key)
        self.samples[key] = value if there is None else self._joined(key[0])(there, value)

    def _joined(self, sample_name: str) -> Callable[[float, float], float]:
        if self.name in _LOWEST or sample_name.endswith("_created"):
            return min
        return max if self.name in _HIGHEST else float.__add__


Families = dict[str, _Family]


def as_json(families: Iterable[Metric]) -> list[Any]:
    """Metrics as a JSON value, for ``MetricSums.keep``."""
    return [
        [
            family.name,
            family.documentation,
            family.type,
            [[one.name, sorted(one.labels.items()), float(one.value)] for one in family.samples],
        ]
        for family in families
    ]


def process_metrics(*, ready_count: int, restart_count: int) -> list[Metric]:
    """What there is to say of the processes themselves."""
    ready = GaugeMetricFamily("execbox_workers_ready", "Processes that answer requests")
    ready.add_metric([], ready_count)
    restarted = CounterMetricFamily(
        "execbox_workers_restarted", "Processes that ended and were started again"
    )
    restarted.add_metric([], restart_count)
    return [ready, restarted]


class MetricSums:
    """What each worker last said, and what those that ended had counted."""

    def __init__(self) -> None:
        self._last: dict[int, list[Any]] = {}
        self._ended: Families = {}

    def keep(self, worker: int, families: list[Any]) -> None:
        """What a worker has just said, by ``as_json``; 0 is the front."""
        self._last[worker] = families

    def ended(self, worker: int) -> None:
        """It says nothing any more, and what it had counted remains."""
        counting = [each for each in self._last.pop(worker, []) if each[2] in _COUNTING]
        _add(self._ended, counting)

    def exposition(self, beside: Iterable[Metric]) -> bytes:
        """The sums, and what is counted for all workers at once, in Prometheus' text format."""
        sums: Families = {}
        for said in self._last.values():
            _add(sums, said)
        for family in self._ended.values():
            of_ended = [[name, list(labels), n] for (name, labels), n in family.samples.items()]
            _add(sums, [[family.name, family.text, family.kind, of_ended]])
        registry = CollectorRegistry()
        registry.register(_Said([*map(_metric, sums.values()), *beside]))
        return generate_latest(registry)


def _add(sums: Families, said: list[Any]) -> None:
    for name, text, kind, samples in said:
        family = sums.setdefault(name, _Family(name, text, kind))
        for sample_name, labels, value in samples:
            key = (sample_name, tuple((str(label), str(of)) for label, of in labels))
            family.add(key, float(value))


def _metric(family: _Family) -> Metric:
    metric = Metric(family.name, family.text, family.kind)
    for (name, labels), value in family.samples.items():
        metric.add_sample(name, dict(labels), value)
    return metric


class _Said(Collector):
    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
