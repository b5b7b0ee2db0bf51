"""One request's executions on the pool: taking turns for slots, and running again alone.

Between runs the slot is free for others while the sandbox is kept, so a job of many passes does
not hold the queue up. What the machine was too busy to finish is run again with the machine to
itself before anybody judges it.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from execbox_service.admission import Admission
from execbox_service.frames import Result
from execbox_service.judge import outcome
from execbox_service.pool import Pool
from execbox_service.session import Attempt, Ended, Job, Session


class Work:
    """An async context: the sandbox is given back at its end, destroyed if it ended in an error."""

    def __init__(self, admission: Admission, pool: Pool, job: Job) -> None:
        self._admission = admission
        self._session = Session(pool, job)
        self._entered = False
        self.queue_time_s = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close(reusable=error is None)

    @property
    def job(self) -> Job:
        """What attempts run; exchanging it takes effect with the next run."""
        return self._session.job

    @job.setter
    def job(self, job: Job) -> None:
        self._session.job = job

    async def run(self, attempts: Sequence[Attempt]) -> list[Ended]:
        """Run attempts in order. Raises Overloaded (the first time only) and ServiceFailure."""
        if not attempts:
            return []
        slot = self._admission.slot(principal=self.job.principal, again=self._entered)
        async with slot as waited_s:
            if not self._entered:
                self.queue_time_s = waited_s
                self._entered = True
            ended = await self._session.run(attempts)
        return await self._again_alone(attempts, ended)

    async def _again_alone(self, attempts: Sequence[Attempt], ended: list[Ended]) -> list[Ended]:
        stopped = [
            index
            for index, result in enumerate(ended)
            if isinstance(result, Result) and outcome.is_hard_stop(result)
        ]
        if not stopped:
            return ended
        async with self._admission.slot(principal=self.job.principal, alone=True):
            again = await self._session.run([attempts[index] for index in stopped])
        better = list(ended)
        for index, result in zip(stopped, again, strict=True):
            better[index] = result
        return better
