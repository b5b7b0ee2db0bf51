"""``Sessions``: interpreters that live from cell to cell, each in a container of its own.

A cell holds a slot while it runs, an idle session none. Which sessions live, and whose they are, is
in ``session_table``; what happens in a sandbox in ``sandboxes/session_sandbox``. No HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from execbox.wire import (
    CellOutput,
    CellRequest,
    CellResponse,
    ErrorCode,
    SessionInfo,
    SessionRequest,
    content_bytes,
)
from execbox_service.engines.base import SandboxLost
from execbox_service.engines.container_spec import EXTRA_MEMORY_MB
from execbox_service.failures import CallerMistake, Overloaded, ServiceFailure
from execbox_service.judge import cell_outcome
from execbox_service.judge.fetched_files import fetched_files
from execbox_service.judge.live_text import LiveTexts
from execbox_service.operations.backend import Backend
from execbox_service.operations.cell_room import CellRoom
from execbox_service.operations.session_protocols import NamedSession
from execbox_service.operations.session_room import SessionRoom
from execbox_service.operations.session_table import Session, SessionTable, now_on_loop_s
from execbox_service.runner_frames import CellResult
from execbox_service.sandboxes.live_output import LiveOutput
from execbox_service.sandboxes.session_sandbox import CellTimes, SessionSandbox
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.offload import read_aside

_T = TypeVar("_T")
_ID_BYTES: Final = 24
_LOOK_S: Final = 0.5
_GLOB_SPECIAL: Final = str.maketrans({char: f"[{char}]" for char in "*?["})


@dataclass(frozen=True)
class _Cell:
    """One cell that is to be run, and what it is counted in."""

    session: Session
    code: str
    times: CellTimes
    caller: Caller
    room: CellRoom
    live: LiveOutput | None = None


class Sessions:
    """Every session of this process. Belongs to one event loop."""

    def __init__(self, backend: Backend, room: SessionRoom, *, id_prefix: str = "") -> None:
        """``id_prefix`` begins every id: where there are several workers, it says whose it is."""
        self._backend = backend
        self._room = room
        self._id_prefix = id_prefix
        self._table = SessionTable(room)
        self._naming = WeakValueDictionary[tuple[str, str], asyncio.Lock]()
        self._watch: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def count(self) -> int:
        return len(self._table)

    def start(self) -> None:
        """Begin to end sessions whose time is over."""
        self._watch = asyncio.create_task(self._end_those_over())

    async def stop(self) -> None:
        """End all of them."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        self._table.end_all("the service was shut down")
        while self._tasks:
            await asyncio.wait(self._tasks)

    # What requests ask for. All of these raise RequestFailed.

    async def open(self, request: SessionRequest, *, caller: Caller) -> SessionInfo:
        """Begin a session."""
        self._room.take(caller.principal)
        sandbox = None
        try:
            async with self._backend.admission.slot(caller):
                sandbox = await self._sandbox_for(request, principal=caller.principal)
        except BaseException:
            # The caller may also go away in the moment in which the slot is given back.
            if sandbox is not None:
                sandbox.close()
            self._room.leave(caller.principal)
            raise
        now_s = now_on_loop_s()
        session = Session(
            id=self._id_prefix + secrets.token_urlsafe(_ID_BYTES),
            principal=caller.principal,
            request=request,
            sandbox=sandbox,
            ends_s=now_s + request.lifetime_s,
            idle_since_s=now_s,
        )
        self._table.add(session)
        return self._info(session)

    async def named(
        self, name: str, request: SessionRequest, *, caller: Caller
    ) -> tuple[str, bool]:
        """The id of the caller's session of this name, and whether it was begun for this: where
        there is none that lives, one is begun as ``request`` says.

        Where there is no room for one more, the caller's named session that was used longest ago
        makes room: who names sessions is told which are new, and runs its earlier cells again.
        """
        key = (caller.principal, name)
        if (session_id := self._table.used(key)) is not None:
            return session_id, False
        # Only what asks for the same name waits: to begin a session takes a slot and a container.
        async with self._naming.setdefault(key, asyncio.Lock()):
            if (session_id := self._table.used(key)) is not None:
                return session_id, False
            try:
                info = await self.open(request, caller=caller)
            except Overloaded as full:
                too_many = full.code is ErrorCode.SESSIONS_TOO_MANY
                if not (too_many and self._table.make_room(caller.principal)):
                    raise
                info = await self.open(request, caller=caller)
            self._table.name(key, info.id)
            return info.id, True

    async def names(self, *, caller: Caller) -> dict[str, NamedSession]:
        """The caller's named sessions that live, by name."""
        return self._table.named_by(caller.principal)

    async def close_named(self, name: str, *, caller: Caller) -> bool:
        """End the caller's session of this name; whether there was one."""
        session_id = self._table.unname((caller.principal, name))
        if session_id is None:
            return False
        await self.close(session_id, caller=caller)
        return True

    async def info(self, session_id: str, *, caller: Caller) -> SessionInfo:
        """How a session is."""
        return self._info(self._table.of(session_id, principal=caller.principal))

    async def close(self, session_id: str, *, caller: Caller) -> None:
        """End a session, and what runs in it."""
        self._table.end(
            self._table.of(session_id, principal=caller.principal), "it was ended by its own key"
        )

    async def run(self, session_id: str, request: CellRequest, *, caller: Caller) -> CellResponse:
        """Run one cell, after those that were sent before it."""
        cell = self._cell_of(session_id, request, caller=caller)
        response = await self._to_its_end(self._run_cell(cell))
        cell.room.hand_over(caller)
        return response

    async def stream(
        self, session_id: str, request: CellRequest, *, caller: Caller
    ) -> AsyncGenerator[CellOutput | CellResponse, None]:
        """Run one cell as ``run`` does: what it writes as it comes, and at last the cell.

        Where the generator is closed before its end, the cell is interrupted, or not begun.
        """
        live = LiveOutput()
        cell = replace(self._cell_of(session_id, request, caller=caller), live=live)
        texts = LiveTexts(limit_bytes=cell.session.request.limits.stdout_bytes)
        task = self._started(self._run_cell(cell))
        try:
            while (piece := await live.next()) is not None:
                for line in texts.lines(piece.stdout, piece.stderr):
                    yield line
            response = await asyncio.shield(task)
            cell.room.hand_over(caller)
        finally:
            if live.begun:
                live.leave()
            else:
                task.cancel()
        for line in texts.rest(response):
            yield line
        yield response

    def _cell_of(self, session_id: str, request: CellRequest, *, caller: Caller) -> _Cell:
        session = self._table.of(session_id, principal=caller.principal)
        # What a request holds ends with it, and the cell may outlive its request.
        return _Cell(
            session=session,
            code=request.code,
            times=self._times(session, request),
            caller=replace(caller, hold=None),
            room=CellRoom(caller.hold.beside() if caller.hold is not None else None),
        )

    async def _run_cell(self, cell: _Cell) -> CellResponse:
        session = cell.session
        try:
            with cell.room as room:
                async with self._table.turn(session):
                    result = await self._run_in_slot(cell)
                    await room.count(result)
                    response = await read_aside(
                        len(result.frame),
                        cell_outcome.judge,
                        result,
                        cell=session.cells,
                        stdout_bytes=session.request.limits.stdout_bytes,
                    )
                    # Before the next cell has its turn, which is to be told why.
                    if response.session_lost:
                        self._table.end(session, response.lost_reason or "")
        finally:
            if cell.live is not None:
                cell.live.end()
        return response

    async def _run_in_slot(self, cell: _Cell) -> CellResult:
        session = cell.session
        async with self._backend.admission.slot(cell.caller):
            self._table.refuse_gone(session)
            cell.room.take(session.request.limits)
            session.cells += 1
            session.running = True
            sent: dict[str, object] = {"code": cell.code, "cell": session.cells}
            return await session.sandbox.run(sent, cell.times, live=cell.live)

    async def put_file(self, session_id: str, path: str, content: bytes, *, caller: Caller) -> None:
        """Write a file into the session's working directory."""
        session = self._table.of(session_id, principal=caller.principal)
        limit_bytes = session.request.limits.files_bytes
        if len(content) > limit_bytes:
            raise _refused(
                f"the file has {len(content)} bytes, and limits.files_bytes of the session is "
                f"{limit_bytes}; send a smaller one"
            )
        await self._to_its_end(self._put_in_turn(session, path, content))

    async def get_file(self, session_id: str, path: str, *, caller: Caller) -> bytes:
        """A file of the session's working directory."""
        session = self._table.of(session_id, principal=caller.principal)
        data = await self._to_its_end(self._fetch_in_turn(session, path))
        fetched = fetched_files(data)
        content = fetched.contents.get(path)
        if content is not None:
            return content
        reasons = [each.reason for each in fetched.left_out if each.path in (path, "")]
        if reasons:
            raise _refused(f"{path!r:.100} cannot be sent: {reasons[0]}")
        raise CallerMistake(
            ErrorCode.SESSION_FILE_MISSING,
            f"the session has no file {path!r:.100}; paths are relative to its working directory",
        )

    # Inside

    async def _to_its_end(self, work: Coroutine[None, None, _T]) -> _T:
        """What is asked of a session goes on when its caller goes away: it ends by its limits, and
        a session that was left in the middle of an answer could not be used again."""
        return await asyncio.shield(self._started(work))

    def _started(self, work: Coroutine[None, None, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Looked at, or asyncio reports what its caller, who has gone, would have been told.
            task.exception()

    async def _put_in_turn(self, session: Session, path: str, content: bytes) -> None:
        async with self._table.turn(session):
            await self._put(session.sandbox, path, content)

    async def _fetch_in_turn(self, session: Session, path: str) -> bytes:
        async with self._table.turn(session):
            return await session.sandbox.fetch(path.translate(_GLOB_SPECIAL))

    async def _sandbox_for(self, request: SessionRequest, *, principal: str) -> SessionSandbox:
        """One that has the session's files. Raises RequestFailed."""
        try:
            sandbox = await self._start_sandbox(request, principal=principal)
            try:
                for path, content in request.files.items():
                    await self._put(sandbox, path, content_bytes(content))
            except BaseException:
                sandbox.close()
                raise
        except SandboxLost as error:
            raise ServiceFailure(
                ErrorCode.SANDBOX_LOST,
                f"the session's container was lost at its start: {error}; send it again",
            ) from error
        return sandbox

    async def _start_sandbox(self, request: SessionRequest, *, principal: str) -> SessionSandbox:
        imports = self._backend.facts.imports
        unknown = [name for name in request.preload if name.split(".")[0] not in imports]
        if unknown:
            raise CallerMistake(
                ErrorCode.INVALID_REQUEST,
                f"preload: {unknown[0]} is not in the sandbox image; /v1/capabilities lists what "
                "is, and modules of the standard library need no preloading",
            )
        return await SessionSandbox.start(
            self._backend.pool,
            principal=principal,
            limits=request.limits,
            profile=request.profile,
            prelude=request.prelude,
            packages=tuple(request.preload),
            extra_memory_mb=EXTRA_MEMORY_MB if request.preload else 0,
        )

    async def _put(self, sandbox: SessionSandbox, path: str, content: bytes) -> None:
        if not await sandbox.put(path, content):
            raise _refused(
                f"{path!r:.100} cannot be written: something of the session's own is in its place, "
                "or its working directory is full"
            )

    def _times(self, session: Session, request: CellRequest) -> CellTimes:
        """What the cell asks for, within what the session has."""
        of_session = session.request.limits
        for name in ("cpu_time_s", "wall_time_s"):
            asked, most = getattr(request.limits, name), getattr(of_session, name)
            if asked is not None and asked > most:
                raise CallerMistake(
                    ErrorCode.LIMIT_ABOVE_MAXIMUM,
                    f"limits.{name}: {asked} is above the session's own {most}; ask for at most "
                    "that, or begin a session with more",
                    detail={"field": f"limits.{name}", "value": asked, "maximum": most},
                )
        asked_limits = request.limits
        return CellTimes(
            cpu_time_s=asked_limits.cpu_time_s or of_session.cpu_time_s,
            wall_time_s=asked_limits.wall_time_s or of_session.wall_time_s,
        )

    def _info(self, session: Session) -> SessionInfo:
        facts = self._backend.facts
        return SessionInfo(
            id=session.id,
            engine=facts.engine,
            image=facts.image,
            profile=session.request.profile,
            limits=session.request.limits.model_dump(),
            cells=session.cells,
            running=session.running,
            ends_in_s=max(0.0, session.ends_at_s() - now_on_loop_s()),
        )

    async def _end_those_over(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self._table.end_those_over()


def _refused(message: str) -> CallerMistake:
    return CallerMistake(ErrorCode.SESSION_FILE_REFUSED, message)
