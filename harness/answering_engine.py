"""An engine without containers, and a service on it: calls are answered at once, or after a sleep.

``python -m harness.answering_engine`` serves with the settings of the environment, in as many
processes as they say, until SIGTERM. What the answers say is always the same. A call with
``sleep_s`` among its arguments is answered when so much time has passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import struct
import sys
from typing import Final

from execbox_service.engines.base import EngineFacts, PostMortem
from execbox_service.engines.container_spec import ContainerSpec
from execbox_service.engines.frame_stream import FrameStream
from execbox_service.main import serve_runtime, serve_workers
from execbox_service.runner_frames import FrameKind, SupervisorFrame
from execbox_service.runtime import Part, Runtime
from execbox_service.settings import load_settings
from execbox_service.workers.worker import run_worker
from harness.instant_answers import READY, InstantAnswer

__all__ = ["AnsweringEngine", "choose"]

_PREFIX: Final = struct.Struct("!IBI")
_FACTS: Final = EngineFacts(
    engine="answering", image="sha256:0", python="3", packages={}, imports={}
)


class _Sandbox:
    ready = READY

    def __init__(self, name: str) -> None:
        self.name = name
        self._stream = FrameStream()
        self._answer = InstantAnswer(42)
        self._probe_answer = InstantAnswer({"everything": True})
        self._unsent: list[bytes] = []

    @property
    def lost(self) -> bool:
        return self._stream.closed

    def send(self, *parts: bytes) -> None:
        data, start = b"".join(parts), 0
        while start < len(data):
            total, kind, header_bytes = _PREFIX.unpack_from(data, start)
            ends = start + 4 + total
            if kind == FrameKind.EXECUTE:
                begins = start + _PREFIX.size
                header = json.loads(data[begins : begins + header_bytes])
                self._answer_call(header["seq"], data[begins + header_bytes : ends])
            start = ends

    def _answer_call(self, seq: int, body: bytes) -> None:
        is_probe = b'"kwargs"' not in body
        made = self._probe_answer if is_probe else self._answer
        answer = made.numbered(str(seq).encode())
        loop = asyncio.get_running_loop()
        if b'"sleep_s"' in body:
            loop.call_later(json.loads(body)["kwargs"]["sleep_s"], self._deliver, answer)
        else:
            if not self._unsent:
                loop.call_soon(self._send)
            self._unsent.append(answer)

    def _send(self) -> None:
        data, self._unsent = b"".join(self._unsent), []
        self._deliver(data)

    def _deliver(self, data: bytes) -> None:
        if not self.lost:
            self._stream.data_received(data)

    async def receive(self, *arguments: float) -> SupervisorFrame:
        return await self._stream.receive(*arguments)

    async def set_memory_mb(self, memory_mb: int) -> None:
        """There is none to limit."""

    async def post_mortem(self) -> PostMortem:
        return PostMortem(oom_killed=False)

    async def destroy(self) -> None:
        self._stream.close()
        with contextlib.suppress(Exception):
            self._stream.connection_lost(None)


class AnsweringEngine:
    """Makes sandboxes in no time, as many as are asked for."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    async def start(self) -> EngineFacts:
        return _FACTS

    async def create(self) -> _Sandbox:
        return _Sandbox(f"answering-{next(self._numbers)}")

    async def sweep(self) -> int:
        return 0

    async def stop(self) -> None:
        """Nothing is left."""


async def choose(_spec: ContainerSpec) -> tuple[AnsweringEngine, EngineFacts]:
    """In the place of the service's own choice of an engine."""
    return AnsweringEngine(), _FACTS


def main(arguments: list[str]) -> int:
    """Serve; with descriptors as arguments, as one of several workers."""
    if arguments:
        return run_worker(arguments, choose=choose)
    settings = load_settings({})
    if settings.worker_count > 1:
        return serve_workers(settings, [sys.executable, "-m", "harness.answering_engine"])
    return serve_runtime(settings, Runtime(settings, Part(choose=choose)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
