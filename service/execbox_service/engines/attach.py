"""The attach stream of a container: taking the daemon's multiplexing apart, and our frames in it.

Nothing here knows what frames mean; lengths are bounded before anything is kept.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct

from execbox_service.engines.base import SandboxLost
from execbox_service.frames import (
    PREFIX_BYTES,
    Answer,
    ProtocolViolation,
    parse_answer,
    rest_bytes,
)

logger = logging.getLogger(__name__)

# Docker Engine API, "Attach to a container": stream (1 byte), three zeros, length (4 bytes).
_MULTIPLEX = struct.Struct("!BxxxI")
_STDOUT, _STDERR = 1, 2
_STDERR_KEPT_BYTES = 4000
_ANSWERS_MAX = 64
"""More answers than anybody can have asked for and not yet read: the runner is lying."""


class AttachedStream(asyncio.Protocol):
    """Frames in both directions over one hijacked connection."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        self._why = "the stream to the container ended"
        self._raw = bytearray()
        self._frames = bytearray()
        self._part_bytes_left = 0
        self._part_stream = 0
        self._needed: tuple[int, int, int] | None = None
        self._stderr = bytearray()

    @classmethod
    async def open(cls, sock: socket.socket) -> AttachedStream:
        """Take over a connected socket whose HTTP part is done."""
        sock.setblocking(False)
        _transport, stream = await asyncio.get_running_loop().create_connection(cls, sock=sock)
        return stream

    def send(self, frame: bytes) -> None:
        if self._transport is not None and not self.closed:
            self._transport.write(frame)

    async def receive(self) -> Answer:
        """The next answer, in order. Raises SandboxLost once the stream has ended."""
        answer = await self._answers.get()
        if answer is None:
            self._answers.put_nowait(None)
            raise SandboxLost(self._why)
        return answer

    def close(self) -> None:
        """Hang up; the supervisor ends when it sees that."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._stderr:
            text = bytes(self._stderr).decode("utf-8", "replace")
            logger.warning("a runner wrote to stderr before it ended: %s", text)
        self._answers.put_nowait(None)

    def data_received(self, data: bytes) -> None:
        try:
            self._demultiplex(data)
            self._take_frames()
        except ProtocolViolation as violation:
            self._why = f"protocol violation: {violation}"
            logger.error("a container broke the protocol and is destroyed: %s", violation)
            self.close()

    # Parsing

    def _demultiplex(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._part_bytes_left:
                part = view[: self._part_bytes_left]
                self._keep(part)
                self._part_bytes_left -= len(part)
                view = view[len(part) :]
                continue
            missing = _MULTIPLEX.size - len(self._raw)
            self._raw += view[:missing]
            view = view[missing:]
            if len(self._raw) == _MULTIPLEX.size:
                self._part_stream, self._part_bytes_left = _MULTIPLEX.unpack(self._raw)
                self._raw.clear()
                if self._part_stream not in (_STDOUT, _STDERR):
                    raise ProtocolViolation(f"stream {self._part_stream} of the attach connection")

    def _keep(self, part: memoryview) -> None:
        if self._part_stream == _STDOUT:
            self._frames += part
        else:
            self._stderr += part[: max(0, _STDERR_KEPT_BYTES - len(self._stderr))]

    def _take_frames(self) -> None:
        while True:
            if self._needed is None:
                if len(self._frames) < PREFIX_BYTES:
                    return
                self._needed = rest_bytes(bytes(self._frames[:PREFIX_BYTES]))
            kind, header_bytes, rest = self._needed
            end = PREFIX_BYTES + rest
            if len(self._frames) < end:
                return
            frame = bytes(self._frames[PREFIX_BYTES:end])
            del self._frames[:end]
            self._needed = None
            if self._answers.qsize() >= _ANSWERS_MAX:
                raise ProtocolViolation(f"more than {_ANSWERS_MAX} answers nobody asked for")
            self._answers.put_nowait(
                parse_answer(kind, frame[:header_bytes], frame[header_bytes:])
            )
