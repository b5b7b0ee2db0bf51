"""The operation ``run``: a whole program, once per case, and whether it printed what it should.

What is expected never leaves this process: comparing is done here. No HTTP and no engine specifics.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from execbox.wire import (
    Base64Content,
    Case,
    Content,
    ExpectedStdout,
    Program,
    ProgramRun,
    ProgramStatus,
    ProgramVerdict,
    RunRequest,
    RunResponse,
    content_bytes,
)
from execbox_service.engines.container_spec import EXTRA_MEMORY_MB
from execbox_service.json_steps import LARGE_BYTES, encode_in_steps
from execbox_service.judge import outcome, program_outcome
from execbox_service.operations.backend import Backend
from execbox_service.operations.package_guess import guess_packages
from execbox_service.runner_frames import Result
from execbox_service.sandboxes.driver import (
    Attempt,
    Ended,
    Fetch,
    Job,
    NotRun,
    OutOfMemory,
    call_payload,
)
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.job_run import JobRun
from execbox_service.scheduling.offload import in_turns, read_aside

__all__ = ["executions_of", "run"]

_COMPILED_FROM_CASES: Final = 3
"""Compiling in a process of its own costs one more; from here on it is less than each doing it."""
_COMPILED_BYTES_MAX: Final = 16 * 1024 * 1024
_PORTION_GROWTH: Final = 2
"""Where the first failure ends it, cases are begun in portions that grow: few are run in vain."""


async def run(backend: Backend, request: RunRequest, *, caller: Caller) -> RunResponse:
    """Run every case of a program. Raises RequestFailed, which is never a verdict."""
    facts = backend.facts
    cases = request.cases or [Case()]
    size_bytes = _size_bytes(request.program)
    job = await read_aside(size_bytes, _job, request, available=frozenset(facts.imports))
    async with backend.job_run(caller, job_time_s=request.limits.job_time_s) as job_run:
        runs = await _Cases(job_run, job, request, cases).runs()
    await in_turns(backend.metrics.executed, ([run] for run in runs))
    return RunResponse(
        runs=runs,
        isolation=request.isolation,
        engine=facts.engine,
        image=facts.image,
        queue_time_s=job_run.queue_time_s,
    )


def executions_of(response: RunResponse) -> Sequence[ProgramRun]:
    """What the log counts of an answer."""
    return response.runs


def _job(request: RunRequest, *, available: frozenset[str]) -> Job:
    packages = guess_packages([request.program.code], available=available, prelude="none")
    large = any(name.split(".")[0] in available for name in packages)
    fetch = None
    if request.program.fetch:
        fetch = Fetch(tuple(request.program.fetch), bytes_max=request.limits.files_bytes)
    return Job(
        function_payload=_program_payload(request),
        packages=packages,
        profile=request.profile,
        limits=request.limits,
        isolation=request.isolation,
        extra_memory_mb=EXTRA_MEMORY_MB if large and request.isolation == "process" else 0,
        program=request.program.code.encode(),
        fetch=fetch,
    )


def _size_bytes(program: Program) -> int:
    """Roughly, of what there is to write of a program."""
    files_length = sum(map(_length, program.files.values()))
    return len(program.code) + files_length + sum(map(len, program.arguments))


def _length(content: Content | None) -> int:
    if content is None:
        return 0
    return len(content if isinstance(content, str) else content.base64)


def _program_payload(request: RunRequest, **more: object) -> bytes:
    """The keys are the contract with ``execbox_runner/program.py``."""
    program = request.program
    payload = {"files": _encoded_files(program.files), "arguments": program.arguments, **more}
    return b"".join(piece.encode("ascii") for piece in encode_in_steps({"program": payload}))


def _encoded_files(files: dict[str, Content] | None) -> dict[str, str]:
    return {path: _base64(content) for path, content in (files or {}).items()}


def _base64(content: Content) -> str:
    if isinstance(content, Base64Content):
        return content.base64
    return b2a_base64(content.encode(), newline=False).decode()


@dataclass(frozen=True)
class _Compiled:
    """The job whose cases need not compile, or what compiling gave if it gave no code."""

    job: Job
    failure: ProgramRun | None = None


class _Cases:
    """The cases of one request, run in order."""

    def __init__(
        self, job_run: JobRun, job: Job, request: RunRequest, cases: Sequence[Case]
    ) -> None:
        self._job_run = job_run
        self._job = job
        self._request = request
        self._cases = cases
        self._stdin: bytes | None = None
        """The program's own: one for all cases, because there can be 10,000 of them."""

    async def runs(self) -> list[ProgramRun]:
        """One run per case, in their order."""
        stdin = self._request.program.stdin
        if stdin is not None:
            self._stdin = await read_aside(_length(stdin), content_bytes, stdin)
        job = self._job
        if len(self._cases) >= _COMPILED_FROM_CASES:
            compiled = await self._compiled()
            if compiled.failure is not None:
                return await self._all_failed(compiled.failure)
            job = compiled.job
        if not self._request.stop_at_first_failure:
            return await self._some(job, self._cases)
        return await self._until_failure(job)

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
        attempts = await in_turns(self._attempt, cases, is_large=_is_large)
        ended = await self._job_run.run(job, attempts)

        def judged(each: tuple[Ended, Case]) -> ProgramRun:
            result, case = each
            return program_outcome.with_verdict(self._judged(result), self._expected(case))

        pairs = zip(ended, cases, strict=True)
        return await in_turns(judged, pairs, is_large=lambda each: _is_large_result(each[0]))

    def _judged(self, ended: Ended) -> ProgramRun:
        match ended:
            case NotRun():
                return program_outcome.not_run()
            case OutOfMemory(wall_time_s, memory_bytes):
                return program_outcome.memory_exceeded(
                    wall_time_s=wall_time_s, memory_bytes=memory_bytes
                )
            case Result():
                fetched = self._job.fetch is not None
                return program_outcome.judge(ended, limits=self._request.limits, fetched=fetched)

    def _attempt(self, case: Case) -> Attempt:
        """What the case leaves out is not repeated for it: the runner takes it from the program."""
        call: dict[str, object] = {"files": _encoded_files(case.files)}
        if case.arguments is not None:
            call["arguments"] = case.arguments
        stdin = self._stdin if case.stdin is None else content_bytes(case.stdin)
        return Attempt(call_payload(call), stdin=stdin)

    def _expected(self, case: Case) -> ExpectedStdout | None:
        return case.expected or self._request.expected

    # Compiling once for all cases

    async def _payload(self, **more: object) -> bytes:
        size_bytes = _size_bytes(self._request.program) + sum(
            len(value) for value in more.values() if isinstance(value, str)
        )
        return await read_aside(size_bytes, partial(_program_payload, self._request, **more))

    async def _compiled(self) -> _Compiled:
        """Compile in a process of its own, which runs nothing of the program."""
        limits = self._request.limits.model_copy(update={"output_bytes": _COMPILED_BYTES_MAX})
        job = replace(
            self._job,
            function_payload=await self._payload(compile_only=True),
            limits=limits,
            fetch=None,
        )
        (ended,) = await self._job_run.run(job, [self._attempt(Case())])
        run = self._judged(ended)
        if run.status is not ProgramStatus.OK:
            return _Compiled(self._job, failure=run)
        if not isinstance(ended, Result) or run.stderr:
            # The compiler's warnings are on every case's own stderr.
            return _Compiled(self._job)
        execution = await read_aside(len(ended.frame), outcome.judge, ended, limits=limits)
        payload = await self._payload(compiled=execution.output)
        return _Compiled(replace(self._job, function_payload=payload))


def _failed(run: ProgramRun) -> bool:
    return run.status is not ProgramStatus.OK or run.verdict not in (None, ProgramVerdict.CORRECT)


def _is_large(case: Case) -> bool:
    arguments_length = sum(map(len, case.arguments or ()))
    return bool(case.files) or _length(case.stdin) + arguments_length >= LARGE_BYTES


def _is_large_result(ended: Ended) -> bool:
    if not isinstance(ended, Result):
        return False
    return len(ended.files) + len(ended.frame) + len(ended.stdout) >= LARGE_BYTES
