"""Compiling a program once for all its cases, in a process of its own that runs nothing of it.

Python's own compiler saves time, and a program of few cases does without; C++ needs one. What a
compiler gives goes back into sandboxes as part of a job, and is used in no other way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from execbox.wire import (
    PROGRAM_NAMES,
    Case,
    Compilation,
    ProgramLimits,
    ProgramRun,
    ProgramStatus,
    RunRequest,
)
from execbox_service.judge import compile_outcome, outcome, program_outcome
from execbox_service.judge.compile_outcome import CompileLimits
from execbox_service.operations.judging import judged_run
from execbox_service.operations.program_job import attempt_of, payload_of, size_bytes_of
from execbox_service.runner_frames import Result
from execbox_service.sandboxes.driver import Fetch, Job, NotRun, OutOfMemory
from execbox_service.scheduling.job_run import JobRun
from execbox_service.scheduling.offload import read_aside

__all__ = ["Compiled", "compiled"]

_COMPILED_FROM_CASES: Final = 3
"""Python compiled in a process of its own costs one more; from here on it is less than each doing
it."""
_COMPILED_BYTES_MAX: Final = 16 * 1024 * 1024
_COMPILED_NAME: Final = ".execbox-compiled"
"""Where a compiler leaves the program: ``COMPILED_NAME`` of the runner."""
_WALL_TIME_FACTOR: Final = 2
_STDERR_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class Compiled:
    """The job whose cases need not compile, or how all cases are answered if there is none."""

    job: Job
    failure: ProgramRun | None = None
    compilation: Compilation | None = None


async def compiled(job_run: JobRun, job: Job, request: RunRequest, *, memory_mb: int) -> Compiled:
    """``job`` as it is to be run. ``memory_mb``: what a compiler gets where limits give it less."""
    if request.program.language == "cpp":
        return await _started_compiler(job_run, job, request, memory_mb=memory_mb)
    several = len(request.cases or ()) >= _COMPILED_FROM_CASES
    if request.program.language == "python" and several:
        return await _compiled_python(job_run, job, request)
    return Compiled(job)


async def _payload(request: RunRequest, **more: object) -> bytes:
    size_bytes = size_bytes_of(request.program) + sum(
        len(value) for value in more.values() if isinstance(value, str)
    )
    return await read_aside(size_bytes, partial(payload_of, request, **more))


# A compiler that is a program of its own


async def _started_compiler(
    job_run: JobRun, job: Job, request: RunRequest, *, memory_mb: int
) -> Compiled:
    limits = _compile_limits(request.limits, memory_mb=memory_mb)
    compile_job = job._replace(
        function_payload=await _payload(request, compile_only=True),
        limits=request.limits.model_copy(
            update={
                "cpu_time_s": limits.cpu_time_s,
                "wall_time_s": limits.wall_time_s,
                "memory_mb": limits.memory_mb,
                "stdout_bytes": limits.stderr_bytes,
            }
        ),
        fetch=Fetch((_COMPILED_NAME,), bytes_max=limits.program_bytes),
    )
    (ended,) = await job_run.run(compile_job, [attempt_of(Case(), stdin=None)])
    if isinstance(ended, NotRun):
        return Compiled(job, failure=program_outcome.not_run())
    source_name = PROGRAM_NAMES[request.program.language]
    gave = await read_aside(
        _size_bytes(ended), partial(_judged, ended, limits=limits, source_name=source_name)
    )
    if gave.executable is None:
        return Compiled(job, failure=gave.failure, compilation=gave.compilation)
    runs = job._replace(source=None, executable=gave.executable)
    return Compiled(runs, compilation=gave.compilation)


def _compile_limits(limits: ProgramLimits, *, memory_mb: int) -> CompileLimits:
    return CompileLimits(
        cpu_time_s=limits.compile_time_s,
        wall_time_s=_WALL_TIME_FACTOR * limits.compile_time_s,
        memory_mb=max(limits.memory_mb, memory_mb),
        stderr_bytes=_STDERR_BYTES,
        program_bytes=_COMPILED_BYTES_MAX,
    )


def _size_bytes(ended: Result | OutOfMemory) -> int:
    return len(ended.files) + len(ended.stderr) if isinstance(ended, Result) else 0


def _judged(
    ended: Result | OutOfMemory, *, limits: CompileLimits, source_name: str
) -> compile_outcome.Compiled:
    if isinstance(ended, OutOfMemory):
        return compile_outcome.memory_exceeded(wall_time_s=ended.wall_time_s, limits=limits)
    return compile_outcome.judge(ended, limits=limits, source_name=source_name)


# Python's own


async def _compiled_python(job_run: JobRun, job: Job, request: RunRequest) -> Compiled:
    limits = request.limits.model_copy(update={"output_bytes": _COMPILED_BYTES_MAX})
    compile_job = job._replace(
        function_payload=await _payload(request, compile_only=True),
        limits=limits,
        fetch=None,
    )
    (ended,) = await job_run.run(compile_job, [attempt_of(Case(), stdin=None)])
    run = judged_run(ended, request, fetched=False)
    if run.status is not ProgramStatus.OK:
        return Compiled(job, failure=run)
    if not isinstance(ended, Result) or run.stderr:
        # The compiler's warnings are on every case's own stderr.
        return Compiled(job)
    execution = await read_aside(len(ended.frame), outcome.judge, ended, limits=limits)
    payload = await _payload(request, compiled=execution.output)
    return Compiled(job._replace(function_payload=payload))
