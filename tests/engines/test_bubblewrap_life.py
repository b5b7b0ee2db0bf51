"""Sandboxes made with bubblewrap from first to last: nothing is left of them, however they end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from harness.bench import Bench, bench_settings, started_bench
from harness.meters import descriptor_count

from execbox.wire import Status
from execbox_service.engines.base import EngineUnavailable, SandboxLost
from execbox_service.engines.bubblewrap import cgroup_roots, cgroups
from execbox_service.engines.bubblewrap.engine import BubblewrapEngine, BubblewrapSandbox
from execbox_service.engines.container_spec import container_spec
from execbox_service.engines.frame_stream import FrameStream
from execbox_service.failures import ServiceFailure
from tests.engines.conftest import need_engine

HOLDER = """
import asyncio
from execbox_service.engines.bubblewrap.engine import BubblewrapEngine
from execbox_service.engines.container_spec import container_spec
from execbox_service.settings import load_settings

async def main():
    engine = BubblewrapEngine(container_spec(load_settings({"engine": "bubblewrap"})))
    await engine.start()
    sandbox = await engine.create()
    print(*sandbox._child.group.process_ids(), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def started_engine() -> AsyncIterator[BubblewrapEngine]:
    need_engine("bubblewrap")
    engine = BubblewrapEngine(container_spec(bench_settings(engine="bubblewrap")))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


def group_directories() -> set[Path]:
    """Every directory of ours where this process may make groups."""
    roots = cgroup_roots.find_roots(move=False)
    return {path for place in roots.all for path in Path(place).glob(f"{cgroups.PREFIX}*/*/")}


def alive(pids: set[int]) -> set[int]:
    """Which of these still run; ended ones that nobody has waited for do not count."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            if ") Z" not in Path(f"/proc/{pid}/stat").read_text():
                found.add(pid)
    return found


async def soon(holds: Callable[[], bool]) -> bool:
    """Whether something holds within ten seconds."""
    for _ in range(500):
        if holds():
            return True
        await asyncio.sleep(0.02)
    return False


def processes_of(sandbox: BubblewrapSandbox) -> set[int]:
    return sandbox._child.group.process_ids()


async def test_destroy_leaves_no_process_no_group_and_no_descriptor() -> None:
    """Three made, three destroyed, twice each: all is as before."""
    async with started_engine() as engine:
        groups, fds = group_directories(), descriptor_count()
        sandboxes = [await engine.create() for _ in range(3)]
        pids = {pid for sandbox in sandboxes for pid in processes_of(sandbox)}
        assert len(pids) >= 6
        assert len(group_directories()) > len(groups)
        for sandbox in sandboxes:
            await sandbox.destroy()
            await sandbox.destroy()
        assert await soon(lambda: not alive(pids))
        assert await soon(lambda: (group_directories(), descriptor_count()) == (groups, fds))


async def test_stop_removes_what_is_left_and_can_be_called_again() -> None:
    """Sandboxes that nobody destroyed go with the engine, and its directories with them."""
    async with started_engine() as engine:
        sandbox = await engine.create()
        pids, files = processes_of(sandbox), engine._files.path
        assert files.is_dir()
        await engine.stop()
        assert not files.exists()
        # A process leaves its control group before it has ended (version 2).
        assert await soon(lambda: not alive(pids))
        sandbox._stream.close()
        sandbox._errors.close()


async def test_sandbox_given_back_after_the_stop_is_gone_already(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever still has one at the end may destroy it and ask of it; nobody gets another."""
    async with started_engine() as engine:
        sandbox = await engine.create()
        pids = processes_of(sandbox)
        await engine.stop()
        await sandbox.destroy()
        assert await soon(lambda: not alive(pids))
        assert not (await sandbox.post_mortem()).oom_killed
        with pytest.raises(SandboxLost):
            await sandbox.set_memory_mb(64)
        with pytest.raises(EngineUnavailable, match="stopped"):
            await engine.create()
    assert "could not remove" not in caplog.text


async def test_create_that_is_cancelled_leaves_nothing() -> None:
    """Whoever waits for a sandbox may go away at any moment."""
    async with started_engine() as engine:
        groups, fds = group_directories(), descriptor_count()
        for delay_s in (0.0, 0.005, 0.02, 0.06):
            creating = asyncio.ensure_future(engine.create())
            await asyncio.sleep(delay_s)
            creating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await creating).destroy()
        assert await soon(lambda: (group_directories(), descriptor_count()) == (groups, fds))


