"""``SessionTable``: which sessions live, whose they are, and why those that ended have ended.

Also their names, and whose turn it is in each. It makes no session and runs no cell.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from execbox.wire import ErrorCode, SessionRequest
from execbox_service.engines.base import SandboxLost
from execbox_service.failures import CallerMistake
from execbox_service.operations.session_protocols import NamedSession
from execbox_service.operations.session_room import SessionRoom
from execbox_service.sandboxes.session_sandbox import SessionSandbox

logger = logging.getLogger(__name__)

_REMEMBERED_MAX: Final = 10_000
"""Of sessions that ended, why: the oldest are forgotten first."""
_LOST = "its container was lost, which is a failure of the service"


@dataclass
class Session:
    """One that lives, and where it is."""

    id: str
    principal: str
    request: SessionRequest
    sandbox: SessionSandbox
    ends_s: float
    """When its lifetime is over, on the loop's clock."""
    idle_since_s: float
    cells: int = 0
    running: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Cells and files one after the other, in the order in which they came."""

    def ends_at_s(self) -> float:
        """When it ends if nothing more is asked of it."""
        idle_s = self.idle_since_s + self.request.idle_time_s
        # One whose cell waits for its slot is not idle: how long that takes is our doing.
        return self.ends_s if self.lock.locked() else min(self.ends_s, idle_s)


class SessionTable:
    """Belongs to one event loop, as the sessions do."""

    def __init__(self, room: SessionRoom) -> None:
        self._room = room
        self._sessions: dict[str, Session] = {}
        self._names: dict[tuple[str, str], NamedSession] = {}
        """The sessions that their callers have named; each key names its own."""
        self._why_gone: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, session: Session) -> None:
        self._sessions[session.id] = session

    def of(self, session_id: str, *, principal: str) -> Session:
        """The principal's session of this id; raises CallerMistake where there is none."""
        session = self._sessions.get(session_id)
        # A session of a different key is answered as one that never was, so that its key alone can
        # tell whether an id exists.
        if session is None or session.principal != principal:
            raise self._gone(session_id, principal=principal)
        return session

    def refuse_gone(self, session: Session) -> None:
        """What waited for its turn may find that the session has ended meanwhile."""
        if session.id not in self._sessions:
            raise self._gone(session.id, principal=session.principal)

    def _gone(self, session_id: str, *, principal: str) -> CallerMistake:
        why = self._why_gone.get(f"{principal} {session_id}")
        said = why or "there is none of this id, or the service has been started anew since"
        return CallerMistake(
            ErrorCode.SESSION_GONE,
            f"the session is gone: {said}; its variables and files are lost, begin a new one",
        )

    def end(self, session: Session, why: str) -> None:
        """End a session, for the reason that its caller will be told; one that has ended stays."""
        if self._sessions.pop(session.id, None) is None:
            return
        self._why_gone[f"{session.principal} {session.id}"] = why
        while len(self._why_gone) > _REMEMBERED_MAX:
            del self._why_gone[next(iter(self._why_gone))]
        self._room.leave(session.principal)
        session.sandbox.close()

    def end_all(self, why: str) -> None:
        for session in list(self._sessions.values()):
            self.end(session, why)

    def end_those_over(self) -> None:
        """End those whose container is lost or whose time is over."""
        now_s = now_on_loop_s()
        for session in list(self._sessions.values()):
            if session.sandbox.lost and not session.running:
                self.end(session, _LOST)
            elif now_s >= session.ends_s:
                self.end(session, "its lifetime_s was over")
            elif now_s >= session.ends_at_s():
                self.end(session, "no cell was run in idle_time_s")

    @contextlib.asynccontextmanager
    async def turn(self, session: Session) -> AsyncIterator[None]:
        """The session to oneself; raises CallerMistake where it ended before its turn came, or
        where its container is lost."""
        async with session.lock:
            try:
                self.refuse_gone(session)
                with self._lost_is_gone(session):
                    yield
            finally:
                session.running = False
                session.idle_since_s = now_on_loop_s()

    @contextlib.contextmanager
    def _lost_is_gone(self, session: Session) -> Iterator[None]:
        try:
            yield
        except SandboxLost as error:
            logger.warning("lost session %s: %s", session.sandbox.sandbox.name, error)
            self.end(session, _LOST)
            raise self._gone(session.id, principal=session.principal) from error

    # Names

    def name(self, key: tuple[str, str], session_id: str) -> None:
        """Remember the session by its principal and its name; those of ended ones are forgotten."""
        self._forget_names_of_ended()
        self._names[key] = NamedSession(session_id, time.time(), time.time())

    def used(self, key: tuple[str, str]) -> str | None:
        """The id of the living session of this principal and name, which counts as a use of it."""
        named = self._names.get(key)
        if named is None or named.id not in self._sessions:
            return None
        self._names[key] = replace(named, last_used_s=time.time())
        return named.id

    def named_by(self, principal: str) -> dict[str, NamedSession]:
        """The principal's named sessions that live, by name."""
        self._forget_names_of_ended()
        return {name: named for (owner, name), named in self._names.items() if owner == principal}

    def unname(self, key: tuple[str, str]) -> str | None:
        """Forget a name; the id of the session that had it, where that lives."""
        named = self._names.pop(key, None)
        return named.id if named is not None and named.id in self._sessions else None

    def make_room(self, principal: str) -> bool:
        """End the named session of this principal that was used longest ago, of those in which
        nothing runs or waits; whether there was one."""
        idle = [
            (named.last_used_s, named.id)
            for named in self.named_by(principal).values()
            if not self._sessions[named.id].lock.locked()
        ]
        if not idle:
            return False
        self.end(self._sessions[min(idle)[1]], "a named session of its key took its place")
        return True

    def _forget_names_of_ended(self) -> None:
        living = self._sessions
        self._names = {key: named for key, named in self._names.items() if named.id in living}


def now_on_loop_s() -> float:
    """The clock that sessions' times are on."""
    return asyncio.get_running_loop().time()
