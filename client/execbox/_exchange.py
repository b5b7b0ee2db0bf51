"""One request and what its answer means, as plain data and pure functions; nothing is sent here.

An ``Exchange`` says what to send and how to read a success; ``read_answer`` turns any answer into
that result or into the exception that says whose fault it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from execbox import strict_json
from execbox._abort import Abort
from execbox.errors import (
    AuthenticationError,
    ExecboxError,
    InvalidRequest,
    InvalidResponse,
    Overloaded,
    RequestError,
    RequestNotReceived,
    RequestTooLarge,
    ServiceError,
    ServiceUnavailable,
    SessionGone,
)
from execbox.wire import ERROR_CODES, ErrorCode, ErrorResponse

__all__ = [
    "Exchange",
    "HttpAnswer",
    "error_in_line",
    "read_answer",
    "read_model",
    "retry_after_s",
]

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)

_EXCERPT_CHARS = 120
_KEY_REMEDY = " (the client takes it from api_key, or from EXECBOX_API_KEY)"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What came back: status, body, and the one header that matters."""

    url: str
    http_status: int
    body: bytes
    retry_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange(Generic[T]):
    """What to send, how long to wait for the answer, and how to read one that succeeded.

    ``read_timeout_s`` holds unless the configuration sets another. ``accepted`` are the HTTP
    statuses given to ``read``; every other one is an error. ``line_count`` is how many lines of a
    batch it is. ``merged`` makes one answer of those of all nodes of a fleet; where it is None,
    any node answers for all. ``abort`` ends it from a different thread, if it is streamed.
    """

    method: str
    path: str
    read: Callable[[HttpAnswer], T]
    read_timeout_s: float
    body: bytes | None = None
    content_type: str = "application/json"
    accepted: frozenset[int] = frozenset({200})
    line_count: int = 1
    merged: Callable[[Sequence[T]], T] | None = None
    abort: Abort | None = None


def read_answer(exchange: Exchange[T], answer: HttpAnswer) -> T:
    """The result of a success; raises the matching ``ExecboxError`` for everything else."""
    if answer.http_status not in exchange.accepted:
        raise _error_of(answer)
    try:
        return exchange.read(answer)
    except InvalidResponse as error:
        if answer.http_status == 200:
            raise
        # An accepted error status may still carry an ordinary error, or a proxy's page.
        raise _error_of(answer) from error


def read_model(model: type[ModelT], answer: HttpAnswer) -> ModelT:
    """The body as ``model``; raises ``InvalidResponse`` if it is not strict JSON of that shape."""
    try:
        document = strict_json.decode(answer.body, depth_max=strict_json.DOCUMENT_DEPTH_MAX)
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        problem = f"{strict_json.path_text(first['loc'])}: {first['msg']}"
        raise _unreadable(answer, problem) from error
    except ValueError as error:
        raise _unreadable(answer, str(error)) from error


def error_in_line(text: bytes) -> ExecboxError:
    """What a line of a streamed answer says that became of it. Raises ``InvalidResponse``."""
    answer = HttpAnswer(url="the service", http_status=HTTPStatus.OK, body=text)
    code = read_model(ErrorResponse, answer).error.code
    known = code in ERROR_CODES
    status = ERROR_CODES[ErrorCode(code)].http_status if known else HTTPStatus.SERVICE_UNAVAILABLE
    return _error_of(replace(answer, http_status=status))


def retry_after_s(header: str | None, *, now: datetime) -> float | None:
    """Seconds a ``Retry-After`` header asks for, which is a number or a date; None if neither."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except ValueError:
            return None
        # A date without a zone is what RFC 9110 calls GMT.
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - now).total_seconds())
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _error_of(answer: HttpAnswer) -> ExecboxError:
    try:
        error = read_model(ErrorResponse, answer).error
    except InvalidResponse as unreadable:
        return _foreign_error(answer, unreadable)
    status = answer.http_status
    if error.code == ErrorCode.RECEIVE_TIMEOUT:
        # As where the connection ends meanwhile: it says nothing about what was asked.
        return RequestNotReceived(error.message)
    if status == 429 or status >= 500:
        return _service_error_class(status)(
            error.message,
            code=error.code,
            detail=error.detail,
            http_status=status,
            retryable=error.retryable,
            retry_after_s=retry_after_s(answer.retry_after, now=datetime.now(UTC)),
        )
    if status >= 400:
        remedy = _KEY_REMEDY if error.code == ErrorCode.UNAUTHORIZED else ""
        return _refusal_class(status)(
            error.message + remedy, code=error.code, detail=error.detail, http_status=status
        )
    return _unreadable(answer, "an error with a status that is none")


def _foreign_error(answer: HttpAnswer, unreadable: InvalidResponse) -> ExecboxError:
    """An error status whose body is not execbox's, so most likely from a proxy in between."""
    status = answer.http_status
    message = f"{answer.url} answered HTTP {status} without saying why: {_excerpt(answer.body)}"
    if status == 429 or status >= 500:
        # 429 means by definition that nothing was done. What a 5xx of a stranger means is unknown.
        return _service_error_class(status)(
            message,
            code=f"http_{status}",
            http_status=status,
            retryable=status == 429,
            retry_after_s=retry_after_s(answer.retry_after, now=datetime.now(UTC)),
        )
    if status in (401, 403, 413):
        return _refusal_class(status)(message, code=f"http_{status}", http_status=status)
    return unreadable


def _service_error_class(status: int) -> type[ServiceError]:
    return {429: Overloaded, 503: ServiceUnavailable}.get(status, ServiceError)


def _refusal_class(status: int) -> type[RequestError | SessionGone]:
    classes: dict[int, type[RequestError | SessionGone]] = {
        400: InvalidRequest,
        401: AuthenticationError,
        403: AuthenticationError,
        410: SessionGone,
        413: RequestTooLarge,
        422: InvalidRequest,
    }
    return classes.get(status, RequestError)


def _unreadable(answer: HttpAnswer, problem: str) -> InvalidResponse:
    return InvalidResponse(
        f"{answer.url} answered HTTP {answer.http_status} with what is not an execbox answer "
        f"({problem}): {_excerpt(answer.body)}; is this the right URL, and a matching version?"
    )


def _excerpt(body: bytes) -> str:
    if not body:
        return "empty body"
    text = " ".join(body[: 4 * _EXCERPT_CHARS].decode("utf-8", errors="replace").split())
    return repr(text if len(text) <= _EXCERPT_CHARS else text[:_EXCERPT_CHARS] + "...")
