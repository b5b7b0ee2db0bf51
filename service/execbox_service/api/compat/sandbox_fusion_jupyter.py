"""SandboxFusion's ``/run_jupyter``: cells in a session that lives as long as its request.

====================== ============================================================================
theirs                 here
====================== ============================================================================
``cells``              cells of one session; those after an error are run too, as Jupyter does
``cell_timeout``       ``wall_time_s`` and ``cpu_time_s`` of each; a cell over it is interrupted
``total_timeout``      of all cells together; then ``Failed``, with the cells so far
``display``            the value's repr as ``text/plain``, figures as ``image/png``
``error``              ``ename``, ``evalue``, ``traceback``
``driver``             how it ended: ``Finished``, or ``TimeLimitExceeded`` with the reason
====================== ============================================================================
"""

from __future__ import annotations

import base64
import contextlib
from dataclasses import dataclass, field
from typing import Final

from execbox.wire import CellRequest, CellResponse, ErrorCode, SessionLimits, SessionRequest
from execbox_service.api.compat.exchange import Exchange, gone_is_lost
from execbox_service.api.compat.programs import granted
from execbox_service.api.compat.sandbox_fusion_files import given_files, path_inside
from execbox_service.api.compat.sandbox_fusion_models import (
    CommandResult,
    FusionCell,
    FusionExtra,
    JupyterAnswer,
    JupyterRequest,
)
from execbox_service.api.validation import validated
from execbox_service.failures import CallerMistake
from execbox_service.operations import policy
from execbox_service.operations.session_protocols import LiveSessions
from execbox_service.scheduling.caller import Caller

__all__ = ["run_jupyter"]

_PATIENCE_S: Final = 10.0
_LIMITS: Final = ("cpu_time_s", "wall_time_s", "memory_mb", "stdout_bytes", "files_bytes")
_SHORTEST_S: Final = 0.05


@dataclass
class _Cells:
    """What has been run so far."""

    cells: list[FusionCell] = field(default_factory=list)
    used_s: float = 0.0
    ended_early: str | None = None
    """Why the rest was not run."""
    lost_status: str | None = None
    """The status of the cell that the session ended with."""


async def run_jupyter(exchange: Exchange) -> JupyterAnswer:
    """Raises RequestFailed."""
    request = await exchange.document(JupyterRequest)
    memory_mb = request.memory_limit_MB if request.memory_limit_MB > 0 else None
    longest_s = max(request.total_timeout, _SHORTEST_S)
    allowed = granted(exchange.settings, time_s=longest_s, memory_mb=memory_mb)
    asked = validated(
        SessionRequest,
        {
            "limits": {name: allowed.limits[name] for name in _LIMITS},
            "files": given_files(request.files),
        },
    )
    exchange.waiting_at_most(_PATIENCE_S)
    opened = policy.permitted_session(asked, exchange.settings)
    work = exchange.again(lambda caller: _session(exchange, request, opened, caller=caller))
    done, files = await exchange.within(request.total_timeout + _PATIENCE_S, work)
    return _answer(done, files, notes=allowed.notes)


async def _session(
    exchange: Exchange, request: JupyterRequest, opened: SessionRequest, *, caller: Caller
) -> tuple[_Cells, dict[str, str]]:
    sessions = exchange.sessions
    info = await sessions.open(opened, caller=caller)
    try:
        with gone_is_lost():
            done = await _run_cells(exchange, request, info.id, most=opened.limits)
            wanted = request.fetch_files if done.lost_status is None else ()
            found = {
                path: await _fetched(sessions, info.id, path, caller=caller) for path in wanted
            }
        return done, {path: data for path, data in found.items() if data is not None}
    finally:
        with contextlib.suppress(CallerMistake):
            await sessions.close(info.id, caller=caller)


async def _fetched(
    sessions: LiveSessions, session_id: str, path: str, *, caller: Caller
) -> str | None:
    """None for what is not there, or cannot be sent."""
    inside = path_inside(path)
    if inside is None:
        return None
    try:
        data = await sessions.get_file(session_id, inside, caller=caller)
    except CallerMistake as missing:
        if missing.code is ErrorCode.SESSION_GONE:
            raise
        return None
    return base64.b64encode(data).decode()


async def _run_cells(
    exchange: Exchange, request: JupyterRequest, session_id: str, *, most: SessionLimits
) -> _Cells:
    done = _Cells()
    for code in request.cells:
        left_s = min(request.total_timeout, most.wall_time_s) - done.used_s
        if left_s < _SHORTEST_S:
            done.ended_early = f"total_timeout of {request.total_timeout:g} s is over"
            break
        if "\x00" in code:
            done.cells.append(_not_source())
            continue
        time_s = max(_SHORTEST_S, min(left_s, request.cell_timeout or left_s))
        limits = {"wall_time_s": time_s, "cpu_time_s": min(time_s, most.cpu_time_s)}
        cell = validated(CellRequest, {"code": code, "limits": limits})
        response = await exchange.sessions.run(session_id, cell, caller=exchange.caller)
        exchange.count_cell(response)
        done.used_s += response.usage.wall_time_s
        done.cells.append(_cell(response))
        if response.session_lost:
            done.lost_status = response.status.value
            done.ended_early = f"the interpreter ended: {response.lost_reason}"
            break
    return done


def _cell(response: CellResponse) -> FusionCell:
    display = []
    value = response.value
    if value is not None:
        if value.repr is not None:
            display.append({"text/plain": value.repr})
        display += [{media.type: media.base64} for media in value.media]
    error = []
    if response.error is not None:
        lines = (response.error.traceback or "").splitlines()
        told = {"ename": response.error.type, "evalue": response.error.message}
        error.append(told | {"traceback": lines})
    elif response.status.value != "ok":
        told = {"ename": response.status.value, "evalue": response.lost_reason or ""}
        error.append(told | {"traceback": []})
    return FusionCell(
        stdout=response.stdout,
        stderr=response.stderr,
        display=display,
        error=error,
        status="error" if error else "ok",
    )


def _not_source() -> FusionCell:
    said = "source code cannot contain null bytes"
    error = {"ename": "SyntaxError", "evalue": said, "traceback": [f"SyntaxError: {said}"]}
    return FusionCell(stdout="", stderr="", display=[], error=[error], status="error")


def _answer(done: _Cells, files: dict[str, str], *, notes: tuple[str, ...]) -> JupyterAnswer:
    ended = done.ended_early
    timed_out = ended is not None and done.lost_status in (None, "timeout")
    driver = CommandResult(
        status="TimeLimitExceeded" if timed_out else "Finished",
        execution_time=done.used_s,
        return_code=None if timed_out else int(ended is not None),
        stderr=f"{ended}\n" if ended else "",
    )
    return JupyterAnswer(
        status="Failed" if ended else "Success",
        message="; ".join([*notes, *([ended] if ended else [])]),
        driver=driver,
        cells=done.cells,
        files=files,
        execbox=FusionExtra(status=done.lost_status),
    )
