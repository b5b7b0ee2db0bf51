"""A network between a client and a service, on one machine: it passes bytes on, and can fail.

A port of 127.0.0.1 whose connections are taken to the service that is there at the time. While it
fails, every connection comes to a bad end sooner or later: refused, broken before the request, in
its middle or in the answer's, closed as if the answer had ended, or silent for a while. Which, and
when, is drawn from a seed. Whether it fails or not, it can end connections on which nothing comes
for a while, as proxies, balancers and firewalls do.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Literal, Self

from harness.loop_thread import LoopThread

__all__ = ["IdleEnd", "UnsteadyNetwork"]

_CHUNK_BYTES: Final = 16 * 1024
_SILENT_S: Final = 3.0
_RESET: Final = struct.pack("ii", 1, 0)
_LOOK_S: Final = 0.02
How = Literal["before", "in the middle", "silent"]
IdleEnd = Literal["closed", "reset", "forgotten"]
"""Of a connection on which nothing came: in order, as a proxy does it; with a reset; or without a
word, as a firewall does it that passes on nothing more of what it has forgotten."""


@dataclass
class _Doom:
    """At which piece of a connection's bytes it ends, and how."""

    pieces_left: int
    how: How
    reset: bool


@dataclass
class _Connection:
    """One connection through the network: both ends of it, and when something came last."""

    sides: list[asyncio.StreamWriter]
    doom: _Doom | None
    heard_s: float = field(default_factory=time.monotonic)
    is_forgotten: bool = False


class UnsteadyNetwork:
    """Inside the ``with`` block, ``url`` leads to the service at ``port``; None: to nobody, and
    connections are refused, as they are where nothing listens."""

    def __init__(self, *, seed: int, pieces_max: int = 6) -> None:
        """A connection that fails passes on fewer than ``pieces_max`` pieces, of 16 KiB at most, of
        both directions together: a request and its answer are two to four."""
        self._port: int | None = None
        self.failing = False
        self.broken_count = 0
        self.idle_limit_s: float | None = None
        """How long a connection may be silent; None: for ever."""
        self.idle_end: IdleEnd = "closed"
        self._drawn = random.Random(seed)
        self._pieces_max = pieces_max
        # The loop holds tasks weakly: one that is collected leaves its client waiting for ever.
        self._serving: set[asyncio.Task[object] | None] = set()
        # Bound all the time, so that nobody else gets the port, and never listening.
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._held.bind(("127.0.0.1", 0))
        self._thread = LoopThread()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._own_port}"

    @property
    def _own_port(self) -> int:
        return int(self._held.getsockname()[1])

    @property
    def port(self) -> int | None:
        """Of the service."""
        return self._port

    @port.setter
    def port(self, port: int | None) -> None:
        self._port = port
        self._thread.run(self._listen_or_not())

    async def _listen_or_not(self) -> None:
        if self._port is None and self._server is not None:
            self._server.close()
            self._server = None
        elif self._port is not None and self._server is None:
            self._server = await asyncio.start_server(
                self._serve, "127.0.0.1", self._own_port, backlog=1024, reuse_port=True
            )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.run(self._end())
        self._thread.end()
        self._held.close()

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.wait(others, timeout=1)

    def _doom(self) -> _Doom | None:
        if not self.failing:
            return None
        hows: list[How] = ["before", "in the middle", "silent"]
        how = self._drawn.choices(hows, weights=[4, 4, 1])[0]
        return _Doom(self._drawn.randrange(self._pieces_max), how, self._drawn.random() < 0.5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = _Connection([writer], self._doom())
        task = asyncio.current_task()
        self._serving.add(task)
        try:
            if self.port is None or (found.doom is not None and found.doom.pieces_left == 0):
                self._break(found.sides, reset=True)
                return
            there_reader, there = await asyncio.open_connection("127.0.0.1", self.port)
            found.sides.append(there)
            watching = asyncio.create_task(self._end_when_idle(found))
            try:
                await asyncio.gather(
                    self._pass_on(reader, there, found), self._pass_on(there_reader, writer, found)
                )
            finally:
                watching.cancel()
        except OSError:
            self._break(found.sides, reset=True)
        except asyncio.CancelledError:
            # The end of the block: whoever is still connected has stopped waiting.
            pass
        finally:
            self._serving.discard(task)
            for side in found.sides:
                side.transport.abort()

    async def _end_when_idle(self, connection: _Connection) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            limit_s = self.idle_limit_s
            if limit_s is None or time.monotonic() - connection.heard_s < limit_s:
                continue
            if self.idle_end == "forgotten":
                self.broken_count += 1
                connection.is_forgotten = True
            else:
                self._break(connection.sides, reset=self.idle_end == "reset")
            return

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection
    ) -> None:
        doom = connection.doom
        while data := await reader.read(_CHUNK_BYTES):
            if connection.is_forgotten:
                continue
            connection.heard_s = time.monotonic()
            if doom is not None:
                doom.pieces_left -= 1
                if doom.pieces_left <= 0:
                    if doom.how == "in the middle":
                        writer.write(data[: len(data) // 2])
                        await writer.drain()
                    elif doom.how == "silent":
                        await asyncio.sleep(_SILENT_S)
                    self._break(connection.sides, reset=doom.reset)
                    return
            writer.write(data)
            await writer.drain()
        if connection.is_forgotten:
            # Its other end would wait for ever.
            for side in connection.sides:
                side.transport.abort()
            return
        with contextlib.suppress(OSError):
            writer.write_eof()

    def _break(self, sides: list[asyncio.StreamWriter], *, reset: bool) -> None:
        """With a reset, or as if there were nothing more to come."""
        self.broken_count += 1
        for side in sides:
            found = side.get_extra_info("socket")
            if reset and found is not None:
                with contextlib.suppress(OSError):
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                side.transport.abort()
            else:
                side.close()
