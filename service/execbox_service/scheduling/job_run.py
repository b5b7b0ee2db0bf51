"""``JobRun``: the executions of one request on the pool, spread over slots, again alone if need be.

A job holds a slot while its calls run. A job of many calls spreads over slots that no other job
wants, and lets other jobs pass when they want one; meanwhile, and between runs, its slot is free
for them. What the machine was too busy to finish is run again with all slots to itself before it
is judged. Which slot is whose is decided in ``admission``, what happens in a sandbox in
``sandboxes``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from execbox.wire import ErrorCode
from execbox_service.failures import RequestFailed, ServiceFailure
from execbox_service.json_steps import read_bytes_max
from execbox_service.runner_frames import Result
from execbox_service.sandboxes.driver import Attempt, Ended, Job, NotRun, SandboxDriver
from execbox_service.sandboxes.pool import Pool
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.extra_slots import ExtraSlots, Left
from execbox_service.scheduling.offload import read_aside
from execbox_service.scheduling.slots import Slots

__all__ = ["Effort", "JobRun"]

logger = logging.getLogger(__name__)

_HOLD_S = 0.25
"""How long a job keeps a slot that other jobs want, and what is under way is then waited for."""
_CHUNK_MAX_S = 0.2
"""What has been handed out and not begun after this is taken back: another slot may be free."""
_STARVED_RETRY_S = 10.0
_RESULT_BYTES = 2048
"""Of a result, and of the execution made from it, beside what the job itself wrote."""
_SPREAD_MIN_S = 0.3
"""What is left must take this long for each further container before it is worth that."""


@dataclass
class Effort:
    """What a job's executions took beyond what its answer says: for the operator's metrics."""

    queue_time_s: float = 0.0
    """Waiting for a slot before the first execution."""
    execution_count: int = 0
    """Executions that ended: variations and those run again included."""
    alone_count: int = 0
    """Of these, run again with the machine to themselves."""
    throttled_s: float = 0.0
    """The time for which the kernel stopped containers that used more than their CPUs."""
    lost_sandbox_count: int = 0

    def add(self, ended: Sequence[Ended]) -> None:
        """Count what has ended."""
        for result in ended:
            self.execution_count += not isinstance(result, NotRun)
            if isinstance(result, Result):
                self.throttled_s += result.measured.throttled_ns / 1e9


class JobRun:
    """An async context: its sandbox is given back at its end, destroyed if it ended in an error.

    ``job_time_s`` counts from the first execution of the first job that is run in it; ``worked``
    is told at the end what it took.
    """

    def __init__(
        self,
        admission: Slots,
        pool: Pool,
        *,
        caller: Caller,
        job_time_s: float,
        worked: Callable[[Effort], None] = lambda _effort: None,
    ) -> None:
        self._admission = admission
        self._pool = pool
        self._caller = caller
        self._time = _JobTime(job_time_s, forgiven_s=admission.queue_wait_max_s)
        self._drivers: dict[bool, SandboxDriver] = {}
        """By whether what they run is ``apart``; see ``run``."""
        self._entered = False
        self._refusal: RequestFailed | None = None
        """Why this job may keep no more results."""
        self._counted_bytes = 0
        """Of memory, for the results so far."""
        self.effort = Effort()
        self._worked = worked

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for driver in self._drivers.values():
            driver.close(reusable=error is None)
            self.effort.lost_sandbox_count += driver.lost_count
        hold = self._caller.hold
        if error is not None and hold is not None:
            # The results are lost with the error, and what runs again counts its own.
            hold.shrink_to(hold.size_bytes - self._counted_bytes)
        # An exception holds on to the frames it came through, and they to this: in a circle, what
        # the calls gave would stay until garbage is collected.
        self._refusal = None
        self._worked(self.effort)

    def width(self, job: Job) -> int:
        """How many of a job's executions could run at once now."""
        if job.isolation != "process":
            return 1
        free_count = self._admission.slot_count - self._admission.active_count
        return max(1, free_count)

    @property
    def queue_time_s(self) -> float:
        return self.effort.queue_time_s

    async def run(
        self, job: Job, attempts: Sequence[Attempt], *, apart: bool = False
    ) -> list[Ended]:
        """Run a job's attempts; the results are in their order. Raises ServiceFailure, and of it
        Overloaded: the first time where no slot is to be had, before anything has run; any time
        where results find no room in memory, after it. Raises CallerMistake where one key may not
        hold so many results.

        What runs ``apart`` runs in no container in which anything else of this job does.
        """
        if not attempts:
            return []
        left = Left(job, attempts, cpu_count=self._pool.limits.cpu_count, apart=apart)
        extra_slots = self._extra_slots(left)
        try:
            passed = False
            while left.todo or left.stopped:
                if left.todo:
                    async with self._slot(job, passed=passed) as waited_s:
                        self._waited(waited_s)
                        await self._hold(left, extra_slots)
                    self._raise_refusal()
                passed = bool(left.todo)
                if extra_slots.tasks and not passed:
                    # An extra slot that had to be given up has put back what it had.
                    await extra_slots.ended()
                if left.stopped:
                    extra_slots.let_pass()
                    await self._again_alone(left)
                self._raise_refusal()
                if extra_slots.tasks and not left.todo:
                    # One that went on meanwhile may have something that is to be run again.
                    await extra_slots.ended()
        finally:
            if extra_slots.tasks:
                await extra_slots.end()
        return left.results()

    def _raise_refusal(self) -> None:
        """An extra slot has no one to tell that the job may keep no more results: the first has."""
        if self._refusal is not None:
            raise self._refusal

    def _driver(self, *, apart: bool) -> SandboxDriver:
        """Most jobs have no use for the second."""
        driver = self._drivers.get(apart)
        if driver is None:
            driver = self._drivers[apart] = self._new_driver(apart)
        return driver

    def _new_driver(self, apart: bool) -> SandboxDriver:
        return SandboxDriver(self._pool, principal=self._caller.principal, apart=apart)

    # Slots

    def _slot(self, job: Job, *, passed: bool) -> AbstractAsyncContextManager[float]:
        """A slot. A job that has let other jobs pass waits with the key's other such jobs."""
        aside = passed and self._set_aside(job)
        caller = self._caller.begun() if aside else self._caller
        return self._admission.slot(caller, again=self._entered and not aside)

    def _waited(self, waited_s: float) -> None:
        if not self._entered:
            self.effort.queue_time_s = waited_s
            self._entered = True
        self._time.waited(waited_s)

    def _set_aside(self, job: Job) -> bool:
        """Whether this job can wait behind its key's others: the sandboxes of those that wait must
        not become many. At level ``process`` there need be none: the key's next job has use for it.
        """
        if job.isolation == "process":
            for driver in self._drivers.values():
                driver.close()
            return True
        waiting_count = self._admission.waiting_in_lane_count(self._caller.begun())
        return waiting_count < self._admission.slot_count

    async def _hold(self, left: Left, extra_slots: ExtraSlots) -> None:
        """Run what is left, until other jobs want the slot and it has been held long enough, or
        until something is to be run again alone."""
        began_s = _now_s()

        def is_over() -> bool:
            held_long = _now_s() - began_s >= _HOLD_S and self._admission.is_wanted(self._caller)
            return held_long or bool(left.stopped) or self._refusal is not None

        goes_on = self._may_go_on(left)
        while goes_on:
            await self._run_chunk(self._driver(apart=left.apart), left, until=is_over)
            self._raise_refusal()
            if not (left.todo or extra_slots.tasks):
                return
            if self._admission.waiting_count:
                extra_slots.let_pass()
            elif self._may_spread(left):
                extra_slots.take(worth=lambda count: left.takes_s >= _SPREAD_MIN_S * count)
            goes_on = bool(left.todo) and not is_over()

    def _may_spread(self, left: Left) -> bool:
        """Whether this job can have further sandboxes, and no other job waits for one."""
        can = left.job.isolation == "process" and not left.stopped
        return can and not self._pool.waiting_count

    def _extra_slots(self, left: Left) -> ExtraSlots:
        return ExtraSlots(
            self._admission,
            self._caller,
            new_driver=partial(self._new_driver, left.apart),
            use=partial(self._use_extra, left),
        )

    async def _use_extra(self, left: Left, driver: SandboxDriver) -> bool:
        """Run what is left, as long as no other job wants the slot and nothing is to be run again
        alone; false if that failed."""
        ended_well = False
        try:
            while self._may_go_on(left) and not self._admission.waiting_count:
                await self._run_chunk(driver, left, until=lambda: self._admission.waiting_count > 0)
            ended_well = True
        except ServiceFailure as failure:
            # Whether it is an error is found by the slot that runs the same calls next.
            logger.info("a job goes on with fewer slots: %s", failure.message)
        finally:
            driver.close(reusable=ended_well)
            self.effort.lost_sandbox_count += driver.lost_count
        return ended_well

    async def _run_chunk(
        self, driver: SandboxDriver, left: Left, *, until: Callable[[], bool]
    ) -> None:
        """Run a few executions, but no more than one if the time for them is over before."""
        chunk = left.take_chunk()
        ends_s = _now_s() + _CHUNK_MAX_S
        first, lost_count = True, driver.lost_count

        def may_begin() -> bool:
            nonlocal first
            now_s = _now_s()
            held_back = not first and (now_s >= ends_s or until())
            # What a sandbox was lost to is tried again at once: only then is a second loss noticed.
            held_back = held_back and driver.lost_count == lost_count
            first = False
            return not held_back and self._time.may_begin(now_s)

        ended: Sequence[Ended] = ()
        try:
            attempts = [left.attempts[index] for index in chunk]
            ended = await driver.run(left.job, attempts, may_begin=may_begin)
        finally:
            left.keep(chunk, ended, is_final=self._time.is_over)
            self.effort.add(ended)
        await self._count(ended)

    def _may_go_on(self, left: Left) -> bool:
        return bool(left.todo) and not left.stopped and self._refusal is None

    async def _count(self, ended: Sequence[Ended]) -> None:
        """Count the memory that results take, and will take once they are read."""
        hold = self._caller.hold
        if hold is None:
            return
        results: list[Result] = []
        frames_bytes = 0
        for result in ended:
            if isinstance(result, Result):
                results.append(result)
                frames_bytes += len(result.frame)
        size_bytes = await read_aside(frames_bytes, _kept_bytes, results)
        try:
            hold.grow(size_bytes, too_large=ErrorCode.ANSWER_TOO_LARGE, what="what the calls gave")
            self._counted_bytes += size_bytes
        except RequestFailed as failure:
            self._refusal = self._refusal or failure

    # Running again

    async def _again_alone(self, left: Left) -> None:
        """Run what was stopped once more, each when all slots are free, with nothing beside it for
        as long as ``admission`` lets other jobs stand still.

        As soon as it has been stopped, so that the job's time bounds how long other jobs stand
        still for it: what that leaves out is what has not begun. Raises ServiceFailure.
        """
        while left.stopped:
            index = left.stopped.popleft()
            attempt = left.attempts[index]
            async with self._admission.slot(self._caller, alone=True) as waited_s:
                self._time.waited(waited_s)
                # Whether or not the job's time is over: it has begun, so it is to have a result.
                (again,) = await self._driver(apart=left.apart).run(left.job, [attempt])
            self.effort.add([again])
            self.effort.alone_count += 1
            await self._count([again])
            if isinstance(again, Result) and left.was_starved(index, again):
                raise ServiceFailure(
                    ErrorCode.MACHINE_TOO_BUSY,
                    "an execution was kept from running by what else this machine does, and again "
                    "when it was run by itself; send the request again later",
                    retry_after_s=_STARVED_RETRY_S,
                )
            left.replace(index, again)


