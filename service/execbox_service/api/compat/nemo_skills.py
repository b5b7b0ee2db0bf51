"""NeMo-Skills' contract (NVIDIA): ``/execute``, ``/sessions`` and ``/health``.

Spoken by NeMo-Skills' ``LocalSandbox``. Translation only:

=========================== =======================================================================
theirs                      here
=========================== =======================================================================
``language``                ``ipython`` (also left out): a cell of a session; ``python`` and
                            ``python3``: a program; ``shell`` where the image has bash; ``pypy3``
                            and ``lean4`` are a 400
``X-Session-ID``            the name of a session, begun where there is none; each key has its own.
                            Where there is no room for one more, the key's that was used longest ago
                            is ended, in which nothing runs
``timeout``                 ``wall_time_s``, and as much ``cpu_time_s``
``std_input``               stdin of a program; a cell has none
``process_status``          ``timeout``; of a cell ``completed`` or ``error``; of a program
                            ``completed`` where it ended by itself, with whatever exit code
``stdout``                  of a cell with the last value's repr and the traceback, as IPython
                            prints them
``traceback_verbosity``     ``Minimal``: the last line; anything else: Python's own traceback
``max_output_characters``   cut there, with ``<output cut>``
``new_session_created``     true where the session had to be begun, or ended with this cell: the
                            client then runs its earlier cells again. One that was begun for a
                            cell without an answer is ended, so that the next cell's says it
=========================== =======================================================================

The client waits ``timeout + 5`` seconds, or as long as it can be kept waiting, sends nothing again,
and reads every body, whatever the status is: a failure of ours is a 503 whose body has the
contract's fields, and says on stderr that it is no doing of the code.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Annotated, Any, Final, get_args

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from execbox.wire import (
    CellRequest,
    CellResponse,
    ErrorCode,
    Language,
    ProgramRun,
    ProgramStatus,
    SessionRequest,
    Status,
)
from execbox_service.api.compat.contract import Compat, Path
from execbox_service.api.compat.exchange import Exchange, gone_is_lost
from execbox_service.api.compat.fastapi_forms import AnyNumber, AnyWholeNumber
from execbox_service.api.compat.health import health
from execbox_service.api.compat.programs import granted, isolation_of
from execbox_service.api.error_responses import headers_of
from execbox_service.api.validation import validated
from execbox_service.failures import CallerMistake, RequestFailed, ServiceFailure
from execbox_service.operations import policy
from execbox_service.operations.registry import RUN
from execbox_service.scheduling.caller import Caller

__all__ = ["nemo_skills"]

_PATIENCE_S: Final = 5.0
_SENDING_S: Final = 0.5
_STARTING_S: Final = 0.5
_SHORTEST_S: Final = 0.05
_CUT: Final = "<output cut>"
_OF_SESSIONS: Final = "ipython"
_PROGRAMS: Final = {"python": "python", "python3": "python", "shell": "bash"}
_ENDED_BY_ITSELF: Final = (
    ProgramStatus.OK,
    ProgramStatus.EXIT_NONZERO,
    ProgramStatus.INVALID_CODE,
)
_NOT_SOURCE: Final = "SyntaxError: source code cannot contain null bytes\n"
_LIMITS: Final = ("memory_mb", "stdout_bytes", "files_bytes")


class NemoRequest(BaseModel):
    """Body of ``POST /execute``."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    generated_code: str
    timeout: Annotated[AnyNumber, Field(gt=0)] = Field(default=10.0, description="Seconds.")
    language: str = _OF_SESSIONS
    std_input: str | None = ""
    max_output_characters: Annotated[AnyWholeNumber, Field(ge=0)] = 1000
    traceback_verbosity: str = "Plain"


class NemoAnswer(BaseModel):
    """Answer of ``POST /execute``."""

    process_status: str
    stdout: str
    stderr: str
    new_session_created: bool = False
    error: str | None = Field(default=None, description="With a status of 400 and more.")


async def _opened(exchange: Exchange, name: str, *, caller: Caller) -> tuple[str, bool]:
    """The id of a session that lives, and whether it was begun for this."""
    return await exchange.sessions.named(name, _new_session(exchange), caller=caller)


