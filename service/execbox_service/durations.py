"""Histograms of times, as a Prometheus collector: what each counts is said in ``metrics``.

Prometheus' own take a lock for each number, and look through their buckets in Python: four of them
were a twentieth of what the service did for a line of a batch. These belong to one event loop.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

__all__ = ["BOUNDS_S", "Durations", "Histogram"]

BOUNDS_S: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
"""The longest time in each bucket but the last, which has no bound."""
_NAMES: Final = (*map(floatToGoString, BOUNDS_S), "+Inf")


class Histogram:
    """How many times lie in each bucket, and their sum."""

    __slots__ = ("_counts", "_created_s", "_sum_s")

    def __init__(self) -> None:
        self._counts = [0] * len(_NAMES)
        self._sum_s = 0.0
        self._created_s = time.time()

    def observe(self, took_s: float) -> None:
        """Count one."""
        self._counts[bisect_left(BOUNDS_S, took_s)] += 1
        self._sum_s += took_s

    def add_to(self, family: HistogramMetricFamily, labels: dict[str, str]) -> None:
        """Say what has been counted, as Prometheus' own do: each bucket with all below it."""
        upto = 0.0
        buckets: list[tuple[str, float]] = []
        for name, count in zip(_NAMES, self._counts, strict=True):
            upto += count
            buckets.append((name, upto))
        family.add_metric(list(labels.values()), buckets, self._sum_s)
        family.add_sample(f"{family.name}_created", labels, self._created_s)


class Durations(Collector):
    """The histograms of one name: one for each set of labels that has been met."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str] = (), *, registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self._histograms: dict[tuple[str, ...], Histogram] = {}
        if not labels:
            # There from the beginning, so that nobody has to wait for a first one to plot it.
            self._histograms[()] = Histogram()
        registry.register(self)

    def of(self, *values: str) -> Histogram:
        """The one with these labels; they must be ours, or there would be ever more of them."""
        found = self._histograms.get(values)
        if found is None:
            found = self._histograms[values] = Histogram()
        return found

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, histogram in self._histograms.items():
            histogram.add_to(family, dict(zip(self._labels, values, strict=True)))
        yield family
