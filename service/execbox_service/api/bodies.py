"""Receiving a request body within its cap, its deadline and the service's memory, and noticing
that its sender has gone. What the bytes mean is decoded elsewhere; headers that never end are
``connection.py``'s business, because the application is only called once they are complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeVar, cast

from starlette.types import Receive, Scope

from execbox.wire import ErrorCode
from execbox_service.api.error_responses import ReceiveTimeout
from execbox_service.failures import CallerMistake
from execbox_service.scheduling.memory import Hold
from execbox_service.settings import Settings

__all__ = [
    "CONNECTION_STATE_KEY",
    "DEADLINE_STATE_KEY",
    "Bodies",
    "ClientGone",
    "Connection",
    "connection_of",
    "require_media_type",
    "until_disconnect",
]

DEADLINE_STATE_KEY: Final = "execbox_receive_deadline"
"""Where the protocol leaves, in ``scope["state"]``, the loop time at which receiving must end."""

CONNECTION_STATE_KEY: Final = "execbox_connection"
"""Where the protocol leaves, in ``scope["state"]``, the ``Connection`` of the request."""

_JSON: Final = "application/json"
_MEDIA_TYPES: Final = {
    _JSON: "JSON",
    "application/x-ndjson": "lines of JSON",
    "application/octet-stream": "it is",
}
_T = TypeVar("_T")


class Connection(Protocol):
    """What the application needs of the connection itself."""

    def is_stopping(self) -> bool:
        """Whether the service stops, and waits for this request to end."""

    def claim(self) -> None:
        """Keep the connection until its request is answered: its caller has a valid key."""

    def answer_interim(self) -> None:
        """Say that the request has arrived and that its answer is to come, unless it has begun."""

    def has_whole_body(self) -> bool:
        """Whether all of the body of the request that is being answered is here, so that none of it
        has to be waited for."""

    def take_over_deadline(self) -> None:
        """End the deadline for receiving this request; the caller of this keeps one instead."""

    def peer_has_left(self) -> bool:
        """Whether the other end is closed, even while nothing is read from it."""

    def when_gone(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Have ``tell`` called once, from the event loop, when the connection of the request that
        is being answered has closed, be it already. What is returned takes that back."""


class ClientGone(Exception):
    """The client closed the connection: an answer would reach no one."""


class Bodies:
    """Reads request bodies, each within the cap and the memory that its key may hold."""

    def __init__(self, settings: Settings) -> None:
        self._bytes_max = settings.body_bytes_max
        self._timeout_s = settings.receive_timeout_s

    async def received(
        self, scope: Scope, receive: Receive, *, hold: Hold, media_type: str = _JSON
    ) -> bytes:
        """The whole body, counted in ``hold`` as it arrives: what is only declared costs nobody
        anything. Raises CallerMistake, Overloaded, ReceiveTimeout, or ClientGone if it breaks off.
        """
        # Reversed, so that the first of each name counts.
        headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        content_encoding = headers.get(b"content-encoding", b"identity").decode("latin-1")
        _require_media_type(content_type, content_encoding, media_type)
        if int(headers.get(b"content-length", b"0").decode("latin-1")) > self._bytes_max:
            raise _too_large(self._bytes_max)
        connection = connection_of(scope)
        if connection is not None and connection.has_whole_body():
            # As with nearly all bodies: a deadline would cost more than receiving does.
            return await self._pieces(receive, hold)
        loop_time_s = asyncio.get_running_loop().time()
        deadline = scope.get("state", {}).get(DEADLINE_STATE_KEY, loop_time_s + self._timeout_s)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._pieces(receive, hold)
        except TimeoutError as error:
            raise ReceiveTimeout(self._timeout_s) from error

    async def _pieces(self, receive: Receive, hold: Hold) -> bytes:
        """All that is still to come of the body."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece = message.get("body", b"")
            if len(body) + len(piece) > self._bytes_max:
                raise _too_large(self._bytes_max)
            hold.grow(len(piece), too_large=ErrorCode.BODY_TOO_LARGE, what="the body")
            more = message.get("more_body", False)
            if not (more or body):
                return bytes(piece)
            body += piece
            if not more:
                return bytes(body)


async def until_disconnect(
    receive: Receive, work: Awaitable[_T], *, connection: Connection | None = None
) -> _T:
    """The result of ``work``, or ClientGone once the connection closes; then ``work`` is
    cancelled and has ended, cleaning up included, before this raises.

    For requests whose body has been received. ``connection`` says by itself when it closes; where
    it is not known, a task watches, which costs as much as reading a small request.
    """
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    gone = False

    def left() -> None:
        nonlocal gone
        gone = True
        task.cancel()

    forget = _watch(receive, left) if connection is None else connection.when_gone(left)
    try:
        result = await work
    except asyncio.CancelledError:
        if not gone:
            raise
    finally:
        forget()
    if not gone:
        return result
    if task.uncancel():
        # The server cancelled it as well.
        raise asyncio.CancelledError
    raise ClientGone


def _watch(receive: Receive, left: Callable[[], None]) -> Callable[[], object]:
    """Wait in a task for the client's going; what is returned ends that."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left()

    return asyncio.create_task(watch()).cancel


def connection_of(scope: Scope) -> Connection | None:
    """The connection that the request came on, where the server is ours."""
    found: Connection | None = scope.get("state", {}).get(CONNECTION_STATE_KEY)
    return found


def require_media_type(headers: Mapping[str, str], expected: str) -> None:
    """Raises CallerMistake, 415, for any other Content-Type and for compressed bodies."""
    content_encoding = headers.get("content-encoding", "identity")
    _require_media_type(headers.get("content-type", ""), content_encoding, expected)


def _require_media_type(content_type: str, content_encoding: str, expected: str) -> None:
    if content_type != expected and content_type.partition(";")[0].strip().lower() != expected:
        what = _MEDIA_TYPES[expected]
        raise _unsupported(f"send the body as {what}, with the header 'Content-Type: {expected}'")
    if content_encoding.strip().lower() != "identity":
        raise _unsupported("compressed bodies are not accepted; send without Content-Encoding")


def _too_large(cap_bytes: int) -> CallerMistake:
    return CallerMistake(
        ErrorCode.BODY_TOO_LARGE,
        f"the request body is larger than {cap_bytes} bytes; split it into several requests",
        detail={"body_bytes_max": cap_bytes},
    )


def _unsupported(message: str) -> CallerMistake:
    return CallerMistake(ErrorCode.UNSUPPORTED_MEDIA_TYPE, message)
