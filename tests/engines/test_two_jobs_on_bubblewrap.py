"""What two jobs see of each other where all of them read the machine's own files.

The same channels as in ``tests/sandbox/test_two_jobs.py``, which has the controls.
"""

from __future__ import annotations

import asyncio

import pytest
from harness.attacks.channels import CHANNELS, program
from harness.attacks.meeting import BOTH, LOOK, PLANT, found, side_by_side
from harness.bench import Bench

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVERYTHING = program(CHANNELS)
REFUSED_HERE = {"a lock on a shared file", "a lock on stdin's file"}
"""Possible with Docker, where the file is the container's own: here it is the machine's."""
POSSIBLE = [each.name for each in CHANNELS if not each.refused and each.name not in REFUSED_HERE]


async def test_two_jobs_on_bubblewrap_see_what_they_plant_themselves(
    bubblewrap_bench: Bench,
) -> None:
    """The looks work here as well; locks on the machine's files cannot be had at all."""
    both = found(await bubblewrap_bench.call(EVERYTHING, *BOTH, 0))
    own = {each.name for each in CHANNELS if each.own_control}
    assert both["planted"] == POSSIBLE
    assert [name for name in POSSIBLE if name in own and name not in both["seen"]] == []


@pytest.mark.parametrize("isolation", ["process", "container"])
async def test_two_calls_on_bubblewrap_leave_each_other_nothing(
    bubblewrap_bench: Bench, isolation: str
) -> None:
    """Calls of one job follow each other in one sandbox and meet nowhere."""
    inputs = [[*PLANT, 0], [*LOOK, 0]] * 2
    executions = await bubblewrap_bench.calls(EVERYTHING, *inputs, isolation=isolation)
    ended = [found(each) for each in executions]
    assert ended[0]["planted"] == POSSIBLE
    assert [each["seen"] for each in ended] == [[]] * 4


@pytest.mark.parametrize("keys", [("one", "one"), ("one", "other")], ids=["one key", "two keys"])
@pytest.mark.parametrize("isolation", ["process", "container"])
async def test_two_jobs_on_bubblewrap_side_by_side_leave_each_other_alone(
    bubblewrap_bench: Bench, isolation: str, keys: tuple[str, str]
) -> None:
    """Nothing is seen in either of two sandboxes, and nothing is noticed of the look."""
    planted, looked = await side_by_side(
        bubblewrap_bench, EVERYTHING, isolation=isolation, keys=keys
    )
    assert planted["planted"] == POSSIBLE
    assert looked["seen"] == []
    assert planted["noticed"] == []


READING = """
import os
def main_solution(name):
    fd = os.open("/usr/lib/os-release", os.O_RDONLY)
    try: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    except PermissionError: pass
    else: return "thrown out"
    try: os.close(os.open("/usr/lib/os-release", os.O_RDONLY | os.O_DIRECT))
    except PermissionError: return "kept"
    return "read past the cache"
"""


async def test_machines_files_are_read_through_the_cache_and_stay_in_it(any_bench: Bench) -> None:
    """Neither the machine's disk nor what others have in memory is a job's to use up."""
    ended = await asyncio.gather(
        *(any_bench.call(READING, "x", isolation=level) for level in ("process", "container"))
    )
    assert [each.output for each in ended] == ["kept", "kept"]
