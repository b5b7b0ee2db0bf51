"""The paths of the API: from a request to the runtime and back. Executes and judges nothing.

Operations have their paths from the registry. What holds for every path (keys, ids, errors,
logging) is in ``request_guard``; ``/v1/batch`` is in ``batch``.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from execbox.wire import (
    Capabilities,
    ErrorCode,
    ErrorResponse,
    Health,
    Readiness,
)
from execbox_service.api.answer_text import answer_pieces, small_answer_text
from execbox_service.api.bodies import Bodies, connection_of, until_disconnect
from execbox_service.api.error_responses import error_response
from execbox_service.api.openapi import body_of, responses_of
from execbox_service.api.request_guard import Record, record_of
from execbox_service.api.runtime_protocol import ExecutionRuntime
from execbox_service.api.validation import parsed
from execbox_service.failures import ServiceFailure
from execbox_service.json_steps import read_bytes_max
from execbox_service.operations.registry import OPERATIONS, Operation
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.memory import Hold, Memory
from execbox_service.scheduling.offload import ASIDE_BYTES, free_aside, read_aside
from execbox_service.settings import Settings

__all__ = [
    "Services",
    "add_routes",
    "count_reading",
    "held_by",
    "send_pieces",
    "services_of",
    "written",
]

_JSON: Final = "application/json"
_JSON_HEADER: Final = (b"content-type", _JSON.encode("ascii"))


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers work with, put together in ``app.py``."""

    settings: Settings
    runtime: ExecutionRuntime
    bodies: Bodies
    memory: Memory


def add_routes(app: FastAPI, services: Services) -> None:
    app.state.services = services
    for operation in OPERATIONS.values():
        app.add_api_route(
            operation.path,
            _handler(operation, services),
            methods=["POST"],
            name=operation.name,
            summary=operation.summary,
            description=inspect.cleandoc(operation.description),
            responses=responses_of(operation.response, 400, 401, 408, 413, 415, 422, 429, 431, 503),
            openapi_extra=body_of(operation.request),
            response_class=Response,
        )
    _add_get(
        app,
        "/v1/capabilities",
        capabilities,
        summary="What this service permits and runs",
        responses=responses_of(Capabilities, 400, 401, 408, 431, 503),
    )
    _add_get(
        app,
        "/metrics",
        metrics,
        summary="Prometheus metrics",
        responses={
            **responses_of(ErrorResponse, 400, 401, 408, 431, 503),
            200: {"description": "Text exposition format", "content": {"text/plain": {}}},
        },
    )
    _add_get(
        app,
        "/healthz",
        health,
        summary="Whether the process is alive",
        responses=responses_of(Health, 400, 408, 431, 503),
    )
    _add_get(
        app,
        "/readyz",
        readiness,
        summary="Whether executions can run now",
        responses=responses_of(Readiness, 400, 408, 431, 503),
    )


def _add_get(
    app: FastAPI, path: str, handler: Callable[..., Awaitable[Response]], **described: Any
) -> None:
    """A path to read, which also answers HEAD, as load balancers and ``wget --spider`` ask."""
    app.add_api_route(
        path, handler, methods=["GET", "HEAD"], include_in_schema=False, response_class=Response
    )
    # Never reached: what is documented is GET, and FastAPI would document every method.
    app.add_api_route(path, handler, methods=["GET"], response_class=Response, **described)


def _handler(
    operation: Operation[Any, Any], services: Services
) -> Callable[[Request], Awaitable[Response]]:
    """What answers the operation's path: one body in, one answer out."""

    async def handle(request: Request) -> Response:
        return _OperationResponse(operation, services, record_of(request.scope))

    return handle


