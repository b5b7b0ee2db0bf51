"""What others may ask of sessions, wherever these live: here, or with a different worker.

The words only; ``sessions.Sessions`` says what each means, and what it raises.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from execbox.wire import CellOutput, CellRequest, CellResponse, SessionInfo, SessionRequest
from execbox_service.scheduling.caller import Caller


@dataclass(frozen=True)
class NamedSession:
    """A session that its caller has named."""

    id: str
    created_s: float
    """Since the epoch, as ``last_used_s`` is."""
    last_used_s: float


class BegunSessions(Protocol):
    """What requests may ask of sessions that have been begun, wherever they live. What each means,
    and what it raises, is said at ``Sessions``."""

    async def named(
        self, name: str, request: SessionRequest, *, caller: Caller
    ) -> tuple[str, bool]: ...

    async def names(self, *, caller: Caller) -> dict[str, NamedSession]: ...

    async def close_named(self, name: str, *, caller: Caller) -> bool: ...

    async def info(self, session_id: str, *, caller: Caller) -> SessionInfo: ...

    async def close(self, session_id: str, *, caller: Caller) -> None: ...

    async def run(
        self, session_id: str, request: CellRequest, *, caller: Caller
    ) -> CellResponse: ...

    def stream(
        self, session_id: str, request: CellRequest, *, caller: Caller
    ) -> AsyncGenerator[CellOutput | CellResponse, None]: ...

    async def put_file(
        self, session_id: str, path: str, content: bytes, *, caller: Caller
    ) -> None: ...

    async def get_file(self, session_id: str, path: str, *, caller: Caller) -> bytes: ...


class LiveSessions(BegunSessions, Protocol):
    """And of those to come."""

    async def open(self, request: SessionRequest, *, caller: Caller) -> SessionInfo: ...
