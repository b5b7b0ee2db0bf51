"""A Docker daemon that ends, hangs, is slow or is full below a service that goes on, as a daemon of
its own: retryable failures with the reason, not ready meanwhile, well again without a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker.errors import DockerException
from harness.bench import IMAGE, Bench, eventually, instance_of, started_bench
from harness.daemon_proxy import DaemonProxy
from harness.docker_daemon import docker_client
from harness.own_daemon import NoOwnDaemon, OwnDaemon

from execbox.wire import ErrorCode, Execution, Status
from execbox_service.engines.docker.policy import LABEL
from execbox_service.failures import ServiceFailure
from tests.required import skip_or_fail

pytestmark = [
    pytest.mark.docker,
    # The SDK leaves the socket of a connection that failed to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DOUBLE = "def main_solution(x): return x * 2"
SLEEP = "import time\ndef main_solution(s):\n    time.sleep(s)\n    return 'slept'"
OURS = {ErrorCode.SANDBOX_LOST, ErrorCode.ENGINE_UNAVAILABLE}


@pytest.fixture(autouse=True)
def _sockets_of_failed_connections_are_collected_here() -> Iterator[None]:
    """What the SDK leaves behind must not surface in whichever test the collector runs next."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def daemon() -> Iterator[OwnDaemon]:
    """One for all tests of this file: loading the image into it takes longer than they do."""
    try:
        with OwnDaemon(IMAGE) as own:
            yield own
    except NoOwnDaemon as error:
        skip_or_fail(error)


async def asked(bench: Bench) -> Execution | ServiceFailure:
    """One request, at once: its execution, or the failure that it met."""
    try:
        async with asyncio.timeout(60):
            return await bench.call(DOUBLE, 21, isolation="process")
    except ServiceFailure as failure:
        return failure


async def is_well(bench: Bench, *, within_s: float = 30) -> float:
    """Seconds until it is ready and a request is answered; whatever else comes must be retryable,
    ours, and say why."""
    began_s = time.monotonic()
    while True:
        met = await asked(bench)
        if isinstance(met, Execution):
            assert (met.status, met.output) == (Status.OK, 42)
            if bench.runtime.readiness().ready:
                return time.monotonic() - began_s
        else:
            assert met.code in OURS
            assert met.retryable
            assert met.message
        assert time.monotonic() - began_s < within_s, f"{met}, {bench.runtime.readiness()}"
        await asyncio.sleep(0.1)


def containers(daemon: OwnDaemon, bench: Bench) -> list[str]:
    with docker_client(daemon.url) as client:
        label = {"label": f"{LABEL}={instance_of(bench.settings)}"}
        return [each["State"] for each in client.containers(all=True, filters=label)]


def stop(daemon: OwnDaemon) -> None:
    daemon.stop()


def kill(daemon: OwnDaemon) -> None:
    daemon.kill()


@pytest.mark.parametrize("end", [stop, kill])
async def test_daemon_that_ends_and_starts_again_is_noticed_both_times(
    daemon: OwnDaemon, end: Callable[[OwnDaemon], None]
) -> None:
    """With a call under way: it is run again or fails retryably, and has no verdict of its own."""
    async with started_bench(docker_host=daemon.url, sweep_interval_s="1") as bench:
        assert await is_well(bench) < 30
        running = asyncio.create_task(bench.call(SLEEP, 4.0, isolation="process"))
        await asyncio.sleep(0.5)
        try:
            began_s = time.monotonic()
            await asyncio.to_thread(end, daemon)
            # Containers hold it up for ten seconds if they have to be asked to end.
            assert time.monotonic() - began_s < 8
            await eventually(lambda: not bench.runtime.readiness().ready, within_s=15)
            # The first reason may be that of a container that was being made.
            reason = "Docker daemon"
            await eventually(lambda: reason in str(bench.runtime.readiness().reason), within_s=15)
            met = await asked(bench)
            assert isinstance(met, ServiceFailure)
            assert (met.code in OURS, met.retryable) == (True, True)
        finally:
            await asyncio.to_thread(daemon.start)
        await is_well(bench)
        (ended,) = await asyncio.gather(running, return_exceptions=True)
        if isinstance(ended, ServiceFailure):
            assert ended.retryable
        else:
            assert isinstance(ended, Execution)
            assert (ended.status, ended.output) == (Status.OK, "slept")
        # What an ended daemon had made is gone; there is no more than the pool keeps.
        await eventually(lambda: len(containers(daemon, bench)) <= 2 + 8, within_s=15)
    assert containers(daemon, bench) == []


