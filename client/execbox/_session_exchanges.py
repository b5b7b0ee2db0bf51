"""What a session sends, and how each answer is read. Pure: nothing is sent here.

The operations that need no session are in ``_operations``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack
from urllib.parse import quote

from pydantic import ValidationError

from execbox import strict_json, wire
from execbox._exchange import Exchange, HttpAnswer, error_in_line, read_model
from execbox._requests import ContentLike, content_of, encoded
from execbox.errors import ConnectionBroken, InvalidRequest, InvalidResponse
from execbox.wire.complaints import invalid_request

__all__ = [
    "SessionOptions",
    "begin",
    "complete",
    "end",
    "get_file",
    "info",
    "put_file",
    "run",
    "stream",
    "streamed_line",
]

_BYTES = "application/octet-stream"
_START_TIMEOUT_S = 120.0
_QUICK_TIMEOUT_S = 60.0
_HARD_STOP_FACTOR = 8
"""Of a cell's wall limit: after so long the service itself has ended it."""


class SessionOptions(TypedDict, total=False):
    """What a session is begun with; what is left out is the service's choice."""

    limits: wire.SessionLimits | None
    profile: wire.Profile | None
    prelude: wire.Prelude | None
    files: Mapping[str, ContentLike] | None
    preload: Sequence[str] | None
    idle_time_s: float | None
    lifetime_s: float | None


def begin(**options: Unpack[SessionOptions]) -> Exchange[wire.SessionInfo]:
    """``POST /v1/sessions``. Raises ``InvalidRequest`` before sending."""
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if "files" in given:
        given["files"] = {path: content_of(each) for path, each in given["files"].items()}
    if "preload" in given:
        given["preload"] = list(given["preload"])
    try:
        request = wire.SessionRequest.model_validate(given)
    except ValidationError as error:
        raise invalid_request(error) from error
    return Exchange(
        method="POST",
        path="/v1/sessions",
        body=encoded(request),
        read=lambda answer: read_model(wire.SessionInfo, answer),
        read_timeout_s=_START_TIMEOUT_S,
    )


def run(
    session: wire.SessionInfo, code: str, *, limits: wire.CellLimits | None
) -> Exchange[wire.CellResponse]:
    """``POST /v1/sessions/{id}/run``. Raises ``InvalidRequest`` before sending."""
    fields: dict[str, Any] = {"code": code}
    if limits is not None:
        fields["limits"] = limits
    try:
        request = wire.CellRequest.model_validate(fields)
    except ValidationError as error:
        raise invalid_request(error) from error
    wall_time_s = request.limits.wall_time_s or session.limits["wall_time_s"]
    return Exchange(
        method="POST",
        path=f"{_path(session)}/run",
        body=encoded(request),
        read=lambda answer: read_model(wire.CellResponse, answer),
        read_timeout_s=_HARD_STOP_FACTOR * wall_time_s + _QUICK_TIMEOUT_S,
    )


def stream(
    session: wire.SessionInfo, code: str, *, limits: wire.CellLimits | None
) -> Exchange[None]:
    """``run``, answered in lines that ``streamed_line`` reads."""
    whole = run(session, code, limits=limits)
    fields = {"code": code, "limits": limits or wire.CellLimits(), "stream": True}
    request = wire.CellRequest.model_validate(fields)
    return Exchange(
        method=whole.method,
        path=whole.path,
        body=encoded(request),
        read=_nothing,
        read_timeout_s=whole.read_timeout_s,
    )


def streamed_line(text: bytes) -> wire.CellOutput | wire.CellResponse:
    """One line of the answer. Raises what became of the cell, where the line says it failed."""
    try:
        document: Any = strict_json.decode(text, depth_max=strict_json.DOCUMENT_DEPTH_MAX)
        if "status" in document:
            return wire.CellResponse.model_validate(document)
        if "error" not in document:
            return wire.CellOutput.model_validate(document)
    except (ValueError, TypeError) as error:
        raise InvalidResponse(f"a line of the answer cannot be read: {error}"[:300]) from error
    raise error_in_line(text)


def complete(cell: wire.CellResponse | None) -> wire.CellResponse:
    """The line that says what the cell did. Raises ConnectionBroken where there was none."""
    if cell is None:
        raise ConnectionBroken("the answer ended before the cell did; whether it ran is not known")
    return cell


def info(session: wire.SessionInfo) -> Exchange[wire.SessionInfo]:
    """``GET /v1/sessions/{id}``."""
    return Exchange(
        method="GET",
        path=_path(session),
        read=lambda answer: read_model(wire.SessionInfo, answer),
        read_timeout_s=_QUICK_TIMEOUT_S,
    )


def end(session: wire.SessionInfo) -> Exchange[None]:
    """``DELETE /v1/sessions/{id}``; one that is gone already has ended, too."""
    return Exchange(
        method="DELETE",
        path=_path(session),
        read=_nothing,
        read_timeout_s=_QUICK_TIMEOUT_S,
        accepted=frozenset({204, 410}),
    )


def put_file(session: wire.SessionInfo, path: str, content: str | bytes) -> Exchange[None]:
    """``PUT /v1/sessions/{id}/files/{path}``."""
    return Exchange(
        method="PUT",
        path=_file_path(session, path),
        body=content.encode() if isinstance(content, str) else bytes(content),
        content_type=_BYTES,
        read=_nothing,
        read_timeout_s=_QUICK_TIMEOUT_S,
        accepted=frozenset({204}),
    )


def get_file(session: wire.SessionInfo, path: str) -> Exchange[bytes]:
    """``GET /v1/sessions/{id}/files/{path}``."""
    return Exchange(
        method="GET",
        path=_file_path(session, path),
        read=lambda answer: answer.body,
        read_timeout_s=_QUICK_TIMEOUT_S,
    )


def _path(session: wire.SessionInfo) -> str:
    return f"/v1/sessions/{quote(session.id, safe='')}"


def _file_path(session: wire.SessionInfo, path: str) -> str:
    # Here and not at the service: a client of HTTP takes .. out of an address before sending it.
    if not path or path.startswith("/") or {"", ".", ".."} & set(path.split("/")):
        raise InvalidRequest(
            f"{path!r:.100} is no path of a session's file: name it relative to the working "
            "directory, without . and .."
        )
    return f"{_path(session)}/files/{quote(path)}"


def _nothing(_answer: HttpAnswer) -> None:
    return None