def _new_session(exchange: Exchange) -> SessionRequest:
    """One whose cells may ask for any time that the operator permits."""
    maxima = policy.limits_max(exchange.settings)
    limits: dict[str, Any] = {name: granted(exchange.settings).limits[name] for name in _LIMITS}
    limits |= {name: maxima[name] for name in ("cpu_time_s", "wall_time_s")}
    asked = validated(
        SessionRequest, {"limits": limits, "idle_time_s": 3600.0, "lifetime_s": 86400.0}
    )
    return policy.permitted_session(asked, exchange.settings)


class _NemoSkills:
    async def execute(self, exchange: Exchange) -> NemoAnswer:
        """Raises RequestFailed."""
        request = await exchange.document(NemoRequest)
        patience_s = exchange.patience_s(_PATIENCE_S)
        exchange.waiting_in_any_case(patience_s - _SENDING_S - _STARTING_S)
        if request.language == _OF_SESSIONS:
            work = self._in_session(exchange, request)
        else:
            work = _as_program(exchange, request)
        return _cut(
            await exchange.within(request.timeout + patience_s - _SENDING_S, work),
            length=request.max_output_characters,
        )

    async def _in_session(self, exchange: Exchange, request: NemoRequest) -> NemoAnswer:
        name = exchange.headers.get("x-session-id")
        if not name:
            raise CallerMistake(
                ErrorCode.BAD_REQUEST, "X-Session-ID header required for ipython sessions"
            )
        if "\x00" in request.generated_code:
            return NemoAnswer(process_status="error", stdout="", stderr=_NOT_SOURCE)
        cell, limit_s = _cell(exchange, request)
        new_ones = []

        async def attempt(caller: Caller) -> CellResponse:
            session_id, new = await _opened(exchange, name, caller=caller)
            new_ones.append(new)
            if new:
                # Else the next cell would find it, and nobody would have said that it is new.
                exchange.where_unanswered(
                    lambda: exchange.sessions.close(session_id, caller=exchange.caller)
                )
            # It may have ended before its turn, or its container may be lost: the client is told
            # that it is a new one, and runs its earlier cells again.
            with gone_is_lost():
                return await exchange.sessions.run(session_id, cell, caller=caller)

        response = await exchange.again(attempt)
        new = any(new_ones)
        exchange.count_cell(response)
        return _of_cell(response, request, limit_s=limit_s, new=new)

    async def list(self, exchange: Exchange) -> Response:
        """By name, the sessions that the caller's key has."""
        sessions = {
            name: {
                "backend": _OF_SESSIONS,
                "created": named.created_s,
                "last_used": named.last_used_s,
                "alive": True,
            }
            for name, named in (await exchange.sessions.names(caller=exchange.caller)).items()
        }
        return _json({"sessions": sessions, "backend": _OF_SESSIONS}, status=HTTPStatus.OK)

    async def delete(self, exchange: Exchange) -> Response:
        """200, or 404 where there is none."""
        name = exchange.of_path("session_id")
        if await exchange.sessions.close_named(name, caller=exchange.caller):
            told = {"message": f"IPython session {name} deleted successfully"}
            return _json(told, status=HTTPStatus.OK)
        return _json({"error": f"IPython session {name} not found"}, status=HTTPStatus.NOT_FOUND)


def _cell(exchange: Exchange, request: NemoRequest) -> tuple[CellRequest, float]:
    """The cell, and the seconds that it may take."""
    limits = granted(exchange.settings, time_s=request.timeout).limits
    times = {name: limits[name] for name in ("cpu_time_s", "wall_time_s")}
    cell = validated(CellRequest, {"code": request.generated_code, "limits": times})
    return cell, min(times.values())


def _of_cell(
    response: CellResponse, request: NemoRequest, *, limit_s: float, new: bool
) -> NemoAnswer:
    timed_out = response.status is Status.TIMEOUT
    stdout, stderr = response.stdout, response.stderr
    if response.value is not None and response.value.repr is not None:
        stdout += f"{response.value.repr}\n"
    if timed_out:
        stderr += f"Execution timed out after {limit_s:g} seconds\n"
    elif response.error is not None:
        error = response.error
        last = f"{error.type}: {error.message}" if error.message else error.type
        minimal = request.traceback_verbosity.lower() == "minimal"
        stdout += last if minimal else (error.traceback or last)
        stdout += "" if stdout.endswith("\n") else "\n"
    if response.session_lost and response.lost_reason:
        stderr += f"the session ended: {response.lost_reason}\n"
    status = "completed" if response.status is Status.OK else "error"
    return NemoAnswer(
        process_status="timeout" if timed_out else status,
        stdout=stdout,
        stderr=stderr,
        new_session_created=new or response.session_lost,
    )


