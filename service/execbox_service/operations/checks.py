"""The checks of executions: the one place that names the parts of each.

=============== ======================== ==================== ======================= =============
check           asked for by (``wire``)  answered (``wire``)  in the runner           in ``judge``
=============== ======================== ==================== ======================= =============
``complexity``  ``ComplexityLimits``     ``Complexity``       ``complexity``          ``complexity``
``determinism`` ``DeterminismCheck``     ``Determinism``      ``elsewhere, freeze``   ``sameness``
=============== ======================== ==================== ======================= =============

A check is a field of ``wire.Checks`` and, by the same name, of ``wire.Execution``. It either has
the runner measure something in the baseline, or runs the calls again after it. A new check is its
two models in ``wire`` and a class here, named in ``ActiveChecks``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from execbox.wire import Call, Checks, ComplexityLimits, Execution, Limits, Status
from execbox_service.judge import complexity
from execbox_service.operations.determinism_check import Checker
from execbox_service.operations.job_payloads import Jobs, Measured, is_large_call
from execbox_service.operations.judging import is_large, is_quick, judge_with, judged
from execbox_service.runner_frames import ReportedViolation, Result
from execbox_service.sandboxes.driver import Attempt, Ended
from execbox_service.scheduling.job_run import JobRun
from execbox_service.scheduling.offload import in_turns

__all__ = ["ActiveChecks", "DeterminismCheck", "SizeCheck"]


@dataclass(frozen=True)
class SizeCheck:
    """``complexity``: the object-size rule on input and output, measured in the baseline."""

    rule: ComplexityLimits

    @classmethod
    def asked(cls, checks: Checks) -> Self | None:
        if checks.complexity is None:
            return None
        return cls(ComplexityLimits() if checks.complexity == "codeio" else checks.complexity)

    @property
    def measured(self) -> Measured:
        return Measured("complexity", self.rule.model_dump())

    def checked(self, execution: Execution, ended: Ended, *, call: Call) -> Execution:
        """The execution with what the job measured, and what its decoded values show besides."""
        if execution.status is not Status.OK:
            return execution
        found = complexity.combine(
            reported_violations(ended),
            input_value=call.kwargs if call.kwargs is not None else call.args,
            output=execution.output,
            limits=self.rule,
        )
        return execution.model_copy(update={"complexity": found})


@dataclass(frozen=True)
class DeterminismCheck:
    """``determinism``: every call whose baseline is ``ok`` run again under variation."""

    runs: int

    @classmethod
    def asked(cls, checks: Checks) -> Self | None:
        return cls(checks.determinism.runs) if checks.determinism is not None else None

    def checker(self, run: JobRun, jobs: Jobs, *, call_count: int) -> Checker:
        judge = judge_with(jobs.rerun.limits)
        return Checker(run, jobs, runs=self.runs, call_count=call_count, judge=judge)


class ActiveChecks(NamedTuple):
    """The checks that one request asks for."""

    size: SizeCheck | None
    determinism: DeterminismCheck | None

    @classmethod
    def of(cls, checks: Checks) -> Self:
        if checks.complexity is None and checks.determinism is None:
            return cls(None, None)
        return cls(SizeCheck.asked(checks), DeterminismCheck.asked(checks))

    @property
    def measured(self) -> list[Measured]:
        """What the runner measures in the baseline."""
        return [self.size.measured] if self.size is not None else []

    async def baseline(
        self, run: JobRun, jobs: Jobs, *, attempts: Sequence[Attempt], calls: Sequence[Call]
    ) -> list[tuple[Execution, Ended]]:
        """Every call once, judged, with the checks that are made in the baseline; and the raw
        result that each was judged by."""
        limits: Limits = jobs.baseline.limits
        ended = await run.run(jobs.baseline, attempts)
        size = self.size

        if len(ended) == 1 and size is None and is_quick(ended[0]):
            return [(judged(ended[0], limits=limits), ended[0])]

        def takes_long(each: tuple[Ended, Call]) -> bool:
            result, call = each
            return is_large(result) or (size is not None and is_large_call(call))

        def checked(each: tuple[Ended, Call]) -> tuple[Execution, Ended]:
            result, call = each
            execution = judged(result, limits=limits)
            if size is not None:
                execution = size.checked(execution, result, call=call)
            return execution, result

        pairs = zip(ended, calls, strict=True)
        return await in_turns(checked, pairs, is_large=takes_long)


def reported_violations(ended: Ended) -> list[ReportedViolation]:
    """The breaches of the object-size rule that a job reports of itself."""
    report = ended.report if isinstance(ended, Result) else None
    return list(report.header.violations or []) if report is not None else []
