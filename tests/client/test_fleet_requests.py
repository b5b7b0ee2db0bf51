"""Requests to several real servers: who gets one, and what becomes of it when nodes fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from execbox import (
    AuthenticationError,
    Client,
    ConfigError,
    ConnectionBroken,
    InvalidResponse,
    MixedNodes,
    NodeState,
    NoNodeAvailable,
    RequestTimedOut,
    RetryPolicy,
)
from tests.client.fleet_clients import (
    CODE,
    Blocking,
    check_complete,
    doubled,
    lines,
    made_with,
    state_of,
    until,
)
from tests.client.fleet_node import FleetNode, fleet_of


@pytest.fixture(params=[Client, Blocking])
def client(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[Any]]:
    """A client of these addresses, blocking or for asyncio."""
    return made_with(request.param)


def test_requests_take_turns_over_idle_nodes(client: Any) -> None:
    """And each node is asked what it is once."""
    first, second = FleetNode(), FleetNode()
    with fleet_of(first, second) as urls, client(urls) as both:
        assert [doubled(both, n) for n in range(10)] == [2 * n for n in range(10)]
        assert [node.asked["/v1/execute"] for node in (first, second)] == [5, 5]
        assert [node.asked["/v1/capabilities"] for node in (first, second)] == [1, 1]


def test_single_address_is_asked_nothing_besides(client: Any) -> None:
    """One service costs what it did: no probe, and one request for each."""
    with FleetNode() as node, Client([node.url]) as single, Client(f"{node.url},") as other:
        assert (doubled(single), doubled(other)) == (42, 42)
        assert node.asked == {"/v1/execute": 2}
        assert single.nodes() == ()


@pytest.mark.parametrize(
    "trouble",
    [
        {"failing": (503, "not_ready")},
        {"failing": (503, "engine_unavailable")},
        {"failing": (503, "sandbox_lost")},
        {"failing": (429, "queue_full")},
        {"is_gateway": True},
        {"foreign": (200, b"<html>maintenance</html>")},
        {"foreign": (404, b"<html>no such page</html>")},
    ],
)
def test_request_a_node_fails_is_answered_by_a_different_one(
    client: Any, trouble: dict[str, Any]
) -> None:
    """At once, and without the caller's knowing."""
    bad, good = FleetNode(), FleetNode()
    with fleet_of(bad, good) as urls, client(urls) as both:
        assert doubled(both) == 42
        for name, value in trouble.items():
            setattr(bad, name, value)
        assert [doubled(both, n) for n in range(8)] == [2 * n for n in range(8)]
        assert bad.asked["/v1/execute"] <= 5  # In turns with the other: once, or until it is out.


def test_request_that_is_answered_by_strangers_only_fails_as_one(client: Any) -> None:
    """After one different node, as where connections break."""
    nodes = [FleetNode() for _ in range(3)]
    with fleet_of(*nodes) as urls, client(urls) as fleet:
        doubled(fleet)
        for node in nodes:
            node.foreign = (200, b"<html>maintenance</html>")
            node.asked.clear()
        with pytest.raises(InvalidResponse, match="not an execbox answer"):
            doubled(fleet)
        assert sum(node.asked["/v1/execute"] for node in nodes) == 2


def test_killed_node_is_left_out_and_used_again_when_it_returns(client: Any) -> None:
    """With one failed request, and a probe that finds it."""
    mortal, other = FleetNode(), FleetNode()
    with fleet_of(mortal, other) as urls, client(urls) as both:
        doubled(both)
        mortal.kill()
        assert [doubled(both, n) for n in range(20)] == [2 * n for n in range(20)]
        out = state_of(both, mortal)
        assert out.state is NodeState.OUT
        assert mortal.url in (out.reason or "")
        mortal.asked.clear()
        mortal.start()
        until(lambda: doubled(both) == 42 and mortal.asked["/v1/execute"] > 0)
        assert state_of(both, mortal).state is NodeState.READY


def test_node_that_is_not_ready_gets_no_requests(client: Any) -> None:
    """From the beginning, as its readiness says."""
    unready, other = FleetNode(ready=False), FleetNode()
    with fleet_of(unready, other) as urls, client(urls) as both:
        assert [doubled(both, n) for n in range(6)] == [2 * n for n in range(6)]
        assert unready.asked["/v1/execute"] == 0
        assert "the engine is down" in (state_of(both, unready).reason or "")


