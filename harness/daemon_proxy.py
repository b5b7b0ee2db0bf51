"""A unix socket in front of a Docker daemon's, which can be cut, slow, or break single streams.

It passes bytes on in both directions until it is told otherwise. Which streams are those of
containers it reads from the request that begins a connection; what is in them it does not know.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from harness.loop_thread import LoopThread

__all__ = ["Break", "DaemonProxy"]

_PIECE_BYTES: Final = 64 * 1024
_ATTACH: Final = re.compile(rb"POST \S+/attach[? ]")
_JUNK: Final = b"\xff" * 64
Break = Literal["cut", "garbled", "dropped"]
"""In the middle of what a container says next: the connection ends there; some of it is replaced
by what no frame has; some of it is missing, and the rest comes."""


@dataclass(eq=False)
class _Connection:
    """One connection through the proxy, both sides of it."""

    sides: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    is_stream: bool = False
    """Whether it is attached to a container."""
    next_break: Break | None = None


@dataclass
class _State:
    """What the proxy does at the moment; read and written in its own thread only."""

    is_cut: bool = False
    delay_s: float = 0.0
    piece_bytes: int = _PIECE_BYTES
    connections: set[_Connection] = field(default_factory=set)


class DaemonProxy:
    """Inside the ``with`` block, ``url`` leads to the daemon whose socket is at ``daemon_path``."""

    def __init__(self, path: Path, daemon_path: str) -> None:
        self.broken_count = 0
        """Streams that were broken by ``break_streams`` so far."""
        self._path = path
        self._daemon_path = daemon_path
        self._state = _State()
        self._thread = LoopThread()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """What ``docker_host`` has to be."""
        return f"unix://{self._path}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._thread.run(self._listen())
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.run(self._end())
        self._thread.end()

    def cut(self) -> None:
        """Break every connection and refuse new ones, until ``restore``."""
        self._thread.call(self._cut)

    def restore(self) -> None:
        """Let connections through again, at full speed."""

        def restore() -> None:
            self._state.is_cut = False
            self._state.delay_s, self._state.piece_bytes = 0.0, _PIECE_BYTES

        self._thread.call(restore)

    def slow_down(self, *, delay_s: float, piece_bytes: int = _PIECE_BYTES) -> None:
        """From now on every piece, of so many bytes at most, takes so long in either direction."""

        def slow_down() -> None:
            self._state.delay_s, self._state.piece_bytes = delay_s, piece_bytes

        self._thread.call(slow_down)

    def break_streams(self, how: Break) -> int:
        """Break every stream of a container there is, each in the middle of the next thing that the
        container says; how many there are."""

        def mark() -> int:
            streams = [each for each in self._state.connections if each.is_stream]
            for stream in streams:
                stream.next_break = how
            return len(streams)

        return self._thread.call(mark)

    # In the proxy's own thread

    async def _listen(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        self._cut()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.wait(others, timeout=1)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def _cut(self) -> None:
        self._state.is_cut = True
        for connection in self._state.connections:
            for side in connection.sides:
                side.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sides = [writer]
        try:
            if self._state.is_cut:
                return
            there_reader, there = await asyncio.open_unix_connection(self._daemon_path)
            sides.append(there)
            with self._known(_Connection((writer, there))) as connection:
                await asyncio.gather(
                    self._to_daemon(reader, there, connection),
                    self._from_daemon(there_reader, writer, connection),
                )
        except (OSError, asyncio.CancelledError):
            # Of a daemon that is away, a cut, or the end of the block.
            pass
        finally:
            for side in sides:
                side.transport.abort()

    @contextlib.contextmanager
    def _known(self, connection: _Connection) -> Iterator[_Connection]:
        self._state.connections.add(connection)
        try:
            yield connection
        finally:
            self._state.connections.discard(connection)

    async def _to_daemon(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection
    ) -> None:
        while data := await reader.read(self._state.piece_bytes):
            # The SDK sends a request on a connection that carried others before.
            if not connection.is_stream and _ATTACH.match(data):
                connection.is_stream = True
            await self._pass_on(data, writer)
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _from_daemon(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection
    ) -> None:
        while data := await reader.read(self._state.piece_bytes):
            how, connection.next_break = connection.next_break, None
            middle = len(data) // 2
            if how is not None:
                self.broken_count += 1
            if how == "cut":
                await self._pass_on(data[:middle], writer)
                break
            if how == "garbled":
                data = data[:middle] + _JUNK[: len(data) - middle] + data[middle + len(_JUNK) :]
            elif how == "dropped":
                data = data[:middle] + data[middle + 1 + len(data) // 8 :]
            await self._pass_on(data, writer)
        if connection.is_stream:
            # Its other half would wait for a daemon that has nothing to say any more.
            for side in connection.sides:
                side.transport.abort()
            return
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self._state.delay_s:
            await asyncio.sleep(self._state.delay_s)
        writer.write(data)
        await writer.drain()
