"""What one worker asks of the sessions that live in a different one: messages, and both their ends.

A request comes to whatever worker its connection was given to. There the key, its limits and the
request are checked; what is asked of the session itself goes over a Unix socket, a connection for
each call, to the worker that the session's id names, and the answer back. Where the asking end goes
away, so does the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import astuple
from typing import Any, Final

from execbox.wire import CellOutput, CellRequest, CellResponse, ErrorCode, SessionInfo
from execbox.wire import SessionRequest as NewSession
from execbox_service.api.error_responses import internal_error, shutting_down
from execbox_service.api.logs import request_id
from execbox_service.api.request_guard import stack_of
from execbox_service.failures import CallerMistake, Overloaded, RequestFailed, ServiceFailure
from execbox_service.operations.session_protocols import NamedSession
from execbox_service.operations.sessions import Sessions
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.memory import Memory
from execbox_service.scheduling.offload import read_aside

__all__ = ["RemoteSessions", "SessionServer", "as_failure", "failure_values"]

logger = logging.getLogger(__name__)

_BACKLOG: Final = 4096
"""Calls that wait to be accepted. Linux makes ``net.core.somaxconn`` of it where that is less: by
default it is as many, since 5.4."""
_HEAD: Final = struct.Struct("!IQ")
"""The sizes, in bytes, of a message's JSON and of the raw bytes after it."""
_KINDS: Final[dict[str, type[CallerMistake | ServiceFailure]]] = {
    kind.__name__: kind for kind in (CallerMistake, Overloaded, ServiceFailure)
}
"""What a failure is, the narrower first."""


class _WorkerGone(Exception):
    """The worker at the other end has ended, or does so before it has said all."""


def failure_values(failure: RequestFailed) -> list[Any]:
    """A failure as a JSON value, for ``as_failure``."""
    retry_after_s = failure.retry_after_s if isinstance(failure, ServiceFailure) else None
    kind = next(name for name, of in _KINDS.items() if isinstance(failure, of))
    return [kind, failure.code.value, failure.message, failure.detail, retry_after_s]


def as_failure(values: list[Any]) -> RequestFailed:
    """The failure that ``failure_values`` made these of."""
    kind, code, message, detail, retry_after_s = values
    of = _KINDS[kind]
    if issubclass(of, ServiceFailure):
        return of(ErrorCode(code), message, detail=detail, retry_after_s=retry_after_s)
    return of(ErrorCode(code), message, detail=detail)


class _SessionGone(CallerMistake):
    """Gone with the worker that it lived in."""

    def __init__(self) -> None:
        super().__init__(
            ErrorCode.SESSION_GONE,
            "the session is gone: the process that it lived in has ended, which is a failure of "
            "the service; its variables and files are lost, begin a new one",
        )


