"""A service whose sandboxes answer at once: this file's text is run as a program, by its path.

Everything but the sandboxes is the service itself, of whichever checkout comes first on the import
path, so that two revisions can be measured with one engine. It answers with frames as bytes, over
the multiplexed stream that Docker's daemon makes of them, and takes next to no time for it. Serves
with the settings in its argument until SIGTERM.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
import sys
from typing import Any
from unittest.mock import patch

from execbox_service.engines.base import EngineFacts, PostMortem
from execbox_service.engines.docker.attach import AttachedStream
from execbox_service.main import serve_runtime
from execbox_service.runner_frames import FrameKind, SupervisorFrame
from execbox_service.runtime import Runtime
from execbox_service.settings import load_settings
from harness.instant_answers import READY, InstantAnswer

_PREFIX = struct.Struct("!IBI")
_MULTIPLEX = struct.Struct("!BxxxI")
_STDOUT = 1
_FACTS = EngineFacts(engine="instant", image="sha256:0", python="3", packages={}, imports={})


class _InstantTransport(asyncio.Transport):
    """Where the stream to a sandbox writes: answers each call as soon as the loop is free."""

    def __init__(self, stream: AttachedStream) -> None:
        super().__init__()
        self._stream = stream
        self._unread = bytearray()
        self._unsent: list[bytes] = []
        self._instant = InstantAnswer(42)

    def write(self, data: Any) -> None:
        self._unread += data
        start = 0
        while len(self._unread) - start >= _PREFIX.size:
            total, kind, header_bytes = _PREFIX.unpack_from(self._unread, start)
            if len(self._unread) - start < total + 4:
                break
            begin = start + _PREFIX.size
            if kind == FrameKind.EXECUTE:
                self._answer(self._unread[begin : begin + header_bytes])
            start += total + 4
        del self._unread[:start]

    def _answer(self, header: bytearray) -> None:
        begin = header.index(b'"seq":') + len(b'"seq":')
        seq = bytes(header[begin : header.index(b",", begin)])
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append(self._instant.numbered(seq))

    def _send(self) -> None:
        data = b"".join(self._unsent)
        self._unsent.clear()
        if not self._stream.closed:
            self._stream.data_received(_MULTIPLEX.pack(_STDOUT, len(data)) + data)

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self._stream.connection_lost, None)

    def is_closing(self) -> bool:
        return self._stream.closed


class _InstantSandbox:
    """Made and removed in no time."""

    ready = READY

    def __init__(self, name: str) -> None:
        self.name = name
        self._stream = AttachedStream()
        self._stream.connection_made(_InstantTransport(self._stream))

    @property
    def lost(self) -> bool:
        return self._stream.closed

    def send(self, *frame: bytes) -> None:
        self._stream.send(*frame)

    async def receive(self, *arguments: float) -> SupervisorFrame:
        return await self._stream.receive(*arguments)

    async def set_memory_mb(self, memory_mb: int) -> None:
        pass

    async def post_mortem(self) -> PostMortem:
        return PostMortem(oom_killed=False)

    async def destroy(self) -> None:
        self._stream.close()


class _InstantEngine:
    def __init__(self) -> None:
        self._numbers = itertools.count()

    async def start(self) -> EngineFacts:
        return _FACTS

    async def create(self) -> _InstantSandbox:
        return _InstantSandbox(f"instant-{next(self._numbers)}")

    async def sweep(self) -> int:
        return 0

    async def stop(self) -> None:
        pass


async def _choose(*_asked: object) -> tuple[_InstantEngine, EngineFacts]:
    return _InstantEngine(), _FACTS


async def _prove(*_asked: object) -> None:
    """Nothing is claimed of these sandboxes."""


def main(settings_json: str) -> int:
    """Serve until SIGTERM."""
    settings = load_settings(json.loads(settings_json))
    with (
        patch("execbox_service.runtime.choose_engine", _choose),
        patch("execbox_service.runtime.selftest.prove", _prove),
    ):
        return serve_runtime(settings, Runtime(settings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
