"""A pool of fake sandboxes behind slots, in virtual time, for tests of jobs. No tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from execbox.wire import Isolation, Limits
from execbox_service.sandboxes.driver import Attempt, Ended, Job, call_payload
from execbox_service.sandboxes.pool import Pool
from execbox_service.scheduling.admission import Admission
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.job_run import JobRun
from tests.fake_engine import (
    POOL_LIMITS,
    Behaviour,
    FakeEngine,
    FakeSandbox,
    report_frame,
    result_frame,
)
from tests.virtual_time import now_s, run_in_virtual_time

POOL = replace(POOL_LIMITS, warm_count=4, executions_max=100_000, age_max_s=1e6)
QUICK_S = 0.004
DELAY_S = 0.001
"""Of a fake sandbox between two executions."""


def taking(duration_s: float, **fields: Any) -> Behaviour:
    """Answer honestly, each call after so long, one after the other."""
    free_s: dict[str, float] = {}

    def behave(sandbox: FakeSandbox, header: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        begins_s = max(free_s.get(sandbox.name, 0.0), loop.time()) + DELAY_S
        free_s[sandbox.name] = begins_s + duration_s
        answer = result_frame(
            header["seq"],
            frame=report_frame(header["call"]["args"][0]),
            wall_time_ns=round(duration_s * 1e9),
            **fields,
        )
        loop.call_at(free_s[sandbox.name], sandbox.deliver, answer)

    return behave


def stopped_first(duration_s: float, *, again_cpu_time_s: float) -> Behaviour:
    """Stop each call after so long; another time, too, when it has had so much CPU time."""
    seen: set[int] = set()
    first = taking(duration_s, killed="hard_stop", exit_code=None, signal=9)
    again = taking(
        duration_s,
        killed="hard_stop",
        exit_code=None,
        signal=9,
        cpu_time_ns=round(again_cpu_time_s * 1e9),
    )

    def behave(sandbox: FakeSandbox, header: dict[str, Any]) -> bytes | None:
        number = header["call"]["args"][0]
        behaviour = again if number in seen else first
        seen.add(number)
        return behaviour(sandbox, header)

    return behave


def job_at(isolation: Isolation, *, job_time_s: float) -> Job:
    """A job of a function that nobody looks at."""
    return Job(
        function_payload=b"{}",
        packages=(),
        profile="default",
        limits=Limits(job_time_s=job_time_s),
        isolation=isolation,
    )


@dataclass
class Stage:
    """A pool of fake sandboxes behind two slots."""

    engine: FakeEngine
    pool: Pool
    admission: Admission

    async def job(
        self,
        count: int,
        *,
        key: str = "a",
        caller: Caller | None = None,
        isolation: Isolation = "process",
        job_time_s: float = 3600,
    ) -> list[Ended]:
        """Run a job of so many calls, whose outputs are their numbers."""
        job = job_at(isolation, job_time_s=job_time_s)
        caller = caller or Caller(key)
        run = JobRun(self.admission, self.pool, caller=caller, job_time_s=job_time_s)
        async with run:
            attempts = [Attempt(call_payload({"args": [n]})) for n in range(count)]
            return await run.run(job, attempts)

    async def timed(self, work: Awaitable[Any]) -> float:
        """How long something takes."""
        began_s = now_s()
        await work
        return now_s() - began_s

    @property
    def call_counts(self) -> list[int]:
        """Of the sandboxes that ran anything, most first."""
        counts = (sandbox.call_count for sandbox in self.engine.made)
        return sorted(filter(None, counts), reverse=True)


@contextlib.asynccontextmanager
async def staged(behaviours: list[Behaviour], **fields: Any) -> AsyncIterator[Stage]:
    engine = FakeEngine(behaviours)
    pool = Pool(engine, replace(POOL, **fields))
    pool.start()
    await asyncio.sleep(0.1)
    admission = Admission(slot_count=2, queue_size=100, queue_wait_max_s=30.0)
    try:
        yield Stage(engine, pool, admission)
        assert (admission.active_count, admission.waiting_count) == (0, 0)
    finally:
        await pool.stop()


def on_stage(
    play: Callable[[Stage], Awaitable[None]],
    behaviours: list[Behaviour] | None = None,
    **fields: Any,
) -> None:
    """Run a scene in virtual time; every sandbox takes ``QUICK_S`` a call unless told otherwise."""

    async def main() -> None:
        made = behaviours if behaviours is not None else [taking(QUICK_S)] * 100
        async with staged(made, **fields) as stage:
            await play(stage)

    run_in_virtual_time(main())