def _kept_bytes(results: Sequence[Result]) -> int:
    kept_bytes = _RESULT_BYTES * len(results)
    for result in results:
        kept_bytes += 2 * (len(result.stdout) + len(result.stderr))
        kept_bytes += len(result.frame) + read_bytes_max(result.frame)
        # Once more as base64, and once as part of the answer's text.
        kept_bytes += 4 * len(result.files)
    return kept_bytes


class _JobTime:
    """How long a job may take: from its first execution on, without the waiting for its slots."""

    def __init__(self, job_time_s: float, *, forgiven_s: float) -> None:
        self._job_time_s = job_time_s
        self._forgiven_s = forgiven_s
        self._deadline_s: float | None = None

    def is_over(self) -> bool:
        return self._deadline_s is not None and _now_s() >= self._deadline_s

    def may_begin(self, now_s: float) -> bool:
        """Whether another execution may; the first one that does starts the clock."""
        if self._deadline_s is None:
            self._deadline_s = now_s + self._job_time_s
        return now_s < self._deadline_s

    def waited(self, waited_s: float) -> None:
        """Move the end by a wait for a slot. All together only so far: a caller, who cannot know
        how busy the service is, must not wait for ever."""
        if self._deadline_s is not None:
            forgiven_s = min(waited_s, self._forgiven_s)
            self._forgiven_s -= forgiven_s
            self._deadline_s += forgiven_s


def _now_s() -> float:
    return asyncio.get_running_loop().time()
