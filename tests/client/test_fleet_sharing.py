"""A client of several nodes over forks, event loops and pickles."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from execbox import (
    AsyncClient,
    Client,
    NodeReport,
    NodeState,
)
from execbox._fleet.address_book import AddressBook
from execbox._fleet.sync_fleet import SyncFleet
from tests.client.fleet_clients import (
    CODE,
    doubled,
)
from tests.client.fleet_node import FleetNode, fleet_of

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


def slow_urls() -> list[str]:
    """A callable that is slower than its callers are patient."""
    time.sleep(0.5)
    return slow_nodes


slow_nodes: list[str]


@pytest.mark.parametrize("is_list", [True, False])
def test_look_up_whose_caller_is_cancelled_serves_the_next_request(*, is_list: bool) -> None:
    """A list is read once only, and a slow callable would never be done with."""
    global slow_nodes

    async def ask_twice() -> tuple[Sequence[NodeReport], int]:
        async with AsyncClient(slow_nodes if is_list else slow_urls) as client:
            given_up = asyncio.create_task(client.nodes())
            await asyncio.sleep(0)  # It has begun, and its look-up is in a thread.
            given_up.cancel()
            await asyncio.wait([given_up])
            assert given_up.cancelled()
            answer = await client.execute(CODE, [{"n": 21}])
            return await client.nodes(), cast(int, answer.executions[0].output)

    with fleet_of(FleetNode(), FleetNode()) as slow_nodes:
        reports, output = asyncio.run(ask_twice())
    assert ([report.address for report in reports], output) == (slow_nodes, 42)


def test_look_up_that_is_interrupted_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by Ctrl-C in a notebook, whose client goes on."""
    read = AddressBook.read

    def interrupted(_book: AddressBook) -> tuple[str, ...]:
        monkeypatch.setattr(AddressBook, "read", read)
        raise KeyboardInterrupt

    with fleet_of(FleetNode(), FleetNode()) as urls, Client(urls) as client:
        monkeypatch.setattr(AddressBook, "read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            doubled(client)
        assert doubled(client) == 42


def test_connections_to_nodes_end_when_the_peer_is_gone_without_a_word() -> None:
    """By TCP's own questions, after half a minute; so are those to one service."""
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
    assert options == {"fleet": [1, 15, 30_000], "one": [1, 15, 30_000]}