class _OperationResponse(Response):
    """Receives, works and answers: from the first byte of the body to the last of the answer, what
    there is of the request is counted as memory of its key."""

    background = None

    def __init__(self, operation: Operation[Any, Any], services: Services, record: Record) -> None:
        # Not the framework's, which would write the headers of an answer without a body.
        self._operation = operation
        self._services = services
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = self._record.principal_name
        with self._services.memory.hold(principal) as hold:
            caller = Caller(principal, hold=hold)
            used: list[BaseModel] = []
            try:
                pieces = await self._answer(scope, receive, hold=hold, caller=caller, used=used)
            finally:
                # Before its caller knows, who may send the next request and need the memory for it.
                await free_aside(hold.size_bytes, *used)
            used.clear()
            await send_pieces(pieces, send)

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        *,
        hold: Hold,
        caller: Caller,
        used: list[BaseModel],
    ) -> list[bytes]:
        services, operation = self._services, self._operation
        body = await services.bodies.received(scope, receive, hold=hold)
        await count_reading(body, hold=hold)
        permitted = await read_aside(len(body), self._permitted, body, used)
        work = services.runtime.perform(operation, permitted, caller=caller)
        answer = await until_disconnect(receive, work, connection=connection_of(scope))
        used.append(answer)
        self._record.count(operation.executions_of(answer))
        return await written(answer, hold=hold, settings=services.settings)

    def _permitted(self, body: bytes, used: list[BaseModel]) -> BaseModel:
        """What the body asks for, as the operator permits it. What is made on the way there is in
        ``used``."""
        asked = parsed(self._operation.request, body)
        used.append(asked)
        return cast(BaseModel, self._operation.permitted(asked, self._services.settings))


def held_by(caller: Caller) -> Hold:
    """What the caller's request holds; it must have been made with one."""
    if caller.hold is None:
        raise ValueError("a caller of the HTTP layer without memory")
    return caller.hold


async def count_reading(body: bytes, *, hold: Hold) -> None:
    """Count what the values in a body will take, before they are made. Raises CallerMistake or
    Overloaded."""
    size_bytes = await read_aside(len(body), read_bytes_max, body)
    hold.grow(size_bytes, too_large=ErrorCode.BODY_TOO_LARGE, what="the body, once read,")


async def written(
    answer: BaseModel, *, hold: Hold, settings: Settings, repeatable: bool = True
) -> list[bytes]:
    """An answer's text in pieces, counted. Raises CallerMistake or Overloaded.

    ``repeatable``: whether the request may be sent again. Where it may not, because what it asked
    for has been done, its answer is counted and never refused for want of memory.
    """
    bytes_max = settings.answer_bytes_max
    # What is held is what the values of question and answer take: as large is the text, at most.
    if hold.size_bytes < ASIDE_BYTES:
        pieces = [small_answer_text(answer, bytes_max=bytes_max)]
    else:
        pieces = await read_aside(hold.size_bytes, answer_pieces, answer, bytes_max=bytes_max)
    size_bytes = sum(map(len, pieces))
    if repeatable:
        hold.grow(size_bytes, too_large=ErrorCode.ANSWER_TOO_LARGE, what="the answer")
    else:
        hold.take_over(size_bytes)
    return pieces


async def send_pieces(pieces: list[bytes], send: Send) -> None:
    """One after the other, each when the client has taken most of those before."""
    headers = [_JSON_HEADER, (b"content-length", b"%d" % sum(map(len, pieces)))]
    await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
    left_count = len(pieces)
    for piece in pieces:
        left_count -= 1
        await send({"type": "http.response.body", "body": piece, "more_body": left_count > 0})


async def capabilities(request: Request) -> Response:
    """Constant while the service runs."""
    services = services_of(request)
    settings = services.settings
    rate_per_s = settings.key_rate_per_s or None
    able = services.runtime.capabilities().model_copy(
        update={
            "key_concurrency_max": settings.key_concurrency_limit,
            "key_rate_per_s": rate_per_s,
            "answer_bytes_max": settings.answer_bytes_max,
            "key_burst_count": settings.key_burst_limit_count if rate_per_s else None,
        }
    )
    return _json(able.model_dump_json())


async def metrics(request: Request) -> Response:
    """Needs a key where keys are set: give the scraper one of its own."""
    text = await services_of(request).runtime.exposition()
    return Response(text, media_type="text/plain; version=0.0.4")


async def health() -> Response:
    """Needs no key."""
    return _json(Health().model_dump_json())


async def readiness(request: Request) -> Response:
    """Needs no key. Answers 503 while executions cannot run, and says why."""
    state = services_of(request).runtime.readiness()
    if state.ready:
        return _json(state.model_dump_json())
    reason = state.reason or "executions cannot run"
    return error_response(ServiceFailure(ErrorCode.NOT_READY, reason))


def services_of(request: Request) -> Services:
    return cast(Services, request.app.state.services)


def _json(text: str) -> Response:
    return Response(text.encode("utf-8"), status_code=HTTPStatus.OK, media_type=_JSON)
