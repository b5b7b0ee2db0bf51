"""The outermost layer of the application: what holds for every request, whatever its path.

In this order: a request id, the Host check, the key check, the key's limits, the application, one
error shape for whatever comes out of it, one log line. What a path does is in ``routes.py``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, cast

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from execbox.wire import WIRE_HEADER, WIRE_VERSION, CellResponse, ErrorCode, Execution, ProgramRun
from execbox_service.api.auth import OPEN_PATHS, Principal, authenticate
from execbox_service.api.bodies import CONNECTION_STATE_KEY, ClientGone, Connection
from execbox_service.api.error_responses import error_response, internal_error, shutting_down
from execbox_service.api.kept_waiting import kept_waiting
from execbox_service.api.key_limits import KeyLimited, KeyLimits
from execbox_service.api.logs import ACCESS_LOGGER, request_id
from execbox_service.api.page.paths import is_page_file
from execbox_service.failures import CallerMistake, RequestFailed, ServiceFailure
from execbox_service.metrics import Metrics
from execbox_service.scheduling.caller import Caller
from execbox_service.settings import Settings

__all__ = ["ContractTerms", "Edge", "FailureForm", "Record", "record_of", "stack_of"]

_RECORD_STATE_KEY: Final = "execbox_record"
_CLIENT_GONE_STATUS: Final = 499
_ID_BYTES: Final = 16
_LOGGED_PATH_CHARS_MAX: Final = 100
_NOTHING: Final[AbstractContextManager[None]] = nullcontext()

_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
_WIRE_HEADER: Final = (WIRE_HEADER.lower().encode("ascii"), str(WIRE_VERSION).encode("ascii"))

FailureForm = Callable[[RequestFailed], Response]
"""How a request without a result is answered."""


@dataclass(frozen=True)
class ContractTerms:
    """What is different at the paths of a different project's contract."""

    failure_form: FailureForm
    keeps_waiting: bool
    """Whether its clients get interim answers, where their library takes them."""


logger = logging.getLogger(__name__)
access_logger = logging.getLogger(ACCESS_LOGGER)


@dataclass(slots=True)
class Record:
    """What the log line of one request says besides the obvious; filled in as it becomes known."""

    request_id: str
    principal: Principal | None = None
    status_code: int | None = None
    error_code: str | None = None
    execution_count: int | None = None
    status_counts: dict[str, int] = field(default_factory=dict)

    @property
    def principal_name(self) -> str:
        """Name of the API key; empty where the service takes requests without one."""
        return self.principal.name if self.principal else ""

    @property
    def caller(self) -> Caller:
        """On whose behalf the request is."""
        return Caller(self.principal_name)

    def count(
        self, executions: Sequence[Execution] | Sequence[ProgramRun] | Sequence[CellResponse]
    ) -> None:
        """Count what a request is answered with."""
        self.execution_count = (self.execution_count or 0) + len(executions)
        counts = self.status_counts
        for execution in executions:
            status = str(execution.status)
            counts[status] = counts.get(status, 0) + 1


def record_of(scope: Scope) -> Record:
    return cast(Record, scope["state"][_RECORD_STATE_KEY])


class Edge:
    """ASGI middleware; must be the outermost, so that nothing is answered round it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        metrics: Metrics,
        key_limits: KeyLimits,
        terms_at: Callable[[str], ContractTerms | None],
        direct: Mapping[str, APIRoute],
    ) -> None:
        """``terms_at`` says of a path what is not as at the API's own. ``direct`` are the paths
        whose POST requests go to their handlers past the framework's routing, by path: it takes as
        long as all that the service itself does with a small request (measured)."""
        self._app = app
        self._direct = direct
        self._terms_at = terms_at
        self._metrics = metrics
        self._settings = settings
        self._key_limits = key_limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        past_framework: APIRoute | None = None,
    ) -> None:
        """Have a request answered: by the handler of ``past_framework``, its ``direct_route``, or
        by the application."""
        started_s = time.monotonic()
        record = Record(os.urandom(_ID_BYTES).hex())
        scope.setdefault("state", {})[_RECORD_STATE_KEY] = record
        token = request_id.set(record.request_id)
        exchange = _Exchange(scope, receive, send, record=record, route=past_framework)
        try:
            await self._answer(exchange)
        finally:
            duration_s = time.monotonic() - started_s
            route = _route_of(scope)
            _log(scope, record, route=route, duration_s=duration_s)
            if record.status_code is not None:
                self._metrics.answered(route, status_code=record.status_code, duration_s=duration_s)
            if record.error_code is not None:
                self._metrics.failed(record.error_code)
            request_id.reset(token)

    async def _answer(self, exchange: _Exchange) -> None:
        scope, record = exchange.scope, exchange.record
        path = scope["path"]
        try:
            is_open = path in OPEN_PATHS
            if not is_open:
                # Whoever looks after a service asks at its address, whatever it is called; and
                # what these say is of no use to a web page.
                _check_host(scope, self._settings.hosts_answered)
            if not (is_open or self._is_page(scope)):
                record.principal = authenticate(scope["headers"], settings=self._settings)
                _claim(scope)
            # Not before: which paths there are is no business of a caller without a key.
            terms = self._terms_at(path)
            if terms is not None:
                exchange.failure_form = terms.failure_form
            waits = terms is not None and terms.keeps_waiting
            with kept_waiting(scope) if waits else _NOTHING, self._counted(scope, record):
                if exchange.route is None:
                    await self._app(scope, exchange.receive, exchange.send)
                else:
                    scope["route"] = exchange.route
                    response = await exchange.route.endpoint(Request(scope))
                    await response(scope, exchange.receive, exchange.send)
        except ClientGone:
            # Some servers report every caller as gone when they shut down. This reaches those who
            # are still there, and is dropped for those who are not.
            await exchange.fail(shutting_down())
            record.status_code = _CLIENT_GONE_STATUS
            record.error_code = "client_gone"
        except KeyLimited as limited:
            # No warning: how many there are is up to one caller, and the access log has each.
            self._metrics.limited(limited.limit)
            await exchange.fail(limited)
        except RequestFailed as failure:
            if isinstance(failure, ServiceFailure):
                logger.warning("%s: %s", failure.code, failure.message)
            await exchange.fail(failure)
        except asyncio.CancelledError:
            # Only the server's shutdown cancels a request's task, and its caller is owed an answer.
            await exchange.fail(shutting_down())
        except Exception as error:  # noqa: BLE001 - the outermost edge: a bug of ours is a 503
            logger.error(  # noqa: TRY400 - logging.exception repeats messages; see stack_of
                "unhandled %s\n%s", type(error).__name__, stack_of(error)
            )
            await exchange.fail(internal_error(record.request_id))

    def _counted(self, scope: Scope, record: Record) -> AbstractContextManager[None]:
        """Only what asks for work counts: a key over its limits may still ask what they are."""
        if scope["method"] != "POST" or record.principal is None:
            return _NOTHING
        return self._key_limits.under_way(record.principal.name)

    def _is_page(self, scope: Scope) -> bool:
        """The page is answered without a key: it asks for one."""
        return self._settings.page_enabled and is_page_file(scope)

    def direct_route(self, scope: Scope) -> APIRoute | None:
        """Of one of the paths whose handlers nothing of the framework is asked for."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return None
        return self._direct.get(scope["path"])