class RemoteSessions:
    """The sessions of one other worker, which may have ended: then they are gone."""

    def __init__(self, path: str, *, is_ending: Callable[[], bool] = lambda: False) -> None:
        """``is_ending`` says whether all workers end: the other one may have done so already."""
        self._path = path
        self._is_ending = is_ending

    async def named(self, name: str, request: NewSession, *, caller: Caller) -> tuple[str, bool]:
        asked = {"name": name, "request": request.model_dump_json()}
        try:
            answer, _content = await self._ask("named", asked, caller=caller)
        except _SessionGone as gone:
            raise ServiceFailure(
                ErrorCode.NOT_READY,
                "the process that keeps sessions of this name is being started again; send it "
                "again in a moment",
            ) from gone
        return answer["id"], answer["new"]

    async def names(self, *, caller: Caller) -> dict[str, NamedSession]:
        try:
            answer, _content = await self._ask("names", {}, caller=caller)
        except _SessionGone:
            return {}
        return {name: NamedSession(*values) for name, values in answer["names"].items()}

    async def close_named(self, name: str, *, caller: Caller) -> bool:
        try:
            answer, _content = await self._ask("close_named", {"name": name}, caller=caller)
        except _SessionGone:
            return False
        return bool(answer["closed"])

    async def info(self, session_id: str, *, caller: Caller) -> SessionInfo:
        answer, _content = await self._ask("info", {"id": session_id}, caller=caller)
        return SessionInfo.model_validate_json(answer["info"])

    async def close(self, session_id: str, *, caller: Caller) -> None:
        await self._ask("close", {"id": session_id}, caller=caller)

    async def run(self, session_id: str, request: CellRequest, *, caller: Caller) -> CellResponse:
        asked = {"id": session_id, "request": request.model_dump_json()}
        _answer, content = await self._ask("run", asked, caller=caller)
        return await _read_cell(content, caller=caller)

    async def stream(
        self, session_id: str, request: CellRequest, *, caller: Caller
    ) -> AsyncGenerator[CellOutput | CellResponse, None]:
        asked = {"id": session_id, "request": request.model_dump_json()}
        async with self._called("stream", asked, caller=caller) as reader:
            while True:
                answer, content = await _received(reader)
                if answer["last"]:
                    yield await _read_cell(content, caller=caller)
                    return
                yield CellOutput.model_validate_json(content)

    async def put_file(self, session_id: str, path: str, content: bytes, *, caller: Caller) -> None:
        asked = {"id": session_id, "path": path}
        await self._ask("put_file", asked, caller=caller, content=content)

    async def get_file(self, session_id: str, path: str, *, caller: Caller) -> bytes:
        asked = {"id": session_id, "path": path}
        _answer, content = await self._ask("get_file", asked, caller=caller)
        if caller.hold is not None:
            caller.hold.grow(len(content), too_large=ErrorCode.ANSWER_TOO_LARGE, what="the file")
        return content

    async def _ask(
        self, method: str, asked: dict[str, Any], *, caller: Caller, content: bytes = b""
    ) -> tuple[dict[str, Any], bytes]:
        async with self._called(method, asked, caller=caller, content=content) as reader:
            return await _received(reader)

    @contextlib.asynccontextmanager
    async def _called(
        self, method: str, asked: dict[str, Any], *, caller: Caller, content: bytes = b""
    ) -> AsyncIterator[asyncio.StreamReader]:
        reader, writer = await self._connected()
        try:
            of_caller = {
                "principal": caller.principal,
                "wait_max_s": caller.wait_max_s,
                "request_id": request_id.get() or "",
            }
            _send(writer, {"method": method, **of_caller, **asked}, content)
            yield reader
        except _WorkerGone as gone:
            raise self._gone() from gone
        finally:
            writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises what ``_gone`` says where nobody listens. Else, a connection that cannot be made
        (too many open files here, too many calls that wait there) says nothing of the session."""
        connection = None
        try:
            connection = socket.socket(socket.AF_UNIX)
            connection.setblocking(False)
            # It never waits. Not by asyncio, which takes a refusal (EAGAIN, of a worker for which
            # too many wait) for a connection that is being made.
            connection.connect(self._path)
            return await asyncio.open_unix_connection(sock=connection)
        except OSError as error:
            if connection is not None:
                connection.close()
            if isinstance(error, FileNotFoundError | ConnectionRefusedError):
                raise self._gone() from error
            raise ServiceFailure(
                ErrorCode.TOO_MANY_CONNECTIONS,
                "the process that the session lives in could not be asked "
                f"({error.strerror or type(error).__name__}); nothing was done, send it again in "
                "a moment",
            ) from error

    def _gone(self) -> RequestFailed:
        return shutting_down() if self._is_ending() else _SessionGone()


_Answer = Callable[[dict[str, Any], bytes, asyncio.StreamWriter, Caller], Awaitable[None]]
"""What answers one kind of call: of what is asked, the raw bytes with it, where to, and for whom.
"""


class SessionServer:
    """Answers other workers for one worker's sessions."""

    def __init__(self, sessions: Sessions, memory: Memory) -> None:
        self._sessions = sessions
        self._memory = memory
        self._server: asyncio.Server | None = None
        self._under_way: set[asyncio.Task[Any]] = set()
        self._ending = False
        self._answers: dict[str, _Answer] = {
            "named": self._named,
            "names": self._names,
            "close_named": self._close_named,
            "info": self._info,
            "close": self._close,
            "run": self._run,
            "stream": self._stream,
            "put_file": self._put_file,
            "get_file": self._get_file,
        }

    async def start(self, path: str) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._accepted, path, backlog=_BACKLOG)

    async def stop(self, *, within_s: float) -> None:
        """Refuse new calls, and wait for those under way; what is left then is told so. The
        sessions are there until this returns."""
        self._ending = True
        if self._under_way:
            _done, late = await asyncio.wait(self._under_way, timeout=within_s)
            for call in late:
                call.cancel()
            if late:
                await asyncio.wait(late)
        if self._server is not None:
            self._server.close()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.create_task(self._serve(reader, writer))
        self._under_way.add(call)
        call.add_done_callback(self._under_way.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked, content = await _received(reader)
            if self._ending:
                _send_failure(writer, shutting_down())
            else:
                await self._answer_while_asked(asked, content, reader, writer)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        except _WorkerGone:
            return
        finally:
            writer.close()

    async def _answer_while_asked(
        self,
        asked: dict[str, Any],
        content: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Answer, unless the asker goes away before."""
        work = asyncio.create_task(self._answer(asked, content, writer))
        gone = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def _answer(
        self, asked: dict[str, Any], content: bytes, writer: asyncio.StreamWriter
    ) -> None:
        # For the log's lines: as where the request came in.
        request_id.set(asked["request_id"])
        try:
            await self._perform(asked, content, writer)
        except asyncio.CancelledError:
            # The service ends, and the asker is owed an answer; or the asker has gone.
            _send_failure(writer, shutting_down())
        except Exception as error:  # noqa: BLE001 - the edge of this process: a bug is a 503
            logger.error(  # noqa: TRY400 - logging.exception repeats messages; see stack_of
                "unhandled %s\n%s", type(error).__name__, stack_of(error)
            )
            _send_failure(writer, internal_error(asked["request_id"]))

    async def _perform(
        self, asked: dict[str, Any], content: bytes, writer: asyncio.StreamWriter
    ) -> None:
        principal = asked["principal"]
        with self._memory.hold(principal) as hold:
            caller = Caller(principal, wait_max_s=asked["wait_max_s"], hold=hold)
            try:
                await self._answers[asked["method"]](asked, content, writer, caller)
            except RequestFailed as failure:
                _send_failure(writer, failure)

    async def _named(
        self, asked: dict[str, Any], _content: bytes, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        request = NewSession.model_validate_json(asked["request"])
        session_id, new = await self._sessions.named(asked["name"], request, caller=caller)
        _send(writer, {"id": session_id, "new": new})

    async def _names(
        self, _asked: dict[str, Any], _content: bytes, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        names = await self._sessions.names(caller=caller)
        _send(writer, {"names": {name: astuple(named) for name, named in names.items()}})

    async def _close_named(
        self, asked: dict[str, Any], _content: bytes, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        closed = await self._sessions.close_named(asked["name"], caller=caller)
        _send(writer, {"closed": closed})

    async def _info(
        self, asked: dict[str, Any], _content: bytes, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        info = await self._sessions.info(asked["id"], caller=caller)
        _send(writer, {"info": info.model_dump_json()})

    async def _close(
        self, asked: dict[str, Any], _content: bytes, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        await self._sessions.close(asked["id"], caller=caller)
        _send(writer, {})

    async def _run(
        self, asked: dict[str, Any], _content: bytes, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        request = CellRequest.model_validate_json(asked["request"])
        response = await self._sessions.run(asked["id"], request, caller=caller)
        _send(writer, {}, await _written_cell(response, caller=caller))

    async def _stream(
        self, asked: dict[str, Any], _content: bytes, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        request = CellRequest.model_validate_json(asked["request"])
        lines = self._sessions.stream(asked["id"], request, caller=caller)
        async with contextlib.aclosing(lines):
            async for line in lines:
                last = isinstance(line, CellResponse)
                text = (
                    await _written_cell(line, caller=caller)
                    if isinstance(line, CellResponse)
                    else line.model_dump_json().encode()
                )
                _send(writer, {"last": last}, text)
                # Where the asker has gone, this is cancelled in a moment.
                with contextlib.suppress(ConnectionError):
                    await writer.drain()

    async def _put_file(
        self, asked: dict[str, Any], content: bytes, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        await self._sessions.put_file(asked["id"], asked["path"], content, caller=caller)
        _send(writer, {})

    async def _get_file(
        self, asked: dict[str, Any], _content: bytes, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        found = await self._sessions.get_file(asked["id"], asked["path"], caller=caller)
        _send(writer, {}, found)


async def _written_cell(response: CellResponse, *, caller: Caller) -> bytes:
    size_bytes = caller.hold.size_bytes if caller.hold is not None else 0
    return await read_aside(size_bytes, lambda: response.model_dump_json().encode())


async def _read_cell(content: bytes, *, caller: Caller) -> CellResponse:
    """Counted for the key a second time, as long as both workers hold it, and never refused: the
    cell has run, and whoever is told that there is no room sends it again."""
    if caller.hold is not None:
        caller.hold.take_over(3 * len(content))
    return await read_aside(len(content), CellResponse.model_validate_json, content)


def _send(writer: asyncio.StreamWriter, values: dict[str, Any], content: bytes = b"") -> None:
    text = json.dumps(values).encode()
    # Not by writelines: asyncio of Python 3.12 keeps an empty last part for ever, and with it the
    # connection, when that is closed.
    writer.write(_HEAD.pack(len(text), len(content)) + text)
    if content:
        writer.write(content)


def _send_failure(writer: asyncio.StreamWriter, failure: RequestFailed) -> None:
    if not writer.is_closing():
        _send(writer, {"failed": failure_values(failure)})


async def _received(reader: asyncio.StreamReader) -> tuple[dict[str, Any], bytes]:
    """One message. Raises the failure that it says, and _WorkerGone at the stream's end."""
    try:
        head = await reader.readexactly(_HEAD.size)
        text_bytes, content_bytes = _HEAD.unpack(head)
        values: dict[str, Any] = json.loads(await reader.readexactly(text_bytes))
        content = await reader.readexactly(content_bytes)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise _WorkerGone from error
    if "failed" in values:
        raise as_failure(values["failed"])
    return values, content
