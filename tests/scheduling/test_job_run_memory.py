"""What a job does once its results take more memory than its key may hold, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import weakref
from collections.abc import Iterator

import pytest

from execbox_service.failures import CallerMistake, RequestFailed
from execbox_service.sandboxes.driver import Attempt, call_payload
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.job_run import JobRun
from execbox_service.scheduling.memory import Memory
from tests.scheduling.stage import Stage, job_at, on_stage

BYTES_MAX = 200_000
"""Of some fifty results."""


@pytest.mark.parametrize("others_count", [0, 1, 2])
def test_job_whose_results_are_too_many_ends_with_the_refusal(others_count: int) -> None:
    """Also where an extra slot finds it while the first lets other jobs pass: the job went round
    for ever, and with it the whole service."""

    async def play(stage: Stage) -> None:
        memory = Memory(bytes_max=BYTES_MAX, several_keys=False)
        others = [asyncio.create_task(stage.job(100, key="b")) for _ in range(others_count)]
        with memory.hold("a") as hold:
            caller = dataclasses.replace(Caller("a"), hold=hold)
            job = asyncio.create_task(stage.job(3000, caller=caller))
            await asyncio.sleep(0.1)
            others += [asyncio.create_task(stage.job(300, key="c")) for _ in range(others_count)]
            with pytest.raises(CallerMistake, match="memory"):
                await job
            assert memory.held_bytes == 0
        await asyncio.gather(*others)

    on_stage(play)


def test_job_that_failed_gives_back_what_its_results_took() -> None:
    """What is run again after a failure counts its own results, and not those that were lost."""

    async def play(stage: Stage) -> None:
        memory = Memory(bytes_max=BYTES_MAX, several_keys=False)
        with memory.hold("a") as hold:
            caller = dataclasses.replace(Caller("a"), hold=hold)
            for _ in range(3):
                with pytest.raises(RequestFailed):
                    await stage.job(3000, caller=caller)
            assert len(await stage.job(20, caller=caller)) == 20

    on_stage(play)


def test_job_that_failed_is_freed_at_once() -> None:
    """With all that its calls gave. It waited for the garbage collector: the job kept the refusal,
    whose frames kept the job."""

    async def play(stage: Stage) -> None:
        memory = Memory(bytes_max=BYTES_MAX, several_keys=False)
        attempts = [Attempt(call_payload({"args": [n]})) for n in range(300)]
        with memory.hold("a") as hold, without_collector():
            caller = dataclasses.replace(Caller("a"), hold=hold)
            run = JobRun(stage.admission, stage.pool, caller=caller, job_time_s=3600)
            with contextlib.suppress(RequestFailed):
                async with run:
                    await run.run(job_at("process", job_time_s=3600), attempts)
            alive = weakref.ref(run)
            del run
            await asyncio.sleep(0)
            assert alive() is None

    on_stage(play)


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
