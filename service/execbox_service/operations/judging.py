"""From what a job run gives to executions and runs as the API reports them, without the checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from execbox.wire import Execution, Limits, ProgramRun, RunRequest
from execbox_service.json_steps import LARGE_BYTES
from execbox_service.judge import outcome, program_outcome
from execbox_service.runner_frames import Result
from execbox_service.sandboxes.driver import Ended, NotRun, OutOfMemory

__all__ = ["Judge", "is_large", "is_quick", "judge_with", "judged", "judged_run"]

_QUICK_BYTES: Final = LARGE_BYTES // 16

Judge = Callable[[Ended, int], Execution]
"""From a raw result and the factor its limits were multiplied by to an execution."""


def judge_with(limits: Limits) -> Judge:
    """The judge of runs whose limits were multiplied."""

    def judge(ended: Ended, factor: int) -> Execution:
        return judged(ended, limits=limits, limit_factor=factor)

    return judge


def judged(ended: Ended, *, limits: Limits, limit_factor: int = 1) -> Execution:
    """One raw result as an execution."""
    if isinstance(ended, Result):
        return outcome.judge(ended, limits=limits, limit_factor=limit_factor)
    match ended:
        case NotRun():
            return outcome.not_run()
        case OutOfMemory(wall_time_s, memory_bytes):
            return outcome.memory_exceeded(wall_time_s=wall_time_s, memory_bytes=memory_bytes)


def judged_run(ended: Ended, request: RunRequest, *, fetched: bool) -> ProgramRun:
    """One raw result of a program. ``fetched``: files were asked for."""
    match ended:
        case NotRun():
            return program_outcome.not_run()
        case OutOfMemory(wall_time_s, memory_bytes):
            return program_outcome.memory_exceeded(
                wall_time_s=wall_time_s, memory_bytes=memory_bytes
            )
        case Result():
            return program_outcome.judge(
                ended, limits=request.limits, language=request.program.language, fetched=fetched
            )


def is_quick(ended: Ended) -> bool:
    """Whether judging it takes so little that the event loop need not have a turn after it."""
    return not isinstance(ended, Result) or len(ended.frame) < _QUICK_BYTES


def is_large(ended: Ended) -> bool:
    """Whether judging it takes so long that it is done beside the event loop."""
    return isinstance(ended, Result) and len(ended.frame) >= LARGE_BYTES
