"""``POST /v1/batch``: lines in, answers out, both as streams, in bounded memory on this side.

What one line asks for is done by the runtime, as for a request of its own. How lines are read and
answers written at the same time, and within which bounds, is in ``batch_stream.py``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeAlias, cast

from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from execbox.wire import (
    BATCH_LINES,
    ExecuteRequest,
    ExecuteResponse,
    GenerateRequest,
    VerifyRequest,
    VerifyResponse,
)
from execbox_service.api.batch_stream import BatchStream, LineAnswers
from execbox_service.api.bodies import CONNECTION_STATE_KEY, require_media_type
from execbox_service.api.error_responses import error_bytes, internal_error
from execbox_service.api.ndjson import Line
from execbox_service.api.offload import read_aside
from execbox_service.api.openapi import lines_of, streamed_responses_of
from execbox_service.api.request_guard import Record, record_of, stack_of
from execbox_service.api.routes import Services
from execbox_service.api.validation import decoded, validated
from execbox_service.failures import CallerMistake, Overloaded, RequestFailed, ServiceFailure
from execbox_service.operations.policy import permitted, permitted_items
from execbox_service.scheduling.admission import Lane, waiting_in

__all__ = ["NDJSON", "add_batch_route"]

NDJSON: Final = "application/x-ndjson"
Operation: TypeAlias = ExecuteRequest | GenerateRequest | VerifyRequest

_BUSY_PAUSE_MAX_S = 5.0
_LINE_ID_CHARS_MAX = 1000
_batch_numbers = itertools.count(1)

logger = logging.getLogger(__name__)


def add_batch_route(app: FastAPI) -> None:
    app.add_api_route(
        "/v1/batch",
        batch,
        methods=["POST"],
        summary="Many operations in one stream",
        responses=streamed_responses_of(NDJSON, 400, 401, 408, 415, 429, 431, 503),
        openapi_extra=lines_of(NDJSON),
        response_class=Response,
    )


async def batch(request: Request) -> Response:
    """Takes one operation a line (`application/x-ndjson`) and answers each with one line, in any
    order, as soon as it is done: `{"id", "op", ...}` with the fields of that operation's response,
    or `{"id", "op", "line", "error"}`. A line that is no valid operation is one error line, and
    the stream goes on.

    Empty lines mean nothing, in both directions. Read while you send, or send no more than
    `body_bytes_max` before you read. A line, once begun, must be complete within the time a body
    has; there may be any time between lines while work is under way, and ten minutes else.
    """
    headers = request.headers
    require_media_type(headers, NDJSON)
    if request.scope.get("http_version") == "1.0":
        raise CallerMistake(
            "bad_request", "a batch needs HTTP/1.1", http_status=HTTPStatus.BAD_REQUEST
        )
    return _BatchResponse(cast(Services, request.app.state.services), record_of(request.scope))


class _BatchResponse(Response):
    """Answers while it receives, which a handler's return value cannot."""

    def __init__(self, services: Services, record: Record) -> None:
        super().__init__()
        self._services = services
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operations = _Operations(self._services, self._record)
        stream = BatchStream(
            LineAnswers(operations.answer, failed=operations.failed),
            settings=self._services.settings,
            bodies=self._services.bodies,
            connection=scope.get("state", {}).get(CONNECTION_STATE_KEY),
            media_type=NDJSON,
        )
        await stream.run(receive, send)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What can be known of a line before it is known to be any good."""

    line: int
    id: str | None = None
    op: str | None = None


class _Operations:
    """The lines of one batch as operations of the runtime."""

    def __init__(self, services: Services, record: Record) -> None:
        self._services = services
        self._record = record
        self._metrics = services.runtime.metrics
        self._lane = Lane(f"batch {next(_batch_numbers)}", patient=True)

    async def answer(self, line: Line) -> bytes:
        """Do what the line asks for. Raises nothing: whatever goes wrong is the answer."""
        asked = _Asked(line.number)
        began_s = time.monotonic()
        try:
            if line.too_long:
                raise _too_long(self._services.settings.body_bytes_max)
            size_bytes = len(line.body)
            document = await read_aside(size_bytes, decoded, line.body)
            asked = _asked(document, line.number)
            operation = await read_aside(size_bytes, self._operation, document, asked.op)
            with waiting_in(self._lane):
                return await self._result(operation, asked)
        except RequestFailed as failure:
            return self._failed(failure, asked)
        except Exception as error:  # noqa: BLE001 - the outermost edge of a line: a bug of ours is its error
            logger.error(  # noqa: TRY400 - logging.exception repeats messages; see stack_of
                "unhandled %s\n%s", type(error).__name__, stack_of(error)
            )
            return self._failed(internal_error(self._record.request_id), asked)
        finally:
            op = asked.op if asked.op in BATCH_LINES else "none"
            self._metrics.line_answered(op, duration_s=time.monotonic() - began_s)

    def _operation(self, document: Any, op: str | None) -> Operation:
        model = BATCH_LINES.get(op or "")
        if model is None:
            raise _no_operation(document, op)
        settings = self._services.settings
        match validated(model, document):
            case VerifyRequest() as verify:
                return permitted_items(verify, settings)
            case ExecuteRequest() as execute:
                return permitted(execute, settings)
            case generate:
                return permitted(generate, settings)

    async def _result(self, operation: Operation, asked: _Asked) -> bytes:
        while True:
            try:
                response = await self._run(operation)
            except Overloaded as busy:
                # Whoever sends a batch has asked for waiting.
                await asyncio.sleep(min(busy.retry_after_s, _BUSY_PAUSE_MAX_S))
            else:
                self._count(response)
                return _line(asked, response.model_dump_json().encode("utf-8"))

    async def _run(self, operation: Operation) -> BaseModel:
        runtime = self._services.runtime
        principal = self._record.principal.name if self._record.principal else ""
        match operation:
            case VerifyRequest():
                return await runtime.verify(operation, principal=principal)
            case ExecuteRequest():
                return await runtime.execute(operation, principal=principal)
            case GenerateRequest():
                return await runtime.generate(operation, principal=principal)

    def _count(self, response: BaseModel) -> None:
        if isinstance(response, ExecuteResponse):
            self._record.count_statuses([each.status.value for each in response.executions])
        elif isinstance(response, VerifyResponse):
            self._record.count_statuses(
                [each.execution.status.value for each in response.items if each.execution]
            )

    def failed(self, failure: RequestFailed, number: int) -> bytes:
        """The answer to a line of which nothing is known but its number."""
        return self._failed(failure, _Asked(number))

    def _failed(self, failure: RequestFailed, asked: _Asked) -> bytes:
        self._metrics.failed(failure.code)
        return _failed(failure, asked)


def _asked(document: Any, number: int) -> _Asked:
    if not isinstance(document, dict):
        return _Asked(number)
    name, op = document.get("id"), document.get("op")
    known = isinstance(name, str) and len(name) <= _LINE_ID_CHARS_MAX
    return _Asked(
        number,
        name if known else None,
        op[:60] if isinstance(op, str) else None,
    )


def _line(asked: _Asked, fields: bytes) -> bytes:
    """An object's JSON with the line's names before its own fields, which are never none."""
    names = {"id": asked.id, "op": asked.op}
    known = {name: value for name, value in names.items() if value is not None}
    head = json.dumps(known, separators=(",", ":"))
    return (head[:-1] + ("," if len(head) > 2 else "")).encode("utf-8") + fields[1:] + b"\n"


def _failed(failure: RequestFailed, asked: _Asked) -> bytes:
    if isinstance(failure, ServiceFailure):
        logger.warning("%s: %s", failure.code, failure.message)
    fields = b'{"line":%d,%s' % (asked.line, error_bytes(failure)[1:])
    return _line(asked, fields)


def _no_operation(document: Any, op: str | None) -> CallerMistake:
    operations = ", ".join(BATCH_LINES)
    if not isinstance(document, dict):
        message = "a line must be an object with id, op and the fields of the operation's body"
    elif op is None:
        message = f"op: is required and must be one of {operations}"
    else:
        message = f"op: {json.dumps(op)} must be one of {operations}"
    return CallerMistake("invalid_request", message)


def _too_long(line_bytes_max: int) -> CallerMistake:
    return CallerMistake(
        "line_too_large",
        f"this line is longer than {line_bytes_max} bytes; split it into several",
        http_status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        detail={"body_bytes_max": line_bytes_max},
    )
