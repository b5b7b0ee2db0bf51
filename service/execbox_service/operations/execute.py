"""The operation ``execute``: one function, run on every call, with the checks asked for.

No HTTP and no engine specifics. Every failure that is ours leaves as ``ServiceFailure``.
"""

from __future__ import annotations

from collections.abc import Sequence

from execbox.wire import Certificate, ExecuteRequest, ExecuteResponse, Execution
from execbox_service.operations import certificates
from execbox_service.operations.backend import Backend
from execbox_service.operations.checked_run import GiveUp, run_checked
from execbox_service.operations.checks import ActiveChecks
from execbox_service.operations.job_payloads import Options, function_jobs
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.offload import PORTION_COUNT, in_turns, portions, read_aside

__all__ = ["execute", "executions_of"]


async def execute(backend: Backend, request: ExecuteRequest, *, caller: Caller) -> ExecuteResponse:
    """Run every call of a request. Raises RequestFailed, which is never a verdict."""
    facts = backend.facts
    checks = ActiveChecks.of(request.checks)
    varied = checks.determinism is not None
    jobs = await read_aside(
        len(request.function.code),
        function_jobs,
        request.function,
        Options.of(request, imports=facts.imports, varied=varied),
        measured=checks.measured,
        expressions=[call.expression for call in request.calls if call.expression is not None],
    )
    gives_up = None if request.give_up_after is None else GiveUp(request.give_up_after)
    async with backend.job_run(caller, job_time_s=request.limits.job_time_s) as run:
        executions = await run_checked(run, jobs, checks, calls=request.calls, gives_up=gives_up)
    if len(executions) <= PORTION_COUNT:
        backend.metrics.executed(executions)
    else:
        await in_turns(backend.metrics.executed, portions(executions))
    if request.replay is not None:
        executions = await certificates.with_replays(executions, request.replay, facts=facts)
    return ExecuteResponse(
        executions=executions,
        isolation=request.isolation,
        engine=facts.engine,
        image=facts.image,
        queue_time_s=run.queue_time_s,
        certificate=_certificate(backend, request, packages=jobs.rerun.packages),
    )


def executions_of(response: ExecuteResponse) -> Sequence[Execution]:
    """What the log counts of an answer."""
    return response.executions


def _certificate(
    backend: Backend, request: ExecuteRequest, *, packages: Sequence[str]
) -> Certificate | None:
    check = request.checks.determinism
    if check is None or request.non_finite:
        return None
    return certificates.write(
        backend.facts,
        packages=packages,
        limits=request.limits,
        runs=check.runs,
        seed=None,
        attempt=None,
    )