async def test_daemon_that_hangs_is_noticed_and_so_is_its_return(daemon: OwnDaemon) -> None:
    """It takes connections and answers nothing: not ready after ten seconds, well soon after."""
    async with started_bench(docker_host=daemon.url, sweep_interval_s="1") as bench:
        await is_well(bench)
        daemon.freeze()
        try:
            await eventually(lambda: not bench.runtime.readiness().ready, within_s=15)
            assert "has not said within 10 s" in str(bench.runtime.readiness().reason)
        finally:
            daemon.thaw()
        assert await is_well(bench) < 10


async def test_daemon_that_is_slow_gives_the_same_verdicts(
    daemon: OwnDaemon, tmp_path: Path
) -> None:
    """Each piece of 256 bytes takes 30 ms in either direction, within tight limits."""
    path = daemon.url.removeprefix("unix://")
    loops = "def main_solution(n):\n    while n: pass\n    return n"
    limits = {"cpu_time_s": 0.2, "wall_time_s": 0.5}
    with DaemonProxy(tmp_path / "docker.sock", path) as proxy:
        async with started_bench(docker_host=proxy.url, pool_size="1") as bench:
            await is_well(bench)
            proxy.slow_down(delay_s=0.03, piece_bytes=256)
            ended = await bench.calls(loops, [0], [1], [0], [0], isolation="process", limits=limits)
            assert [each.status.value for each in ended] == ["ok", "timeout", "ok", "ok"]
            proxy.restore()
            await is_well(bench)


@pytest.fixture(scope="module")
def cramped() -> Iterator[OwnDaemon]:
    """One with room for the image and little more; its containers outlive it."""
    options = "size=1500m,nr_inodes=100k"
    try:
        with OwnDaemon(IMAGE, live_restore=True, disk_options=options) as own:
            yield own
    except NoOwnDaemon as error:
        skip_or_fail(error)


def fill_bytes(folder: Path) -> None:
    """With one file of everything that is free."""
    with contextlib.suppress(OSError), (folder / "all").open("wb", buffering=0) as file:
        while file.write(bytes(2**20)):
            pass


def fill_inodes(folder: Path) -> None:
    """With files of nothing."""
    with contextlib.suppress(OSError):
        for n in itertools.count():
            (folder / str(n)).touch()


@pytest.mark.parametrize("fill", [fill_bytes, fill_inodes])
async def test_disk_of_the_daemon_that_is_full_is_said_and_room_is_noticed(
    cramped: OwnDaemon, fill: Callable[[Path], None]
) -> None:
    """No verdict of it, not ready, what helps, and well again without a restart."""
    filled = cramped.folder / "filled"
    async with started_bench(docker_host=cramped.url, pool_size="1") as bench:
        await is_well(bench)
        filled.mkdir()
        try:
            await asyncio.to_thread(fill, filled)
            said = ""
            deadline_s = time.monotonic() + 60
            # What is removed makes a little room, and not every step that meets the end of it says
            # so: some say that they could not write.
            while "docker system prune" not in said or bench.runtime.readiness().ready:
                failure = await outcome(bench)
                if failure is not None:
                    assert (failure.code in OURS, failure.retryable) == (True, True)
                    said += failure.message
                said += str(bench.runtime.readiness().reason)
                assert time.monotonic() < deadline_s, said
        finally:
            shutil.rmtree(filled)
        await is_well(bench)
    assert containers(cramped, bench) == []


async def outcome(bench: Bench) -> ServiceFailure | None:
    """Of a request in a container of its own: nothing, if it was answered as it must be."""
    try:
        async with asyncio.timeout(60):
            assert (await bench.call(DOUBLE, 21)).output == 42
    except ServiceFailure as failure:
        return failure
    return None


async def test_containers_that_outlive_their_daemon_are_removed(
    cramped: OwnDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With live-restore nothing ends with the daemon; what nobody speaks to any more is swept."""
    monkeypatch.setattr("execbox_service.engines.docker.orphans.ABANDONED_S", 2)
    async with started_bench(docker_host=cramped.url, sweep_interval_s="1") as bench:
        await is_well(bench)
        with docker_client(cramped.url) as client:
            before = {each["Id"] for each in client.containers(all=True)}
        assert before
        await asyncio.to_thread(cramped.kill)
        await eventually(lambda: not bench.runtime.readiness().ready, within_s=15)
        await asyncio.to_thread(cramped.start)
        await is_well(bench)

        def gone() -> bool:
            with contextlib.suppress(DockerException), docker_client(cramped.url) as client:
                return not before & {each["Id"] for each in client.containers(all=True)}
            return False

        await eventually(gone, within_s=30)
    assert containers(cramped, bench) == []