def test_node_that_hangs_costs_one_timeout_and_is_left_out(client: Any) -> None:
    """The request goes elsewhere; alone, a timeout is not tried again."""
    hanging, other = FleetNode(), FleetNode()
    with (
        fleet_of(hanging, other) as urls,
        client(urls, read_timeout_s=0.5) as both,
        client([hanging.url], read_timeout_s=0.5) as alone,
    ):
        doubled(both)
        doubled(alone)
        hanging.hangs = True
        assert [doubled(both, n) for n in range(6)] == [2 * n for n in range(6)]
        assert hanging.asked["/v1/execute"] <= 3
        with pytest.raises(RequestTimedOut):
            doubled(alone)


def test_request_that_breaks_every_connection_goes_to_two_nodes_only() -> None:
    """What kills the service it reaches must not kill all of them, one after the other."""
    nodes = [FleetNode() for _ in range(4)]
    with fleet_of(*nodes) as urls, Client(urls) as fleet:
        doubled(fleet)
        begun = sum(node.asked["/v1/execute"] for node in nodes)
        for node in nodes:
            node.breaks = True
        with pytest.raises(ConnectionBroken, match="broke before the answer was complete"):
            doubled(fleet)
        assert sum(node.asked["/v1/execute"] for node in nodes) - begun == 2


def test_no_node_at_all_is_one_error_that_names_each_and_why(client: Any, dead_url: str) -> None:
    """Soon, where none has ever answered."""
    with FleetNode(ready=False) as unready, client([unready.url, dead_url]) as fleet:
        begun_s = time.monotonic()
        with pytest.raises(NoNodeAvailable) as caught:
            doubled(fleet)
        assert time.monotonic() - begun_s < 5
        message = caught.value.message
        assert message.startswith("not one of 2 nodes can take the request: ")
        assert f"{unready.url}/readyz: not ready: the engine is down" in message
        assert f"{dead_url}: could not connect to {dead_url}" in message
        assert set(caught.value.nodes) == {unready.url, dead_url}


def test_fleet_whose_nodes_are_all_gone_for_a_moment_is_waited_for(client: Any) -> None:
    """As long as the retries of a busy service last."""
    node = FleetNode()
    patient = RetryPolicy(backoff_s=0.5, backoff_max_s=0.5)
    with fleet_of(node) as urls, client(urls, retry=patient) as fleet:
        doubled(fleet)
        node.kill()
        threading.Timer(0.7, node.start).start()
        assert doubled(fleet) == 42


def test_refused_key_of_one_node_is_raised_and_not_tried_elsewhere(client: Any) -> None:
    """It is the caller's mistake; the message names the node."""
    strict, other = FleetNode(key="right"), FleetNode()
    with fleet_of(strict, other) as urls, client(urls, api_key="wrong") as both:
        with pytest.raises(AuthenticationError, match=strict.url):
            doubled(both)
        assert other.asked["/v1/execute"] == 0
    with fleet_of(strict, other) as urls, client(urls, api_key="right") as both:
        doubled(both)
        strict.key = "changed"
        with pytest.raises(AuthenticationError, match=strict.url):
            [doubled(both) for _ in range(4)]


@pytest.mark.parametrize("difference", [{"image": "sha256:two"}, {"version": "2"}])
def test_nodes_that_differ_are_refused_until_it_is_allowed(
    client: Any, difference: dict[str, Any]
) -> None:
    """Before anything is run, naming nodes, images or versions, and the option."""
    first, second = FleetNode(), FleetNode(**difference)
    with fleet_of(first, second) as urls:
        with client(urls) as both, pytest.raises(MixedNodes) as caught:
            doubled(both)
        for said in (first.url, second.url, "mixed_nodes='allow'", *difference.values()):
            assert said in caught.value.message
        assert not any(node.asked["/v1/execute"] for node in (first, second))
        with client(urls, mixed_nodes="allow") as both:
            assert [doubled(both, n) for n in range(4)] == [0, 2, 4, 6]
            assert both.capabilities().concurrency == 4
        assert all(node.asked["/v1/execute"] for node in (first, second))


