"""What one job can see, signal, write or influence of another: nothing, at either level.

Every look is shown to see what it looks for: by the process that planted it, or, where planting is
refused to everybody, in a sandbox whose filter, identity or masks were taken away.
"""

from __future__ import annotations

import asyncio

import pytest
from harness.attacks.channels import (
    CHANNELS,
    IN_FLIGHT,
    KERNEL_OBJECTS,
    LOCKS,
    WATCHING,
    WHAT_THE_KERNEL_COUNTS,
    program,
)
from harness.attacks.meeting import BOTH, LOOK, PLANT, found, side_by_side
from harness.bench import Bench

from execbox_service.engines.docker.policy import MASKED_PATHS
from tests.sandbox.protections import NO_FILTER, NO_FILTER_NO_IDENTITY, NO_SECCOMP
from tests.weakened import Edits, weakened

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

EVERYTHING = program(CHANNELS)
POSSIBLE = [each.name for each in CHANNELS if not each.refused]
SEEN_BY_ITSELF = [each.name for each in CHANNELS if each.own_control and not each.refused]
NOT_SEEN_BY_ITSELF = [
    each for each in CHANNELS if (each.refused or not each.own_control) and each not in WATCHING
]
WIDE_OPEN = {
    **NO_SECCOMP,
    "ReadonlyRootfs": False,
    "Ulimits": [],
    "MaskedPaths": [path for path in MASKED_PATHS if path not in ("/proc/locks", "/dev/pts")],
}


async def test_two_jobs_control_who_planted_it_sees_it(bench: Bench) -> None:
    """Each look sees what is planted in its own process, and what is refused is not planted."""
    both = found(await bench.call(EVERYTHING, *BOTH, 0))
    assert both["planted"] == POSSIBLE
    assert [name for name in SEEN_BY_ITSELF if name not in both["seen"]] == []


async def test_two_jobs_control_what_is_refused_is_seen_where_it_is_not() -> None:
    """Without filter, identity and mask each of the other looks sees what it looks for."""
    async with weakened(options=WIDE_OPEN, edits=NO_FILTER_NO_IDENTITY) as sandboxes:
        both = found(await sandboxes.call(program(NOT_SEEN_BY_ITSELF), *BOTH, 0))
        watching = found(await sandboxes.call(program(WATCHING), *BOTH, 0))
    assert both["seen"] == [each.name for each in NOT_SEEN_BY_ITSELF]
    assert watching["noticed"] == [WATCHING[0].name]


@pytest.mark.parametrize("isolation", ["process", "container"])
async def test_two_calls_of_a_job_leave_each_other_nothing(bench: Bench, isolation: str) -> None:
    """Calls of one job follow each other in one container and meet nowhere."""
    inputs = [[*PLANT, 0], [*LOOK, 0]] * 2
    ended = [found(each) for each in await bench.calls(EVERYTHING, *inputs, isolation=isolation)]
    assert ended[0]["planted"] == POSSIBLE
    assert [each["seen"] for each in ended] == [[]] * 4
    assert ended[0]["where"] == ended[1]["where"] or ended[2]["where"] == ended[3]["where"]


async def test_two_jobs_in_one_container_leave_each_other_nothing(bench: Bench) -> None:
    """Jobs of one key at level ``process``, one after the other in the same container."""
    ended = []
    for part in (PLANT, LOOK, PLANT, LOOK):
        execution = await bench.call(
            EVERYTHING, *part, 0, isolation="process", principal="one after the other"
        )
        ended.append(found(execution))
    assert [each["seen"] for each in ended] == [[]] * 4
    assert len({tuple(each["where"]) for each in ended}) == 1


@pytest.mark.parametrize("keys", [("one", "one"), ("one", "other")], ids=["one key", "two keys"])
@pytest.mark.parametrize("isolation", ["process", "container"])
async def test_two_jobs_side_by_side_leave_each_other_alone(
    bench: Bench, isolation: str, keys: tuple[str, str]
) -> None:
    """In two containers at the same time: nothing is seen, and nothing is noticed of the look."""
    planted, looked = await side_by_side(bench, EVERYTHING, isolation=isolation, keys=keys)
    assert planted["planted"] == POSSIBLE
    assert looked["seen"] == []
    assert planted["noticed"] == []
    assert planted["where"] != looked["where"]


async def test_two_jobs_do_not_share_memory_that_outlives_a_process(bench: Bench) -> None:
    """What only a socket's own queue holds is freed, or costs the container."""
    code = program(IN_FLIGHT)
    both = found(await bench.call(code, *BOTH, 0, isolation="process", principal="in flight"))
    assert both["seen"] == [IN_FLIGHT[0].name]
    for _ in range(3):
        await bench.call(code, *PLANT, 0, isolation="process", principal="in flight")
        after = await bench.call(code, *LOOK, 0, isolation="process", principal="in flight")
        assert found(after)["seen"] == []


