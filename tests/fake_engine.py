"""An engine without containers: sandboxes that answer from a script, honestly or not. No tests.

A fake sandbox reads the frames that the sandbox driver sends with the runner's own half of the
protocol, and puts its answers through the service's own frame reader, byte for byte, as a stream
would.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.instant_answers import MEASURED, READY, report_frame

from execbox_service.engines.base import EngineFacts, EngineUnavailable, PostMortem, SandboxLost
from execbox_service.engines.frame_stream import FrameStream
from execbox_service.runner_frames import FrameKind, Ready, SupervisorFrame, pack
from execbox_service.sandboxes.pool import PoolLimits

__all__ = [
    "FACTS",
    "POOL_LIMITS",
    "READY",
    "Behaviour",
    "FakeEngine",
    "FakeSandbox",
    "honest",
    "measured",
    "report_frame",
    "result_frame",
]

FACTS = EngineFacts(
    engine="fake", image="sha256:0", python="3.11.2", packages={}, imports={"numpy": "numpy"}
)
POOL_LIMITS = PoolLimits(
    warm_count=2,
    idle_count=4,
    memory_mb=512,
    cpu_count=1.0,
    executions_max=1000,
    age_max_s=100.0,
)
"""Of a pool of fake sandboxes; what a test needs otherwise it replaces."""


def measured(seq: int, **fields: Any) -> dict[str, Any]:
    """The header of a result, of a trivial execution unless ``fields`` say otherwise."""
    return MEASURED | {"seq": seq, "pid": 1000 + seq % 1000} | fields


def result_frame(
    seq: int,
    *,
    frame: bytes = b"",
    stdout: bytes = b"",
    stderr: bytes = b"",
    files: bytes = b"",
    **fields: Any,
) -> bytes:
    """A whole answer of a supervisor, as it comes over the stream."""
    sizes = [len(frame), len(stdout), len(stderr)]
    header = {"sizes": sizes, "files_bytes": len(files)} | measured(seq, **fields)
    return pack(FrameKind.RESULT, header, frame + stdout + stderr + files)


Behaviour = Callable[["FakeSandbox", dict[str, Any]], bytes | None]
"""What a sandbox does with one call, given the frame's header and in it, as ``call``, its payload:
the bytes it sends, or None for none at all."""


def honest(_sandbox: FakeSandbox, header: dict[str, Any]) -> bytes:
    """Answer each call with its first argument."""
    arguments = header["call"].get("args", [None])
    return result_frame(header["seq"], frame=report_frame(arguments[0]))


@dataclass
class FakeSandbox:
    """Answers each call as its behaviour says; everything it was sent is kept."""

    engine: FakeEngine
    name: str
    behaviour: Behaviour = honest
    ready: Ready = READY
    oom_killed: bool = False
    memory_mb: int | None = None
    destroyed_count: int = 0
    received: list[tuple[int, dict[str, Any], bytes]] = field(default_factory=list)
    stream: FrameStream = field(default_factory=FrameStream)

    @property
    def lost(self) -> bool:
        return self.stream.closed

    @property
    def call_count(self) -> int:
        return sum(1 for kind, _header, _body in self.received if kind == FrameKind.EXECUTE)

    def send(self, *parts: bytes) -> None:
        if self.lost:
            return
        frame = b"".join(parts)
        _total, kind, header_bytes = struct.unpack_from("!IBI", frame)
        header = json.loads(frame[9 : 9 + header_bytes])
        self.received.append((kind, header, frame[9 + header_bytes :]))
        if kind != FrameKind.EXECUTE:
            return
        data = self.behaviour(self, header | {"call": json.loads(frame[9 + header_bytes :])})
        if data is not None:
            asyncio.get_running_loop().call_soon(self.deliver, data)

    def deliver(self, data: bytes) -> None:
        """Let bytes arrive, unless the stream has been closed meanwhile."""
        if not self.lost:
            self.stream.data_received(data)
        if self.lost:
            self.hang_up()

    def hang_up(self) -> None:
        """End the stream, as a container does that ends."""
        self.stream.connection_lost(None)

    async def receive(self, timeout_s: float) -> SupervisorFrame:
        return await self.stream.receive(timeout_s)

    async def set_memory_mb(self, memory_mb: int) -> None:
        if self.lost:
            raise SandboxLost("gone")
        self.memory_mb = memory_mb

    async def post_mortem(self) -> PostMortem:
        return PostMortem(oom_killed=self.oom_killed)

    async def destroy(self) -> None:
        self.destroyed_count += 1
        self.stream.close()
        self.engine.living.discard(self.name)


@dataclass
class FakeEngine:
    """Makes fake sandboxes, as many as it likes, in no time, or refuses to."""

    behaviours: list[Behaviour] = field(default_factory=list)
    """Of the first sandboxes, in order; all further ones are honest."""
    unavailable: str | None = None
    made: list[FakeSandbox] = field(default_factory=list)
    living: set[str] = field(default_factory=set)
    create_delay_s: float = 0.0
    stopped: bool = False
    creating_count: int = 0
    creating_count_max: int = 0
    _numbers: Any = field(default_factory=itertools.count)

    async def start(self) -> EngineFacts:
        return FACTS

    async def create(self) -> FakeSandbox:
        self.creating_count += 1
        self.creating_count_max = max(self.creating_count_max, self.creating_count)
        try:
            await asyncio.sleep(self.create_delay_s)
        finally:
            self.creating_count -= 1
        if self.unavailable is not None:
            raise EngineUnavailable(self.unavailable)
        behaviour = self.behaviours.pop(0) if self.behaviours else honest
        sandbox = FakeSandbox(self, f"fake-{next(self._numbers)}", behaviour)
        self.made.append(sandbox)
        self.living.add(sandbox.name)
        return sandbox

    async def sweep(self) -> int:
        return 0

    async def stop(self) -> None:
        self.stopped = True
