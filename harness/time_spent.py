"""Where the time of a request goes, seen from between the service and its sandboxes.

Looks into ``SandboxDriver`` from outside: what is measured is the time between asking a sandbox for
an execution and its answer, and how much of that the execution itself took.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

from execbox.dataset.files.records import Record
from execbox.dataset.steps.step import Step, Worked
from execbox_service.runner_frames import Result
from execbox_service.sandboxes.driver import SandboxDriver

_FORK_MAX_S = 0.02
"""What takes longer than this besides the execution is an interpreter's start or an import."""


@dataclass
class Spent:
    """The time of one record. ``own_s`` is from a job's fork to its end, its imports included."""

    container_s: float = 0.0
    imports_s: float = 0.0
    forks_s: float = 0.0
    own_s: float = 0.0
    execution_count: int = 0

    @property
    def total_s(self) -> float:
        """Everything that happened in or for sandboxes."""
        return self.container_s + self.imports_s + self.forks_s + self.own_s


_current: ContextVar[Spent | None] = ContextVar("spent", default=None)


class SpentMeter:
    """A context in which drivers are looked into, and steps keep one ``Spent`` a record."""

    def __init__(self) -> None:
        self.spent: list[Spent] = []
        self._patches = ExitStack()

    def of_step(self, step: Step) -> Step:
        """The same step, measured; one record at a time in each piece of work."""

        async def work(records: Sequence[Record]) -> Sequence[Worked]:
            spent = Spent()
            _current.set(spent)
            worked = await step.work(records)
            self.spent.append(spent)
            return worked

        return replace(step, work=work, chunk_count=1)

    def __enter__(self) -> Self:
        leased: Any = SandboxDriver._leased
        receive: Any = SandboxDriver._receive
        answered_s: dict[int, float] = {}

        async def measured_lease(driver: SandboxDriver, job: Any) -> Any:
            begun_s = time.perf_counter()
            lease = await leased(driver, job)
            answered_s[id(driver)] = now_s = time.perf_counter()
            if (spent := _current.get()) is not None:
                spent.container_s += now_s - begun_s
            return lease

        async def measured_receive(driver: SandboxDriver, lease: Any, run: Any) -> Result:
            result: Result = await receive(driver, lease, run)
            now_s = time.perf_counter()
            if (spent := _current.get()) is not None:
                own_s = result.measured.wall_time_ns / 1e9
                besides_s = max(0.0, now_s - answered_s[id(driver)] - own_s)
                spent.own_s += own_s
                spent.execution_count += 1
                if besides_s > _FORK_MAX_S:
                    spent.imports_s += besides_s
                else:
                    spent.forks_s += besides_s
            answered_s[id(driver)] = now_s
            return result

        self._patches.enter_context(patch.object(SandboxDriver, "_leased", measured_lease))
        self._patches.enter_context(patch.object(SandboxDriver, "_receive", measured_receive))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._patches.close()
