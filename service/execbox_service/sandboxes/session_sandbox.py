"""One session's sandbox: starting its interpreter, running cells, writing and reading its files.

It is leased as long as the session lives, and destroyed after it. Knows nothing of HTTP, and
nothing of whose session it is or how long it may live.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Final

from execbox.wire import Profile, SessionLimits
from execbox_service.engines.base import Sandbox, SandboxLost
from execbox_service.json_steps import encode_in_steps
from execbox_service.runner_frames import (
    CellPiece,
    CellResult,
    Fault,
    FilesAnswer,
    FrameKind,
    SupervisorFrame,
    pack,
)
from execbox_service.sandboxes.live_output import LiveOutput
from execbox_service.sandboxes.pool import Lease, Pool

__all__ = ["CellTimes", "SessionSandbox"]

_SEQ_BITS: Final = 62
_HARD_STOP_FACTOR: Final = 4
_FILES_PATIENCE_S: Final = 60.0
_FRAME_OVERHEAD_BYTES: Final = 16 * 1024 * 1024
"""Beside the value's own text: images, the error, the traceback."""
_FETCH_OVERHEAD_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class CellTimes:
    """How long one cell may take."""

    cpu_time_s: float
    wall_time_s: float


class SessionSandbox:
    """A leased sandbox with a session in it. One question at a time; its user sees to that."""

    def __init__(self, pool: Pool, lease: Lease, limits: SessionLimits) -> None:
        self._pool = pool
        self._lease = lease
        self._limits = limits
        self._closed = False

    @classmethod
    async def start(
        cls,
        pool: Pool,
        *,
        principal: str,
        limits: SessionLimits,
        profile: Profile,
        prelude: str,
        packages: tuple[str, ...],
        extra_memory_mb: int,
    ) -> SessionSandbox:
        """Take a fresh sandbox and start the interpreter. Raises ServiceFailure, SandboxLost."""
        lease = await pool.lease(principal=principal, isolation="container")
        started = cls(pool, lease, limits)
        try:
            memory_mb = limits.memory_mb + extra_memory_mb
            if memory_mb != pool.limits.memory_mb:
                await lease.sandbox.set_memory_mb(memory_mb)
            runner_mb = pool.limits.runner_allowance_mb + extra_memory_mb
            job = {
                "packages": list(packages),
                "profile": profile,
                "runner_bytes": runner_mb * 2**20,
                "kept": False,
                "checked": True,
            }
            settings = {"session": {"prelude": prelude, "output_bytes": limits.output_bytes}}
            payload = "".join(encode_in_steps(settings)).encode()
            lease.sandbox.send(pack(FrameKind.JOB, job, payload))
            times = CellTimes(limits.cpu_time_s, limits.wall_time_s)
            header = {"allowance": started._allowance(times)}
            lease.sandbox.send(pack(FrameKind.SESSION, header))
        except BaseException:
            started.close()
            raise
        return started

    @property
    def sandbox(self) -> Sandbox:
        return self._lease.sandbox

    @property
    def lost(self) -> bool:
        """Whether it is known to be gone."""
        return self._closed or self._lease.sandbox.lost

    def close(self) -> None:
        """Destroy it; may be called twice."""
        if not self._closed:
            self._closed = True
            self._pool.give_back(self._lease, reusable=False)

    async def run(
        self, cell: dict[str, object], times: CellTimes, *, live: LiveOutput | None
    ) -> CellResult:
        """Run one cell to its end; ``live`` gets what it writes meanwhile. Raises SandboxLost."""
        seq = secrets.randbits(_SEQ_BITS)
        is_live = live is not None
        payload = "".join(encode_in_steps({**cell, "live": is_live})).encode()
        header = {"seq": seq, "allowance": self._allowance(times), "live": is_live}
        self._lease.sandbox.send(pack(FrameKind.CELL, header, payload))
        patience_s = 2 * _HARD_STOP_FACTOR * times.wall_time_s + self._pool.limits.answer_grace_s
        if live is None:
            answer = await self._answer(patience_s)
        else:
            answer = await self._looked_at(live, seq, patience_s)
        if not isinstance(answer, CellResult) or answer.seq != seq:
            raise SandboxLost("an answer to a different question")
        frame_bytes, *stream_bytes = answer.measured.sizes
        if (
            frame_bytes > self._limits.output_bytes + _FRAME_OVERHEAD_BYTES
            or max(stream_bytes) > self._limits.stdout_bytes
        ):
            raise SandboxLost("more output than was asked for")
        return answer

    async def _looked_at(self, live: LiveOutput, seq: int, patience_s: float) -> SupervisorFrame:
        """What ends a cell, whose output is passed on as it comes."""
        ends_s = time.monotonic() + patience_s
        live.begin(
            ask=lambda: self._tell(FrameKind.CELL_MORE, seq),
            interrupt=lambda: self._tell(FrameKind.CELL_INTERRUPT, seq),
        )
        while True:
            answer = await self._answer(ends_s - time.monotonic())
            if not isinstance(answer, CellPiece):
                return answer
            longest_bytes = max(len(answer.stdout), len(answer.stderr))
            if answer.seq != seq or longest_bytes > self._limits.stdout_bytes:
                raise SandboxLost("output of a different cell, or more than was asked for")
            live.put(answer)

    def _tell(self, kind: FrameKind, seq: int) -> None:
        self._lease.sandbox.send(pack(kind, {"seq": seq}))

    async def put(self, path: str, content: bytes) -> bool:
        """Write a file; false where the session's own files are in the way. Raises SandboxLost."""
        seq = secrets.randbits(_SEQ_BITS)
        header = {"seq": seq, "path": path}
        self._lease.sandbox.send(pack(FrameKind.PUT, header, content))
        answer = await self._answer(_FILES_PATIENCE_S)
        if not isinstance(answer, FilesAnswer) or answer.seq != seq or answer.written is None:
            raise SandboxLost("an answer to a different question")
        return answer.written

    async def fetch(self, glob: str) -> bytes:
        """The files that match, as ``judge.program_outcome.fetched_files`` reads them.

        Raises SandboxLost.
        """
        seq = secrets.randbits(_SEQ_BITS)
        bytes_max = self._limits.files_bytes
        header = {"seq": seq, "fetch": {"globs": [glob], "bytes_max": bytes_max}}
        self._lease.sandbox.send(pack(FrameKind.FETCH, header))
        answer = await self._answer(_FILES_PATIENCE_S)
        if not isinstance(answer, FilesAnswer) or answer.seq != seq:
            raise SandboxLost("an answer to a different question")
        if len(answer.files) > bytes_max + _FETCH_OVERHEAD_BYTES:
            raise SandboxLost("more files than were asked for")
        return answer.files

    def _allowance(self, times: CellTimes) -> dict[str, object]:
        return {
            "cpu_time_ns": round(times.cpu_time_s * 1e9),
            "wall_time_ns": round(times.wall_time_s * 1e9),
            "output_bytes": self._limits.output_bytes,
            "stdout_bytes": self._limits.stdout_bytes,
            "cpu_count": self._pool.limits.cpu_count,
        }

    async def _answer(self, patience_s: float) -> SupervisorFrame:
        answer = await self._lease.sandbox.receive(patience_s)
        if isinstance(answer, Fault):
            raise SandboxLost(f"the supervisor gave up: {answer.message}")
        return answer
