"""From what came out of a sandbox to how a program's run ended, and what its output is worth.

Pure. How a function's call ended is in ``outcome``; what the two have in common is there.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass

from execbox.wire import (
    ExpectedStdout,
    FetchedFile,
    FileLeftOut,
    Limits,
    ProgramRun,
    ProgramStatus,
    ProgramVerdict,
    Truncated,
    Usage,
)
from execbox_service.judge import outcome
from execbox_service.judge.stdout_comparison import same_stdout
from execbox_service.runner_frames import JobReport, Measured, Result

__all__ = ["judge", "memory_exceeded", "not_run", "with_verdict"]

_HEADER_LENGTH_BYTES = 4
_PATH_CHARS_MAX = 4096
_REASON_CHARS_MAX = 500
_UNREADABLE = FileLeftOut(path="", reason="the files could not be read in time")


def decide(measured: Measured, report: JobReport | None, *, cpu_limit_ns: int) -> ProgramStatus:
    """How the run ended. A program needs to report nothing: its exit code says enough."""
    at_limit = outcome.ended_at_limit(measured, cpu_limit_ns=cpu_limit_ns)
    if at_limit is not None:
        return ProgramStatus(at_limit.status.value)
    if measured.exit_code is None:
        return ProgramStatus.NO_RESULT
    if measured.exit_code == 0:
        return ProgramStatus.OK
    if report is not None and report.header.status == "invalid_code":
        return ProgramStatus.INVALID_CODE
    return ProgramStatus.EXIT_NONZERO


def judge(result: Result, *, limits: Limits, fetched: bool) -> ProgramRun:
    """The run as the API reports it, without a verdict. ``fetched``: files were asked for."""
    measured, report = result.measured, result.report
    cpu_limit_ns = round(limits.cpu_time_s * 1e9)
    status = decide(measured, report, cpu_limit_ns=cpu_limit_ns)
    at_limit = outcome.ended_at_limit(measured, cpu_limit_ns=cpu_limit_ns)
    reports_error = status in (ProgramStatus.EXIT_NONZERO, ProgramStatus.INVALID_CODE)
    stdout = outcome.stream_text(result.stdout, limit_bytes=limits.stdout_bytes)
    stderr = outcome.stream_text(result.stderr, limit_bytes=limits.stdout_bytes)
    ended_by_us = measured.killed is not None and status is not ProgramStatus.MEMORY_EXCEEDED
    files = _fetched_files(result.files) if fetched else _Files({}, [])
    return ProgramRun(
        status=status,
        exit_code=measured.exit_code,
        signal=None if ended_by_us else outcome.signal_name(measured.signal),
        limit=at_limit.limit if at_limit is not None else None,
        stdout=stdout.text,
        stderr=stderr.text,
        stdout_base64=None if _is_text(result.stdout) else b64encode(result.stdout).decode(),
        truncated=Truncated(
            stdout=measured.stdout_truncated or stdout.cut,
            stderr=measured.stderr_truncated or stderr.cut,
        ),
        files=files.by_path,
        files_left_out=files.left_out,
        error=outcome.error_of(report) if report is not None and reports_error else None,
        usage=outcome.usage_of(measured),
    )


def memory_exceeded(*, wall_time_s: float, memory_bytes: int) -> ProgramRun:
    """The run whose whole container the kernel ended for want of memory."""
    return ProgramRun(
        status=ProgramStatus.MEMORY_EXCEEDED,
        signal="SIGKILL",
        usage=Usage(cpu_time_s=0.0, wall_time_s=wall_time_s, peak_memory_bytes=memory_bytes),
    )


def not_run() -> ProgramRun:
    """A case whose turn never came."""
    return ProgramRun(status=ProgramStatus.NOT_RUN)


def with_verdict(run: ProgramRun, expected: ExpectedStdout | None) -> ProgramRun:
    """The run with what its output is worth, where something was expected of it."""
    if expected is None:
        return run
    return run.model_copy(update={"verdict": _verdict(run, expected)})


def _verdict(run: ProgramRun, expected: ExpectedStdout) -> ProgramVerdict:
    if run.status is not ProgramStatus.OK:
        return ProgramVerdict(run.status.value)
    if run.truncated.stdout:
        # Only its beginning is known, and what comes after it might be nothing but white space.
        return ProgramVerdict.OUTPUT_TOO_LARGE
    if run.stdout_base64 is not None:
        return ProgramVerdict.INCORRECT
    same = same_stdout(expected.stdout, run.stdout, comparator=expected.comparator)
    return ProgramVerdict.CORRECT if same else ProgramVerdict.INCORRECT


@dataclass(frozen=True)
class _Files:
    by_path: dict[str, FetchedFile]
    left_out: list[FileLeftOut]


def _fetched_files(data: bytes) -> _Files:
    """What a sandbox sent of a program's files: cut short, where reading them took too long.

    The names are the program's, and the form only as good as the container: nothing is believed
    that does not add up.
    """
    try:
        start = _HEADER_LENGTH_BYTES + int.from_bytes(data[:_HEADER_LENGTH_BYTES])
        told = json.loads(data[_HEADER_LENGTH_BYTES:start])
        sizes = [(str(path), int(size)) for path, size in told["sizes"].items()]
        left_out = [(str(path), str(reason)) for path, reason in told["left_out"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return _Files({}, [_UNREADABLE])
    if min((size for _path, size in sizes), default=0) < 0 or len(data) != start + sum(
        size for _path, size in sizes
    ):
        return _Files({}, [_UNREADABLE])
    by_path = {}
    for path, size in sizes:
        content = b64encode(data[start : start + size]).decode()
        by_path[path] = FetchedFile(base64=content, size_bytes=size)
        start += size
    return _Files(
        by_path,
        [
            FileLeftOut(path=path[:_PATH_CHARS_MAX], reason=reason[:_REASON_CHARS_MAX])
            for path, reason in left_out
        ],
    )


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        # What was cut off in the middle of a character was text as far as can be told.
        return error.end == len(data) and error.reason == "unexpected end of data"
    return True
