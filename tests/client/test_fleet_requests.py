"""Clients of several real servers: who gets a request, and what becomes of it when nodes fail."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import queue
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from execbox import (
    AsyncClient,
    AuthenticationError,
    BatchResult,
    Client,
    ClientConfig,
    ConfigError,
    ConnectFailed,
    ConnectionBroken,
    MixedNodes,
    NodeReport,
    NodeState,
    NoNodeAvailable,
    RequestTimedOut,
    RetryPolicy,
    SessionGone,
    wire,
)
from execbox._fleet.sync_fleet import SyncFleet
from tests.client.fleet_node import FleetNode, fleet_of

CODE = "def main_solution(n): return 2 * n"
QUICK = RetryPolicy(backoff_s=0.01, backoff_max_s=0.02)


class Blocking:
    """An ``AsyncClient`` in a loop and thread of its own, with the methods of ``Client``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._client = AsyncClient(*args, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    def execute(self, *args: Any, **options: Any) -> Any:
        return self.run(self._client.execute(*args, **options))

    def capabilities(self) -> Any:
        return self.run(self._client.capabilities())

    def wait_until_ready(self, *, timeout_s: float) -> None:
        self.run(self._client.wait_until_ready(timeout_s=timeout_s))

    def nodes(self) -> Any:
        return self.run(self._client.nodes())

    def batch(self, lines: Iterable[Any], **options: Any) -> Iterator[BatchResult]:
        results: queue.Queue[BatchResult | None] = queue.Queue()

        async def follow() -> None:
            try:
                async for result in self._client.batch(lines, **options):
                    results.put(result)
            finally:
                results.put(None)

        following = asyncio.run_coroutine_threadsafe(follow(), self._loop)
        while (result := results.get(timeout=60)) is not None:
            yield result
        following.result()

    @contextmanager
    def session(self) -> Iterator[Any]:
        session, run = self._client.session(), self.run
        run(session.__aenter__())

        class Cells:
            def run(self, code: str) -> Any:
                return run(session.run(code))

        try:
            yield Cells()
        finally:
            run(session.aclose())

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._client.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(params=[Client, Blocking])
def client(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[Any]]:
    """A client of these addresses, blocking or for asyncio."""

    def make(
        nodes: Any, *, retry: RetryPolicy = QUICK, **fields: Any
    ) -> AbstractContextManager[Any]:
        given = tuple(nodes) if isinstance(nodes, list) else nodes
        made: AbstractContextManager[Any] = request.param(
            config=ClientConfig(nodes=given, retry=retry, **fields)
        )
        return made

    return make


def doubled(client: Any, n: int = 21) -> int:
    output = client.execute(CODE, [{"n": n}]).executions[0].output
    assert isinstance(output, int)
    return output


def lines(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {
            "id": str(number),
            "op": "execute",
            "function": {"code": CODE},
            "calls": [{"kwargs": {"n": number}}],
        }


def check_complete(results: Sequence[BatchResult], count: int) -> None:
    """Every line once, with its own answer."""
    assert [result.error for result in results] == [None] * count
    assert sorted(int(result.id or -1) for result in results) == list(range(count))
    for result in results:
        assert isinstance(result.answer, wire.ExecuteAnswer)
        assert result.answer.executions[0].output == 2 * int(result.id or -1)


def state_of(client: Any, node: FleetNode) -> NodeReport:
    report: NodeReport = next(each for each in client.nodes() if each.address == node.url)
    return report


def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.02)


# One request


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


# Batches


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


# Sessions


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


# Processes, loops, pickles


shared: Client
"""Made before the pool is, as a client in module scope is."""


def doubled_by_shared(n: int) -> int:
    return doubled(shared, n)


# Python 3.12 and later warn of every fork beside threads, which is what is tried here.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forked_child_looks_at_the_nodes_anew() -> None:
    """What its parent has under way there is not its own, and its answers are."""
    global shared
    nodes = FleetNode(), FleetNode()
    with fleet_of(*nodes) as urls, Client(urls) as shared:
        doubled(shared)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(doubled_by_shared, range(6)) == [2 * n for n in range(6)]
        assert doubled(shared) == 42
        assert [node.asked["/v1/capabilities"] >= 2 for node in nodes] == [True, True]


def test_pickled_client_of_a_fleet_works() -> None:
    """With the same nodes."""
    with (
        fleet_of(FleetNode(), FleetNode()) as urls,
        Client(urls) as fleet,
        pickle.loads(pickle.dumps(fleet)) as copy,
    ):
        assert doubled(copy) == 42
        assert [report.address for report in copy.nodes()] == urls


def test_event_loops_of_one_client_each_have_their_own_view() -> None:
    """One after the other, and two at once."""
    with fleet_of(FleetNode(), FleetNode()) as urls:
        client = AsyncClient(urls)

        async def ask() -> int:
            response = await client.execute(CODE, [{"n": 21}])
            output = response.executions[0].output
            assert isinstance(output, int)
            return output

        assert [asyncio.run(ask()) for _ in range(3)] == [42, 42, 42]
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(lambda _: asyncio.run(ask()), range(4))) == [42] * 4
        asyncio.run(client.aclose())


def test_cancelled_request_says_nothing_about_its_node() -> None:
    """And is no longer outstanding."""

    async def give_up(urls: list[str]) -> Sequence[NodeReport]:
        async with AsyncClient(urls) as client:
            await client.execute(CODE, [{"n": 1}])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.execute(CODE, [{"n": 2}])
            return await client.nodes()

    slow = FleetNode(), FleetNode()
    with fleet_of(*slow) as urls:
        slow[1].pause_s = 1.0
        reports = asyncio.run(give_up(urls))
    assert [report.state for report in reports] == [NodeState.READY] * 2
    assert [report.outstanding_count for report in reports] == [0, 0]


def test_connections_to_nodes_end_when_the_peer_is_gone_without_a_word() -> None:
    """By TCP's own questions, after half a minute; to one service they are as they were."""
    options: dict[str, list[int]] = {}
    with fleet_of(FleetNode(), FleetNode()) as urls:
        for name, addresses in (("fleet", urls), ("one", urls[:1])):
            with Client(addresses) as client:
                doubled(client)
                transport = client._transport
                if isinstance(transport, SyncFleet):
                    transport = next(iter(transport._transports.values()))
                (lent, *_) = transport._connections._held.every
                (connection, *_) = lent.sockets._open
                options[name] = [
                    connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                    connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                    connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
                ]
    assert options["fleet"] == [1, 15, 30_000]
    assert options["one"][0] == 0