class _Exchange:
    """One request's channel: adds our headers, and remembers what was received and sent."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        record: Record,
        route: APIRoute | None,
    ) -> None:
        self.scope = scope
        self.failure_form: FailureForm = error_response
        self.record = record
        self.route = route
        """Whose handler answers it, instead of the application."""
        self._receive = receive
        self._send = send
        self._body_read = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._body_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.record.status_code = message["status"]
            headers = [
                *message.get("headers", ()),
                (b"x-request-id", self.record.request_id.encode("ascii")),
                _NO_SNIFFING,
                _WIRE_HEADER,
            ]
            if not self._body_read and _announces_body(self.scope):
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)

    async def fail(self, failure: RequestFailed) -> None:
        self.record.error_code = failure.code
        if self.record.status_code is None:
            response = self.failure_form(failure)
            await response(self.scope, self.receive, self.send)


def _claim(scope: Scope) -> None:
    connection: Connection | None = scope["state"].get(CONNECTION_STATE_KEY)
    if connection is not None:
        connection.claim()


def _route_of(scope: Scope) -> str:
    """One of our own paths, so that no caller can make labels by asking for others."""
    return str(getattr(scope.get("route"), "path", "none"))


def _logged_path(scope: Scope, route: str) -> str:
    """As it was asked for; but of a path with parts that are the caller's, such as the id of a
    session, which is all that a service without keys asks for, only the form."""
    return route if "{" in route else str(scope["path"][:_LOGGED_PATH_CHARS_MAX])


def _announces_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


def _check_host(scope: Scope, answered: Sequence[str]) -> None:
    """Keeps a web page whose own name resolves to this machine from using a visitor's service."""
    if "*" in answered:
        return
    values = [value for name, value in scope["headers"] if name == b"host"]
    host = values[0].decode("latin-1").lower() if len(values) == 1 else ""
    name, separator, port = host.rpartition(":")
    if not (separator and port.isdecimal()):
        name = host
    if name not in answered:
        raise CallerMistake(
            ErrorCode.HOST_NOT_ALLOWED,
            "this service does not answer to the name in the Host header; its operator can allow "
            "it with EXECBOX_ALLOWED_HOSTS",
        )


def stack_of(error: BaseException) -> str:
    """Types and frames of ``error`` and what led to it, without their messages: those may repeat
    what a caller sent, which no log may hold."""
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < 20:
        parts.append("".join(traceback.format_tb(current.__traceback__)) + type(current).__name__)
        current = current.__cause__ or current.__context__
    return "\ncaused by:\n".join(parts)


def _log(scope: Scope, record: Record, *, route: str, duration_s: float) -> None:
    # Probes come every few seconds and say nothing as long as they succeed.
    routine = scope["path"] in OPEN_PATHS and record.status_code == HTTPStatus.OK
    level = logging.DEBUG if routine else logging.INFO
    if not access_logger.isEnabledFor(level):
        return
    fields: dict[str, object] = {
        "method": scope["method"],
        "path": _logged_path(scope, route),
        "status": record.status_code,
        "duration_ms": round(duration_s * 1000, 1),
        "key_name": record.principal.name if record.principal else None,
    }
    if record.error_code is not None:
        fields["error"] = record.error_code
    if record.execution_count is not None:
        fields["execution_count"] = record.execution_count
        fields["statuses"] = record.status_counts
    # Not by ``Logger.log``, which looks up its caller's place in the source: no line shows it.
    said = access_logger.makeRecord(
        ACCESS_LOGGER, level, "", 0, "request", (), None, extra={"fields": fields}
    )
    access_logger.handle(said)
