"""The one error shape: what became of a request that has no result, as an HTTP response.

Maps exceptions to bodies and statuses. It neither raises them nor logs them; the wording of
validation problems is in ``validation.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from pydantic_core import PydanticSerializationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from execbox.wire import ErrorBody, ErrorCode, ErrorResponse
from execbox_service.failures import CallerMistake, RequestFailed, ServiceFailure

__all__ = [
    "HeadersTooLarge",
    "MethodNotAllowed",
    "ReceiveTimeout",
    "Unauthorized",
    "error_bytes",
    "error_response",
    "headers_of",
    "internal_error",
    "routing_failure",
    "shutting_down",
]

ERROR_BYTES_MAX: Final = 4096
_MESSAGE_CHARS_MAX = 2000
_JSON_TYPE = "application/json"


class Unauthorized(CallerMistake):
    """No API key, or none that this service knows; says nothing about which."""

    def __init__(self) -> None:
        super().__init__(
            ErrorCode.UNAUTHORIZED,
            "this service needs an API key it knows; send the header 'Authorization: Bearer KEY'",
        )


class MethodNotAllowed(CallerMistake):
    """The path exists, for other methods."""

    def __init__(self, method: str, *, allowed: str) -> None:
        super().__init__(
            ErrorCode.METHOD_NOT_ALLOWED,
            f"{method} is not possible here; use {allowed or 'a different method'}",
        )
        self.allowed = allowed


class ReceiveTimeout(RequestFailed):
    """The request was not there in time. A slow network is temporary, so it is retryable."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(
            ErrorCode.RECEIVE_TIMEOUT,
            f"the request was not received completely within {timeout_s:g} seconds; send it faster "
            f"or send less",
        )


class HeadersTooLarge(CallerMistake):
    """Request line and headers exceed ``header_bytes_max``."""

    def __init__(self, header_bytes_max: int) -> None:
        super().__init__(
            ErrorCode.HEADERS_TOO_LARGE,
            f"the request line and headers are longer than {header_bytes_max} bytes; send less",
        )


def internal_error(request_id: str) -> ServiceFailure:
    """What a caller learns of a bug of ours: that it is ours, and how to find it in the log."""
    return ServiceFailure(
        ErrorCode.INTERNAL_ERROR,
        f"the service failed to answer this request; it is logged as {request_id}",
        detail={"request_id": request_id},
    )


def shutting_down() -> ServiceFailure:
    return ServiceFailure(
        ErrorCode.SHUTTING_DOWN,
        "the service is shutting down and did not finish this request; retry",
    )


def routing_failure(error: HTTPException, *, method: str) -> RequestFailed:
    """What the router found wrong, as one of ours; the path is not repeated."""
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowed(method, allowed=(error.headers or {}).get("Allow", ""))
    if status is HTTPStatus.NOT_FOUND:
        message = "there is nothing at this path; /docs lists the paths of this service"
        return CallerMistake(ErrorCode.NOT_FOUND, message)
    return CallerMistake(ErrorCode.BAD_REQUEST, status.phrase)


def error_bytes(failure: RequestFailed) -> bytes:
    """The body: valid UTF-8 JSON below 4 KB whatever the failure holds."""
    message = failure.message
    if len(message) > _MESSAGE_CHARS_MAX:
        message = message[: _MESSAGE_CHARS_MAX - 3] + "..."
    body = _body(failure, message=message, detail=failure.detail)
    if len(body) >= ERROR_BYTES_MAX:
        body = _body(failure, message=message, detail=None)
    if len(body) >= ERROR_BYTES_MAX:
        body = _body(failure, message=message[: _MESSAGE_CHARS_MAX // 4], detail=None)
    return body


def _body(failure: RequestFailed, *, message: str, detail: object) -> bytes:
    printable = message.encode("utf-8", errors="replace").decode("utf-8")
    error = ErrorBody(
        code=failure.code, message=printable, detail=detail, retryable=failure.retryable
    )
    try:
        return ErrorResponse(error=error).model_dump_json().encode("utf-8")
    except PydanticSerializationError:
        # A detail that is no JSON must not cost the caller the message.
        error = error.model_copy(update={"detail": None})
        return ErrorResponse(error=error).model_dump_json().encode("utf-8")


def headers_of(failure: RequestFailed) -> dict[str, str]:
    """When to send it again, where that is worth it; which methods there are; that a key is due."""
    headers = {}
    if isinstance(failure, ServiceFailure):
        headers["Retry-After"] = str(max(1, math.ceil(failure.retry_after_s)))
    if isinstance(failure, MethodNotAllowed):
        headers["Allow"] = failure.allowed
    if failure.http_status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="execbox"'
    return headers


def error_response(failure: RequestFailed, *, headers: Mapping[str, str] | None = None) -> Response:
    """The response, with the headers its status calls for and ``headers`` besides."""
    response = Response(
        error_bytes(failure), status_code=failure.http_status, media_type=_JSON_TYPE
    )
    response.headers.update(headers_of(failure))
    for name, value in (headers or {}).items():
        response.headers[name] = value
    return response
