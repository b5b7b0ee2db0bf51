"""Printing a lot: nothing hangs, nothing is kept beyond the limit, the service does not grow."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest
from harness.bench import Bench
from harness.meters import resident_mb

from execbox.wire import Status

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

PRINT = """
import os
def main_solution(size_bytes, stream):
    block = b"x" * min(size_bytes, 2**18)
    left = size_bytes
    while left:
        left -= os.write(stream, block[:left])
    return size_bytes
"""


@pytest.mark.parametrize("stream", [1, 2])
@pytest.mark.parametrize("size_bytes", [200_000, 2_000_000, 200_000_000])
async def test_streams_of_any_length_neither_hang_nor_grow_the_service(
    bench: Bench, size_bytes: int, stream: int
) -> None:
    """200 KB, 2 MB and 200 MB are read to their end, and only the limit's worth is kept."""
    before_mb = resident_mb()
    started_s = time.monotonic()
    ended = await bench.call(PRINT, size_bytes, stream, limits={"stdout_bytes": 65536})
    assert (ended.status, ended.output) == (Status.OK, size_bytes)
    assert len((ended.stdout + ended.stderr).encode()) == 65536
    assert ended.truncated.stdout is (stream == 1)
    assert ended.truncated.stderr is (stream == 2)
    assert time.monotonic() - started_s < 20
    assert resident_mb() - before_mb < 8


async def test_streams_of_many_jobs_do_not_grow_the_service(bench: Bench) -> None:
    """Forty jobs that print and return a lot leave the service's memory where it was.

    Where it was after some that came together: four at once need their room a first time.
    """

    async def run() -> None:
        ended = await bench.call(
            "def main_solution():\n    print('y' * 3_000_000)\n    return 'x' * 1_000_000",
            limits={"stdout_bytes": 2**20},
            isolation="process",
        )
        assert ended.status is Status.OK

    async def held_after_mb(round_count: int) -> float:
        for _ in range(round_count):
            await asyncio.gather(*(run() for _ in range(4)))
        # After thousands of tests in this process the collector comes by itself once in a while.
        gc.collect()
        return resident_mb()

    before_mb = await held_after_mb(4)
    assert await held_after_mb(10) - before_mb < 24


async def test_streams_that_never_end_are_stopped_by_the_limits(bench: Bench) -> None:
    """A job that prints for ever is timed out like any other."""
    code = "import os\ndef main_solution():\n    while True: os.write(1, b'x' * 65536)"
    ended = await bench.call(code, limits={"cpu_time_s": 0.5, "wall_time_s": 2})
    assert ended.status is Status.TIMEOUT
    assert len(ended.stdout) == 65536


async def test_streams_of_an_execution_that_fails_are_kept(bench: Bench) -> None:
    """What was printed before an exception, a crash or a timeout comes back."""
    code = """
import os, sys
def main_solution(how):
    print("before", how)
    print("aside", file=sys.stderr)
    if how == "raise": raise ValueError
    if how == "crash": os.abort()
    while True: pass
"""
    executions = await bench.calls(
        code, ["raise"], ["crash"], ["spin"], limits={"cpu_time_s": 0.3}, isolation="process"
    )
    assert [e.stdout for e in executions] == ["before raise\n", "before crash\n", "before spin\n"]
    assert {e.stderr for e in executions} == {"aside\n"}


async def test_streams_replaced_or_closed_by_the_code_do_no_harm(bench: Bench) -> None:
    """Code may close or replace its streams; the result still arrives."""
    code = """
import io, os, sys
def main_solution(how):
    print("first")
    if how == "close": sys.stdout.close(); os.close(2)
    if how == "none": sys.stdout = sys.stderr = None
    if how == "buffer": sys.stdout = io.StringIO(); print("unseen")
    if how == "full": sys.stdout = open("/dev/full", "w"); print("unseen")
    return how
"""
    hows = ["close", "none", "buffer", "full"]
    executions = await bench.calls(code, *([how] for how in hows), isolation="process")
    assert [execution.output for execution in executions] == hows
    assert {execution.stdout for execution in executions} == {"first\n"}


async def test_streams_and_result_come_in_time_when_a_thread_still_prints(bench: Bench) -> None:
    """A thread that goes on printing after the return does not hold the answer back."""
    code = """
import threading, time
def chatter():
    while True: print("again", flush=True)
def main_solution():
    threading.Thread(target=chatter).start()
    time.sleep(0.05)
    return 1
"""
    started_s = time.monotonic()
    ended = await bench.call(code, isolation="process")
    assert (ended.status, ended.output) == (Status.OK, 1)
    assert time.monotonic() - started_s < 5