def test_answer_of_a_node_that_got_a_different_image_meanwhile_is_not_used(client: Any) -> None:
    """It was started anew between two requests, and no probe has seen it."""
    changed, other = FleetNode(), FleetNode()
    with fleet_of(changed, other) as urls, client(urls) as both:
        doubled(both)
        changed.image = changed.answered_image = "sha256:two"
        responses = [both.execute(CODE, [{"n": n}]) for n in range(6)]
        assert {response.image for response in responses} == {"sha256:one"}
        check_complete(list(both.batch(lines(200))), 200)


def test_capabilities_of_a_fleet_are_what_holds_for_all(client: Any, dead_url: str) -> None:
    """Slots are the sum of the nodes that are there."""
    nodes = FleetNode(slots=2), FleetNode(slots=5)
    with fleet_of(*nodes) as urls, client([*urls, dead_url]) as fleet:
        assert fleet.capabilities().concurrency == 7


def test_wait_until_ready_returns_as_soon_as_one_node_is(client: Any, dead_url: str) -> None:
    """A fleet can be used before it is complete."""
    node = FleetNode()
    with fleet_of(node) as urls, client([dead_url, *urls]) as fleet:
        node.kill()
        threading.Timer(0.5, node.start).start()
        begun_s = time.monotonic()
        fleet.wait_until_ready(timeout_s=20)
        assert 0.4 < time.monotonic() - begun_s < 5


def test_addresses_in_a_file_are_followed_while_the_client_lives(
    client: Any, tmp_path: Path
) -> None:
    """A node that is added gets its share, one that is taken out gets no more."""
    path = tmp_path / "nodes.txt"
    first, second = FleetNode(), FleetNode()
    with fleet_of(first, second) as urls:
        path.write_text(urls[0])
        with client(path) as fleet:
            doubled(fleet)
            path.write_text(f"{urls[1]}\n")
            until(lambda: doubled(fleet) == 42 and second.asked["/v1/execute"] > 0)
            first.asked.clear()
            assert [doubled(fleet, n) for n in range(4)] == [0, 2, 4, 6]
            assert first.asked["/v1/execute"] == 0
            assert [report.address for report in fleet.nodes()] == [urls[1]]


def test_file_that_names_none_for_a_moment_stops_no_work(client: Any, tmp_path: Path) -> None:
    """As it is while it is written in place; what is known holds, and its image."""
    path = tmp_path / "nodes.txt"
    node, changed = FleetNode(), FleetNode(image="sha256:two")
    with fleet_of(node, changed) as urls:
        path.write_text(urls[0])
        with client(path, retry=RetryPolicy.never()) as fleet:
            doubled(fleet)
            path.write_text("")
            ends_s = time.monotonic() + 2.5  # It is read every second.
            while time.monotonic() < ends_s:
                assert doubled(fleet) == 42
                time.sleep(0.1)
            path.write_text(urls[1])
            with pytest.raises(MixedNodes, match="begin with a new client"):
                until(lambda: doubled(fleet) != 42)
            assert changed.asked["/v1/execute"] == 0


def test_callable_that_fails_is_told_by_the_first_request(client: Any) -> None:
    """And by every one after it, as long as no address is known."""

    def failing() -> list[str]:
        raise LookupError("no cluster")

    with client(failing) as fleet:
        for _ in range(2):
            with pytest.raises(ConfigError, match="LookupError: no cluster"):
                doubled(fleet)


def test_threads_share_a_fleet_by_what_is_outstanding() -> None:
    """A node with three times the slots gets about three times the requests."""
    small, large = FleetNode(slots=2, pause_s=0.02), FleetNode(slots=6, pause_s=0.02)
    with fleet_of(small, large) as urls, Client(urls) as both:
        threads = [
            threading.Thread(target=lambda: [doubled(both) for _ in range(20)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts = [node.asked["/v1/execute"] for node in (small, large)]
        assert sum(counts) == 160
        assert 2 <= counts[1] / counts[0] <= 4
        assert [report.outstanding_count for report in both.nodes()] == [0, 0]
