"""What the gate costs: the same work with the daemon's socket and through the gate, in one run.

    python -m benchmarks.gate_cost

Two services in this process, one on each, take turns piece by piece, so that what else the machine
does falls on both. Ratios are what counts: above 1 is slower through the gate. The gate's own CPU
time, for each piece of work, does not depend on what else runs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.docker_daemon import daemon_url
from harness.measurement import say
from harness.report import number, table

from execbox.wire import ExecuteRequest
from execbox_service.operations.registry import EXECUTE
from execbox_service.runtime import Runtime
from execbox_service.scheduling.caller import Caller
from execbox_service.settings import Settings, load_settings

_LARGE_BYTES = 8_000_000
_CONTAINER_COUNT = 8
_AT_ONCE = 4


@dataclass(frozen=True)
class Piece:
    """A piece of work, done ``count`` times on each side."""

    name: str
    count: int
    work: Callable[[Runtime], Awaitable[None]]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print a table of medians in milliseconds."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gate_cost", description=__doc__.splitlines()[0]
    )
    parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "engine.sock"
        common = {"engine": "docker", "pool_size": "0"}
        direct = load_settings(common | {"instance": "gate-cost:direct"})
        through = load_settings(
            common | {"instance": "gate-cost:through", "docker_host": f"unix://{path}"}
        )
        with _gate(path) as gate_pid:
            rows = asyncio.run(_rows(direct, through, gate_pid))
    print(table(["work, ms", "socket", "gate", "gate / socket", "CPU of the gate"], rows))
    return 0


async def _rows(direct: Settings, through: Settings, gate_pid: int) -> list[list[str]]:
    rows = []
    async with _started(direct) as one, _started(through) as other:
        for piece in PIECES:
            say(piece.name)
            before_ms = _cpu_ms(gate_pid)
            without_ms, behind_ms = await _compared(piece, one, other)
            cpu_ms = (_cpu_ms(gate_pid) - before_ms) / (piece.count + 1)
            figures = (without_ms, behind_ms, behind_ms / without_ms, cpu_ms)
            rows.append([piece.name, *map(number, figures)])
    return rows


async def _compared(piece: Piece, one: Runtime, other: Runtime) -> tuple[float, float]:
    """Medians in ms: with the socket, and through the gate."""
    times_ms: tuple[list[float], list[float]] = ([], [])
    for turn in range(piece.count + 1):
        for side, runtime in enumerate((one, other)):
            began_s = time.perf_counter()
            await piece.work(runtime)
            if turn:  # the first is for warming up
                times_ms[side].append((time.perf_counter() - began_s) * 1000)
    direct_ms, through_ms = times_ms
    return statistics.median(direct_ms), statistics.median(through_ms)


def _cpu_ms(pid: int) -> float:
    """What a process has used, by the kernel's clock for it."""
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e6


async def _execute(runtime: Runtime, code: str) -> None:
    body = {
        "function": {"code": code},
        "calls": [{"args": [4]}],
        "isolation": "process",
        "limits": {"output_bytes": 16 << 20},
    }
    await runtime.perform(EXECUTE, ExecuteRequest.model_validate(body), caller=Caller("bench"))


async def _small_call(runtime: Runtime) -> None:
    await _execute(runtime, "def main_solution(x): return x * 2")


async def _large_call(runtime: Runtime) -> None:
    await _execute(runtime, f"def main_solution(x): return 'x' * {_LARGE_BYTES}")


async def _made(runtime: Runtime, *, count: int) -> None:
    engine = runtime._engine
    assert engine is not None
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one() -> None:
        async with turns:
            await (await engine.create()).destroy()

    await asyncio.gather(*(one() for _ in range(count)))


async def _one_container(runtime: Runtime) -> None:
    await _made(runtime, count=1)


async def _many_containers(runtime: Runtime) -> None:
    await _made(runtime, count=_CONTAINER_COUNT)


PIECES = [
    Piece("a call in a shared container", 400, _small_call),
    Piece(f"a call that returns {_LARGE_BYTES // 10**6} MB", 12, _large_call),
    Piece("a container made, greeted and removed", 16, _one_container),
    Piece(f"{_CONTAINER_COUNT} containers, {_AT_ONCE} at once", 8, _many_containers),
]


@contextlib.asynccontextmanager
async def _started(settings: Settings) -> AsyncIterator[Runtime]:
    runtime = Runtime(settings)
    await runtime.start()
    try:
        yield runtime
    finally:
        await runtime.stop()


@contextlib.contextmanager
def _gate(path: Path) -> Iterator[int]:
    """The process id of a gate as a process of its own, as in docker-compose.yml."""
    environment = {
        "EXECBOX_DOCKER_HOST": daemon_url(),
        "EXECBOX_GATE_SOCKET": str(path),
        "EXECBOX_INSTANCE": "gate-cost:through",
        "EXECBOX_LOG_LEVEL": "warning",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "execbox_service.gate"], env=dict(os.environ) | environment
    )
    try:
        while not path.exists():
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
