"""Clients in forked processes and in more event loops than one, over real connections."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from execbox import AsyncClient, Client, ClientConfig, ClientMisused, wire
from execbox._model_endpoint import ModelEndpoint
from execbox.config import ModelConfig
from execbox.dataset.steps.model import Messages

# Python 3.12 and later warn of every fork beside threads, which is what is tried here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

SOURCE = "def main_solution(n): return n * 2"
FUNCTION = wire.Function(code=SOURCE)
FORK = multiprocessing.get_context("fork")

shared: Client
"""Made before the pools are, as a client in module scope is."""


@pytest.fixture(scope="module")
def echo_url() -> Iterator[str]:
    program = Path(__file__).with_name("echo_server.py")
    with subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        assert server.stdin is not None
        server.stdin.close()


@pytest.fixture
def client(echo_url: str) -> Iterator[Client]:
    global shared
    with Client(echo_url) as shared:
        assert doubled(1) == 2
        yield shared


def doubled(n: int) -> int:
    """What the shared client is answered."""
    output: int = shared.execute(FUNCTION, [{"n": n}]).executions[0].output
    return output


def wrong_count(numbers: range) -> int:
    """How many of the answers are those to a different question."""
    return sum(doubled(n) != 2 * n for n in numbers)


def wrong_in_threads(numbers: range) -> int:
    """As ``wrong_count``, from four threads at once."""
    with ThreadPoolExecutor(4) as threads:
        parts = [numbers[k::4] for k in range(4)]
        return sum(threads.map(wrong_count, parts))


def lines(count: int) -> Iterator[wire.ExecuteLine]:
    """Lines of a batch; the n-th asks for twice n."""
    for n in range(count):
        call = wire.Call(kwargs={"n": n})
        yield wire.ExecuteLine(id=str(n), op="execute", function=FUNCTION, calls=[call])


def output_of(answer: object) -> int:
    """The only output of an answered line."""
    assert isinstance(answer, wire.ExecuteAnswer)
    output: int = answer.executions[0].output
    return output


def open_connections(url: str) -> int:
    """How many connections the server has, apart from this one."""
    with urlopen(f"{url}/connections") as answer:
        count: int = json.load(answer)["open"]
        return count


def wait_for_connections(url: str, *, count: int) -> None:
    """Return once the server has this many; fails if it does not within ten seconds."""
    deadline_s = time.monotonic() + 10
    while (found := open_connections(url)) != count:
        assert time.monotonic() < deadline_s, found
        time.sleep(0.01)


@contextmanager
def forked(work: Callable[[], bool]) -> Iterator[int]:
    """A child that does ``work`` and ends with whether it was true, while the parent goes on."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # A child that waits for a lock nobody holds would wait for ever.
        code = 1
        try:
            code = 0 if work() else 2
        except BaseException:  # noqa: BLE001 - it must end here and not go on as pytest
            traceback.print_exc()
        finally:
            os._exit(code)
    try:
        yield pid
    finally:
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_client_after_fork_gives_each_process_its_own_answers(client: Client) -> None:
    """Parent and child ask at the same time through the client both have."""
    with forked(lambda: wrong_count(range(1000, 1200)) == 0):
        assert wrong_count(range(200)) == 0


def test_client_of_module_scope_in_a_pool_gives_right_answers(client: Client) -> None:
    """`multiprocessing.Pool`: four children and the parent, 400 calls."""
    with FORK.Pool(4) as pool:
        answers = pool.map_async(doubled, range(300), chunksize=1)
        assert wrong_count(range(5000, 5100)) == 0
        assert answers.get(60) == [2 * n for n in range(300)]


def test_client_in_threads_of_a_process_pool_gives_right_answers(client: Client) -> None:
    """`ProcessPoolExecutor`, a thread pool in each child, threads in the parent."""
    with ProcessPoolExecutor(3, mp_context=FORK) as processes:
        futures = [processes.submit(wrong_in_threads, range(k, k + 80)) for k in (0, 100, 200)]
        assert wrong_in_threads(range(9000, 9080)) == 0
        assert [future.result(60) for future in futures] == [0, 0, 0]


def test_client_forked_while_threads_use_it_never_waits_for_them(client: Client) -> None:
    """A lock that a thread of the parent holds at the fork is held by nobody in the child."""
    ending = threading.Event()

    def ask_on() -> None:
        while not ending.is_set():
            assert doubled(3) == 6

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask_on) for _ in range(4)]
        try:
            for k in range(25):
                with forked(lambda k=k: wrong_count(range(k, k + 3)) == 0):  # type: ignore[misc]
                    pass
        finally:
            ending.set()
        assert [future.result(60) for future in asking] == [None] * 4


def test_client_of_a_grandchild_gives_its_own_answers(client: Client) -> None:
    """A fork in a child is a fork like any other."""

    def child() -> bool:
        with forked(lambda: wrong_count(range(100)) == 0):
            return wrong_count(range(500, 600)) == 0

    with forked(child):
        assert wrong_count(range(900, 1000)) == 0


def test_batch_under_way_at_a_fork_goes_on_in_the_parent_only(client: Client) -> None:
    """Every result arrives once, and the child's own work disturbs none of it."""

    def child() -> bool:
        mine = {int(r.id or ""): output_of(r.answer) for r in shared.batch(lines(100))}
        return wrong_count(range(50)) == 0 and mine == {n: 2 * n for n in range(100)}

    results = {}
    batch = client.batch(lines(600))
    for result in batch:
        results[int(result.id or "")] = output_of(result.answer)
        if len(results) in {1, 200, 400}:
            with forked(child):
                pass
    assert results == {n: 2 * n for n in range(600)}


