"""One request's executions on the pool: taking turns for slots, spreading, running again alone.

A job holds a slot while its calls run. One of many calls spreads over slots that nobody wants, and
lets others pass when somebody does; meanwhile, and between runs, its slot is free for others. What
the machine was too busy to finish is run again with the machine to itself before anybody judges it.
Which slot is whose is decided in ``admission``, what happens in a sandbox in ``sandboxes.driver``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from execbox_service.failures import ServiceFailure
from execbox_service.judge import outcome
from execbox_service.runner_frames import Result
from execbox_service.sandboxes.driver import Attempt, Ended, Job, NotRun, SandboxDriver
from execbox_service.sandboxes.pool import Pool
from execbox_service.scheduling.admission import BEGUN, Admission, current_lane, waiting_in
from execbox_service.scheduling.extra_slots import Helpers, Left

logger = logging.getLogger(__name__)

_HOLD_S = 0.25
"""How long a job keeps a slot that others want, and what is under way is then waited for."""
_CHUNK_MAX_S = 0.2
"""What has been handed out and not begun after this is taken back: others may be free for it."""
_STARVED_RETRY_S = 10.0
_SPREAD_MIN_S = 0.3
"""What is left must take this long for each further container before it is worth that."""


@dataclass
class Effort:
    """What a job's executions took beyond what its answer says: for those who watch the service."""

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


