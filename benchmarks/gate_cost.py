"""What the gate costs: the same work with the daemon's socket and through the gate, in one run.

    python -m benchmarks.gate_cost

Two services in this process, one on each, take turns piece by piece, so that what else the machine
does falls on both. Ratios are what counts: above 1 is slower through the gate. The gate's own CPU
time, for each piece of work, does not depend on what else runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

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


def main() -> None:
    """Measure, and print a table of medians in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "engine.sock"
        common = {"engine": "docker", "pool_size": "0"}
        direct = load_settings(common | {"instance": "gate-cost:direct"})
        through = load_settings(
            common | {"instance": "gate-cost:through", "docker_host": f"unix://{path}"}
        )
        with _gate(path) as gate_pid:
            asyncio.run(_tabled(direct, through, gate_pid))


async def _tabled(direct: Settings, through: Settings, gate_pid: int) -> None:
    async with _started(direct) as one, _started(through) as other:
        print(f"{'':52}{'socket':>9}{'gate':>9}{'ratio':>8}{'CPU of gate':>13}")
        for piece in PIECES:
            before_ms = _cpu_ms(gate_pid)
            row = await _compared(piece, one, other)
            cpu_ms = (_cpu_ms(gate_pid) - before_ms) / (piece.count + 1)
            print(f"{row}{cpu_ms:>13.2f}", flush=True)


async def _compared(piece: Piece, one: Runtime, other: Runtime) -> str:
    times_ms: tuple[list[float], list[float]] = ([], [])
    for number in range(piece.count + 1):
        for side, runtime in enumerate((one, other)):
            began_s = time.perf_counter()
            await piece.work(runtime)
            if number:  # the first is for warming up
                times_ms[side].append((time.perf_counter() - began_s) * 1000)
    without, behind = (statistics.median(side) for side in times_ms)
    return f"{piece.name:52}{without:>9.2f}{behind:>9.2f}{behind / without:>8.2f}"


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
    Piece("a call in a shared container, ms", 400, _small_call),
    Piece(f"a call that returns {_LARGE_BYTES // 10**6} MB, ms", 12, _large_call),
    Piece("a container made, greeted and removed, ms", 16, _one_container),
    Piece(f"{_CONTAINER_COUNT} containers, {_AT_ONCE} at once, ms", 8, _many_containers),
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
    main()
