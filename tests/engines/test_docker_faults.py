"""Containers or the daemon go away: our failure and retryable, never a verdict (F21)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest
from docker.errors import APIError, NotFound
from harness.bench import Bench, eventually, started_bench
from harness.daemon_proxy import Break, DaemonProxy
from harness.docker_daemon import daemon_socket, docker_client, open_docker

from execbox.wire import Execution, Status
from execbox_service.failures import ServiceFailure
from tests.engines.docker_proxy import docker_proxy
from tests.weakened import weakened

pytestmark = [
    pytest.mark.docker,
    # The SDK leaves the socket of a connection that failed to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _sockets_of_failed_connections_are_collected_here() -> Iterator[None]:
    """What the SDK leaves behind must not surface in whichever test the collector runs next."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


SLEEP = "import time\ndef main_solution(s):\n    time.sleep(s)\n    return 'slept'"
DOUBLE = "def main_solution(x): return x * 2"


def to_all_running(bench: Bench, action: Callable[[docker.APIClient, str], None]) -> int:
    """Do something to every running container of a service; how many there were."""
    client = open_docker()
    done = 0
    try:
        for container in bench.containers():
            if container["State"] in ("running", "paused"):
                with contextlib.suppress(NotFound, APIError):
                    action(client, container["Id"])
                    done += 1
    finally:
        client.close()
    return done


def kill(client: docker.APIClient, name: str) -> None:
    client.kill(name)


def stop(client: docker.APIClient, name: str) -> None:
    client.stop(name, timeout=1)


def pause_container(client: docker.APIClient, name: str) -> None:
    client.pause(name)


def unpause_container(client: docker.APIClient, name: str) -> None:
    client.unpause(name)


def pause(name: str) -> None:
    with docker_client() as client:
        client.pause(name)


@pytest.mark.parametrize("isolation", ["container", "process"])
@pytest.mark.parametrize("action", [kill, stop])
async def test_container_lost_once_is_replaced_and_the_call_runs_again(
    action: Callable[[docker.APIClient, str], None], isolation: str
) -> None:
    """Killed from outside in the middle of a call: the answer is the code's all the same."""
    async with started_bench(pool_size="1") as bench:
        running = asyncio.create_task(
            bench.calls(SLEEP, [0.01], [1.2], [0.02], isolation=isolation)
        )
        await asyncio.sleep(0.6)
        assert await asyncio.to_thread(to_all_running, bench, action)
        executions = await running
        assert [execution.output for execution in executions] == ["slept"] * 3
        assert (await bench.call(DOUBLE, 4)).output == 8


async def test_containers_lost_again_and_again_are_a_failure_to_be_retried() -> None:
    """Killed whenever they run: no verdict, a retryable failure, and the next request works."""
    async with started_bench(pool_size="1") as bench:
        running = asyncio.create_task(bench.call(SLEEP, 8.0))
        for _ in range(40):
            await asyncio.sleep(0.3)
            if running.done():
                break
            await asyncio.to_thread(to_all_running, bench, kill)
        with pytest.raises(ServiceFailure) as failure:
            await running
        assert failure.value.retryable
        assert failure.value.code in {"sandbox_lost", "engine_unavailable"}
        assert (await bench.call(DOUBLE, 4)).output == 8


async def test_paused_container_is_given_up_at_the_second_deadline() -> None:
    """A container that says nothing any more is destroyed whatever its supervisor would say."""
    async with started_bench(pool_size="1") as bench:
        pool = bench.runtime._pool
        assert pool is not None
        pool.limits = replace(pool.limits, answer_grace_s=0.5)
        await eventually(lambda: pool.warm_count == 1)
        name = pool._warm[0][0].name
        started_s = time.monotonic()
        running = asyncio.create_task(bench.call(SLEEP, 0.4, limits={"wall_time_s": 0.5}))
        await asyncio.sleep(0.25)
        await asyncio.to_thread(pause, name)
        ended = await running
        assert (ended.status, ended.output) == (Status.OK, "slept")
        assert time.monotonic() - started_s < 30
        await eventually(lambda: f"/{name}" not in {c["Names"][0] for c in bench.containers()})


