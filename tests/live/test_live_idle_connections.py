"""A proxy or a firewall that ends connections on which nothing comes, before a real service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import pytest
from harness.exported import exported
from harness.local_service import LocalService
from harness.unsteady_network import IdleEnd, UnsteadyNetwork

from execbox import AsyncClient, Client, ClientConfig, ConnectionBroken, RetryPolicy
from execbox.wire import Limits
from tests.api.harness import wait_until

pytestmark = pytest.mark.docker

BACK_S: Final = 2.0
IDLE_S: Final = 0.5
DOUBLE: Final = "def main_solution(n): return n * 2"
SLEEPS: Final = "import time\ndef main_solution(s):\n    time.sleep(s)\n    return s"


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    with LocalService(engine="docker", slot_count="2") as running:
        yield running


@pytest.fixture
def network(service: LocalService) -> Iterator[UnsteadyNetwork]:
    with UnsteadyNetwork(seed=5) as running:
        running.port = int(service.url.rpartition(":")[2])
        running.idle_limit_s = IDLE_S
        yield running


def once(network: UnsteadyNetwork) -> ClientConfig:
    """For a client that sends nothing again."""
    return ClientConfig(base_url=network.url, retry=RetryPolicy.never())


async def in_turn(config: ClientConfig, pauses_s: list[float]) -> list[Any]:
    """What calls of an asynchronous client give, after such pauses."""
    async with AsyncClient(config=config) as client:
        found = []
        for pause_s in pauses_s:
            await asyncio.sleep(pause_s)
            answer = await client.execute(DOUBLE, [[21]], isolation="process")
            found.append(answer.executions[0].output)
        return found


async def in_turn_blocking(config: ClientConfig, pauses_s: list[float]) -> list[Any]:
    """The same of a blocking one, and in a session, where nothing may be sent twice."""

    def calls() -> list[Any]:
        with Client(config=config) as client, client.session() as session:
            found = []
            for pause_s in pauses_s:
                time.sleep(pause_s)
                answer = client.execute(DOUBLE, [[21]], isolation="process")
                cell = session.run("print(42)")
                assert cell.stdout == "42\n"
                found.append(answer.executions[0].output)
            return found

    return await asyncio.to_thread(calls)


@pytest.mark.parametrize("calls", [in_turn, in_turn_blocking])
@pytest.mark.parametrize(("end", "pause_s"), [("closed", 2.3), ("reset", 2.3), ("forgotten", 4.5)])
async def test_connection_that_died_while_it_was_idle_costs_no_call(
    network: UnsteadyNetwork,
    calls: Callable[[ClientConfig, list[float]], Awaitable[list[Any]]],
    end: IdleEnd,
    pause_s: float,
) -> None:
    """Even where nothing is sent again. One that died without a word is too old to be used."""
    # A call that takes longer than that is cut off, too, and beside other tests one takes a second.
    network.idle_limit_s, network.idle_end = min(pause_s - 0.3, 2.5), end
    assert await calls(once(network), [0.0, pause_s, 0.0, pause_s]) == [42] * 4
    assert network.broken_count >= 2


@pytest.mark.parametrize("end", ["closed", "reset"])
def test_call_longer_than_a_proxy_permits_fails_and_its_slot_comes_back(
    service: LocalService, network: UnsteadyNetwork, end: IdleEnd
) -> None:
    """The service is told that nobody waits any more, and ends what runs."""
    network.idle_end = end
    with Client(config=once(network)) as client, pytest.raises(ConnectionBroken):
        client.execute(SLEEPS, [[50]], isolation="process", limits=Limits(wall_time_s=60))
    wait_until(lambda: exported(service.url)["execbox_slots_active"] == 0, timeout_s=BACK_S)