class Work:
    """An async context: the sandbox is given back at its end, destroyed if it ended in an error."""

    def __init__(self, admission: Admission, pool: Pool, job: Job) -> None:
        self._admission = admission
        self._pool = pool
        self._time = _JobTime(job.limits.job_time_s, forgiven_s=admission.queue_wait_max_s)
        self._driver = SandboxDriver(pool, job)
        self._lane = current_lane()
        self._entered = False
        self.effort = Effort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._driver.close(reusable=error is None)
        self.effort.lost_sandbox_count += self._driver.lost_count

    @property
    def queue_time_s(self) -> float:
        return self.effort.queue_time_s

    @property
    def job(self) -> Job:
        """What attempts run; exchanging it takes effect with the next run."""
        return self._driver.job

    @job.setter
    def job(self, job: Job) -> None:
        self._driver.job = job

    async def run(self, attempts: Sequence[Attempt]) -> list[Ended]:
        """Run attempts; the results are in their order. Raises Overloaded (the first time only) and
        ServiceFailure."""
        if not attempts:
            return []
        left = Left(attempts)
        async with self._helpers(left) as helpers:
            passed = False
            while left.todo:
                async with self._slot(passed=passed):
                    await self._hold(left, helpers)
                passed = bool(left.todo)
                if not passed:
                    # One that had to stop has put back what it had.
                    await helpers.ended()
                if left.stopped:
                    helpers.let_pass()
                    await self._again_alone(left)
        return left.results()

    # Slots

    @contextlib.asynccontextmanager
    async def _slot(self, *, passed: bool) -> AsyncIterator[None]:
        """A slot. Whoever has let others pass waits with others who have."""
        lane = BEGUN if passed and self._set_aside() else self._lane
        again = self._entered and lane is not BEGUN
        with waiting_in(lane):
            async with self._admission.slot(principal=self.job.principal, again=again) as waited_s:
                if not self._entered:
                    self.effort.queue_time_s = waited_s
                    self._entered = True
                self._time.waited(waited_s)
                yield

    def _set_aside(self) -> bool:
        """Whether this job can wait behind its key's others: the sandboxes of those that wait must
        not become many. At level ``process`` there need be none: the key's next job has use for it.
        """
        if self.job.isolation == "process":
            self._driver.close()
            return True
        waiting_count = self._admission.waiting_in_lane_count(BEGUN, principal=self.job.principal)
        return waiting_count < self._admission.slot_count

    async def _hold(self, left: Left, helpers: Helpers) -> None:
        """Run what is left, until others want the slot and it has been held long enough, or until
        something is to be run again alone."""
        began_s = _now_s()

        def is_over() -> bool:
            held_long = _now_s() - began_s >= _HOLD_S and self._is_wanted()
            return held_long or bool(left.stopped)

        while left.todo and not is_over():
            await self._run_chunk(self._driver, left, until=is_over)
            if self._admission.waiting_count:
                helpers.let_pass()
            elif self._may_spread(left):
                helpers.call(worth=lambda count: left.takes_s >= _SPREAD_MIN_S * count)

    def _may_spread(self, left: Left) -> bool:
        """Whether this job can have further sandboxes, and no other job waits for one."""
        can = self.job.isolation == "process" and not left.stopped
        return can and not self._pool.waiting_count

    def _is_wanted(self) -> bool:
        return self._admission.is_wanted(principal=self.job.principal, lane=self._lane)

    def _helpers(self, left: Left) -> Helpers:
        admission, principal = self._admission, self.job.principal
        return Helpers(
            lambda: admission.take_spare(principal=principal, lane=self._lane),
            admission.leave_spare,
            new_driver=lambda: SandboxDriver(self._pool, self.job),
            help_out=lambda driver: self._help(driver, left),
        )

    async def _help(self, driver: SandboxDriver, left: Left) -> bool:
        """Run what is left, as long as nobody else wants the slot and nothing is to be run again
        alone; false if that failed."""
        ended_well = False
        try:
            while left.todo and not left.stopped and not self._admission.waiting_count:
                await self._run_chunk(driver, left, until=lambda: self._admission.waiting_count > 0)
            ended_well = True
        except ServiceFailure as failure:
            # Whether it is an error is found by whoever runs the same calls next.
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
            held_back = not first and (until() or _now_s() >= ends_s)
            # What a sandbox was lost to is tried again at once: only then is a second loss noticed.
            held_back = held_back and driver.lost_count == lost_count
            first = False
            return not held_back and self._time.may_begin()

        driver.may_begin = may_begin
        ended: Sequence[Ended] = ()
        try:
            ended = await driver.run([left.attempts[index] for index in chunk])
        finally:
            left.keep(chunk, ended, final=self._time.is_over)
            self.effort.add(ended)

    # Running again

    async def _again_alone(self, left: Left) -> None:
        """Run what was stopped once more, with nothing beside it, each when all slots are free.

        As soon as it has been stopped, so that the job's time bounds how long others stand still
        for it: what that leaves out is what has not begun. Raises ServiceFailure.
        """
        while left.stopped:
            index = left.stopped.popleft()
            attempt = left.attempts[index]
            async with self._admission.slot(principal=self.job.principal, alone=True) as waited_s:
                self._time.waited(waited_s)
                # Whether or not the job's time is over: it has begun, so it is to have a result.
                self._driver.may_begin = lambda: True
                (again,) = await self._driver.run([attempt])
            self.effort.add([again])
            self.effort.alone_count += 1
            wall_time_s = self.job.limits.wall_time_s * attempt.variation.limit_factor
            if isinstance(again, Result) and outcome.was_starved(again, wall_time_s=wall_time_s):
                raise ServiceFailure(
                    "machine_too_busy",
                    "an execution was kept from running by what else this machine does, and again "
                    "with all slots to itself; send the request again later",
                    retry_after_s=_STARVED_RETRY_S,
                )
            left.replace(index, again)


class _JobTime:
    """How long a job may take: from its first execution on, without the waiting for its slots."""

    def __init__(self, job_time_s: float, *, forgiven_s: float) -> None:
        self._job_time_s = job_time_s
        self._forgiven_s = forgiven_s
        self._deadline_s: float | None = None

    @property
    def is_over(self) -> bool:
        return self._deadline_s is not None and _now_s() >= self._deadline_s

    def may_begin(self) -> bool:
        """Whether another execution may; the first one that does starts the clock."""
        if self._deadline_s is None:
            self._deadline_s = _now_s() + self._job_time_s
        return not self.is_over

    def waited(self, waited_s: float) -> None:
        """Move the end by a wait for a slot. All together only so far: a caller, who cannot know
        how busy the service is, must not wait for ever."""
        if self._deadline_s is not None:
            forgiven_s = min(waited_s, self._forgiven_s)
            self._forgiven_s -= forgiven_s
            self._deadline_s += forgiven_s


def _now_s() -> float:
    return asyncio.get_running_loop().time()
