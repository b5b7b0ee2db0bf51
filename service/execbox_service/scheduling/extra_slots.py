"""One run's attempts shared by several slots: what is left of them, and the extra slots.

How long a job may hold slots, and what it does with its first, is decided in ``job_run``.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections import deque
from collections.abc import Callable, Coroutine, Sequence

from execbox_service.judge import outcome
from execbox_service.runner_frames import Result
from execbox_service.sandboxes.driver import Attempt, Ended, Job, NotRun, SandboxDriver
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.reservations import Reservation
from execbox_service.scheduling.slots import Slots

__all__ = ["ExtraSlots", "Left"]

_CHUNK_S = 0.05
"""Executions are handed out in pieces of about this length, so that slots end at the same time."""
_BESIDES_S = 0.001
"""What an execution takes beside its own time, roughly."""


class Left:
    """What is left of one run's attempts, shared by all the slots that work on it."""

    def __init__(
        self, job: Job, attempts: Sequence[Attempt], *, cpu_count: float, apart: bool = False
    ) -> None:
        self.job = job
        self.apart = apart
        """Whether they run in sandboxes in which nothing else of the job does."""
        self._cpu_count = cpu_count
        self.attempts = attempts
        self.todo = deque(range(len(attempts)))
        self.stopped: deque[int] = deque()
        """Of those that ended: not to be judged before they have been run again alone."""
        self._ended: list[Ended | None] = [None] * len(attempts)
        self._mean_s: float | None = None
        """Of an execution's own time: loading packages, once in each sandbox, is none of it."""

    @property
    def takes_s(self) -> float:
        """What is left, on one slot, as far as can be told."""
        return len(self.todo) * (self._mean_s or 0.0)

    def take_chunk(self) -> list[int]:
        """The next few, so many as take some time together; one as long as nothing is known."""
        if self._mean_s is None:
            return [self.todo.popleft()] if self.todo else []
        count = math.ceil(_CHUNK_S / self._mean_s)
        return [self.todo.popleft() for _ in range(min(count, len(self.todo)))]

    def keep(
        self, chunk: Sequence[int], ended: Sequence[Ended], *, is_final: Callable[[], bool]
    ) -> None:
        """Keep the results of a chunk, and put back what has none. ``is_final`` says whether what
        was held back will never run."""
        back = list(chunk[len(ended) :])
        taken_s: list[float] = []
        for index, result in zip(chunk, ended, strict=False):
            if isinstance(result, NotRun) and not is_final():
                back.append(index)
                continue
            self._ended[index] = result
            if isinstance(result, Result):
                taken_s.append(result.measured.wall_time_ns / 1e9)
                if self.was_starved(index, result):
                    self.stopped.append(index)
        if back:
            self.todo.extendleft(sorted(back, reverse=True))
        if taken_s:
            mean_s = sum(taken_s) / len(taken_s) + _BESIDES_S
            self._mean_s = mean_s if self._mean_s is None else (self._mean_s + mean_s) / 2

    def was_starved(self, index: int, result: Result) -> bool:
        """Whether the machine kept this attempt from running, so that its end says nothing."""
        factor = self.attempts[index].variation.limit_factor
        wall_time_s = self.job.limits.wall_time_s * factor
        return outcome.was_starved(result, wall_time_s=wall_time_s, cpu_count=self._cpu_count)

    def replace(self, index: int, result: Ended) -> None:
        """Exchange a result for that of a later run of the same attempt."""
        self._ended[index] = result

    def results(self) -> list[Ended]:
        return [result if result is not None else NotRun() for result in self._ended]


class ExtraSlots:
    """The further slots of one run, each with a sandbox: held while no other job waits for one."""

    def __init__(
        self,
        admission: Slots,
        caller: Caller,
        *,
        new_driver: Callable[[], SandboxDriver],
        use: Callable[[SandboxDriver], Coroutine[None, None, bool]],
    ) -> None:
        self._admission = admission
        self._caller = caller
        self._new_driver = new_driver
        self._use = use
        self.tasks: dict[asyncio.Task[bool], SandboxDriver] = {}
        """One for each slot that is held; none for most jobs, which have a single call."""
        self._failed = False

    async def end(self) -> None:
        """Must be called at last where there are any, whatever happened."""
        for task in self.tasks:
            task.cancel()
        await self.ended()

    def take(self, *, worth: Callable[[int], bool]) -> None:
        """Take slots that are free and not waited for, as long as so many further ones are worth
        it, unless that has gone wrong before."""
        while not self._failed and worth(len(self.tasks) + 1):
            spare = self._admission.take_spare(self._caller)
            if spare is None:
                return
            driver = self._new_driver()
            task = asyncio.create_task(self._use_granted(spare, driver))
            self.tasks[task] = driver
            task.add_done_callback(functools.partial(self._has_ended, spare))

    async def _use_granted(self, spare: Reservation, driver: SandboxDriver) -> bool:
        """One that was not free after all is no failure."""
        return not await self._admission.has_spare(spare) or await self._use(driver)

    def let_pass(self) -> None:
        """End those that have no sandbox yet; the others see for themselves when to stop."""
        for task, driver in self.tasks.items():
            if driver.sandbox is None:
                task.cancel()

    async def ended(self) -> None:
        """Wait until none is left."""
        while self.tasks:
            await asyncio.wait(self.tasks)

    def _has_ended(self, spare: Reservation, task: asyncio.Task[bool]) -> None:
        del self.tasks[task]
        self._admission.leave_spare(spare)
        self._failed = self._failed or task.cancelled() or not task.result()
