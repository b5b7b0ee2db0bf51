"""Each limit just under, which is fine, and just over, which has its own status."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from harness.bench import Bench

from execbox.wire import Execution, Status

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

BURN = """
import time
def main_solution(duration_s):
    while time.process_time() < duration_s: pass
    return duration_s
"""
SLEEP = """
import time
def main_solution(duration_s):
    time.sleep(duration_s)
    return duration_s
"""
THREADS_ON_ONE_CORE = """
import hashlib, os, threading
def work():
    while True: hashlib.pbkdf2_hmac("sha256", b"x", b"y", 20000)
def main_solution():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for _ in range(9): threading.Thread(target=work, daemon=True).start()
    work()
"""
HOLD = """
def main_solution(size_mb):
    return len(bytearray(size_mb * 2**20)) // 2**20
"""
WRITE_FILES = """
import os
def main_solution(directory, file_count, file_bytes):
    block = b"x" * min(file_bytes, 2**20)
    for number in range(file_count):
        with open(f"{directory}/{number}", "wb", buffering=0) as file:
            left = file_bytes
            while left:
                left -= file.write(block[:left])
    return file_count
"""
MIB = 2**20
RUNNER_ALLOWANCE_MB = 128


def outcome(execution: Execution) -> tuple[str, str | None]:
    """Status, and which limit or exception it was."""
    kind = execution.error.type if execution.error is not None else None
    return execution.status.value, execution.limit or kind


@pytest.mark.parametrize(
    ("code", "argument", "limits", "expected"),
    [
        (BURN, 0.35, {"cpu_time_s": 0.5}, ("ok", None)),
        (BURN, 0.55, {"cpu_time_s": 0.5}, ("timeout", "cpu_time")),
        (BURN, 1.3, {"cpu_time_s": 1.5, "wall_time_s": 0.3}, ("timeout", "wall_time")),
        (SLEEP, 0.8, {"wall_time_s": 1.0, "cpu_time_s": 0.1}, ("ok", None)),
        # In which a supervisor that got no core for 0.1 s or more, on a busy machine, stood still.
        (SLEEP, 1.5, {"wall_time_s": 1.0, "cpu_time_s": 0.1}, ("timeout", "wall_time")),
        (HOLD, 64, {"memory_mb": 64}, ("ok", None)),
        (HOLD, 64 + RUNNER_ALLOWANCE_MB, {"memory_mb": 64}, ("memory_exceeded", None)),
        (HOLD, 500, {}, ("ok", None)),
        (HOLD, 512 + RUNNER_ALLOWANCE_MB, {}, ("memory_exceeded", None)),
        (HOLD, 700, {"memory_mb": 700}, ("ok", None)),
        (HOLD, 16, {"memory_mb": 16}, ("ok", None)),
    ],
)
async def test_limit_on_time_and_memory_holds_on_both_sides(
    bench: Bench,
    code: str,
    argument: float,
    limits: dict[str, Any],
    expected: tuple[str, str | None],
) -> None:
    """Just under a time or memory limit is ok; just over has its own status."""
    ended = await bench.call(code, argument, limits=limits)
    assert outcome(ended) == expected


async def test_limit_on_memory_leaves_room_for_large_packages(bench: Bench) -> None:
    """The allowance holds what scipy, sympy and networkx need, beside the job's own memory."""
    code = "import scipy.optimize, sympy, networkx\n" + HOLD
    ended = await bench.call(code, 60, limits={"memory_mb": 64})
    assert outcome(ended) == ("ok", None)


@pytest.mark.parametrize(
    ("value", "size_bytes"),
    [
        ("'x' * 98", 100),
        ("'é' * 49", 100),
        ("'\\n' * 49", 100),
        ("[1] * 50", 101),
        ("[1.5] * 25", 101),
        ("{'key': 'value'}", 15),
        ("10 ** 99", 100),
        ("[None, True, []]", 14),
        ("''", 2),
        ("0", 1),
    ],
)
async def test_limit_on_output_holds_to_the_byte(bench: Bench, value: str, size_bytes: int) -> None:
    """As many bytes of JSON as the limit are fine, one more is too much, whatever the value."""
    code = f"def main_solution(): return {value}"
    fits = await bench.call(code, limits={"output_bytes": size_bytes}, isolation="process")
    assert fits.status is Status.OK
    if size_bytes > 1:
        over = await bench.call(code, limits={"output_bytes": size_bytes - 1}, isolation="process")
        assert outcome(over) == ("output_too_large", "OutputTooLarge")