def test_batch_of_the_parent_in_the_child_says_whose_it_is(client: Client) -> None:
    """The child neither waits for threads that it does not have, nor ends the parent's streams."""
    batch = client.batch(lines(300))
    ids = {next(batch).id}

    def child() -> bool:
        with pytest.raises(ClientMisused, match="begun before the process was forked"):
            next(batch)
        batch.close()
        return True

    with forked(child):
        pass
    ids.update(result.id for result in batch if result.error is None)
    assert len(ids) == 300


def test_connection_of_the_parent_is_not_kept_open_by_the_child(echo_url: str) -> None:
    """The service notices that the parent has gone, also while the child lives."""
    wait_for_connections(echo_url, count=0)
    client = Client(echo_url)
    client.execute(FUNCTION, [{"n": 1}])
    wait_for_connections(echo_url, count=1)
    ready, told = os.pipe(), os.pipe()

    def child() -> bool:
        os.close(told[1])
        os.write(ready[1], b".")
        return os.read(told[0], 1) == b"."

    with forked(child):
        os.read(ready[0], 1)
        # The child is alive, and the parent's connection is still usable.
        client.execute(FUNCTION, [{"n": 1}])
        assert open_connections(echo_url) == 1
        client.close()
        wait_for_connections(echo_url, count=0)
        os.write(told[1], b".")
    for end in (*ready, *told):
        os.close(end)


def test_client_closed_before_a_fork_is_closed_in_the_child(echo_url: str) -> None:
    """And it says so."""
    client = Client(echo_url)
    client.close()

    def child() -> bool:
        with pytest.raises(ClientMisused, match="has been closed"):
            client.healthz()
        return True

    with forked(child):
        pass


def test_client_pickled_connects_with_the_same_settings(echo_url: str) -> None:
    """Spawned workers, and the frameworks that ship functions to them, pickle what they use."""
    config = ClientConfig(base_url=echo_url, api_key="k", connections_max=3)
    for made in (Client(config=config), AsyncClient(config=config)):
        copy = pickle.loads(pickle.dumps(made))
        assert copy.config == config
    with pickle.loads(pickle.dumps(Client(config=config))) as copied:
        assert copied.execute(FUNCTION, [{"n": 4}]).executions[0].output == 8


async def doubled_async(client: AsyncClient, n: int) -> int:
    output: int = (await client.execute(FUNCTION, [{"n": n}])).executions[0].output
    return output


async def all_doubled(client: AsyncClient, numbers: range) -> bool:
    """Whether every number is answered with its double, asked all at once."""
    answers = await asyncio.gather(*(doubled_async(client, n) for n in numbers))
    return answers == [2 * n for n in numbers]


def test_async_client_in_one_loop_after_the_other_works(echo_url: str) -> None:
    """As a notebook or a script does with `asyncio.run`; no connection outlives its loop."""
    client = AsyncClient(echo_url)
    for begin in range(0, 100, 25):
        assert asyncio.run(all_doubled(client, range(begin, begin + 25)))
        wait_for_connections(echo_url, count=0)


def test_async_client_in_two_loops_at_once_gives_each_its_answers(echo_url: str) -> None:
    """Threads that each run a loop may share a client."""
    client = AsyncClient(echo_url)

    def ask(begin: int) -> bool:
        return asyncio.run(all_doubled(client, range(begin, begin + 60)))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(0, 400, 100))) == [True] * 4


def test_async_client_after_fork_gives_each_process_its_own_answers(echo_url: str) -> None:
    """The child runs a loop of its own while the parent's goes on with open connections."""
    client = AsyncClient(echo_url)

    async def parent() -> bool:
        right = await all_doubled(client, range(20))
        with forked(lambda: asyncio.run(all_doubled(client, range(2000, 2060)))):
            right &= await all_doubled(client, range(100))
        return right and await all_doubled(client, range(100))

    assert asyncio.run(parent())


def test_async_batch_in_a_different_loop_says_where_it_belongs(echo_url: str) -> None:
    """Its answers arrive in the loop it began in."""
    client = AsyncClient(echo_url)
    with asyncio.Runner() as first:
        batch = client.batch(lines(100))

        async def take() -> str | None:
            return (await anext(batch)).id

        first.run(take())
        with asyncio.Runner() as second, pytest.raises(ClientMisused, match="different event loop"):
            second.run(take())


def test_async_client_without_a_loop_of_asyncio_says_what_to_use() -> None:
    """Other frameworks' loops do not run it."""
    request = AsyncClient("http://127.0.0.1:9").healthz()
    with pytest.raises(ClientMisused, match="needs a running asyncio event loop"):
        request.send(None)


async def test_async_client_closed_says_so(echo_url: str) -> None:
    """As the blocking one does."""
    client = AsyncClient(echo_url)
    assert await doubled_async(client, 2) == 4
    await client.aclose()
    await client.aclose()
    with pytest.raises(ClientMisused, match="has been closed"):
        await client.healthz()


def test_model_endpoint_after_fork_gives_each_process_its_own_answers(echo_url: str) -> None:
    """The endpoint is entered in the parent, and used on in both."""
    endpoint = ModelEndpoint(ModelConfig(base_url=f"{echo_url}/v1", model="echo"))

    async def right(prefix: str) -> bool:
        texts = [f"{prefix}{k};" for k in range(60)]
        prompts: list[Messages] = [[{"role": "user", "content": text}] for text in texts]
        answers = await asyncio.gather(*(endpoint.complete(prompt) for prompt in prompts))
        return [answer.text for answer in answers] == [text * 2 for text in texts]

    async def parent() -> bool:
        async with endpoint:
            first = await right("before")
            with forked(lambda: asyncio.run(right("child"))):
                return first and await right("parent")

    assert asyncio.run(parent())
