"""From an execute request to its response: running, judging, checking, in that order.

No HTTP and no engine specifics. Every failure that is ours leaves as ``ServiceFailure``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from execbox.wire import (
    Call,
    Certificate,
    ComplexityLimits,
    Determinism,
    ExecuteRequest,
    ExecuteResponse,
    Execution,
    Limits,
    Status,
)
from execbox_service.engines.base import EngineFacts
from execbox_service.judge import complexity, outcome
from execbox_service.metrics import Metrics
from execbox_service.operations import certificates, determinism_check
from execbox_service.operations.job_payloads import (
    Terms,
    complexity_limits,
    function_job,
    payload_of,
    without_measuring,
)
from execbox_service.runner_frames import Result, parse_report
from execbox_service.sandboxes.driver import Attempt, Ended, Job, NotRun, OutOfMemory
from execbox_service.sandboxes.pool import Pool
from execbox_service.scheduling.admission import Admission
from execbox_service.scheduling.job_run import Work


@dataclass(frozen=True)
class Executor:
    """Runs the executions of requests on a pool, as many at once as there are slots."""

    admission: Admission
    pool: Pool
    facts: EngineFacts
    metrics: Metrics

    async def execute(self, request: ExecuteRequest, *, principal: str) -> ExecuteResponse:
        """Run every call of a request. Raises RequestFailed, which is never a verdict."""
        checks = request.checks
        rule = complexity_limits(checks.complexity, imports=self.facts.imports)
        terms = self.terms(request, principal=principal, varied=checks.determinism is not None)
        expressions = [call.expression for call in request.calls if call.expression is not None]
        job = function_job(request.function, terms, complexity=rule, expressions=expressions)
        payloads = [payload_of(call) for call in request.calls]
        async with self.working(job) as work:
            executions = await run_and_judge(work, payloads, calls=request.calls, rule=rule)
            if checks.determinism is not None:
                work.job = without_measuring(job)
                found = await determinism_check.check(
                    work,
                    payloads,
                    executions,
                    runs=checks.determinism.runs,
                    judge=judge_with(request.limits),
                )
                executions = _with_determinism(executions, found)
        self.metrics.executed(executions)
        if request.replay is not None:
            executions = certificates.with_replays(executions, request.replay, facts=self.facts)
        return ExecuteResponse(
            executions=executions,
            isolation=request.isolation,
            engine=self.facts.engine,
            image=self.facts.image,
            queue_time_s=work.queue_time_s,
            certificate=self._certificate(request, packages=without_measuring(job).packages),
        )

    @asynccontextmanager
    async def working(self, job: Job) -> AsyncIterator[Work]:
        """Work on a job, whose effort is counted however it ends."""
        work = Work(self.admission, self.pool, job)
        try:
            async with work:
                yield work
        finally:
            self.metrics.worked(work.effort)

    def _certificate(
        self, request: ExecuteRequest, *, packages: Sequence[str]
    ) -> Certificate | None:
        check = request.checks.determinism
        if check is None:
            return None
        return certificates.write(
            self.facts,
            packages=packages,
            limits=request.limits,
            runs=check.runs,
            seed=None,
            attempt=None,
        )

    def terms(self, request: certificates.Runnable, *, principal: str, varied: bool) -> Terms:
        """What a request says about how to run its calls."""
        return Terms(
            limits=request.limits,
            isolation=request.isolation,
            profile=request.profile,
            convert=request.convert,
            principal=principal,
            imports=self.facts.imports,
            varied=varied,
        )


async def run_and_judge(
    work: Work,
    payloads: Sequence[bytes],
    *,
    calls: Sequence[Call],
    rule: ComplexityLimits | None,
) -> list[Execution]:
    """The baseline: every call once, judged, with the size check where a rule is given."""
    limits = work.job.limits
    ended = await work.run([Attempt(payload) for payload in payloads])
    executions = [judged(result, limits=limits) for result in ended]
    if rule is None:
        return executions
    return [
        _with_complexity(execution, result, call=call, rule=rule)
        for execution, result, call in zip(executions, ended, calls, strict=True)
    ]


def judge_with(limits: Limits) -> determinism_check.Judge:
    """The judge of runs whose limits were multiplied."""

    def judge(ended: Ended, factor: int) -> Execution:
        return judged(ended, limits=limits, limit_factor=factor)

    return judge


def judged(ended: Ended, *, limits: Limits, limit_factor: int = 1) -> Execution:
    """One raw result as the API reports it, without the checks."""
    match ended:
        case NotRun():
            return outcome.not_run()
        case OutOfMemory(wall_time_s, memory_bytes):
            return outcome.memory_exceeded(wall_time_s=wall_time_s, memory_bytes=memory_bytes)
        case Result():
            return outcome.judge(ended, limits=limits, limit_factor=limit_factor)


def _with_complexity(
    execution: Execution, ended: Ended, *, call: Call, rule: ComplexityLimits
) -> Execution:
    report = parse_report(ended.frame) if isinstance(ended, Result) else None
    if execution.status is not Status.OK or report is None:
        return execution
    arguments = call.kwargs if call.kwargs is not None else call.args
    checked = complexity.combine(
        report.header.violations or [],
        input_value=arguments,
        output=execution.output,
        limits=rule,
    )
    return execution.model_copy(update={"complexity": checked})


def _with_determinism(
    executions: Sequence[Execution], found: Sequence[Determinism | None]
) -> list[Execution]:
    return [
        execution.model_copy(update={"determinism": result})
        for execution, result in zip(executions, found, strict=True)
    ]