async def test_limit_on_output_at_its_maximum_is_carried_whole(bench: Bench) -> None:
    """16 MiB of output come back unharmed."""
    size_bytes = 16 * MIB
    code = f"def main_solution(): return 'x' * {size_bytes - 2}"
    ended = await bench.call(code, limits={"output_bytes": size_bytes})
    assert ended.status is Status.OK
    assert ended.output == "x" * (size_bytes - 2)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize(
    ("written_bytes", "limit_bytes", "kept_bytes", "flagged"),
    [(100, 100, 100, False), (101, 100, 100, True), (1, 0, 0, True), (0, 0, 0, False)],
)
async def test_limit_on_streams_truncates_and_flags_without_a_status(
    bench: Bench, stream: str, written_bytes: int, limit_bytes: int, kept_bytes: int, flagged: bool
) -> None:
    """What is printed beyond the limit is thrown away and flagged; the status stays as it is."""
    code = f"import sys\ndef main_solution(n):\n    sys.{stream}.write('x' * n)\n    return n"
    ended = await bench.call(
        code, written_bytes, limits={"stdout_bytes": limit_bytes}, isolation="process"
    )
    assert (ended.status, ended.output) == (Status.OK, written_bytes)
    assert getattr(ended, stream) == "x" * kept_bytes
    assert getattr(ended.truncated, stream) is flagged
    other = {"stdout": "stderr", "stderr": "stdout"}[stream]
    assert (getattr(ended, other), getattr(ended.truncated, other)) == ("", False)


@pytest.mark.parametrize(
    ("data", "limit_bytes", "text", "flagged"),
    [
        (b"caf\xc3\xa9", 5, "café", False),
        (b"caf\xc3\xa9", 4, "caf", True),
        (b"\xff\xff", 6, "\ufffd\ufffd", False),
        (b"\xff\xff", 5, "\ufffd", True),
        (b"a\x00b", 3, "a\x00b", False),
        (b"\xed\xa0\x80", 64, "\ufffd\ufffd\ufffd", False),
    ],
)
async def test_limit_on_stdout_counts_bytes_of_the_text_that_is_returned(
    bench: Bench, data: bytes, limit_bytes: int, text: str, flagged: bool
) -> None:
    """Any bytes come back as text within the limit; a cut made while decoding is flagged, too."""
    code = f"import os\ndef main_solution(): os.write(1, {data!r})"
    ended = await bench.call(code, limits={"stdout_bytes": limit_bytes}, isolation="process")
    assert (ended.stdout, ended.truncated.stdout) == (text, flagged)


@pytest.mark.parametrize(
    ("directory", "file_count", "file_bytes", "fits"),
    [
        ("/tmp", 1, 63 * MIB, True),
        ("/tmp", 1, 65 * MIB, False),
        ("/tmp", 9, 7 * MIB, True),
        ("/tmp", 10, 7 * MIB, False),
        ("/tmp", 4000, 0, True),
        ("/tmp", 4100, 0, False),
        ("/dev/shm", 1, MIB - 65536, True),
        ("/dev/shm", 1, MIB + 4096, False),
    ],
)
async def test_limit_on_files_is_an_oserror_and_everything_is_removed(
    bench: Bench, directory: str, file_count: int, file_bytes: int, fits: bool
) -> None:
    """File size, space and inodes are bounded; the next execution finds an empty directory."""
    look = "\ndef look(directory):\n    return sorted(os.listdir(directory))\n"
    expression = f"main_solution({directory!r}, {file_count}, {file_bytes})"
    response = await bench.request(
        WRITE_FILES + look,
        [{"expression": expression}, {"expression": f"look({directory!r})"}],
        isolation="process",
    )
    wrote, looked = response.executions
    assert outcome(wrote) == (("ok", None) if fits else ("exception", "OSError"))
    assert looked.output == []


@pytest.mark.parametrize(
    ("code", "count", "expected"),
    [
        ("import os\ndef main_solution(n): return len([os.dup(0) for _ in range(n)])", 200, "ok"),
        (
            "import os\ndef main_solution(n): return len([os.dup(0) for _ in range(n)])",
            300,
            "OSError",
        ),
        (
            (
                "import threading\ndef main_solution(n):\n    done = threading.Event()\n"
                "    for _ in range(n): threading.Thread(target=done.wait, daemon=True).start()\n"
                "    return n"
            ),
            100,
            "ok",
        ),
        (
            (
                "import threading\ndef main_solution(n):\n    done = threading.Event()\n"
                "    for _ in range(n): threading.Thread(target=done.wait, daemon=True).start()\n"
                "    return n"
            ),
            200,
            "RuntimeError",
        ),
    ],
)
async def test_limit_on_descriptors_and_threads_is_an_exception(
    bench: Bench, code: str, count: int, expected: str
) -> None:
    """Descriptors and threads are bounded, and the code sees the error that Python gives."""
    first, second = await bench.calls(code, [count], [1], isolation="process")
    status, kind = outcome(first)
    assert (kind or status) == expected
    assert outcome(second) == ("ok", None)


