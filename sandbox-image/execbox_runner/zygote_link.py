"""What the supervisor says to a zygote, and hears from it; the other half is in ``zygote``."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from .protocol import GIVEN, PROFILES, RUN, RUN_MAGIC, StreamClosed, receive_packet, send_bytes


class ZygoteLost(Exception):
    """The zygote ended or broke its protocol; this container is of no more use."""


@dataclass(frozen=True)
class Ended:
    """How a process that a zygote forked has ended, and what it used."""

    exit_code: int | None
    signal: int | None
    cpu_time_ns: int
    peak_memory_bytes: int

    @classmethod
    def of(cls, packet: Mapping[str, Any]) -> Self:
        """From the zygote's packet."""
        code = os.waitstatus_to_exitcode(packet["wait_status"])
        return cls(
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            cpu_time_ns=packet["cpu_time_us"] * 1000,
            peak_memory_bytes=packet["peak_memory_kb"] * 1024,
        )


@dataclass(frozen=True)
class Started:
    """A job process: one that runs, or one that has ended by the time it is heard of."""

    pid: int
    started_ns: int
    """Of the monotonic clock."""
    pidfd: int
    """Its descriptor; -1 where it has ended."""
    ended: Ended | None


@dataclass(frozen=True)
class Terms:
    """What one execution gets."""

    uid: int
    cpu_time_s: float
    profile: str
    surroundings: Mapping[str, Any] | None = None
    """As ``confine.Surroundings`` has them; None where they are as most jobs'."""


def run(zygote: socket.socket, terms: Terms, fds: Sequence[int], *, given: Sequence[str]) -> None:
    """Have it fork a job; ``given`` names the descriptors behind the three streams."""
    bits = sum(1 << GIVEN.index(name) for name in given)
    # Whole seconds: only the backstop. The supervisor's clock decides, well before this.
    cpu_s = int(terms.cpu_time_s) + 2
    head = RUN_MAGIC + RUN.pack(PROFILES.index(terms.profile), bits, terms.uid, cpu_s)
    surroundings = json.dumps(terms.surroundings).encode() if terms.surroundings else b""
    send_bytes(zygote, head + surroundings, fds)


def started(zygote: socket.socket) -> Started:
    """Wait for what it says of the job that it was to fork. Raises ZygoteLost."""
    packet, fds = answer_of(zygote)
    return Started(
        pid=packet["pid"],
        started_ns=packet["started_ns"],
        pidfd=fds[0] if fds else -1,
        ended=None if fds else Ended.of(packet),
    )


def ended(zygote: socket.socket) -> Ended:
    """Wait for the end of what it has forked. Raises ZygoteLost."""
    return Ended.of(answer_of(zygote)[0])


def answer_of(zygote: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Wait for its next packet, and the descriptors with it. Raises ZygoteLost."""
    try:
        return receive_packet(zygote)
    except (OSError, StreamClosed, ValueError) as error:
        raise ZygoteLost(str(error)) from error
