"""From what came out of a sandbox to an execution's status: pure, total, one function per question.

The precedence is the contract's: ``memory_exceeded``, ``timeout``, ``no_result``, then what the
job itself reported. Only kernel evidence decides the first two.
"""

from __future__ import annotations

import signal
from typing import Final, Literal, NamedTuple

from execbox.strict_json import StrictJSONError
from execbox.wire import (
    Execution,
    ExecutionError,
    Limits,
    OutputFlag,
    Status,
    Truncated,
    Usage,
)
from execbox_service.json_steps import decode_any
from execbox_service.runner_frames import JobReport, Measured, Result

Limit = Literal["cpu_time", "wall_time"] | None


class Ending(NamedTuple):
    """A status, and with a timeout which limit it was."""

    status: Status
    limit: Limit = None


_REPORTED: Final = {status.value: Ending(status) for status in Status}
_NOT_TRUNCATED: Final = Truncated(stdout=False, stderr=False)


def was_starved(result: Result, *, wall_time_s: float, cpu_count: float) -> bool:
    """Whether one that was stopped had not been given the CPU time that its wall limit has room
    for on so many cores: then it is the machine that kept it from running, and not its own
    threads, which wait for each other. It is run again alone before it is judged."""
    measured = result.measured
    was_stopped = measured.killed == "hard_stop" and measured.oom_kill_count == 0
    return was_stopped and measured.cpu_time_ns < wall_time_s * cpu_count * 1e9


def ended_at_limit(measured: Measured, *, cpu_limit_ns: int) -> Ending | None:
    """Which limit ended it, by the kernel's evidence alone; None where none did."""
    if measured.oom_kill_count > 0:
        return Ending(Status.MEMORY_EXCEEDED)
    killed = measured.killed
    if killed == "cpu_time" or measured.cpu_time_ns > cpu_limit_ns:
        return Ending(Status.TIMEOUT, "cpu_time")
    # A hard stop of what had its CPU time: its own threads wait for each other.
    if killed in ("wall_time", "hard_stop"):
        return Ending(Status.TIMEOUT, "wall_time")
    if killed == "result_bytes" or measured.result_overflowed:
        return Ending(Status.OUTPUT_TOO_LARGE)
    return None


def decide(measured: Measured, report: JobReport | None, *, cpu_limit_ns: int) -> Ending:
    """How the execution ended."""
    at_limit = ended_at_limit(measured, cpu_limit_ns=cpu_limit_ns)
    if at_limit is not None:
        return at_limit
    if report is None or measured.exit_code != 0:
        return Ending(Status.NO_RESULT)
    return _REPORTED[report.header.status]


def judge(result: Result, *, limits: Limits, limit_factor: int = 1) -> Execution:
    """The execution as the API reports it, without the checks."""
    measured = result.measured
    report = result.report
    ending = decide(measured, report, cpu_limit_ns=round(limits.cpu_time_s * limit_factor * 1e9))
    value, error = _NO_VALUE, None
    if report is not None and ending.status == report.header.status:
        if ending.status is Status.OK:
            value = _value(report, limit_bytes=limits.output_bytes)
            ending, error = _REPORTED[value.status], value.error
        else:
            error = error_of(report)
    stdout = stream_text(result.stdout, limit_bytes=limits.stdout_bytes)
    stderr = stream_text(result.stderr, limit_bytes=limits.stdout_bytes)
    stdout_cut = measured.stdout_truncated or stdout.cut
    stderr_cut = measured.stderr_truncated or stderr.cut
    truncated = _NOT_TRUNCATED
    if stdout_cut or stderr_cut:
        truncated = Truncated(stdout=stdout_cut, stderr=stderr_cut)
    ended_by_us = measured.killed is not None and ending.status is not Status.MEMORY_EXCEEDED
    return Execution(
        status=ending.status,
        output=value.output,
        output_text=value.output_text,
        output_flags=value.flags,
        error=error,
        limit=ending.limit,
        signal=None if ended_by_us else signal_name(measured.signal),
        exit_code=measured.exit_code,
        stdout=stdout.text,
        stderr=stderr.text,
        truncated=truncated,
        usage=usage_of(measured),
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


class _Value(NamedTuple):
    status: Status = Status.OK
    output: object = None
    output_text: str | None = None
    flags: tuple[OutputFlag, ...] = ()
    error: ExecutionError | None = None


_NO_VALUE = _Value()


def _value(report: JobReport, *, limit_bytes: int) -> _Value:
    """Decode the output. The job checked it, but a job can lie: size and form are ours to keep."""
    output = report.output
    if len(output) > limit_bytes:
        return _refused(
            Status.OUTPUT_TOO_LARGE,
            f"the output is {len(output)} bytes of JSON, the limit is {limit_bytes}",
        )
    try:
        if not report.header.flags:
            return _Value(Status.OK, decode_any(output))
        flags = tuple(dict.fromkeys(report.header.flags))
        if "non_finite" in flags:
            return _Value(output_text=_non_finite_text(output), flags=flags)
        return _Value(output=decode_any(output), flags=flags)
    except StrictJSONError as error:
        return _refused(Status.UNSERIALIZABLE, f"the output is no strict JSON text: {error}")


def _refused(status: Status, message: str) -> _Value:
    kind = "OutputTooLarge" if status is Status.OUTPUT_TOO_LARGE else "Unserializable"
    return _Value(status=status, error=ExecutionError(type=kind, message=message))


def _non_finite_text(output: bytes) -> str:
    """The text of a value with NaN or infinities; otherwise as strict as any other."""
    decode_any(output, non_finite=True)
    return output.decode("utf-8")


def error_of(report: JobReport) -> ExecutionError | None:
    """What the job says went wrong in its code."""
    reported = report.header.error
    if reported is None:
        return None
    return ExecutionError(
        type=reported.type,
        message=reported.message,
        traceback=reported.traceback,
        line=reported.line,
    )


def usage_of(measured: Measured) -> Usage:
    """What the kernel measured, in the API's units."""
    return Usage(
        cpu_time_s=measured.cpu_time_ns / 1e9,
        wall_time_s=measured.wall_time_ns / 1e9,
        peak_memory_bytes=measured.peak_memory_bytes,
    )


def signal_name(number: int | None) -> str | None:
    """``SIGSEGV`` for 11; real-time signals have no name of their own."""
    if number is None:
        return None
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


class StreamText(NamedTuple):
    """What is shown of a stream, and whether it is shorter than what was kept of it."""

    text: str
    cut: bool


_NO_TEXT = StreamText("", cut=False)


def stream_text(data: bytes, *, limit_bytes: int) -> StreamText:
    """Bytes as text that is no longer than the limit in UTF-8, whatever they are."""
    if not data:
        return _NO_TEXT
    text = data.decode("utf-8", "replace")
    encoded = text.encode()
    if len(encoded) <= limit_bytes:
        return StreamText(text, cut=False)
    return StreamText(encoded[:limit_bytes].decode("utf-8", "ignore"), cut=True)
