"""Running a request's calls with its checks, in portions each of which is checked whole.

So that a job whose time is over has checked some of its calls and not begun with the others,
where the alternative is to have begun all of them. What each check does is in ``checks``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from execbox.wire import Call, Determinism, Execution, Status
from execbox_service.failures import RequestFailed
from execbox_service.json_steps import is_light
from execbox_service.judge import outcome
from execbox_service.operations.checks import ActiveChecks
from execbox_service.operations.determinism_check import Checker
from execbox_service.operations.job_payloads import Jobs, attempts_of
from execbox_service.sandboxes.driver import Ended
from execbox_service.scheduling.job_run import JobRun
from execbox_service.scheduling.offload import ASIDE_BYTES, PORTION_COUNT, free_aside, in_turns

__all__ = ["DEAR", "GiveUp", "run_checked"]

DEAR = frozenset({Status.TIMEOUT, Status.MEMORY_EXCEEDED})
"""What took all the time or memory it may."""
_PORTION_MAX_S = 2.0
"""Of baselines in one portion: enough that what a portion costs beside its runs is little."""
_PORTIONS_MIN = 20
"""Into so many the time of a job is divided at least: what is lost at its end is one of them."""
_GROWTH = 4
"""What comes after quick calls may be slow, so portions grow step by step."""


class GiveUp:
    """Whether a job is given up: after so many executions in a row that were ``DEAR``."""

    def __init__(self, after_count: int | None) -> None:
        """None never gives up."""
        self._after_count = after_count
        self._dear_count = 0

    def __call__(self, execution: Execution) -> bool:
        """To be told each execution, in order."""
        self._dear_count = self._dear_count + 1 if execution.status in DEAR else 0
        return self._after_count is not None and self._dear_count >= self._after_count


async def run_checked(
    run: JobRun,
    jobs: Jobs,
    checks: ActiveChecks,
    *,
    calls: Sequence[Call],
    gives_up: Callable[[Execution], bool] | None,
    is_wanted: Callable[[int, Execution], bool] | None = None,
    explain: bool = True,
) -> list[Execution]:
    """An execution of every call, in their order, with the checks. Raises ServiceFailure.

    ``gives_up`` is told each baseline in order, and once it says so nothing more is begun: the
    rest is ``not_run``; None runs all. What ``is_wanted`` refuses, asked in the same order, is not
    run again; None refuses nothing.
    """
    whole = _Whole(run, jobs, checks, calls=calls, stops_early=gives_up is not None)
    try:
        left_count = len(calls)
        while left_count:
            first, begun = await whole.begin_some()
            wanted: Sequence[int] = range(first, first + len(begun))
            if is_wanted is not None:
                wanted = [index for index in wanted if is_wanted(index, begun[index - first])]
            stops = gives_up is not None and any(map(gives_up, begun))
            left_count -= len(begun)
            if whole.is_checked:
                await whole.check(wanted, is_last=stops or not left_count)
            if stops:
                break
        executions = await whole.executions(explain=explain)
        await whole.drop_runs()
        return executions
    except RequestFailed:
        await whole.let_go()
        raise


class _Whole:
    """The calls of one request: of how many the baseline is made, and which have been checked."""

    def __init__(
        self,
        run: JobRun,
        jobs: Jobs,
        checks: ActiveChecks,
        *,
        calls: Sequence[Call],
        stops_early: bool,
    ) -> None:
        self._run = run
        self._jobs = jobs
        self._checks = checks
        self._calls = calls
        self._checker: Checker | None = None
        if checks.determinism is not None:
            self._checker = checks.determinism.checker(run, jobs, call_count=len(calls))
        self.is_checked = self._checker is not None
        self._in_portions = stops_early or self.is_checked
        """Whether something may come of the first calls that decides about the next."""
        self._begun: list[tuple[Execution, Ended]] = []
        self._executions: list[Execution] = []
        """Of those that were begun: what they are answered with."""
        self._unchecked: list[int] = []
        self._checked: list[int] = []
        self._count = 0
        """Of calls that were begun together the last time."""
        self._mean_s = 0.0
        """What each of those took."""
        self._unchecked_s = 0.0
        self._portion_s = _PORTION_MAX_S
        if self._in_portions:
            job_time_s = jobs.baseline.limits.job_time_s
            self._portion_s = min(_PORTION_MAX_S, job_time_s / _PORTIONS_MIN)

    @property
    def left_count(self) -> int:
        """Calls whose baseline has not been made."""
        return len(self._calls) - len(self._begun)

    async def begin_some(self) -> tuple[int, Sequence[Execution]]:
        """The baselines of the next few calls, and where among the calls they begin."""
        first = len(self._begun)
        calls = self._calls[first : first + self._next_count()]
        attempts = await attempts_of(calls)
        begun = await self._checks.baseline(self._run, self._jobs, attempts=attempts, calls=calls)
        self._begun += begun
        executions = [execution for execution, _ended in begun]
        self._executions += executions
        if self._in_portions:
            took_s = sum(each.usage.wall_time_s for each in executions if each.usage is not None)
            self._count, self._mean_s = len(calls), took_s / len(calls)
            self._unchecked_s += took_s
        return first, executions

    def _next_count(self) -> int:
        if not self._in_portions:
            return len(self._calls)
        width = self._run.width(self._jobs.baseline)
        if not self._count or self._begun[-1][0].status in DEAR:
            return width
        in_time = math.floor(self._portion_s / self._mean_s) if self._mean_s else self.left_count
        return max(width, min(_GROWTH * self._count, in_time))

    async def check(self, wanted: Sequence[int], *, is_last: bool) -> None:
        """Add to the portion, and check it if it is large enough or the last."""
        if self._checker is None:
            return
        self._unchecked += wanted
        if not is_last and self._unchecked_s < self._portion_s:
            return
        portion, self._unchecked, self._unchecked_s = self._unchecked, [], 0.0
        calls = [self._calls[index] for index in portion]
        attempts = await attempts_of(calls)
        await self._checker.vary(attempts, [self._begun[index] for index in portion])
        self._checked += portion

    async def let_go(self) -> None:
        """Free what the calls gave, which nobody is answered with."""
        outputs = [execution.output for execution in self._executions]
        if self._checker is not None:
            outputs += self._checker.outputs
        if not is_light(outputs):
            await free_aside(ASIDE_BYTES, outputs)

    async def drop_runs(self) -> None:
        """Free what the executions were made from, of 10,000 of which it takes 40 ms (measured)."""
        if len(self._begun) <= PORTION_COUNT:
            self._begun.clear()
            return

        def drop_some(_portion: object) -> None:
            del self._begun[-PORTION_COUNT:]

        await in_turns(drop_some, range(0, len(self._begun), PORTION_COUNT))

    async def executions(self, *, explain: bool) -> list[Execution]:
        """Of all calls, with what was found about those that were checked."""
        executions = self._executions
        if self._checker is not None:
            verdicts = await self._checker.verdicts(explain=explain)
            found = zip(self._checked, verdicts, strict=True)
            for index, execution in await in_turns(lambda each: _with(executions, *each), found):
                executions[index] = execution
        if len(executions) < len(self._calls):
            executions += [outcome.not_run()] * self.left_count
        return executions


def _with(
    executions: Sequence[Execution], index: int, verdict: Determinism | None
) -> tuple[int, Execution]:
    return index, executions[index].model_copy(update={"determinism": verdict})
