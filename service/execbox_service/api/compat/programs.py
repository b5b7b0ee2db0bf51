"""Programs as the contracts have them: one time limit, one memory limit, perhaps none.

From what a client asks for to limits within the operator's, with a sentence for each that was
changed; and from how a run ended to the exit code that a shell would say. Pure.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from execbox.wire import ProgramRun, ProgramStatus
from execbox_service.operations.policy import limits_default, limits_max
from execbox_service.settings import Settings

__all__ = ["Granted", "exit_code_of", "granted", "isolation_of"]

_CPU_TIME_MIN_S: Final = 0.01
_WALL_TIME_MIN_S: Final = 0.05
_COMPILE_TIME_MIN_S: Final = 0.1
_MEMORY_MIN_MB: Final = 16
_SIGNAL_BASE: Final = 128
_KILLED: Final = _SIGNAL_BASE + signal.SIGKILL


@dataclass(frozen=True)
class Granted:
    """The limits that a program is run under."""

    limits: Mapping[str, Any]
    """As the API has them."""
    notes: tuple[str, ...] = ()
    """A sentence for each that is not what was asked for."""


def granted(
    settings: Settings,
    *,
    time_s: float | None = None,
    memory_mb: int | None = None,
    compile_time_s: float | None = None,
) -> Granted:
    """Limits for ``time_s`` seconds of running, ``memory_mb`` mebibytes and ``compile_time_s``
    seconds of compiling, or the service's own.

    These contracts count elapsed time only: CPU time is as much as the container's CPUs have in it.
    """
    maxima, defaults = limits_max(settings), limits_default(settings)
    limits = {name: maxima[name] for name in ("stdout_bytes", "files_bytes", "job_time_s")}
    limits |= {name: defaults[name] for name in ("cpu_time_s", "wall_time_s", "memory_mb")}
    notes = []
    if time_s is not None:
        cpu_time_s = time_s * max(1.0, settings.container_cpu_count)
        limits["wall_time_s"] = _within(time_s, _WALL_TIME_MIN_S, maxima["wall_time_s"])
        limits["cpu_time_s"] = _within(cpu_time_s, _CPU_TIME_MIN_S, maxima["cpu_time_s"])
        if limits["wall_time_s"] != time_s or limits["cpu_time_s"] < time_s:
            notes.append(
                f"the time limit of {time_s:g} s is not what this service permits: it was run with "
                f"{limits['wall_time_s']:g} s of elapsed time and {limits['cpu_time_s']:g} s of "
                "CPU time"
            )
    if compile_time_s is not None:
        most_s = maxima["compile_time_s"]
        limits["compile_time_s"] = _within(compile_time_s, _COMPILE_TIME_MIN_S, most_s)
    if memory_mb is not None:
        limits["memory_mb"] = int(_within(memory_mb, _MEMORY_MIN_MB, maxima["memory_mb"]))
        if limits["memory_mb"] != memory_mb:
            notes.append(
                f"the memory limit of {memory_mb} MiB is not what this service permits: it was run "
                f"with {limits['memory_mb']} MiB"
            )
    return Granted(limits, tuple(notes))


def _within(asked: float, least: float, most: float) -> float:
    return min(max(asked, least), most)


def isolation_of(settings: Settings) -> str:
    """What bulk work of one key is run at, where the operator permits it."""
    allowed = settings.isolation_allowed
    return "process" if "process" in allowed else allowed[0]


def exit_code_of(run: ProgramRun) -> int:
    """What a shell says of it: 137 for want of memory, 128 and its number for a signal. The run
    must have ended by itself or for want of memory."""
    if run.status is ProgramStatus.MEMORY_EXCEEDED:
        return _KILLED
    if run.signal is not None:
        return _SIGNAL_BASE + _number_of(run.signal)
    return run.exit_code if run.exit_code is not None else 1


def _number_of(name: str) -> int:
    """Of a signal; those that have no name of their own are told as SIG and the number."""
    try:
        return signal.Signals[name].value
    except KeyError:
        digits = name.removeprefix("SIG")
        return int(digits) if digits.isdecimal() else 0
