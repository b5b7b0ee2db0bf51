"""Every error code of the API: whose fault it is, its HTTP status, what to do; and the error body.

This is the one place where that is written. ``docs/http-api.md`` is held to it, and the service
takes the status and ``retryable`` of what it answers from here. What the user's code did is never
an error: that is a ``Status``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from pydantic import Field

from execbox.wire.fields import JSON, Response

__all__ = ["ERROR_CODES", "ErrorBody", "ErrorCode", "ErrorFacts", "ErrorResponse", "Fault"]

Fault: TypeAlias = Literal["caller", "service"]
"""``caller``: the request, its key or its connection. ``service``: the service or its machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorFacts:
    """What one error code means to the caller that gets it."""

    fault: Fault
    http_status: int
    """Of an answer that has this code; an item or a line of a batch that has it stands in a 200."""
    retryable: bool
    """Whether the same request may succeed later."""
    meaning: str
    """What happened, as one clause."""
    remedy: str
    """What the caller can do, as one clause."""


def _caller(http_status: int, meaning: str, *, remedy: str) -> ErrorFacts:
    return ErrorFacts(
        fault="caller", http_status=http_status, retryable=False, meaning=meaning, remedy=remedy
    )


def _too_slow_or_fast(http_status: int, meaning: str, *, remedy: str) -> ErrorFacts:
    return ErrorFacts(
        fault="caller", http_status=http_status, retryable=True, meaning=meaning, remedy=remedy
    )


def _service(http_status: int, meaning: str, *, remedy: str) -> ErrorFacts:
    return ErrorFacts(
        fault="service", http_status=http_status, retryable=True, meaning=meaning, remedy=remedy
    )


_LATER = "send it again after Retry-After"


class ErrorCode(StrEnum):
    """Why a request, an item or a line of a batch has no result; ``facts`` says what that means."""

    # The request itself
    BAD_REQUEST = "bad_request"
    INVALID_JSON = "invalid_json"
    HOST_NOT_ALLOWED = "host_not_allowed"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    RECEIVE_TIMEOUT = "receive_timeout"
    BATCH_IDLE = "batch_idle"
    BODY_TOO_LARGE = "body_too_large"
    LINE_TOO_LARGE = "line_too_large"
    ANSWER_TOO_LARGE = "answer_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    HEADERS_TOO_LARGE = "headers_too_large"
    INVALID_REQUEST = "invalid_request"
    UNSENDABLE_VALUE = "unsendable_value"

    # What this service permits
    LIMIT_ABOVE_MAXIMUM = "limit_above_maximum"
    ISOLATION_NOT_PERMITTED = "isolation_not_permitted"
    PROFILE_NOT_PERMITTED = "profile_not_permitted"
    LANGUAGE_NOT_AVAILABLE = "language_not_available"
    SESSIONS_NOT_PERMITTED = "sessions_not_permitted"
    COMPARISON_TOO_LONG = "comparison_too_long"

    # Sessions
    SESSION_GONE = "session_gone"
    SESSION_FILE_MISSING = "session_file_missing"
    SESSION_FILE_REFUSED = "session_file_refused"

    # Too much at once
    SESSIONS_TOO_MANY = "sessions_too_many"
    KEY_RATE_EXCEEDED = "key_rate_exceeded"
    KEY_CONCURRENCY_EXCEEDED = "key_concurrency_exceeded"
    QUEUE_FULL = "queue_full"
    QUEUE_TIMEOUT = "queue_timeout"
    BODIES_TOO_MANY = "bodies_too_many"

    # Failures of the service and its machine
    NOT_READY = "not_ready"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    SELF_TEST_FAILED = "self_test_failed"
    SANDBOX_LOST = "sandbox_lost"
    NOTHING_RUN = "nothing_run"
    MACHINE_TOO_BUSY = "machine_too_busy"
    SHUTTING_DOWN = "shutting_down"
    INTERNAL_ERROR = "internal_error"

    @property
    def facts(self) -> ErrorFacts:
        """Whose fault it is, the HTTP status, what to do."""
        return ERROR_CODES[self]