# The protections that are only there for this, each taken away.


async def test_two_jobs_share_what_is_counted_by_user_where_ids_are_alike() -> None:
    """With the same ids in every container, one job has the other's signals and pipes."""
    edits: Edits = {
        "user_ids.py": (('int.from_bytes(os.urandom(8), "big") % (last - first)', "0"),)
    }
    code = program(WHAT_THE_KERNEL_COUNTS)
    async with weakened(edits=edits, slot_count=2) as sandboxes:
        _planted, looked = await side_by_side(
            sandboxes, code, isolation="container", keys=("test", "test"), hold_s=2.0
        )
    assert looked["seen"] == ["queued signals", "pipe buffers"]


async def test_two_jobs_share_stdin_where_it_is_not_opened_anew() -> None:
    """With the zygote's stdin, a job's locks and flags on it are there for the next."""
    reopening = "_dup2(_open(_NULL, _READING) if stdin_fd is None else stdin_fd, 0)"
    code = program(LOCKS)
    edits: Edits = {"confine.py": ((reopening, "pass"),)}
    async with weakened(edits=edits) as sandboxes:
        executions = await sandboxes.calls(code, [*PLANT, 0], [*LOOK, 0])
    assert found(executions[1])["seen"] == [
        "a lock on stdin's file",
        "flags of stdin",
        "the signal of stdin",
    ]


async def test_two_jobs_can_read_each_others_locks_where_the_table_is_not_masked() -> None:
    """The kernel lists some locks for every container: the range is whatever a job chose."""
    options = {"MaskedPaths": WIDE_OPEN["MaskedPaths"]}
    async with weakened(options=options, edits=NO_FILTER, slot_count=2) as sandboxes:
        _planted, looked = await side_by_side(
            sandboxes, program(LOCKS), isolation="container", keys=("test", "test"), hold_s=2.0
        )
    assert looked["seen"] == ["the machine's table of locks"]


async def test_two_jobs_leave_kernel_objects_to_each_other_without_filters() -> None:
    """System V objects outlive a job where neither filter keeps it from making them."""
    options = {name: WIDE_OPEN[name] for name in ("SecurityOpt", "Ulimits")}
    async with weakened(options=options, edits=NO_FILTER_NO_IDENTITY) as sandboxes:
        code = program(KERNEL_OBJECTS)
        executions = await sandboxes.calls(code, [*PLANT, 0], [*LOOK, 0])
    seen = found(executions[1])["seen"]
    assert {"a System V segment", "a System V queue", "a POSIX queue"} <= set(seen)


# What SECURITY.md says is not claimed: two that both want to can still tell each other something.

MEETING = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
class Span(ctypes.Structure): _fields_ = [("s", ctypes.c_long), ("ns", ctypes.c_long)]
def main_solution(waits):
    # A page of the C library: the same memory in every container of one image.
    page = ctypes.cast(libc.getenv, ctypes.c_void_p).value & ~4095
    value = ctypes.c_uint32.from_address(page).value
    if waits:
        return libc.syscall(202, ctypes.c_void_p(page), 0, value, ctypes.byref(Span(4, 0)), 0, 0)
    return libc.syscall(202, ctypes.c_void_p(page), 1, 10, 0, 0, 0)
"""
COUNTERS = """
import os, threading
def main_solution():
    open("/tmp/f", "w").close()
    return [os.getpid(), os.stat("/tmp/f").st_ino, os.stat("/tmp").st_ctime_ns]
"""


async def test_two_jobs_that_collude_can_wake_each_other_across_containers(bench: Bench) -> None:
    """Both must ask the kernel for it: memory of the image's files is one for all containers."""
    waiting = asyncio.create_task(bench.call(MEETING, True, principal="one"))
    woken = []
    for _ in range(20):
        await asyncio.sleep(0.2)
        woken.append((await bench.call(MEETING, False, principal="other")).output)
        if waiting.done() or woken[-1]:
            break
    assert (await waiting).output == 0
    assert woken[-1] == 1


async def test_two_jobs_in_one_container_can_tell_how_much_was_done(bench: Bench) -> None:
    """Numbers of processes and files and dates go on in one container, and begin anew in others."""
    same = [
        (await bench.call(COUNTERS, isolation="process", principal="counting")).output
        for _ in range(2)
    ]
    assert all(later > earlier for earlier, later in zip(*same, strict=True))
    fresh = [(await bench.call(COUNTERS)).output[1] for _ in range(2)]
    assert fresh[0] == fresh[1]