async def _as_program(exchange: Exchange, request: NemoRequest) -> NemoAnswer:
    language = _PROGRAMS.get(request.language)
    here = exchange.languages & set(get_args(Language))
    if language is None or language not in here:
        known = [_OF_SESSIONS, *(name for name, own in _PROGRAMS.items() if own in here)]
        raise CallerMistake(
            ErrorCode.BAD_REQUEST,
            f"language {request.language!r:.60} is not run here; there are {', '.join(known)}",
        )
    if "\x00" in request.generated_code:
        return NemoAnswer(process_status="completed", stdout="", stderr=_NOT_SOURCE)
    limits = granted(exchange.settings, time_s=request.timeout).limits
    document: dict[str, Any] = {
        "program": {
            "code": request.generated_code,
            "language": language,
            "stdin": request.std_input,
        },
        "limits": dict(limits),
        "isolation": isolation_of(exchange.settings),
    }
    (run,) = (await exchange.perform(RUN, document)).runs
    limit_s = min(limits["wall_time_s"], limits["cpu_time_s"])
    return _of_run(run, limit_s=limit_s, shell=language == "bash", memory_mb=limits["memory_mb"])


def _of_run(run: ProgramRun, *, limit_s: float, shell: bool, memory_mb: int) -> NemoAnswer:
    if run.status is ProgramStatus.NOT_RUN:
        raise ServiceFailure(ErrorCode.NOTHING_RUN, "there was no time to run the program at all")
    stderr, status = run.stderr, "error"
    if run.status is ProgramStatus.TIMEOUT:
        status = "timeout"
        stderr += f"Execution timed out after {limit_s:g} seconds\n"
    elif run.status is ProgramStatus.MEMORY_EXCEEDED:
        stderr += f"memory exceeded: it used more than {memory_mb} MiB\n"
    elif run.status is ProgramStatus.OK or (run.status in _ENDED_BY_ITSELF and not shell):
        status = "completed"
    return NemoAnswer(process_status=status, stdout=run.stdout, stderr=stderr)


def _cut(answer: NemoAnswer, *, length: int) -> NemoAnswer:
    cut = {
        name: text[:length] + _CUT
        for name in ("stdout", "stderr")
        if len(text := getattr(answer, name)) > length
    }
    return answer.model_copy(update=cut) if cut else answer


def _json(told: dict[str, Any], *, status: HTTPStatus) -> Response:
    return Response(json.dumps(told), status_code=status, media_type="application/json")


def _failure(failure: RequestFailed) -> Response:
    ours = isinstance(failure, ServiceFailure)
    said = f"a failure of the service, not of the code: {failure.message}"
    told = NemoAnswer(
        process_status="error",
        stdout="",
        stderr=f"{said if ours else failure.message}\n",
        error=failure.message,
    )
    status = HTTPStatus.SERVICE_UNAVAILABLE if ours else failure.http_status
    return Response(
        told.model_dump_json(),
        status_code=status,
        media_type="application/json",
        headers=headers_of(failure),
    )


def nemo_skills() -> Compat:
    """The contract, with the sessions of one service."""
    served = _NemoSkills()
    return Compat(
        name="nemo-skills",
        failure_form=_failure,
        failure_schema={"type": "object", "required": ["error"]},
        statuses={
            404: "There is no such session.",
            422: "The body is JSON but no acceptable request; `error` names field and value.",
            503: "A failure of the service, or no room, with the fields of an answer.",
        },
        paths=(
            Path(
                "POST",
                "/execute",
                served.execute,
                summary="NeMo-Skills: run a cell in a named session, or a program",
                request=NemoRequest,
                response=NemoAnswer,
                headers=("X-Session-ID",),
            ),
            Path("GET", "/sessions", served.list, summary="NeMo-Skills: the named sessions"),
            Path(
                "DELETE",
                "/sessions/{session_id}",
                served.delete,
                summary="NeMo-Skills: end a named session",
            ),
            Path("GET", "/health", health, summary="Whether code can be run"),
        ),
    )