ERROR_CODES: Final[Mapping[ErrorCode, ErrorFacts]] = {
    # The request itself
    ErrorCode.BAD_REQUEST: _caller(
        400,
        "this is not well-formed HTTP, or no HTTP that this path takes",
        remedy="look for what stands between client and service",
    ),
    ErrorCode.INVALID_JSON: _caller(
        400,
        "the body is no strict JSON (RFC 8259, no key twice, at most 64 levels deep, at most "
        "500,000 members in one object)",
        remedy="mend what the message names, with its line and column",
    ),
    ErrorCode.HOST_NOT_ALLOWED: _caller(
        400,
        "the Host header names a machine this service does not answer for",
        remedy="use its own address, or have its operator set EXECBOX_ALLOWED_HOSTS",
    ),
    ErrorCode.UNAUTHORIZED: _caller(
        401,
        "no API key was sent, or one that the service does not know",
        remedy="send Authorization: Bearer KEY",
    ),
    ErrorCode.NOT_FOUND: _caller(
        404, "there is nothing at this path", remedy="see /docs for the paths there are"
    ),
    ErrorCode.METHOD_NOT_ALLOWED: _caller(
        405, "the path exists for other methods", remedy="use one that Allow names"
    ),
    ErrorCode.RECEIVE_TIMEOUT: _too_slow_or_fast(
        408,
        "the request did not arrive completely in the time permitted",
        remedy="send it faster, or less at once",
    ),
    ErrorCode.BATCH_IDLE: _caller(
        408,
        "a batch was left open with nothing sent and nothing under way",
        remedy="end a batch when its last line is sent; open a new one for more",
    ),
    ErrorCode.BODY_TOO_LARGE: _caller(
        413,
        "the body has more bytes than the service takes",
        remedy="split it into several requests",
    ),
    ErrorCode.LINE_TOO_LARGE: _caller(
        413,
        "a line of a batch has more bytes than the service takes",
        remedy="split it into several lines",
    ),
    ErrorCode.ANSWER_TOO_LARGE: _caller(
        413,
        "the answer would have more bytes, or take more memory on its way, than the service gives "
        "to one request",
        remedy="send fewer calls or items in one request, or lower output_bytes and stdout_bytes",
    ),
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: _caller(
        415,
        "the content type or encoding is none this path takes",
        remedy="send plain application/json (for a batch, application/x-ndjson)",
    ),
    ErrorCode.HEADERS_TOO_LARGE: _caller(
        431, "the request line and headers are too long", remedy="send fewer or shorter ones"
    ),
    ErrorCode.INVALID_REQUEST: _caller(
        422,
        "a field is missing, unknown, of the wrong type or out of range",
        remedy="change what detail.problems names, with its path",
    ),
    ErrorCode.UNSENDABLE_VALUE: _caller(
        422,
        "the client library was given a value that has no strict JSON form; nothing was sent",
        remedy="convert the value the message names",
    ),
    # What this service permits
    ErrorCode.LIMIT_ABOVE_MAXIMUM: _caller(
        422,
        "more was asked for than the operator permits",
        remedy="ask for at most what detail names; /v1/capabilities has every maximum",
    ),
    ErrorCode.ISOLATION_NOT_PERMITTED: _caller(
        422,
        "the operator does not permit this isolation level",
        remedy="use one that detail.permitted names",
    ),
    ErrorCode.PROFILE_NOT_PERMITTED: _caller(
        422,
        "the operator does not permit this profile",
        remedy="use one that detail.permitted names",
    ),
    ErrorCode.LANGUAGE_NOT_AVAILABLE: _caller(
        422,
        "the sandbox image has no such language",
        remedy="use one that detail.available names, or a service whose image has it",
    ),
    ErrorCode.SESSIONS_NOT_PERMITTED: _caller(
        422,
        "the operator permits no sessions",
        remedy="run a function or a program instead, or a service that permits them",
    ),
    ErrorCode.COMPARISON_TOO_LONG: _caller(
        422,
        "the two outputs of an item cannot be compared in the time permitted",
        remedy="compare smaller values",
    ),
    # Sessions
    ErrorCode.SESSION_GONE: _caller(
        410,
        "there is no such session, or no more: its time was over, a cell ended it, or the service "
        "has been started anew; its variables and files are lost",
        remedy="begin a new session",
    ),
    ErrorCode.SESSION_FILE_MISSING: _caller(
        404, "the session has no such file", remedy="look at the path; links are not followed"
    ),
    ErrorCode.SESSION_FILE_REFUSED: _caller(
        422,
        "the file cannot be written or sent: it is too large, no regular file, or its path is none",
        remedy="change what the message names",
    ),
    # Too much at once
    ErrorCode.SESSIONS_TOO_MANY: _service(
        429,
        "the key, or the service, has as many sessions as it may",
        remedy="end a session that is no longer needed, or send it again later",
    ),
    ErrorCode.KEY_RATE_EXCEEDED: _too_slow_or_fast(
        429, "this API key sends more requests a second than it may", remedy=_LATER
    ),
    ErrorCode.KEY_CONCURRENCY_EXCEEDED: _too_slow_or_fast(
        429,
        "this API key has as many requests under way as it may",
        remedy="send it again when one of them is answered",
    ),
    ErrorCode.QUEUE_FULL: _service(
        429, "as many requests wait as may; no result of this one is kept", remedy=_LATER
    ),
    ErrorCode.QUEUE_TIMEOUT: _service(
        429, "no slot became free in time; no result of the request is kept", remedy=_LATER
    ),
    ErrorCode.BODIES_TOO_MANY: _service(
        429,
        "the requests of the key, or of all keys, hold as much memory as the service has for them",
        remedy=_LATER,
    ),
    # Failures of the service and its machine
    ErrorCode.NOT_READY: _service(
        503,
        "executions cannot run yet or at the moment: /readyz says why",
        remedy="wait until /readyz answers 200",
    ),
    ErrorCode.TOO_MANY_CONNECTIONS: _service(
        503, "the service has no connection left", remedy=_LATER
    ),
    ErrorCode.ENGINE_UNAVAILABLE: _service(
        503,
        "no sandbox can be made at the moment",
        remedy=f"{_LATER}; 'execbox doctor' on the machine says what is missing",
    ),
    ErrorCode.SELF_TEST_FAILED: _service(
        503,
        "a sandbox lacks a protection it must have, so nothing is run",
        remedy="have the operator look at the message",
    ),
    ErrorCode.SANDBOX_LOST: _service(
        503, "two sandboxes in a row were lost under the request", remedy=_LATER
    ),
    ErrorCode.NOTHING_RUN: _service(503, "not one item was run in a whole job", remedy=_LATER),
    ErrorCode.MACHINE_TOO_BUSY: _service(
        503,
        "other work of the machine kept an execution from running, also alone",
        remedy=f"{_LATER}; have the operator look at what else runs there",
    ),
    ErrorCode.SHUTTING_DOWN: _service(
        503, "the service is shutting down and did not finish this", remedy=_LATER
    ),
    ErrorCode.INTERNAL_ERROR: _service(
        503,
        "a bug of the service",
        remedy="report it with detail.request_id; sent again, it may succeed",
    ),
}


class ErrorBody(Response):
    """Why there is no result: the caller's mistake (4xx) or our failure (429, 503)."""

    code: str = Field(description="An ErrorCode; a newer service may send one not known here.")
    message: str
    detail: JSON = None
    retryable: bool


class ErrorResponse(Response):
    """The one shape of every answer that is not a success."""

    error: ErrorBody
