"""Histograms of times against Prometheus' own, whose text they have to give."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from execbox_service.durations import BOUNDS_S, Durations

TIMES_S = (0.0, 0.0004, 0.001, 0.0010001, 0.07, 1, 299.0, 300, 300.5, 1e9)


def text_of(registry: CollectorRegistry) -> str:
    """Without the moments at which histograms were made."""
    return re.sub(r"(_created\S*) \S+", r"\1", generate_latest(registry).decode())


@pytest.mark.parametrize("times_s", [(), (0.5,), BOUNDS_S, TIMES_S])
def test_durations_without_labels_give_the_text_of_prometheus_own(
    times_s: tuple[float, ...],
) -> None:
    """Buckets hold what is at most their bound, and a histogram is there before its first time."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = Durations("a_seconds", "What it is", registry=ours).of()
    reference = Histogram("a_seconds", "What it is", buckets=BOUNDS_S, registry=theirs)
    for took_s in times_s:
        histogram.observe(took_s)
        reference.observe(took_s)
    assert text_of(ours) == text_of(theirs)


def test_durations_with_labels_give_the_text_of_prometheus_own() -> None:
    """One histogram for each set of labels, in the order in which they were met; none before."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histograms = Durations("a_seconds", "What it is", ["path", "status"], registry=ours)
    reference = Histogram(
        "a_seconds", "What it is", ["path", "status"], buckets=BOUNDS_S, registry=theirs
    )
    assert text_of(ours) == text_of(theirs)
    for path, status, took_s in (("/b", "200", 0.2), ("/a", "503", 4.0), ("/b", "200", 0.01)):
        histograms.of(path, status).observe(took_s)
        reference.labels(path, status).observe(took_s)
    assert text_of(ours) == text_of(theirs)