async def test_container_paused_for_longer_than_the_wall_limit_is_no_timeout() -> None:
    """`docker pause`, a frozen control group or a machine that stood still: no time of the code's,
    neither of an execution that sleeps nor of one that computes."""
    sleeps = (
        "import time\ndef main_solution(s):\n    for _ in range(10): time.sleep(s / 10)\n"
        "    return 'slept'"
    )
    spins = (
        "import time\ndef main_solution(s):\n    end = time.process_time() + s\n"
        "    while time.process_time() < end: pass\n    return 'slept'"
    )
    async with started_bench(pool_size="2", slot_count="2") as bench:
        await eventually(lambda: bench.is_quiet(2))
        for code in (sleeps, spins):
            # More than twice what it needs, and less than it takes with the pause.
            limits = {"wall_time_s": 4, "cpu_time_s": 4}
            running = asyncio.create_task(bench.call(code, 1.5, limits=limits))
            await asyncio.sleep(0.3)
            assert await asyncio.to_thread(to_all_running, bench, pause_container)
            await asyncio.sleep(4.5)
            await asyncio.to_thread(to_all_running, bench, unpause_container)
            ended = await running
            assert (ended.status, ended.output) == (Status.OK, "slept")
            assert ended.usage is not None
            assert ended.usage.wall_time_s > 4.5


async def test_sleeper_in_a_container_that_is_not_paused_is_a_timeout_as_ever() -> None:
    """The other side of it: what the code waits for itself counts."""
    async with started_bench(pool_size="1") as bench:
        ended = await bench.call(SLEEP, 30.0, limits={"wall_time_s": 0.5})
        assert (ended.status, ended.limit) == (Status.TIMEOUT, "wall_time")


def children_of(pid: int) -> list[int]:
    """Of a process that may have ended, or not have begun (0)."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return []


@pytest.mark.parametrize("part", ["supervisor", "zygote"])
async def test_trusted_process_killed_from_outside_is_no_verdict(part: str) -> None:
    """The first process of a container, and the one that forks executions: both are ours."""

    killed: list[str] = []

    def kill_part(client: docker.APIClient, name: str) -> None:
        pid = int(client.inspect_container(name)["State"]["Pid"])
        # A container that is being made has no zygote yet, or one that runs nothing. Were it
        # killed, two in a row would be lost.
        zygotes = [each for each in children_of(pid) if children_of(each)]
        if zygotes:
            os.kill(pid if part == "supervisor" else zygotes[0], signal.SIGKILL)
            killed.append(name)

    # No warm one, which would be killed as well, and be the second.
    async with started_bench(pool_size="0") as bench:
        running = asyncio.create_task(
            bench.calls(SLEEP, [0.01], [1.2], [0.02], isolation="process")
        )
        await eventually(lambda: bool(to_all_running(bench, kill_part) and killed))
        executions = await running
        assert [each.output for each in executions] == ["slept"] * 3


@pytest.mark.parametrize("how", ["cut", "garbled", "dropped"])
async def test_stream_broken_in_the_middle_of_an_answer_is_no_verdict(
    tmp_path: Path, how: Break
) -> None:
    """Most of the answer is what the code printed, so that is what would be wrong in it."""
    code = f"def main_solution(n):\n    print('x' * {2**14})\n    return n * 2"
    daemon_path = daemon_socket()
    if daemon_path is None:
        pytest.skip("the daemon has no unix socket to stand before")
    with DaemonProxy(tmp_path / "docker.sock", daemon_path) as proxy:
        async with started_bench(docker_host=proxy.url, pool_size="1") as bench:
            pool = bench.runtime._pool
            assert pool is not None
            # Of an answer of which a part is missing, the rest is waited for.
            pool.limits = replace(pool.limits, answer_grace_s=0.5)
            for n in range(3):
                assert proxy.break_streams(how)
                ended = await bench.call(code, n, isolation="process", limits={"wall_time_s": 0.5})
                assert (ended.status, ended.output) == (Status.OK, 2 * n)
                assert ended.stdout == "x" * 2**14 + "\n"
            assert proxy.broken_count >= 3


async def test_files_in_memory_count_and_are_gone_before_the_next_call() -> None:
    """Room on the tmpfs beyond the memory limit is no way around it, and costs no later call."""
    code = """
