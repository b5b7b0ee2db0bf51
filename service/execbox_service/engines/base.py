"""What every engine must offer: making sandboxes, talking to them, removing them. No policy here.

A sandbox is one started container with a supervisor in it that has said it is ready. A job
that leases one sends frames and reads answers; any surprise ends in ``SandboxLost``, which is our
failure and never a verdict, unless ``post_mortem`` brings the kernel's evidence of an OOM kill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from execbox_service.runner_frames import Ready, SupervisorFrame


class EngineUnavailable(Exception):
    """The engine cannot make sandboxes now; the text says why and what to do."""


class Lacking(EngineUnavailable):
    """The machine lacks something that an engine needs: what was found, and how to get it."""

    def __init__(self, found: str, *, remedy: str) -> None:
        super().__init__(f"{found}; {remedy}")
        self.found = found
        self.remedy = remedy


class SandboxLost(Exception):
    """The stream to a sandbox broke, or it sent what no supervisor of ours sends."""


@dataclass(frozen=True)
class PostMortem:
    """What the engine knows of a sandbox that ended by itself."""

    oom_killed: bool


@dataclass(frozen=True)
class EngineFacts:
    """What an engine found when it started."""

    engine: str
    image: str
    python: str
    packages: dict[str, str]
    imports: Mapping[str, str]
    """Top-level import names, and the distribution that each is of."""
    languages: tuple[str, ...] = ("python",)
    """What programs can be written in, by the image's own word."""
    weaker_than_docker: tuple[str, ...] = ()
    variations_missing: tuple[str, ...] = ()
    """Of ``variations.VARIED``: what this engine's sandboxes cannot vary."""


class Sandbox(Protocol):
    """One container, leased by one job at a time."""

    name: str
    ready: Ready

    @property
    def lost(self) -> bool:
        """Whether the stream is already known to be broken."""

    def send(self, *frame: bytes) -> None:
        """Queue a frame; never blocks. Frames sent to a lost sandbox are dropped."""

    async def receive(self, timeout_s: float) -> SupervisorFrame:
        """The next answer. Raises SandboxLost, also where none comes in so many seconds."""

    async def set_memory_mb(self, memory_mb: int) -> None:
        """Change the memory limit before the first execution. Raises SandboxLost."""

    async def post_mortem(self) -> PostMortem:
        """After SandboxLost: what the kernel said, as far as the engine can tell."""

    async def destroy(self) -> None:
        """End it and everything in it, and remove it. Never raises; may be called twice."""


class Engine(Protocol):
    """Makes sandboxes. Safe to use from many tasks of one event loop."""

    async def start(self) -> EngineFacts:
        """Connect, sweep what an earlier service left, find the image. Raises EngineUnavailable."""

    async def create(self) -> Sandbox:
        """Make, start and greet one sandbox. Raises EngineUnavailable."""

    async def sweep(self) -> int:
        """Remove containers of ours that no living service owns; say how many."""

    async def stop(self) -> None:
        """Remove everything that is left and disconnect."""
