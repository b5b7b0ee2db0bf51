"""From what came out of a sandbox to how a program's run ended, and what its output is worth.

Pure. How a function's call ended is in ``outcome``; what the two have in common is there.
"""

from __future__ import annotations

import signal
from base64 import b64encode
from typing import Final

from execbox.wire import (
    ExpectedStdout,
    FetchedFile,
    Language,
    Limits,
    ProgramRun,
    ProgramStatus,
    ProgramVerdict,
    Truncated,
    Usage,
)
from execbox_service.judge import outcome
from execbox_service.judge.fetched_files import FetchedFiles, fetched_files
from execbox_service.judge.stdout_comparison import same_stdout
from execbox_service.runner_frames import JobReport, Measured, Result

__all__ = ["judge", "memory_exceeded", "not_run", "with_verdict"]

_SHELL_SIGNAL_BASE: Final = 128
_SIGNALS: Final = frozenset(signal.Signals)


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


def judge(result: Result, *, limits: Limits, language: Language, fetched: bool) -> ProgramRun:
    """The run as the API reports it, without a verdict. ``fetched``: files were asked for."""
    measured, report = result.measured, result.report
    cpu_limit_ns = round(limits.cpu_time_s * 1e9)
    status = decide(measured, report, cpu_limit_ns=cpu_limit_ns)
    at_limit = outcome.ended_at_limit(measured, cpu_limit_ns=cpu_limit_ns)
    reports_error = status in (ProgramStatus.EXIT_NONZERO, ProgramStatus.INVALID_CODE)
    stdout = outcome.stream_text(result.stdout, limit_bytes=limits.stdout_bytes)
    stderr = outcome.stream_text(result.stderr, limit_bytes=limits.stdout_bytes)
    ended_by_us = measured.killed is not None and status is not ProgramStatus.MEMORY_EXCEEDED
    files = fetched_files(result.files) if fetched else FetchedFiles()
    return ProgramRun(
        status=status,
        exit_code=measured.exit_code,
        signal=None if ended_by_us else _signal_name(measured, language),
        limit=at_limit.limit if at_limit is not None else None,
        stdout=stdout.text,
        stderr=stderr.text,
        stdout_base64=_bytes_of_no_text(result.stdout, truncated=measured.stdout_truncated),
        truncated=Truncated(
            stdout=measured.stdout_truncated or stdout.cut,
            stderr=measured.stderr_truncated or stderr.cut,
        ),
        files={path: _as_sent(content) for path, content in files.contents.items()},
        files_left_out=files.left_out,
        error=outcome.error_of(report) if report is not None and reports_error else None,
        usage=outcome.usage_of(measured),
    )


def _signal_name(measured: Measured, language: Language) -> str | None:
    """Which signal ended it: a shell ends with 128 and the number of the one that ended what it
    started last, or its script means to say so."""
    if language == "bash" and measured.exit_code is not None:
        number = measured.exit_code - _SHELL_SIGNAL_BASE
        return outcome.signal_name(number) if number in _SIGNALS else None
    return outcome.signal_name(measured.signal)


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


def _as_sent(content: bytes) -> FetchedFile:
    return FetchedFile(base64=b64encode(content).decode(), size_bytes=len(content))


def _bytes_of_no_text(stdout: bytes, *, truncated: bool) -> str | None:
    """What cannot be told from the text: null for all that is UTF-8."""
    try:
        stdout.decode()
    except UnicodeDecodeError as error:
        # What was cut off in the middle of a character was text as far as can be told.
        at_its_end = error.end == len(stdout) and error.reason == "unexpected end of data"
        return None if truncated and at_its_end else b64encode(stdout).decode()
    return None