def main_solution(size_mb):
    files = [open(f"/tmp/{n}", "wb", buffering=0) for n in range(4)]
    for file in files:
        for _ in range(size_mb): file.write(b"x" * 2**20)
    return size_mb
"""
    async with started_bench(pool_size="2", tmp_mb="600") as bench:
        executions = await bench.calls(code, [1], [60], [2], limits={"memory_mb": 16})
        assert [execution.status.value for execution in executions] == [
            "ok",
            "memory_exceeded",
            "ok",
        ]


async def test_container_out_of_memory_as_a_whole_is_the_functions_doing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Imports that need more than limit and allowance end the trusted process that makes them.

    The container is lost, the kernel's evidence says why, and it is a verdict, not our failure.
    """
    code = (
        "import scipy.stats, scipy.signal, sympy, pandas, networkx, sklearn.cluster\n"
        "def main_solution(): return 1\n"
    )
    async with started_bench(pool_size="1") as bench:
        ended = await bench.call(code, limits={"memory_mb": 16})
        assert ended.status is Status.MEMORY_EXCEEDED
        assert ended.usage is not None
        assert ended.usage.wall_time_s < 30
        assert (await bench.call(DOUBLE, 3)).output == 6
    assert "lost sandbox" in caplog.text


async def attempt(bench: Bench) -> Execution | ServiceFailure:
    """One request: its execution, or the failure it met."""
    try:
        return await bench.call(DOUBLE, 21)
    except ServiceFailure as failure:
        return failure


async def test_daemon_that_goes_away_and_comes_back_is_noticed_both_times(tmp_path: Path) -> None:
    """Cut off: not ready, requests fail soon and retryably. Back: ready, and requests work."""
    async with (
        docker_proxy(tmp_path) as proxy,
        started_bench(docker_host=proxy.url, sweep_interval_s="1") as bench,
    ):
        assert (await bench.call(DOUBLE, 21)).output == 42
        assert bench.runtime.readiness().ready

        await proxy.cut()
        await eventually(lambda: not bench.runtime.readiness().ready, within_s=15)
        assert "Docker daemon" in str(bench.runtime.readiness().reason)
        async with asyncio.timeout(30):
            met = await attempt(bench)
        assert isinstance(met, ServiceFailure)
        assert met.retryable
        # They end by themselves, because their streams have; what was never started waits there.
        await eventually(
            lambda: {c["State"] for c in bench.containers()} <= {"created"}, within_s=15
        )

        await proxy.restore()
        await eventually(lambda: bench.runtime.readiness().ready, within_s=30)
        assert (await bench.call(DOUBLE, 21)).output == 42


async def test_daemon_that_goes_away_during_a_call_is_no_verdict(tmp_path: Path) -> None:
    """The stream breaks during an execution: a failure, or the answer after the return."""
    async with (
        docker_proxy(tmp_path) as proxy,
        started_bench(docker_host=proxy.url, sweep_interval_s="1") as bench,
    ):
        running = asyncio.create_task(bench.call(SLEEP, 3.0, isolation="process"))
        await asyncio.sleep(0.5)
        await proxy.cut()
        await asyncio.sleep(0.5)
        await proxy.restore()
        (ended,) = await asyncio.gather(running, return_exceptions=True)
        if isinstance(ended, ServiceFailure):
            assert ended.retryable
        else:
            assert isinstance(ended, Execution)
            assert (ended.status, ended.output) == (Status.OK, "slept")
        await eventually(lambda: bench.runtime.readiness().ready, within_s=30)
        assert (await bench.call(DOUBLE, 1)).output == 2


async def test_runner_of_another_protocol_is_refused_with_what_builds_the_right_one() -> None:
    """An image that another version of execbox built; whatever else it says is not believed."""
    edits = {"protocol.py": (("PROTOCOL = 1\n", "PROTOCOL = 2\n"),)}
    async with weakened(edits=edits) as sandboxes:
        said = await sandboxes.missing()
    assert "its runner speaks protocol 2 and this service 1" in said
    assert "execbox image build" in said