async def test_limit_that_only_load_would_break_is_not_broken(bench: Bench) -> None:
    """Four times more jobs than cores, each near its limits: none of them times out."""
    slots = bench.settings.slot_count
    ended = await asyncio.gather(
        *(
            bench.call(BURN, 0.3, limits={"cpu_time_s": 0.5, "wall_time_s": 0.5}, principal=f"p{n}")
            for n in range(4 * slots)
        )
    )
    assert {outcome(execution) for execution in ended} == {("ok", None)}


RECURSION = """
import functools, json, resource, sys, threading
sys.setrecursionlimit(10**6)
@functools.lru_cache(None)
def cached(n): return 0 if n == 0 else 1 + cached(n - 1)
class Deep:
    def __init__(self, n): self.n = n
    def __eq__(self, other): return self.n == 0 or Deep(self.n - 1) == other
    def __repr__(self): return "" if self.n == 0 else "x" + repr(Deep(self.n - 1))
def main_solution(way, n):
    ways = {
        "cached": lambda: cached(n),
        "repr": lambda: len(repr(Deep(n))),
        "eq": lambda: Deep(n) == 0,
        "max": lambda: max([n], key=lambda m: m and main_solution("max", m - 1)),
        "map": lambda: n and list(map(lambda m: main_solution("map", m), [n - 1])) and 1,
    }
    return ways[way]() is not None
"""


@pytest.mark.parametrize("way", ["cached", "repr", "eq", "max", "map"])
async def test_recursion_through_c_goes_as_deep_as_its_stack(bench: Bench, way: str) -> None:
    """20,000 levels fit in 64 MB of stack; a deeper one ends alone, and the next is unharmed."""
    ended = await bench.calls(RECURSION, [way, 20_000], [way, 900_000], [way, 10])
    assert (ended[0].status, ended[0].output) == (Status.OK, True), ended[0]
    assert (ended[1].status, ended[1].signal) == (Status.NO_RESULT, "SIGSEGV")
    assert (ended[2].status, ended[2].output) == (Status.OK, True)


async def test_recursion_through_c_in_a_thread_goes_as_deep(bench: Bench) -> None:
    """A thread's stack is of the same size, without asking for it."""
    code = (
        RECURSION
        + """
def in_thread(n):
    found = []
    thread = threading.Thread(target=lambda: found.append(cached(n)))
    thread.start(); thread.join()
    return found
"""
    )
    ended = await bench.call(code, 20_000, entry_point="in_thread", isolation="process")
    assert (ended.status, ended.output) == (Status.OK, [20_000])


async def test_threads_that_wait_for_each_other_are_ended_at_the_wall_limit(bench: Bench) -> None:
    """Each of ten on one core waits nine tenths of the time, by the program's own doing (S09)."""
    ended = await bench.call(THREADS_ON_ONE_CORE, limits={"cpu_time_s": 30, "wall_time_s": 0.5})
    assert (ended.status, ended.limit) == (Status.TIMEOUT, "wall_time")
    assert ended.usage is not None
    # At four times of it an execution is stopped whatever it waited for.
    assert ended.usage.cpu_time_s < 1.0


async def test_stack_is_charged_as_far_as_it_is_used(bench: Bench) -> None:
    """Two hundred threads that use little of theirs are cheap; what a deep one uses is counted."""
    many = """
import threading, time
def main_solution(n):
    threads = [threading.Thread(target=time.sleep, args=(0.2,)) for _ in range(n)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return n
"""
    cheap = await bench.call(many, 60, isolation="process", limits={"memory_mb": 64})
    assert (cheap.status, cheap.output) == (Status.OK, 60)
    deep = await bench.call(RECURSION, "cached", 40_000, isolation="process")
    shallow = await bench.call(RECURSION, "cached", 10, isolation="process")
    assert deep.usage is not None
    assert shallow.usage is not None
    used_bytes = deep.usage.peak_memory_bytes - shallow.usage.peak_memory_bytes
    assert used_bytes > 16 * 2**20


async def test_stack_may_be_made_larger_by_the_program(bench: Bench) -> None:
    """As programs for judges do it: the soft limit is theirs to raise."""
    code = """
import resource
def main_solution():
    before = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (2**28, resource.RLIM_INFINITY))
    return [before[0], resource.getrlimit(resource.RLIMIT_STACK)[0]]
"""
    ended = await bench.call(code, isolation="process")
    assert (ended.status, ended.output) == (Status.OK, [64 * 2**20, 2**28])
