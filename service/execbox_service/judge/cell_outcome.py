"""From what came out of a session's sandbox to how its cell ended. Pure.

How executions of functions end is in ``outcome``; what the two have in common is there.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import ValidationError

from execbox.strict_json import StrictJSONError
from execbox.wire import (
    JSON_DEPTH_MAX,
    CellResponse,
    CellValue,
    ExecutionError,
    Status,
    Truncated,
    Usage,
)
from execbox_service.json_steps import decode_any
from execbox_service.judge import outcome
from execbox_service.runner_frames import CellMeasured, CellResult, JobReport, parse_report

__all__ = ["judge"]

_WHY_LOST: Final = {
    Status.TIMEOUT: "the cell did not react to being interrupted at its limit",
    Status.MEMORY_EXCEEDED: "the session used more memory than limits.memory_mb",
    Status.NO_RESULT: "the cell ended the session's process",
}
_SHOWN_DEPTH_MAX: Final = JSON_DEPTH_MAX + 1
"""A value as deep as any may be, and the object that it is shown in."""
_WHY_LEFT: Final = "its caller had gone, and the cell did not react to being interrupted"
_WHY_BROKEN: Final = "the cell wrote to the descriptor on which its end is reported"


def judge(result: CellResult, *, cell: int, stdout_bytes: int) -> CellResponse:
    """The cell as the API reports it."""
    measured = result.measured
    report = parse_report(result.frame) if measured.alive else None
    status = _status(measured, report)
    value, error = None, None
    if report is not None:
        # Of a cell that was interrupted: where it was.
        error = outcome.error_of(report)
        # With an exception where all but a figure could be shown.
        if status is Status.OK or (status is Status.EXCEPTION and report.output):
            value, no_value = _value(report)
            if no_value is not None:
                status, error = Status.UNSERIALIZABLE, no_value
    stdout = outcome.stream_text(result.stdout, limit_bytes=stdout_bytes)
    stderr = outcome.stream_text(result.stderr, limit_bytes=stdout_bytes)
    ended_by_us = measured.limit is not None or measured.oom_kill_count > 0
    return CellResponse(
        status=status,
        value=value,
        stdout=stdout.text,
        stderr=stderr.text,
        truncated=Truncated(
            stdout=measured.stdout_truncated or stdout.cut,
            stderr=measured.stderr_truncated or stderr.cut,
        ),
        error=error,
        limit=measured.limit if measured.limit in ("cpu_time", "wall_time") else None,
        signal=None if ended_by_us else outcome.signal_name(measured.signal),
        exit_code=measured.exit_code,
        usage=Usage(
            cpu_time_s=measured.cpu_time_ns / 1e9,
            wall_time_s=measured.wall_time_ns / 1e9,
            peak_memory_bytes=measured.peak_memory_bytes,
        ),
        cell=cell,
        session_lost=not measured.alive,
        lost_reason=_why_lost(measured, status),
    )


def _why_lost(measured: CellMeasured, status: Status) -> str | None:
    if measured.alive:
        return None
    if measured.limit == "interrupt" and status is Status.NO_RESULT:
        return _WHY_LEFT
    return _WHY_BROKEN if measured.limit == "result_bytes" else _WHY_LOST[status]


def _status(measured: CellMeasured, report: JobReport | None) -> Status:
    """Kernel evidence first; a cell that was interrupted is a timeout, whatever it then said."""
    if measured.oom_kill_count > 0 and not measured.alive:
        return Status.MEMORY_EXCEEDED
    if measured.limit in ("cpu_time", "wall_time"):
        return Status.TIMEOUT
    if report is None:
        return Status.NO_RESULT
    return Status(report.header.status)


def _value(report: JobReport) -> tuple[CellValue | None, ExecutionError | None]:
    """What the session's process says that the cell shows; believed in form only."""
    try:
        told: Any = decode_any(report.output, depth_max=_SHOWN_DEPTH_MAX)
        return (None if told is None else CellValue.model_validate(told)), None
    except (StrictJSONError, ValidationError):
        message = "what the cell shows is no value: it changed how this session reports"
        return None, ExecutionError(type="Unserializable", message=message)
