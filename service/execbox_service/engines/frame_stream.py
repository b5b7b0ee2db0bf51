"""Frames over a stream: taking answers out of bytes, and both directions over one socket.

Nothing here knows what frames mean or what lies around them on the wire (``attach`` does, for
Docker); lengths are bounded before anything is kept.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Self, cast

from execbox_service.engines.base import SandboxLost
from execbox_service.runner_frames import (
    PREFIX_BYTES,
    ProtocolViolation,
    SupervisorFrame,
    parse_answer,
    rest_bytes,
)

logger = logging.getLogger(__name__)

_STDERR_KEPT_BYTES = 4000
_WRITTEN_AT_ONCE_BYTES = 256 * 1024
_ANSWERS_MAX = 4
"""Unread answers, of up to 32 MiB each. The driver sends two calls ahead: more is a lie."""


class FrameReader:
    """Cuts a stream of bytes into answers, however the bytes are divided."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._needed: tuple[int, int, int] | None = None

    def feed(self, data: bytes | memoryview) -> Iterator[SupervisorFrame]:
        """Every answer that ``data`` completes, in order. Raises ProtocolViolation."""
        kept = self._bytes
        kept += data
        while len(kept) >= PREFIX_BYTES:
            needed = self._needed
            if needed is None:
                self._needed = needed = rest_bytes(kept[:PREFIX_BYTES])
            kind, header_bytes, rest = needed
            end = PREFIX_BYTES + rest
            if len(kept) < end:
                return
            body_begin = PREFIX_BYTES + header_bytes
            header = bytes(kept[PREFIX_BYTES:body_begin])
            # A view, so that 32 MiB are copied once and not four times.
            with memoryview(kept) as frame, frame[body_begin:end] as body:
                answer = parse_answer(kind, header, body)
            del kept[:end]
            self._needed = None
            yield answer


class FrameStream(asyncio.Protocol):
    """Frames in both directions over one connected socket, to one sandbox."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._unwritten: deque[memoryview] = deque()
        self._may_write = True
        self._answers: deque[SupervisorFrame] = deque()
        self._arrival: asyncio.Future[None] | None = None
        """What a task waits on that has taken all answers so far."""
        self._ended = False
        self._why = "the stream to the sandbox ended"
        self._reader = FrameReader()
        self._stderr = bytearray()

    @classmethod
    async def open(cls, sock: socket.socket) -> Self:
        """Take over a connected socket that carries nothing else from now on, also where that is
        cancelled."""
        sock.setblocking(False)
        try:
            _transport, stream = await asyncio.get_running_loop().create_connection(cls, sock=sock)
        except BaseException:
            sock.close()
            raise
        return stream

    @property
    def stderr_text(self) -> str:
        """The beginning of what the sandbox's trusted processes wrote to stderr."""
        return bytes(self._stderr).decode("utf-8", "replace").strip()

    def send(self, *frame: bytes) -> None:
        """Queue a frame, given in parts; dropped where the stream has ended.

        A job and its first calls go out in one piece: each write that wakes the daemon cost 0.16 ms
        (measured), and wakes three more processes on its way.
        """
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.extend(frame)

    def _flush(self) -> None:
        parts, self._unsent = self._unsent, []
        if sum(map(len, parts)) <= _WRITTEN_AT_ONCE_BYTES:
            parts = [b"".join(parts)]
        self._unwritten.extend(map(memoryview, parts))
        self._write()

    def _write(self) -> None:
        """Write what is left, as long as the other side takes it: the transport copies what it is
        given and cannot send yet, and with many megabytes everybody would wait for that."""
        while self._unwritten and self._may_write and not self.closed:
            if self._transport is None:
                return
            part = self._unwritten.popleft()
            if len(part) > _WRITTEN_AT_ONCE_BYTES:
                self._unwritten.appendleft(part[_WRITTEN_AT_ONCE_BYTES:])
            self._transport.write(part[:_WRITTEN_AT_ONCE_BYTES])

    async def receive(self, timeout_s: float) -> SupervisorFrame:
        """The next answer, in order; for one task at a time. Raises SandboxLost where none comes in
        time, and once the stream has ended."""
        if not (self._answers or self._ended):
            loop = asyncio.get_running_loop()
            self._arrival = arrival = loop.create_future()
            timer = loop.call_later(timeout_s, _say_late, arrival, timeout_s)
            try:
                await arrival
            finally:
                timer.cancel()
                self._arrival = None
        if not self._answers:
            raise SandboxLost(self._why)
        return self._answers.popleft()

    def _wake(self) -> None:
        arrival = self._arrival
        if arrival is not None and not arrival.done():
            arrival.set_result(None)

    def close(self) -> None:
        """Hang up; the supervisor ends when it sees that."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def keep_stderr(self, part: bytes | memoryview) -> None:
        """Note what came on stderr, up to a few thousand bytes."""
        self._stderr += part[: max(0, _STDERR_KEPT_BYTES - len(self._stderr))]

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio calls it so
        self.closed = True
        if self._stderr:
            logger.warning("a runner wrote to stderr before it ended: %s", self.stderr_text)
        self._ended = True
        self._wake()

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._write()

    def data_received(self, data: bytes) -> None:
        if self.closed:
            # After a violation nothing is an answer any more, not even what looks like one.
            return
        try:
            for part in self._frame_bytes(data):
                for answer in self._reader.feed(part):
                    self._arrived(answer)
        except ProtocolViolation as violation:
            self._why = f"protocol violation: {violation}"
            logger.warning("a sandbox broke the protocol and is destroyed: %s", violation)
            self.close()

    def _frame_bytes(self, data: bytes) -> Iterable[bytes | memoryview]:
        """The parts of ``data`` that are frames: all of it, unless a subclass knows better."""
        return (data,)

    def _arrived(self, answer: SupervisorFrame) -> None:
        if len(self._answers) >= _ANSWERS_MAX:
            raise ProtocolViolation(f"more than {_ANSWERS_MAX} answers to no question")
        self._answers.append(answer)
        self._wake()


def _say_late(arrival: asyncio.Future[None], timeout_s: float) -> None:
    if not arrival.done():
        arrival.set_exception(SandboxLost(f"no answer in {timeout_s:g} s"))
