"""Batches and sessions on several real servers, of which some fail meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from execbox import (
    Client,
    ClientConfig,
    ConnectFailed,
    NodeState,
    RetryPolicy,
    SessionGone,
)
from tests.api.harness import wait_until
from tests.client.fleet_clients import (
    QUICK,
    Blocking,
    check_complete,
    doubled,
    lines,
    made_with,
    state_of,
)
from tests.client.fleet_node import FleetNode, fleet_of


@pytest.fixture(params=[Client, Blocking])
def client(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[Any]]:
    """A client of these addresses, blocking or for asyncio."""
    return made_with(request.param)


def test_batch_is_spread_by_slots(client: Any) -> None:
    """Every line once, and each node its share."""
    small, large = FleetNode(slots=1), FleetNode(slots=3)
    with fleet_of(small, large) as urls, client(urls) as both:
        check_complete(list(both.batch(lines(3000))), 3000)
        assert large.asked["lines"] > small.asked["lines"] > 300


def test_batch_goes_on_elsewhere_when_a_node_dies_and_uses_it_when_it_returns(client: Any) -> None:
    """Nothing is lost and nothing comes twice."""
    mortal, other = FleetNode(), FleetNode()
    results = []
    with fleet_of(mortal, other) as urls, client(urls) as both:
        for result in both.batch(lines(4000)):
            results.append(result)
            if len(results) == 500:
                mortal.kill()
            if len(results) == 1000:
                mortal.asked.clear()
                mortal.start()
        check_complete(results, 4000)
        assert mortal.asked["lines"] > 0


def test_batch_gives_a_slow_node_what_it_can_do(client: Any) -> None:
    """The least outstanding: what takes ten times as long gets a fraction."""
    slow, quick = FleetNode(pause_s=0.02), FleetNode(pause_s=0.002)
    with fleet_of(slow, quick) as urls, client(urls) as both:
        check_complete(list(both.batch(lines(3000), concurrency=2)), 3000)
        assert slow.asked["lines"] < quick.asked["lines"] / 3


@pytest.mark.parametrize("code", ["engine_unavailable", "nothing_run"])
def test_batch_is_not_drawn_to_the_node_that_fails_fastest(client: Any, code: str) -> None:
    """A node whose engine is down answers every line at once, and would get all of them."""
    broken, good = FleetNode(pause_s=0), FleetNode(pause_s=0.001)
    with fleet_of(broken, good) as urls, client(urls) as both:
        doubled(both)
        broken.failing, broken.ready = (200, code), False
        check_complete(list(both.batch(lines(1000))), 1000)
        assert broken.asked["lines"] < 1000


@pytest.mark.parametrize("status", [200, 404])
def test_batch_goes_on_beside_a_node_whose_place_a_stranger_takes(client: Any, status: int) -> None:
    """A proxy's page is what one node answers, not what every line would meet."""
    bad, good = FleetNode(), FleetNode()
    with fleet_of(bad, good) as urls, client(urls) as both:
        doubled(both)
        bad.foreign = (status, b"<html>maintenance</html>")
        check_complete(list(both.batch(lines(1000))), 1000)
        assert state_of(both, bad).state is NodeState.OUT


def test_batch_that_strangers_answer_only_reports_every_line(client: Any) -> None:
    """By the name that callers know."""
    node = FleetNode()
    retry = RetryPolicy(broken_retries_max=0, unavailable_retries_max=0)
    with fleet_of(node) as urls, client(urls, retry=retry) as fleet:
        doubled(fleet)
        node.foreign = (404, b"<html>no such page</html>")
        (result,) = fleet.batch(lines(1))
    assert result.error is not None
    assert (result.error.code, result.error.retryable) == ("invalid_response", True)


