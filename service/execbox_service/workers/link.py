"""``Link``: messages between the front and one worker, over a socket pair. Says what they look
like; what they mean is up to both ends.

A message is a JSON array on a line of its own, whose first element is its kind. What is sent within
one round of the event loop goes out in one piece.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any, cast

__all__ = ["Link", "Message", "open_link"]

Message = list[Any]


class Link(asyncio.Protocol):
    """One end. ``received`` is called for each message, ``ended`` once, when the other is gone."""

    def __init__(self, received: Callable[[Message], None], *, ended: Callable[[], None]) -> None:
        self._received = received
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._unread: list[bytes] = []
        self._unsent: list[str] = []

    def send(self, kind: str, *values: object) -> None:
        """Never blocks; dropped once the other end is gone."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(json.dumps([kind, *values], separators=(",", ":")))

    def close(self) -> None:
        """After what has been sent."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if unsent and self._transport is not None and not self._transport.is_closing():
            self._transport.write(("\n".join(unsent) + "\n").encode())

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *whole, rest = data.split(b"\n")
        for line in whole:
            self._received(json.loads(b"".join((*self._unread, line))))
            self._unread.clear()
        if rest:
            self._unread.append(rest)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._ended()


async def open_link(
    end: socket.socket, received: Callable[[Message], None], *, ended: Callable[[], None]
) -> Link:
    """A link on one end of a socket pair, which it then owns."""
    loop = asyncio.get_running_loop()
    _transport, link = await loop.create_unix_connection(
        lambda: Link(received, ended=ended), sock=end
    )
    return link
