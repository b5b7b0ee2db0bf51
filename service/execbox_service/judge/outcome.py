"""From what came out of a sandbox to an execution's status: pure, total, one function per question.

The precedence is the contract's: ``memory_exceeded``, ``timeout``, ``no_result``, then what the
job itself reported. Only kernel evidence decides the first two.
"""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import Literal

from execbox.wire import (
    Execution,
    ExecutionError,
    Limits,
    OutputFlag,
    Status,
    Truncated,
    Usage,
)
from execbox_service.frames import Measured, Report, Result, parse_report
from execbox_service.strict_json import StrictJSONError, decode

Limit = Literal["cpu_time", "wall_time"] | None


@dataclass(frozen=True)
class Verdict:
    """A status, and with a timeout which limit it was."""

    status: Status
    limit: Limit = None


def is_hard_stop(result: Result) -> bool:
    """Whether the machine was too busy to tell: run it again alone before judging."""
    return result.measured.killed == "hard_stop" and result.measured.oom_kill_count == 0


def decide(measured: Measured, report: Report | None, *, cpu_limit_ns: int) -> Verdict:
    """How the execution ended."""
    if measured.oom_kill_count > 0:
        return Verdict(Status.MEMORY_EXCEEDED)
    if measured.killed == "cpu_time" or measured.cpu_time_ns > cpu_limit_ns:
        return Verdict(Status.TIMEOUT, "cpu_time")
    # A second hard stop, when it ran alone: the code keeps itself from running.
    if measured.killed in ("wall_time", "hard_stop"):
        return Verdict(Status.TIMEOUT, "wall_time")
    if measured.killed == "result_bytes" or measured.result_overflowed:
        return Verdict(Status.OUTPUT_TOO_LARGE)
    if report is None or measured.exit_code != 0:
        return Verdict(Status.NO_RESULT)
    return Verdict(Status(report.header.status))


def judge(result: Result, *, limits: Limits, limit_factor: int = 1) -> Execution:
    """The execution as the API reports it, without the checks."""
    measured = result.measured
    report = parse_report(result.frame)
    verdict = decide(measured, report, cpu_limit_ns=round(limits.cpu_time_s * limit_factor * 1e9))
    value = _Value()
    error = None
    if report is not None and verdict.status == report.header.status:
        error = _error(report)
        if verdict.status is Status.OK:
            value = _value(report)
            if value.error is not None:
                verdict, error = Verdict(Status.UNSERIALIZABLE), value.error
    ended_by_us = measured.killed is not None and verdict.status is not Status.MEMORY_EXCEEDED
    return Execution(
        status=verdict.status,
        output=value.output,
        output_text=value.output_text,
        output_flags=value.flags,
        error=error,
        limit=verdict.limit,
        signal=None if ended_by_us else _signal_name(measured.signal),
        exit_code=measured.exit_code,
        stdout=_text(result.stdout, limit_bytes=limits.stdout_bytes),
        stderr=_text(result.stderr, limit_bytes=limits.stdout_bytes),
        truncated=Truncated(stdout=measured.stdout_truncated, stderr=measured.stderr_truncated),
        usage=_usage(measured),
    )


def memory_exceeded(*, wall_time_s: float, memory_bytes: int) -> Execution:
    """The execution whose whole container the kernel ended for want of memory."""
    return Execution(
        status=Status.MEMORY_EXCEEDED,
        signal="SIGKILL",
        usage=Usage(cpu_time_s=0.0, wall_time_s=wall_time_s, peak_memory_bytes=memory_bytes),
    )


def not_run() -> Execution:
    """A call whose turn never came."""
    return Execution(status=Status.NOT_RUN)


@dataclass(frozen=True)
class _Value:
    output: object = None
    output_text: str | None = None
    flags: tuple[OutputFlag, ...] = ()
    error: ExecutionError | None = None


def _value(report: Report) -> _Value:
    """Decode the output; a job that calls something JSON that is not is ``unserializable``."""
    flags = tuple(dict.fromkeys(report.header.flags))
    try:
        if "non_finite" in flags:
            return _Value(output_text=_non_finite_text(report.output), flags=flags)
        return _Value(output=decode(report.output), flags=flags)
    except StrictJSONError as error:
        return _Value(error=ExecutionError(type="Unserializable", message=str(error)))
    except (ValueError, RecursionError):
        return _Value(
            error=ExecutionError(type="Unserializable", message="the output is no JSON text")
        )


def _non_finite_text(output: bytes) -> str:
    text = output.decode("utf-8")
    json.loads(text)
    return text


def _error(report: Report) -> ExecutionError | None:
    reported = report.header.error
    if reported is None:
        return None
    return ExecutionError(
        type=reported.type,
        message=reported.message,
        traceback=reported.traceback,
        line=reported.line,
    )


def _usage(measured: Measured) -> Usage:
    return Usage(
        cpu_time_s=measured.cpu_time_ns / 1e9,
        wall_time_s=measured.wall_time_ns / 1e9,
        peak_memory_bytes=measured.peak_memory_bytes,
    )


def _signal_name(number: int | None) -> str | None:
    if number is None:
        return None
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def _text(data: bytes, *, limit_bytes: int) -> str:
    """Bytes as text that is no longer than the limit in UTF-8, whatever they are."""
    text = data.decode("utf-8", "replace")
    encoded = text.encode()
    return text if len(encoded) <= limit_bytes else encoded[:limit_bytes].decode("utf-8", "ignore")