def test_batch_of_a_fleet_without_nodes_reports_every_line(client: Any, dead_url: str) -> None:
    """Each with why, of every node."""
    with client([dead_url, dead_url.replace("127.0.0.1", "127.0.0.2")]) as fleet:
        results = list(fleet.batch(lines(200)))
    assert len(results) == 200
    errors = [result.error for result in results]
    assert {error.code for error in errors if error} == {"no_node_available"}
    assert all(error is not None and error.retryable for error in errors)
    assert all("127.0.0.2" in error.message for error in errors if error)


def test_leaving_a_batch_says_nothing_about_its_nodes() -> None:
    """Its streams are ended by this side."""
    with fleet_of(FleetNode(pause_s=0.05), FleetNode(pause_s=0.05)) as urls, Client(urls) as both:
        for _ in both.batch(lines(1000)):
            break
        reports = both.nodes()
    assert [report.state for report in reports] == [NodeState.READY] * 2
    assert [report.outstanding_count for report in reports] == [0, 0]


def test_leaving_a_batch_whose_answers_have_not_begun_says_nothing_about_its_nodes() -> None:
    """Nor is what was left tried at a different node."""
    nodes = (FleetNode(), FleetNode())

    def failing_lines() -> Iterator[dict[str, Any]]:
        yield from lines(1)
        wait_until(lambda: any(report.outstanding_count for report in both.nodes()))
        raise KeyboardInterrupt

    with fleet_of(*nodes) as urls, Client(urls) as both:
        both.capabilities()
        for node in nodes:
            node.hangs = True
        with pytest.raises(KeyboardInterrupt):
            list(both.batch(failing_lines(), concurrency=1))
        reports = both.nodes()
    assert [report.state for report in reports] == [NodeState.READY] * 2
    assert [report.outstanding_count for report in reports] == [0, 0]
    assert sum(node.asked["/v1/batch"] for node in nodes) <= 1


def test_sessions_stay_on_their_node(client: Any) -> None:
    """Each sees its own cells and no other's, and they are spread over the nodes."""
    first, second = FleetNode(), FleetNode()
    with (
        fleet_of(first, second) as urls,
        client(urls) as both,
        both.session() as one,
        both.session() as two,
    ):
        for number in range(3):
            one.run(f"one{number}")
            two.run(f"two{number}")
        assert one.run("end").value.repr == str(["one0", "one1", "one2", "end"])
        assert two.run("end").value.repr == str(["two0", "two1", "two2", "end"])
        assert [len(node.sessions) for node in (first, second)] == [1, 1]
        assert [report.session_count for report in both.nodes()] == [1, 1]


def test_session_of_a_dead_node_is_gone_and_never_another_nodes(client: Any) -> None:
    """The error names the node; a new session begins elsewhere, and ending the old one is fine."""
    nodes = [FleetNode(), FleetNode()]
    with fleet_of(*nodes) as urls, client(urls) as both:
        with both.session() as lost:
            lost.run("x = 1")
            (holder,) = [node for node in nodes if node.sessions]
            holder.kill()
            for _ in range(2):
                with pytest.raises(SessionGone, match=holder.url) as caught:
                    lost.run("x")
                assert "begin a new session" in caught.value.message
                assert caught.value.code == "session_gone"
            with both.session() as new:
                assert new.run("y").value.repr == "['y']"
        assert [report.session_count for report in both.nodes()] == [0, 0]


def test_session_of_a_node_that_was_started_anew_is_gone(client: Any) -> None:
    """The node says so itself: it knows nothing of it."""
    nodes = [FleetNode(), FleetNode()]
    with fleet_of(*nodes) as urls, client(urls) as both, both.session() as lost:
        lost.run("x = 1")
        (holder,) = [node for node in nodes if node.sessions]
        holder.kill()
        holder.start()
        with pytest.raises(SessionGone):
            lost.run("x")
        assert not any(node.sessions for node in nodes)


def test_node_refusing_connections_is_a_transport_failure_of_one_service_still(
    dead_url: str,
) -> None:
    """One address keeps the errors it had."""
    config = ClientConfig(base_url=dead_url, retry=QUICK)
    with Client(config=config) as single, pytest.raises(ConnectFailed, match="execbox serve"):
        doubled(single)
