"""From an execute request to its response: admission, sandboxes, judging, in that order.

No HTTP and no engine specifics. Every failure that is ours leaves as ``ServiceFailure``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from execbox.wire import (
    Call,
    ComplexityLimits,
    Execution,
    ExecuteRequest,
    ExecuteResponse,
)
from execbox_service.admission import Admission
from execbox_service.engines.base import EngineFacts
from execbox_service.frames import Result
from execbox_service.imports import guess_packages
from execbox_service.judge import outcome
from execbox_service.pool import Pool
from execbox_service.session import (
    Attempt,
    Ended,
    Job,
    NotRun,
    OutOfMemory,
    Session,
    call_payload,
)


@dataclass(frozen=True)
class Executor:
    """Runs the executions of requests on a pool, as many at once as there are slots."""

    admission: Admission
    pool: Pool
    facts: EngineFacts

    async def execute(self, request: ExecuteRequest, *, principal: str) -> ExecuteResponse:
        """Run every call of a request. Raises Overloaded or ServiceFailure, never a verdict."""
        job = self._job(request, principal)
        attempts = [Attempt(_call_payload(call)) for call in request.calls]
        async with self.admission.slot(principal=principal) as queue_time_s:
            ended = await self._run(job, attempts)
        ended = await self._again_alone(job, attempts, ended)
        return ExecuteResponse(
            executions=[_judged(result, request) for result in ended],
            isolation=request.isolation,
            engine=self.facts.engine,
            image=self.facts.image,
            queue_time_s=queue_time_s,
        )

    async def _run(self, job: Job, attempts: list[Attempt]) -> list[Ended]:
        session = Session(self.pool, job)
        finished = False
        try:
            ended = await session.run(attempts)
            finished = True
        finally:
            session.close(reusable=finished)
        return ended

    async def _again_alone(
        self, job: Job, attempts: list[Attempt], ended: list[Ended]
    ) -> list[Ended]:
        """Run again, with the machine to itself, what was stopped without being over a limit."""
        stopped = [
            index
            for index, result in enumerate(ended)
            if isinstance(result, Result) and outcome.is_hard_stop(result)
        ]
        if not stopped:
            return ended
        async with self.admission.slot(principal=job.principal, alone=True):
            again = await self._run(job, [attempts[index] for index in stopped])
        better = list(ended)
        for index, result in zip(stopped, again, strict=True):
            better[index] = result
        return better

    def _job(self, request: ExecuteRequest, principal: str) -> Job:
        function, checks = request.function, request.checks
        complexity = checks.complexity
        if complexity == "codeio":
            complexity = ComplexityLimits()
        payload = {
            "code": function.code,
            "entry_point": function.entry_point,
            "prelude": function.prelude,
            "convert": request.convert,
            "output_bytes": request.limits.output_bytes,
            "complexity": complexity.model_dump() if complexity is not None else None,
        }
        texts = [function.code, *(call.expression for call in request.calls if call.expression)]
        packages = guess_packages(
            texts, available=self.facts.import_names, prelude=function.prelude
        )
        if complexity is not None:
            packages = tuple(sorted({*packages, "pympler.asizeof"}))
        return Job(
            function_payload=json.dumps(payload, separators=(",", ":")).encode(),
            packages=packages,
            profile=request.profile,
            limits=request.limits,
            isolation=request.isolation,
            principal=principal,
        )


def _call_payload(call: Call) -> bytes:
    (name,) = call.model_fields_set
    return call_payload({name: getattr(call, name)})


def _judged(ended: Ended, request: ExecuteRequest) -> Execution:
    match ended:
        case NotRun():
            return outcome.not_run()
        case OutOfMemory(wall_time_s, memory_bytes):
            return outcome.memory_exceeded(wall_time_s=wall_time_s, memory_bytes=memory_bytes)
        case Result():
            return outcome.judge(ended, limits=request.limits)
