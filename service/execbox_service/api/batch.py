"""``POST /v1/batch``: lines in, answers out, both as streams, in bounded memory on this side.

What one line asks for is done by the runtime, as for a request of its own. How lines are read and
answers written at the same time, and within which bounds, is in ``batch_stream.py``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from execbox.wire import ErrorCode
from execbox_service.api.batch_stream import BatchStream, LineAnswers
from execbox_service.api.bodies import connection_of, require_media_type
from execbox_service.api.error_responses import error_bytes, internal_error
from execbox_service.api.line_names import names_in
from execbox_service.api.ndjson import Line
from execbox_service.api.openapi import lines_of, streamed_responses_of
from execbox_service.api.request_guard import Record, record_of, stack_of
from execbox_service.api.routes import Services, count_reading, services_of, written
from execbox_service.api.validation import decoded, validated, validated_in_steps
from execbox_service.failures import CallerMistake, Overloaded, RequestFailed, ServiceFailure
from execbox_service.operations.registry import OPERATIONS, Operation
from execbox_service.scheduling.memory import Hold
from execbox_service.scheduling.offload import ASIDE_BYTES, free_aside, read_aside

__all__ = ["BATCH_PATH", "NDJSON", "add_batch_route"]

BATCH_PATH: Final = "/v1/batch"
NDJSON: Final = "application/x-ndjson"

_BUSY_PAUSE_MAX_S = 5.0
_MEMORY_LOOK_S = 0.05
_LINE_ID_CHARS_MAX = 1000
# What json.dumps comes to, which looks through its options each time.
_json = json.JSONEncoder().encode

logger = logging.getLogger(__name__)


def add_batch_route(app: FastAPI) -> None:
    app.add_api_route(
        BATCH_PATH,
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
            ErrorCode.BAD_REQUEST,
            "a batch needs HTTP/1.1, and this request came in HTTP/1.0; if a proxy is on the way, "
            "have it speak 1.1 (nginx: proxy_http_version 1.1)",
        )
    return _BatchResponse(services_of(request), record_of(request.scope))


class _BatchResponse(Response):
    """Answers while it receives, which a handler's return value cannot."""

    background = None

    def __init__(self, services: Services, record: Record) -> None:
        self._services = services
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lines = _Lines(self._services, self._record)
        with self._services.memory.hold(self._record.caller.principal) as hold:
            stream = BatchStream(
                LineAnswers(lines.answer, failed=lines.failed),
                settings=self._services.settings,
                hold=hold,
                connection=connection_of(scope),
                media_type=NDJSON,
            )
            await stream.run(receive, send)


@dataclass(slots=True)
class _Asked:
    """What is known of a line, be it any good or not; filled in as it becomes known."""

    line: int
    id: str | None = None
    op: str | None = None

    def read(self, document: Any) -> None:
        """Take the names that an answer repeats from what the line says."""
        if not isinstance(document, dict):
            return
        name, op = document.get("id"), document.get("op")
        if isinstance(name, str) and len(name) <= _LINE_ID_CHARS_MAX:
            self.id = name
        if isinstance(op, str):
            self.op = op[:60]

    def read_names(self, text: bytes) -> None:
        """The same, of a line that cannot be decoded, as far as it can be told."""
        self.read(names_in(text, "id", "op"))


