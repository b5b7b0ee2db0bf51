"""The Grafana dashboard: it asks only for what a service exports, and its panels have room."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from execbox_service.metrics import Metrics
from execbox_service.sandboxes.pool import Pool, PoolLimits
from execbox_service.scheduling.admission import Admission
from execbox_service.workers.metric_sums import MetricSums, process_metrics
from tests.fake_engine import FakeEngine

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAME = re.compile(r"\b(?:execbox|process)_[a-z_]+")
LABELS = re.compile(r"by \(([^)]*)\)|(\w+)\s*(?:=~|!=|!~|=)\s*\"")
SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
}
OWN_LABELS = {
    "execbox_executions": {"status"},
    "execbox_errors": {"code"},
    "execbox_batch_line_seconds": {"op"},
    "execbox_requests_limited": {"limit"},
    "execbox_request_seconds": {"path", "status"},
}
"""Labels of each metric that has any; a metric that nothing was counted under shows none."""


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((DOCS / "grafana-dashboard.json").read_text("utf-8"))
    return read


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dashboard()["panels"]
    return found


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel.get("targets", ())]


def exported() -> dict[str, str]:
    """Every name that can be asked for, and the metric that it is of."""
    limits = PoolLimits(
        warm_count=1, idle_count=1, memory_mb=1, cpu_count=1, executions_max=1, age_max_s=1
    )
    metrics = Metrics()
    metrics.watch(
        Pool(FakeEngine(), limits), Admission(slot_count=1, queue_size=1, queue_wait_max_s=1)
    )
    of_several = MetricSums().exposition(process_metrics(ready_count=2, restart_count=0))
    text = metrics.render().decode() + of_several.decode()
    families = text_string_to_metric_families(text)
    return {
        family.name + suffix: family.name
        for family in families
        if not family.name.endswith("_created")
        for suffix in SUFFIXES[family.type]
    }


def test_dashboard_asks_only_for_what_is_exported() -> None:
    """No query names a metric that does not exist, and each names one."""
    names = exported()
    for expression in expressions():
        asked = NAME.findall(expression)
        assert asked, expression
        assert set(asked) <= names.keys(), expression


def test_dashboard_asks_only_for_labels_that_exist() -> None:
    """A label that is misspelt would show nothing, for ever."""
    names = exported()
    for expression in expressions():
        families = {names[name] for name in NAME.findall(expression)}
        known = {"le", "instance"}.union(*(OWN_LABELS.get(family, set()) for family in families))
        for grouped, matched in LABELS.findall(expression):
            asked = {label.strip() for label in grouped.split(",")} if grouped else {matched}
            assert asked <= known, expression


def test_dashboard_shows_every_metric_of_ours() -> None:
    """What is exported and nowhere shown is not watched."""
    text = " ".join(expressions())
    families = {family for family in exported().values() if family.startswith("execbox_")}
    missing = {family for family in families if family not in text}
    assert not missing


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    """A title; and where there are figures, their unit, what they mean, and the data source that
    the reader chooses."""
    assert panel["title"]
    if panel["type"] == "row":
        return
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["datasource"] == chosen
    assert all(target["datasource"] == chosen for target in panel["targets"])
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references)


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    """Within the 24 columns that there are."""
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    for panel in panels():
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
    for one, other in itertools.combinations((panel["gridPos"] for panel in panels()), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_dashboard_can_be_imported_anywhere() -> None:
    """It brings no id and no data source of the Grafana it was made on."""
    read = dashboard()
    assert read["id"] is None
    assert read["schemaVersion"] >= 39
    assert read["title"]
    variables = {variable["name"]: variable for variable in read["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels())))
    assert used - {"__rate_interval"} <= variables.keys()


def test_operators_page_explains_every_metric_once() -> None:
    """Its table has each metric of ours, with its labels, and the page names no other."""
    text = (DOCS / "operations.md").read_text("utf-8")
    rows = re.findall(r"^\| `(execbox_[a-z_]+)` \| \w+ \| (.*?) ?\|", text, re.MULTILINE)
    # Counters by the name that is asked for, histograms by the name they are known by.
    wanted = {
        re.sub("_(bucket|sum|count)$", "", name): OWN_LABELS.get(family, set())
        for name, family in exported().items()
        if family.startswith("execbox_")
    }
    assert sorted(name for name, _labels in rows) == sorted(wanted)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == wanted
    assert set(re.findall(r"`(execbox_[a-z_]+)`", text)) == wanted.keys()
