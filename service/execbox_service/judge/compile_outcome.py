"""From what came out of a sandbox in which a compiler ran to a program, or to why there is none.

Pure. Whatever keeps a source from being compiled within limits is about the source: the status is
``compile_error`` and says which limit it was. How the program's own runs end is in
``program_outcome``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from execbox.wire import (
    Compilation,
    ExecutionError,
    ProgramRun,
    ProgramStatus,
    Status,
    Truncated,
    Usage,
)
from execbox_service.judge import outcome
from execbox_service.judge.fetched_files import fetched_files
from execbox_service.runner_frames import Result

__all__ = ["CompileLimits", "Compiled", "judge", "memory_exceeded"]

_MESSAGE_CHARS_MAX = 4000
_ERROR = re.compile(r":\d{1,9}: (?:fatal )?error: ")
_PLACE = re.compile(r":(\d{1,9}):")
"""Behind the name of the source's own file."""


@dataclass(frozen=True, kw_only=True)
class CompileLimits:
    """What the compiler may use."""

    cpu_time_s: float
    wall_time_s: float
    memory_mb: int
    stderr_bytes: int
    program_bytes: int
    """Of the compiled program."""


@dataclass(frozen=True)
class Compiled:
    """What compiling gave: a program, or how each of its cases is to be answered."""

    compilation: Compilation
    executable: bytes | None = None
    failure: ProgramRun | None = None


def judge(result: Result, *, limits: CompileLimits, source_name: str) -> Compiled:
    """The program that the compiler left, if it left one within limits."""
    measured = result.measured
    stderr = outcome.stream_text(result.stderr, limit_bytes=limits.stderr_bytes)
    compilation = Compilation(
        stderr=stderr.text,
        truncated=measured.stderr_truncated or stderr.cut,
        usage=outcome.usage_of(measured),
    )
    error = _limit_reached(result, limits=limits)
    if error is None and measured.exit_code is None:
        ended_by = outcome.signal_name(measured.signal)
        error = _error("CompileError", f"the compiler was ended by {ended_by}")
    if error is None and measured.exit_code != 0:
        error = _refusal(compilation.stderr, source_name=source_name)
    if error is not None:
        failure = _failure(compilation, error, exit_code=measured.exit_code)
        return Compiled(compilation, failure=failure)
    for executable in fetched_files(result.files).contents.values():
        return Compiled(compilation, executable=executable)
    failure = _failure(compilation, _too_large(limits), exit_code=None)
    return Compiled(compilation, failure=failure)


def memory_exceeded(*, wall_time_s: float, limits: CompileLimits) -> Compiled:
    """Where the kernel ended the compiler's whole container for want of memory."""
    usage = Usage(
        cpu_time_s=0.0, wall_time_s=wall_time_s, peak_memory_bytes=limits.memory_mb * 2**20
    )
    compilation = Compilation(stderr="", usage=usage)
    return Compiled(compilation, failure=_failure(compilation, _no_memory(limits), exit_code=None))


def _failure(
    compilation: Compilation, error: ExecutionError, *, exit_code: int | None
) -> ProgramRun:
    return ProgramRun(
        status=ProgramStatus.COMPILE_ERROR,
        exit_code=exit_code,
        stderr=compilation.stderr,
        truncated=Truncated(stderr=compilation.truncated),
        error=error,
        usage=compilation.usage,
    )


def _limit_reached(result: Result, *, limits: CompileLimits) -> ExecutionError | None:
    at_limit = outcome.ended_at_limit(result.measured, cpu_limit_ns=round(limits.cpu_time_s * 1e9))
    if at_limit is None:
        return None
    if at_limit.status is Status.MEMORY_EXCEEDED:
        return _no_memory(limits)
    if at_limit.limit == "cpu_time":
        return _error(
            "CompileTimeout",
            f"the compiler used up {limits.cpu_time_s:g} s of CPU time, limits.compile_time_s",
        )
    return _error(
        "CompileTimeout",
        f"the compiler was not done after {limits.wall_time_s:g} s, twice limits.compile_time_s, "
        "and waited for most of them",
    )


def _no_memory(limits: CompileLimits) -> ExecutionError:
    return _error(
        "CompileMemoryExceeded",
        f"the compiler used more than {limits.memory_mb} MiB of memory; limits.memory_mb can "
        "give it more",
    )


def _too_large(limits: CompileLimits) -> ExecutionError:
    return _error(
        "CompiledTooLarge",
        f"the compiler left no program of at most {limits.program_bytes} bytes; data that the "
        "program fills when it runs takes no room in it",
    )


def _refusal(stderr: str, *, source_name: str) -> ExecutionError:
    """What a compiler said from its first error on, and the first line of the source that has one.

    What comes before the first error leads to it, through as many files as a source names.
    """
    lines = stderr.splitlines()
    first = next((index for index, line in enumerate(lines) if _ERROR.search(line)), 0)
    text = "\n".join(lines[first:]).strip() or "the compiler failed and said nothing"
    found = (_PLACE.match(line.removeprefix(source_name)) for line in lines if _ERROR.search(line))
    number = next((int(match[1]) for match in found if match), None)
    return _error("CompileError", text[:_MESSAGE_CHARS_MAX], line=number)


def _error(kind: str, message: str, *, line: int | None = None) -> ExecutionError:
    return ExecutionError(type=kind, message=message, line=line)
