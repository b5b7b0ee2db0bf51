"""The operation ``run``: a whole program, once per case, and whether it printed what it should.

What is expected never leaves this process: comparing is done here. No HTTP and no engine specifics.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from execbox.wire import (
    Case,
    Compilation,
    ErrorCode,
    ExpectedStdout,
    Language,
    ProgramRun,
    ProgramStatus,
    ProgramVerdict,
    RunRequest,
    RunResponse,
    content_bytes,
)
from execbox_service.engines.base import EngineFacts
from execbox_service.failures import CallerMistake
from execbox_service.json_steps import LARGE_BYTES
from execbox_service.judge import program_outcome
from execbox_service.operations.backend import Backend
from execbox_service.operations.compiling import compiled
from execbox_service.operations.judging import judged_run
from execbox_service.operations.program_job import (
    attempt_of,
    content_length,
    is_large_case,
    program_job,
    size_bytes_of,
)
from execbox_service.runner_frames import Result
from execbox_service.sandboxes.driver import Ended, Job
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.job_run import JobRun
from execbox_service.scheduling.offload import in_turns, read_aside

__all__ = ["executions_of", "run"]

_PORTION_GROWTH: Final = 2
"""Where the first failure ends it, cases are begun in portions that grow: few are run in vain."""


async def run(backend: Backend, request: RunRequest, *, caller: Caller) -> RunResponse:
    """Run every case of a program. Raises RequestFailed, which is never a verdict."""
    facts = backend.facts
    _check_language(request.program.language, facts)
    size_bytes = size_bytes_of(request.program)
    job = await read_aside(size_bytes, program_job, request, available=frozenset(facts.imports))
    async with backend.job_run(caller, job_time_s=request.limits.job_time_s) as job_run:
        cases = _Cases(job_run, job, request, compile_memory_mb=backend.pool.limits.memory_mb)
        runs = await cases.runs()
    await in_turns(backend.metrics.executed, ([run] for run in runs))
    return RunResponse(
        runs=runs,
        compilation=cases.compilation,
        isolation=request.isolation,
        engine=facts.engine,
        image=facts.image,
        queue_time_s=job_run.queue_time_s,
    )


def _check_language(language: Language, facts: EngineFacts) -> None:
    """Raises CallerMistake where the image does not say that it has it."""
    if language in facts.languages:
        return
    hint = ""
    if facts.engine == "docker":
        hint = (
            "; `execbox image build --languages` builds an image that has bash and cpp, which the "
            "service's operator names in EXECBOX_IMAGE"
        )
    raise CallerMistake(
        ErrorCode.LANGUAGE_NOT_AVAILABLE,
        f"program.language: there is no {language} in the sandboxes of this service, engine "
        f"{facts.engine}, which have {', '.join(facts.languages)}{hint}",
        detail={
            "field": "program.language",
            "value": language,
            "available": list(facts.languages),
        },
    )


def executions_of(response: RunResponse) -> Sequence[ProgramRun]:
    """What the log counts of an answer."""
    return response.runs


class _Cases:
    """The cases of one request, run in order."""

    def __init__(
        self, job_run: JobRun, job: Job, request: RunRequest, *, compile_memory_mb: int
    ) -> None:
        self._job_run = job_run
        self._job = job
        self._request = request
        self._cases = request.cases or [Case()]
        self._compile_memory_mb = compile_memory_mb
        self._stdin: bytes | None = None
        """The program's own: one for all cases, because there can be 10,000 of them."""
        self.compilation: Compilation | None = None

    async def runs(self) -> list[ProgramRun]:
        """One run per case, in their order."""
        stdin = self._request.program.stdin
        if stdin is not None:
            self._stdin = await read_aside(content_length(stdin), content_bytes, stdin)
        ready = await compiled(
            self._job_run, self._job, self._request, memory_mb=self._compile_memory_mb
        )
        self.compilation = ready.compilation
        if ready.failure is not None:
            return await self._all_failed(ready.failure)
        if not self._request.stop_at_first_failure:
            return await self._some(ready.job, self._cases)
        return await self._until_failure(ready.job)

    async def _all_failed(self, failure: ProgramRun) -> list[ProgramRun]:
        """What does not compile does not compile for any case."""

        def failed(case: Case) -> ProgramRun:
            return program_outcome.with_verdict(failure, self._expected(case))

        if self._request.stop_at_first_failure:
            return await self._ended([failed(self._cases[0])])
        return await in_turns(failed, self._cases)

    async def _until_failure(self, job: Job) -> list[ProgramRun]:
        runs: list[ProgramRun] = []
        count = 1
        while len(runs) < len(self._cases):
            runs += await self._some(job, self._cases[len(runs) : len(runs) + count])
            if any(map(_failed, runs[-count:])):
                break
            count *= _PORTION_GROWTH
        return await self._ended(runs)

    async def _ended(self, runs: Sequence[ProgramRun]) -> list[ProgramRun]:
        """The runs up to the first that failed, and ``not_run`` in the place of every later one."""
        first = next((index for index, run in enumerate(runs) if _failed(run)), len(runs) - 1)
        begun = runs[: first + 1]
        return [*begun, *await in_turns(self._not_run, self._cases[len(begun) :])]

    def _not_run(self, case: Case) -> ProgramRun:
        return program_outcome.with_verdict(program_outcome.not_run(), self._expected(case))

    async def _some(self, job: Job, cases: Sequence[Case]) -> list[ProgramRun]:
        attempt = partial(attempt_of, stdin=self._stdin)
        attempts = await in_turns(attempt, cases, is_large=is_large_case)
        ended = await self._job_run.run(job, attempts)

        def judged(each: tuple[Ended, Case]) -> ProgramRun:
            result, case = each
            run = judged_run(result, self._request, fetched=job.fetch is not None)
            return program_outcome.with_verdict(run, self._expected(case))

        pairs = zip(ended, cases, strict=True)
        return await in_turns(judged, pairs, is_large=lambda each: _is_large_result(each[0]))

    def _expected(self, case: Case) -> ExpectedStdout | None:
        return case.expected or self._request.expected


def _failed(run: ProgramRun) -> bool:
    return run.status is not ProgramStatus.OK or run.verdict not in (None, ProgramVerdict.CORRECT)


def _is_large_result(ended: Ended) -> bool:
    if not isinstance(ended, Result):
        return False
    return len(ended.files) + len(ended.frame) + len(ended.stdout) >= LARGE_BYTES
