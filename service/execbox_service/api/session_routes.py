"""The paths below ``/v1/sessions``: from a request to a session and back. Decides nothing.

Sessions are no operations: they have an identity, and files that travel as raw bytes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, TypeVar

from fastapi import FastAPI, Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from execbox.wire import (
    CellOutput,
    CellRequest,
    CellResponse,
    ErrorCode,
    ErrorResponse,
    FilePath,
    SessionInfo,
    SessionRequest,
)
from execbox_service.api.bodies import ClientGone, connection_of, until_disconnect
from execbox_service.api.cell_stream import NDJSON, CellStream
from execbox_service.api.openapi import body_of, responses_of, with_lines
from execbox_service.api.request_guard import Record, record_of
from execbox_service.api.routes import (
    Services,
    count_reading,
    held_by,
    send_pieces,
    services_of,
    written,
)
from execbox_service.api.validation import parsed
from execbox_service.failures import CallerMistake, RequestFailed
from execbox_service.operations import policy
from execbox_service.operations.session_protocols import LiveSessions
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.offload import free_aside, read_aside

__all__ = ["add_session_routes"]

_T = TypeVar("_T")
_BYTES: Final = "application/octet-stream"
_JSON: Final = "application/json"
_PATH = TypeAdapter[str](FilePath)
Lines = AsyncGenerator[CellOutput | CellResponse, None]
Answer = Callable[["_Asked"], Awaitable[BaseModel | bytes | Lines | None]]


class _Asked:
    """One request: what its handler may read of it."""

    def __init__(
        self, services: Services, scope: Scope, receive: Receive, caller: Caller, record: Record
    ) -> None:
        self.services = services
        self.caller = caller
        self.record = record
        self.session_id: str = scope["path_params"].get("session_id", "")
        self.file_path: str = scope["path_params"].get("path", "")
        self._scope = scope
        self._receive = receive

    @property
    def sessions(self) -> LiveSessions:
        return self.services.runtime.sessions

    async def body(self, *, media_type: str) -> bytes:
        """The body as it was sent. Raises RequestFailed."""
        return await self.services.bodies.received(
            self._scope, self._receive, hold=held_by(self.caller), media_type=media_type
        )

    async def document(self, model: type[Any]) -> Any:
        """The body as one of the API's requests. Raises RequestFailed."""
        body = await self.body(media_type=_JSON)
        await count_reading(body, hold=held_by(self.caller))
        return await read_aside(len(body), parsed, model, body)

    async def while_there(self, work: Coroutine[Any, Any, _T]) -> _T:
        """What the work gives; raises ClientGone, the work cancelled, once the client goes."""
        return await until_disconnect(self._receive, work, connection=connection_of(self._scope))

    def path(self) -> str:
        """The file's path, checked. Raises CallerMistake."""
        try:
            return _PATH.validate_python(self.file_path)
        except ValidationError as error:
            why = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise CallerMistake(
                ErrorCode.SESSION_FILE_REFUSED, f"path: {why.removeprefix('Value error, ')}"
            ) from error


def _parameter(name: str) -> dict[str, Any]:
    """A part of a path, in the OpenAPI document."""
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema}


class _SessionResponse(Response):
    """Receives, works and answers; what there is of the request is counted for its key."""

    def __init__(self, answer: Answer, services: Services, record: Record) -> None:
        super().__init__()
        self._answer = answer
        self._services = services
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._services
        caller = self._record.caller
        with services.memory.hold(caller.principal) as hold:
            caller = replace(caller, hold=hold)
            asked = _Asked(services, scope, receive, caller, self._record)
            answer = await self._answer(asked)
            if answer is None:
                await Response(status_code=HTTPStatus.NO_CONTENT)(scope, receive, send)
            elif isinstance(answer, bytes):
                await Response(answer, media_type=_BYTES)(scope, receive, send)
            elif isinstance(answer, AsyncGenerator):
                stream = CellStream(
                    send, hold=hold, record=self._record, settings=services.settings
                )
                await until_disconnect(receive, stream.write(answer))
            else:
                # A cell is never run twice, nor a session begun twice for one request.
                pieces = await written(
                    answer, hold=hold, settings=services.settings, repeatable=False
                )
                await free_aside(hold.size_bytes, answer)
                await send_pieces(pieces, send)


async def _open(asked: _Asked) -> SessionInfo:
    request = await asked.document(SessionRequest)
    permitted = policy.permitted_session(request, asked.services.settings)
    begun: list[SessionInfo] = []

    async def begin() -> SessionInfo:
        begun.append(await asked.sessions.open(permitted, caller=asked.caller))
        return begun[0]

    try:
        return await asked.while_there(begin())
    except ClientGone:
        # The client went while its session was begun, and so never learned the session's id.
        for session in begun:
            with suppress(RequestFailed):
                await asked.sessions.close(session.id, caller=asked.caller)
        raise


