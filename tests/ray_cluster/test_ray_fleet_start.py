"""Starting a fleet where its services do not start at once, or not at all: on a fake of Ray, whose
clock and CPUs the test has in hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from execbox.errors import ConfigError, ServiceUnavailable
from tests.ray_cluster.fake_ray import Cluster, fleets_on


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Of two nodes."""
    monkeypatch.delenv("EXECBOX_API_KEY", raising=False)
    return Cluster(node_ids=("b", "a"))


@pytest.fixture
def fleets(cluster: Cluster) -> Iterator[Any]:
    """``execbox.ray.fleet`` on it."""
    with fleets_on(cluster) as module:
        yield module


def begun_by_another_program(cluster: Cluster, node_id: str, key: str = "k" * 64) -> None:
    """A moment ago: it does not answer for longer than a fleet is looked for."""
    options = {"name": f"fleet@{node_id}", "scheduling_strategy": node_id}
    cluster.make(options, {"api_key": key, "port": 8080, "start_timeout_s": 300.0})


def test_fleet_that_another_program_starts_just_now_is_returned_with_its_key(
    cluster: Cluster, fleets: Any
) -> None:
    """And not with a new one, which its services would refuse."""
    for node_id in ("a", "b"):
        begun_by_another_program(cluster, node_id)
    fleet = fleets.start_fleet()
    assert fleet.api_key == "k" * 64
    assert fleet.not_started == {}
    assert fleet.addresses() == ["http://a:8080", "http://b:8080"]


def test_key_that_is_asked_for_is_refused_where_another_program_starts_the_fleet_with_its_own(
    cluster: Cluster, fleets: Any
) -> None:
    """As where the fleet has been running for long."""
    begun_by_another_program(cluster, "a")
    begun_by_another_program(cluster, "b")
    with pytest.raises(ConfigError, match="runs with a different API key"):
        fleets.start_fleet(api_key="mine")


def test_node_whose_service_takes_a_different_key_is_told_and_left_out(
    cluster: Cluster, fleets: Any
) -> None:
    """Where two programs each began some: both take the key of the first node."""
    begun_by_another_program(cluster, "a")
    fleet = fleets.start_fleet()
    assert fleet.api_key == "k" * 64
    assert list(fleet.not_started) == ["b (b)"]
    assert "takes a different API key" in fleet.not_started["b (b)"]
    assert fleet.addresses() == ["http://a:8080"]
    assert fleets.find_fleet().api_key == fleet.api_key


def test_node_whose_cpus_other_work_holds_is_told_and_the_others_serve(
    cluster: Cluster, fleets: Any
) -> None:
    """After the time for a start, and not never."""
    cluster.busy = {"a"}
    fleet = fleets.start_fleet(start_timeout_s=30)
    assert list(fleet.not_started) == ["a (a)"]
    assert "its CPUs are not free" in fleet.not_started["a (a)"]
    assert fleet.addresses() == ["http://b:8080"]
    assert 30 < cluster.now_s < 120


def test_fleet_without_any_free_cpu_is_told_and_takes_none_later(
    cluster: Cluster, fleets: Any
) -> None:
    """With each node's reason; nothing of it waits any more."""
    cluster.busy, cluster.broken = {"a"}, {"b"}
    with pytest.raises(ServiceUnavailable, match="its CPUs are not free") as raised:
        fleets.start_fleet()
    assert "b (b): it does not start" in str(raised.value)
    assert "fleet@a" not in cluster.actors