async def test_create_that_is_cancelled_while_its_stream_is_opened_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A moment between the start of the process and the reading of what it says."""
    opening = FrameStream.open

    async def cancelled_there(sock: socket.socket) -> FrameStream:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return await opening(sock)

    async with started_engine() as engine:
        groups, fds = group_directories(), descriptor_count()
        monkeypatch.setattr(FrameStream, "open", cancelled_there)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.ensure_future(engine.create())
        assert await soon(lambda: (group_directories(), descriptor_count()) == (groups, fds))


@pytest.mark.parametrize("victim", ["bubblewrap", "the supervisor"])
async def test_sandbox_killed_from_outside_is_our_failure_and_no_verdict(victim: str) -> None:
    """The call is run again in another sandbox, and ends well."""
    need_engine("bubblewrap")
    async with started_bench(engine="bubblewrap", pool_size="1") as bench:
        code = "import time\ndef main_solution(x):\n    time.sleep(0.6)\n    return x"
        running = asyncio.ensure_future(bench.call(code, 3))
        await asyncio.sleep(0.25)
        os.kill(_victim(bench, victim), signal.SIGKILL)
        ended = await running
        assert (ended.status, ended.output) == (Status.OK, 3)


def _victim(bench: Bench, name: str) -> int:
    """A trusted process of the sandbox that has a job process in it."""
    engine = bench.runtime._engine
    assert isinstance(engine, BubblewrapEngine)
    busiest = max(engine._own.values(), key=lambda child: len(child.group.process_ids()))
    outer = busiest.process.pid
    if name == "bubblewrap":
        return outer
    children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    return int(children[0])


async def test_service_killed_leaves_no_process_and_the_next_removes_its_groups() -> None:
    """kill -9: the sandboxes end with the service; their groups are swept at the next start."""
    need_engine("bubblewrap")
    before = group_directories()
    service = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, stdout=PIPE)
    assert service.stdout is not None
    pids = {int(word) for word in (await service.stdout.readline()).split()}
    assert len(alive(pids)) >= 2
    service.kill()
    await service.wait()
    assert await soon(lambda: not alive(pids))
    left = group_directories() - before
    assert left
    async with started_engine():
        assert not left & group_directories()


async def test_sweep_leaves_a_living_service_alone() -> None:
    """Two services on one machine: neither takes the other's sandboxes for orphans."""
    async with started_engine() as first, started_engine() as second:
        sandbox = await first.create()
        assert await second.sweep() == 0
        assert alive(processes_of(sandbox))
        await sandbox.destroy()


async def test_memory_of_the_whole_sandbox_is_evidence_of_the_kernel() -> None:
    """An OOM kill in the group is seen from outside; without one there is no such verdict."""
    async with started_engine() as engine:
        sandbox = await engine.create()
        assert not (await sandbox.post_mortem()).oom_killed
        await sandbox.destroy()


TAKES_400_MB = """
def main_solution(n):
    block = bytearray(400 * 2**20)
    for at in range(0, len(block), 4096): block[at] = 1
    return n
"""


async def test_memory_of_the_machine_that_runs_out_is_no_verdict_about_the_code() -> None:
    """The kernel ends the job all the same, and counts it; but the job was within its limit."""
    need_engine("bubblewrap")
    async with started_bench(engine="bubblewrap", pool_size="1") as bench:
        engine = bench.runtime._engine
        assert isinstance(engine, BubblewrapEngine)
        groups = engine._groups
        assert groups is not None
        # All sandboxes of this service together, in the place of a whole machine.
        around = Path(groups._roots.directories["memory"])
        version_2 = (around / "memory.max").exists()
        limit = around / ("memory.max" if version_2 else "memory.limit_in_bytes")
        limit.write_text(str(200 * 2**20), "ascii")
        limits = {"memory_mb": 1024, "cpu_time_s": 20, "wall_time_s": 40}
        with pytest.raises(ServiceFailure) as failure:
            await bench.call(TAKES_400_MB, 1, limits=limits)
        assert failure.value.retryable
        limit.write_text("max" if version_2 else "-1", "ascii")
        ended = await bench.call(TAKES_400_MB, 2, limits=limits)
        assert (ended.status, ended.output) == (Status.OK, 2)
        own = await bench.call(TAKES_400_MB, 3, limits=limits | {"memory_mb": 64})
        assert own.status is Status.MEMORY_EXCEEDED
