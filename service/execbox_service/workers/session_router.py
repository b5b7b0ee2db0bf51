"""``SessionRouter``: every session of a machine, as one worker's requests reach them.

A session lives in the worker that began it, whose number its id begins with; one that its caller
has named, in the worker that its name leads to. Implements ``operations.sessions.LiveSessions``.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Callable

from execbox.wire import (
    CellOutput,
    CellRequest,
    CellResponse,
    SessionInfo,
    SessionRequest,
)
from execbox_service.operations.session_protocols import BegunSessions, NamedSession
from execbox_service.operations.sessions import Sessions
from execbox_service.scheduling.caller import Caller
from execbox_service.workers.session_calls import RemoteSessions

__all__ = ["SessionRouter", "session_socket"]


def session_socket(folder: str, number: int) -> str:
    """Where a worker answers the others."""
    return f"{folder}/{number}"


class SessionRouter:
    """``number`` is this worker's; ``own`` are its sessions."""

    def __init__(
        self,
        own: Sessions,
        *,
        number: int,
        count: int,
        folder: str,
        is_ending: Callable[[], bool] = lambda: False,
    ) -> None:
        """``is_ending`` says whether the whole service ends."""
        self._own = own
        self._number = number
        self._count = count
        self._others: dict[int, BegunSessions] = {
            other: RemoteSessions(session_socket(folder, other), is_ending=is_ending)
            for other in range(1, count + 1)
            if other != number
        }

    async def open(self, request: SessionRequest, *, caller: Caller) -> SessionInfo:
        return await self._own.open(request, caller=caller)

    async def named(
        self, name: str, request: SessionRequest, *, caller: Caller
    ) -> tuple[str, bool]:
        return await self._by_name(name, caller=caller).named(name, request, caller=caller)

    async def names(self, *, caller: Caller) -> dict[str, NamedSession]:
        of_each = await asyncio.gather(
            *(each.names(caller=caller) for each in (self._own, *self._others.values()))
        )
        return {name: named for names in of_each for name, named in names.items()}

    async def close_named(self, name: str, *, caller: Caller) -> bool:
        return await self._by_name(name, caller=caller).close_named(name, caller=caller)

    async def info(self, session_id: str, *, caller: Caller) -> SessionInfo:
        return await self._by_id(session_id).info(session_id, caller=caller)

    async def close(self, session_id: str, *, caller: Caller) -> None:
        await self._by_id(session_id).close(session_id, caller=caller)

    async def run(self, session_id: str, request: CellRequest, *, caller: Caller) -> CellResponse:
        return await self._by_id(session_id).run(session_id, request, caller=caller)

    def stream(
        self, session_id: str, request: CellRequest, *, caller: Caller
    ) -> AsyncGenerator[CellOutput | CellResponse, None]:
        return self._by_id(session_id).stream(session_id, request, caller=caller)

    async def put_file(self, session_id: str, path: str, content: bytes, *, caller: Caller) -> None:
        await self._by_id(session_id).put_file(session_id, path, content, caller=caller)

    async def get_file(self, session_id: str, path: str, *, caller: Caller) -> bytes:
        return await self._by_id(session_id).get_file(session_id, path, caller=caller)

    def _by_id(self, session_id: str) -> BegunSessions:
        number, separator, _rest = session_id.partition("-")
        # What is no id of ours is one that this worker has not: it knows what to say.
        known = separator and number.isascii() and number.isdecimal() and len(number) <= 2
        return self._others.get(int(number), self._own) if known else self._own

    def _by_name(self, name: str, *, caller: Caller) -> BegunSessions:
        digest = zlib.crc32(f"{caller.principal}\0{name}".encode("utf-8", "surrogatepass"))
        return self._others.get(1 + digest % self._count, self._own)
