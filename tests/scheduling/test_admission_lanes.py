"""Turns between keys, and within a key between its lanes."""

from __future__ import annotations

import asyncio

import pytest

from execbox_service.failures import Overloaded
from execbox_service.scheduling.admission import Admission
from execbox_service.scheduling.caller import SINGLES, Caller
from tests.virtual_time import in_virtual_time

BATCH = "batch 1"


class Hall:
    """One slot that is taken, and the order in which others get it once it is free."""

    def __init__(self, *, queue_size: int = 100, queue_wait_max_s: float = 30) -> None:
        self.admission = Admission(
            slot_count=1, queue_size=queue_size, queue_wait_max_s=queue_wait_max_s
        )
        self.served: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.leave = asyncio.Event()

    async def occupy(self) -> None:
        """Take the slot until ``finish``."""

        async def hold() -> None:
            async with self.admission.slot(Caller("occupant")):
                await self.leave.wait()

        self.tasks.append(asyncio.create_task(hold()))
        await asyncio.sleep(0)

    async def wait(
        self, name: str, *, key: str, lane: str = SINGLES, again: bool = False
    ) -> asyncio.Task[None]:
        """Somebody who wants the slot, from now on."""

        async def want() -> None:
            caller = Caller(key, lane, admitted=lane != SINGLES)
            async with self.admission.slot(caller, again=again):
                self.served.append(name)

        task = asyncio.create_task(want())
        self.tasks.append(task)
        await asyncio.sleep(0)
        return task

    async def finish(self) -> list[str]:
        """Free the slot; who was served, in their order."""
        self.leave.set()
        await asyncio.gather(*self.tasks)
        return self.served


@in_virtual_time
async def test_single_of_a_key_passes_between_its_batchs_lines() -> None:
    """It waits for one line, not for the batch."""
    hall = Hall()
    await hall.occupy()
    for number in range(4):
        await hall.wait(f"line {number}", key="a", lane=BATCH)
    await hall.wait("single", key="a")
    assert await hall.finish() == ["line 0", "single", "line 1", "line 2", "line 3"]


@in_virtual_time
async def test_batches_of_one_key_do_not_crowd_out_another_key() -> None:
    """Keys take turns first, however many lanes one of them has."""
    hall = Hall()
    await hall.occupy()
    for batch in range(3):
        for number in range(2):
            await hall.wait(f"a{batch}.{number}", key="a", lane=str(batch))
    for number in range(3):
        await hall.wait(f"b{number}", key="b")
    order = await hall.finish()
    assert order == ["a0.0", "b0", "a1.0", "b1", "a2.0", "b2", "a0.1", "a1.1", "a2.1"]


@in_virtual_time
async def test_job_that_comes_again_is_served_before_its_keys_others() -> None:
    """It holds a sandbox meanwhile."""
    hall = Hall()
    await hall.occupy()
    await hall.wait("first", key="a")
    await hall.wait("line", key="a", lane=BATCH)
    await hall.wait("again", key="a", lane=BATCH, again=True)
    assert (await hall.finish())[0] == "again"


async def test_batchs_lines_leave_the_queue_to_single_requests() -> None:
    """They neither fill it nor are refused where it is full."""
    hall = Hall(queue_size=1)
    await hall.occupy()
    for number in range(5):
        await hall.wait(f"line {number}", key="a", lane=BATCH)
    await hall.wait("single", key="b")
    refused = await hall.wait("one too many", key="b")
    hall.tasks.remove(refused)
    with pytest.raises(Overloaded):
        await refused
    await hall.wait("line 5", key="a", lane=BATCH)
    assert len(await hall.finish()) == 7


async def test_patient_lane_outwaits_the_queues_longest_wait() -> None:
    """A single is told to come later; a line is not."""
    hall = Hall(queue_wait_max_s=0.05)
    await hall.occupy()
    line = await hall.wait("line", key="occupant", lane=BATCH)
    single = await hall.wait("single", key="occupant")
    hall.tasks.remove(single)
    with pytest.raises(Overloaded, match="no slot became free"):
        await single
    assert not line.done()
    assert await hall.finish() == ["line"]


async def test_cancelled_waiter_leaves_nothing_behind() -> None:
    """Its place is free, in the count of the queue as well."""
    hall = Hall(queue_size=1)
    await hall.occupy()
    for lane in (SINGLES, BATCH):
        waiter = await hall.wait("gone", key="a", lane=lane)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        hall.tasks.remove(waiter)
    assert hall.admission.waiting_count == 0
    await hall.wait("stays", key="a")
    assert await hall.finish() == ["stays"]
    assert hall.admission.active_count == 0