class _Lines:
    """The lines of one batch as operations of the runtime."""

    def __init__(self, services: Services, record: Record) -> None:
        self._services = services
        self._record = record
        self._metrics = services.runtime.metrics
        self._caller = record.caller.in_lane_of_its_own("batch")

    async def answer(self, line: Line) -> bytes:
        """Do what the line asks for. Raises nothing: whatever goes wrong is the answer."""
        asked = _Asked(line.number)
        began_s = time.monotonic()
        try:
            if line.too_long:
                asked.read_names(line.head)
                raise _too_long(self._services.settings.body_bytes_max)
            with self._services.memory.hold(self._caller.principal) as hold:
                used: list[Any] = []
                try:
                    await self._count_reading(line.body, asked, hold=hold)
                    operation, request = await read_aside(
                        len(line.body), self._wanted, line.body, asked, used
                    )
                    return await self._result(operation, request, asked, hold=hold, used=used)
                finally:
                    await free_aside(hold.size_bytes, *used)
        except RequestFailed as failure:
            return self._failed(failure, asked)
        except Exception as error:  # noqa: BLE001 - the outermost edge of a line: a bug of ours is its error
            logger.error(  # noqa: TRY400 - logging.exception repeats messages; see stack_of
                "unhandled %s\n%s", type(error).__name__, stack_of(error)
            )
            return self._failed(internal_error(self._record.request_id), asked)
        finally:
            op = asked.op if asked.op is not None and asked.op in OPERATIONS else "none"
            self._metrics.line_answered(op, duration_s=time.monotonic() - began_s)

    def _wanted(
        self, body: bytes, asked: _Asked, used: list[Any]
    ) -> tuple[Operation[Any, Any], BaseModel]:
        """What a valid line asks for: an operation, and the request that is permitted. All that is
        made on the way there is in ``used``."""
        try:
            document = decoded(body)
        except RequestFailed:
            asked.read_names(body)
            raise
        used.append(document)
        asked.read(document)
        operation = OPERATIONS.get(asked.op or "")
        if operation is None:
            raise _no_operation(document, asked.op)
        reading = validated if len(body) < ASIDE_BYTES else validated_in_steps
        request = operation.permitted(reading(operation.line, document), self._services.settings)
        used.append(request)
        return operation, request

    async def _count_reading(self, body: bytes, asked: _Asked, *, hold: Hold) -> None:
        """Wait for memory, but not for ever: it may be that only lines which wait as well have it.
        Then this one is answered with the refusal."""
        began_s = time.monotonic()
        while True:
            try:
                return await count_reading(body, hold=hold)
            except RequestFailed as failure:
                timeout_s = self._services.settings.receive_timeout_s
                may_wait = isinstance(failure, Overloaded)
                if not may_wait or time.monotonic() >= began_s + timeout_s:
                    await read_aside(len(body), asked.read_names, body)
                    raise
                await asyncio.sleep(_MEMORY_LOOK_S)

    async def _result(
        self,
        operation: Operation[Any, Any],
        request: BaseModel,
        asked: _Asked,
        *,
        hold: Hold,
        used: list[Any],
    ) -> bytes:
        runtime, settings = self._services.runtime, self._services.settings
        read_bytes, caller = hold.size_bytes, self._caller.holding(hold)
        began_s = time.monotonic()
        while True:
            try:
                answer = await runtime.perform(operation, request, caller=caller)
                used.append(answer)
                pieces = await written(answer, hold=hold, settings=settings)
            except Overloaded as busy:
                hold.shrink_to(read_bytes)
                waited_long = time.monotonic() >= began_s + settings.receive_timeout_s
                if busy.code is ErrorCode.BODIES_TOO_MANY and waited_long:
                    # It may be that only lines which wait as well have the memory.
                    raise
                # The sender of a batch has asked for waiting.
                await asyncio.sleep(min(busy.retry_after_s, _BUSY_PAUSE_MAX_S))
            else:
                self._record.count(operation.executions_of(answer))
                # Joining lets the event loop go on meanwhile, if it is done beside it.
                return await read_aside(sum(map(len, pieces)), _line, asked, pieces)

    def failed(self, failure: RequestFailed, number: int) -> bytes:
        """The answer to a line of which nothing is known but its number."""
        return self._failed(failure, _Asked(number))

    def _failed(self, failure: RequestFailed, asked: _Asked) -> bytes:
        self._metrics.failed(failure.code)
        return _failed(failure, asked)


def _line(asked: _Asked, pieces: Sequence[bytes]) -> bytes:
    """An object's JSON with the line's names before its own fields, which are never none."""
    opening = "{"
    if asked.id is not None:
        opening = f'{opening}"id":{_json(asked.id)},'
    if asked.op is not None:
        opening = f'{opening}"op":{_json(asked.op)},'
    return b"".join((opening.encode("ascii"), pieces[0][1:], *pieces[1:], b"\n"))


def _failed(failure: RequestFailed, asked: _Asked) -> bytes:
    if isinstance(failure, ServiceFailure):
        logger.warning("%s: %s", failure.code, failure.message)
    fields = b'{"line":%d,%s' % (asked.line, error_bytes(failure)[1:])
    return _line(asked, [fields])


def _no_operation(document: Any, op: str | None) -> CallerMistake:
    operations = ", ".join(OPERATIONS)
    if not isinstance(document, dict):
        message = "a line must be an object with id, op and the fields of the operation's body"
    elif op is None:
        message = f"op: is required and must be one of {operations}"
    else:
        message = f"op: {json.dumps(op)} must be one of {operations}"
    return CallerMistake(ErrorCode.INVALID_REQUEST, message)


def _too_long(line_bytes_max: int) -> CallerMistake:
    return CallerMistake(
        ErrorCode.LINE_TOO_LARGE,
        f"this line is longer than {line_bytes_max} bytes; split it into several",
        detail={"body_bytes_max": line_bytes_max},
    )