async def _info(asked: _Asked) -> SessionInfo:
    return await asked.sessions.info(asked.session_id, caller=asked.caller)


async def _close(asked: _Asked) -> None:
    await asked.sessions.close(asked.session_id, caller=asked.caller)


async def _run(asked: _Asked) -> CellResponse | Lines:
    request: CellRequest = await asked.document(CellRequest)
    if request.stream:
        return asked.sessions.stream(asked.session_id, request, caller=asked.caller)
    response = await asked.sessions.run(asked.session_id, request, caller=asked.caller)
    asked.record.count([response])
    return response


async def _put_file(asked: _Asked) -> None:
    path = asked.path()
    content = await asked.body(media_type=_BYTES)
    await asked.sessions.put_file(asked.session_id, path, content, caller=asked.caller)


async def _get_file(asked: _Asked) -> bytes:
    return await asked.sessions.get_file(asked.session_id, asked.path(), caller=asked.caller)


_ERRORS: Final = (400, 401, 408, 410, 413, 415, 422, 429, 431, 503)
_ONE: Final = "/v1/sessions/{session_id}"
_FILE: Final = _ONE + "/files/{path:anything}"
_ANSWERS: Final[Mapping[str, Mapping[str, Answer]]] = {
    "/v1/sessions": {"POST": _open},
    _ONE + "/run": {"POST": _run},
    _ONE: {"GET": _info, "DELETE": _close},
    _FILE: {"PUT": _put_file, "GET": _get_file},
}


class _Anything(PathConvertor):
    """Of a path's rest; unlike Starlette's own ``path``, a name with a line break in it, too."""

    regex = "(?s:.*)"


def add_session_routes(app: FastAPI) -> None:
    register_url_convertor("anything", _Anything())
    _add_handlers(app)
    _add(
        app,
        "POST",
        "/v1/sessions",
        _open,
        summary="Begin a session: an interpreter that keeps its variables",
        responses=responses_of(SessionInfo, *(code for code in _ERRORS if code != 410)),
        openapi_extra=body_of(SessionRequest),
    )
    _add(
        app,
        "POST",
        _ONE + "/run",
        _run,
        summary="Run one cell in a session",
        description="""Answers 200 whatever the cell did. A cell over its limit is interrupted, and
        its session lives; `session_lost` says where it does not.

        With `stream` the answer is lines (`application/x-ndjson`): what the cell writes as it
        comes, `{"stdout": ...}` or `{"stderr": ...}`, and at last the whole answer on a line of its
        own. What goes wrong after the first line is the last line, `{"error": ...}`. A caller that
        goes away then interrupts its cell; without `stream`, the cell runs to its end.
        """,
        responses=with_lines(
            responses_of(CellResponse, *_ERRORS), NDJSON, CellOutput, CellResponse, ErrorResponse
        ),
        openapi_extra=body_of(CellRequest),
    )
    _add(
        app,
        "GET",
        _ONE,
        _info,
        summary="How a session is",
        responses=responses_of(SessionInfo, 401, 410, 503),
    )
    empty = {204: {"description": "Done."}}
    errors = responses_of(SessionInfo, *_ERRORS)
    del errors[200]
    _add(
        app,
        "DELETE",
        _ONE,
        _close,
        summary="End a session",
        status_code=HTTPStatus.NO_CONTENT,
        responses={**empty, **errors},
    )
    _add(
        app,
        "PUT",
        _FILE,
        _put_file,
        summary="Write a file into a session's working directory",
        status_code=HTTPStatus.NO_CONTENT,
        responses={**empty, **errors},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    _add(
        app,
        "GET",
        _FILE,
        _get_file,
        summary="A file of a session's working directory",
        responses={
            **errors,
            404: responses_of(SessionInfo, 404)[404],
            200: {"description": "The file's bytes", "content": {_BYTES: {}}},
        },
    )


def _add_handlers(app: FastAPI) -> None:
    """One route for each path, so that a method that it does not have is told all that it has."""
    for path, answers in _ANSWERS.items():
        app.add_api_route(
            path,
            _handler(answers),
            methods=list(answers),
            include_in_schema=False,
            response_class=Response,
        )


def _handler(answers: Mapping[str, Answer]) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        answer = answers[request.method]
        return _SessionResponse(answer, services_of(request), record_of(request.scope))

    return handle


def _add(app: FastAPI, method: str, path: str, answer: Answer, **described: Any) -> None:
    """What is documented; never reached, because the path's own route comes before it."""
    described["description"] = inspect.cleandoc(described.get("description", ""))
    parts = [_parameter(name) for name in re.findall(r"{(\w+)", path)]
    extra = described.pop("openapi_extra", {}) | ({"parameters": parts} if parts else {})
    app.add_api_route(
        path,
        _handler({method: answer}),
        openapi_extra=extra,
        methods=[method],
        name=f"session{answer.__name__}",
        response_class=Response,
        **described,
    )
