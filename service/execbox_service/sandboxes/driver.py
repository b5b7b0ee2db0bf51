"""Running one job's executions in sandboxes: sending, receiving, and what to do when one is lost.

Knows nothing of HTTP or verdicts. A lost sandbox is our failure: the call that was running is run
once more in a new one, unless the kernel's evidence says that it took all the memory.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from execbox.wire import Isolation, Limits, Profile
from execbox_service.engines.base import Sandbox, SandboxLost
from execbox_service.failures import ServiceFailure
from execbox_service.runner_frames import Fault, Kind, Ready, Result, pack
from execbox_service.sandboxes.pool import Lease, Pool

logger = logging.getLogger(__name__)

_WINDOW = 2
"""Executions sent ahead, so that a sandbox never waits for our answer to its answer."""
_HARD_STOP_FACTOR = 4
_SEQ_BITS = 62
_FRAME_OVERHEAD_BYTES = 256 * 1024
"""What the supervisor keeps of a job's frame beside the output: header, message, traceback."""


@dataclass(frozen=True)
class Job:
    """What all executions of one request have in common."""

    function_payload: bytes
    packages: tuple[str, ...]
    profile: Profile
    limits: Limits
    isolation: Isolation
    principal: str
    extra_memory_mb: int = 0
    """Beyond the limits' memory: what further interpreters with packages hold."""


Surroundings = tuple[tuple[str, str | int | tuple[str, ...]], ...]


@dataclass(frozen=True)
class Variation:
    """How an execution's surroundings differ from the baseline's."""

    interpreter: tuple[tuple[str, str], ...] = ()
    """Environment of the interpreter itself: hash seed, clock. Another value, another zygote."""
    surroundings: Surroundings = ()
    """What is set in the fork: cwd, home, tz, locale, entropy_seed, frozen."""
    limit_factor: int = 1


BASELINE = Variation()


@dataclass(frozen=True)
class Attempt:
    """One execution to make: a call, and the variation to make it under."""

    call_payload: bytes
    variation: Variation = BASELINE


@dataclass(frozen=True)
class OutOfMemory:
    """The whole container was ended for want of memory while this execution ran."""

    wall_time_s: float
    memory_bytes: int


@dataclass(frozen=True)
class NotRun:
    """Held back when its turn came: the job's time was over, or others were to go first."""


Ended = Result | OutOfMemory | NotRun


@dataclass
class SandboxDriver:
    """Runs attempts in order, in one sandbox as long as it lasts, in as many as it takes."""

    pool: Pool
    job: Job
    may_begin: Callable[[], bool] = lambda: True
    """Asked before each execution; what it holds back is ``NotRun``. Not asked again for one that
    had begun when its sandbox was lost."""
    lost_count: int = 0
    """Sandboxes that were lost for no reason the code has given."""
    _lease: Lease | None = None
    _told: Job | None = None
    """The job whose function the sandbox has; ``job`` may be exchanged between runs."""
    _turn_s: float = 0.0
    """When the execution that is running came up: sent, or the one before it answered."""
    _sent: deque[tuple[int, int]] = field(default_factory=deque)
    _interrupted: int = -1
    """The attempt that was running when this run last lost a sandbox."""

    async def run(self, attempts: Sequence[Attempt]) -> list[Ended]:
        """Run every attempt; the results are in their order. Raises ServiceFailure."""
        ended: list[Ended | None] = [None] * len(attempts)
        todo = deque(range(len(attempts)))
        self._interrupted = -1
        # Of attempts, when a sandbox was last lost: if one has ended since, that is progress.
        left_count: int | None = None
        while todo:
            try:
                await self._drive(attempts, todo, ended)
            except SandboxLost as error:
                running = self._return_unanswered(todo)
                lost = await self._bury(error)
                if isinstance(lost, OutOfMemory) and running >= 0:
                    ended[running] = lost
                    todo.remove(running)
                elif left_count == len(todo):
                    raise ServiceFailure(
                        "sandbox_lost", "two sandboxes in a row were lost; send the request again"
                    ) from error
                else:
                    left_count = len(todo)
                    self._interrupted = running
        return [result if result is not None else NotRun() for result in ended]

    @property
    def sandbox(self) -> Sandbox | None:
        """The sandbox in use, if one is."""
        return self._lease.sandbox if self._lease is not None else None

    def close(self, *, reusable: bool = True) -> None:
        """Give the sandbox back. Must be called after the last run, whatever happened; a run after
        it takes another sandbox."""
        lease, self._lease = self._lease, None
        if lease is not None:
            self.pool.give_back(lease, reusable=reusable and not self._sent)

    # Driving one sandbox

    async def _drive(
        self, attempts: Sequence[Attempt], todo: deque[int], ended: list[Ended | None]
    ) -> None:
        lease = await self._leased()
        while todo or self._sent:
            while todo and len(self._sent) < _WINDOW:
                index = todo.popleft()
                if index != self._interrupted and not self.may_begin():
                    ended[index] = NotRun()
                    continue
                self._send(lease, index, attempts[index])
            if not self._sent:
                return
            result = await self._receive(lease)
            _seq, index = self._sent.popleft()
            self._turn_s = time.monotonic()
            ended[index] = result
            lease.execution_count += 1
            if not result.measured.reusable:
                self._return_unanswered(todo)
                self.close(reusable=False)
                return

    async def _leased(self) -> Lease:
        job = self.job
        if self._lease is None:
            self._lease = await self.pool.lease(
                principal=job.principal, isolation=job.isolation, packages=frozenset(job.packages)
            )
            self._told = None
        lease = self._lease
        if self._told is not job:
            await self._set_memory(lease)
            runner_mb = self.pool.limits.runner_allowance_mb + lease.extra_memory_mb
            header = {
                "packages": list(job.packages),
                "profile": job.profile,
                "runner_bytes": runner_mb * 1024 * 1024,
            }
            lease.sandbox.send(pack(Kind.JOB, header, job.function_payload))
            if job.packages:
                lease.package_sets.add(frozenset(job.packages))
            self._told = job
        return lease

    async def _set_memory(self, lease: Lease) -> None:
        lease.extra_memory_mb = max(lease.extra_memory_mb, self.job.extra_memory_mb)
        wanted_mb = self.job.limits.memory_mb + lease.extra_memory_mb
        if (lease.memory_mb or self.pool.limits.memory_mb) != wanted_mb:
            await lease.sandbox.set_memory_mb(wanted_mb)
        lease.memory_mb = wanted_mb

    def _send(self, lease: Lease, index: int, attempt: Attempt) -> None:
        limits, variation = self.job.limits, attempt.variation
        factor = variation.limit_factor
        # Not counted: an answer left over from an earlier job in the same sandbox fits no call.
        seq = secrets.randbits(_SEQ_BITS)
        header = {
            "seq": seq,
            "allowance": {
                "cpu_time_ns": round(limits.cpu_time_s * factor * 1e9),
                "wall_time_ns": round(limits.wall_time_s * factor * 1e9),
                "output_bytes": limits.output_bytes,
                "stdout_bytes": limits.stdout_bytes,
                "cpu_count": self.pool.limits.cpu_count,
            },
            "interpreter": dict(variation.interpreter),
            "surroundings": dict(variation.surroundings),
        }
        lease.sandbox.send(pack(Kind.EXECUTE, header, attempt.call_payload))
        if not self._sent:
            self._turn_s = time.monotonic()
        self._sent.append((seq, index))

    async def _receive(self, lease: Lease) -> Result:
        """The next answer. The second deadline, whatever the supervisor says, is here."""
        grace_s = self.pool.limits.answer_grace_s
        patience_s = 2 * _HARD_STOP_FACTOR * self.job.limits.wall_time_s + grace_s
        try:
            async with asyncio.timeout(patience_s):
                answer = await lease.sandbox.receive()
        except TimeoutError as error:
            raise SandboxLost(f"no answer in {patience_s:g} s") from error
        if isinstance(answer, Fault):
            raise SandboxLost(f"the supervisor gave up: {answer.message}")
        if isinstance(answer, Ready) or answer.measured.seq != self._sent[0][0]:
            raise SandboxLost("an answer to another question")
        frame_bytes, *stream_bytes = answer.measured.sizes
        limits = self.job.limits
        if (
            frame_bytes > limits.output_bytes + _FRAME_OVERHEAD_BYTES
            or max(stream_bytes) > limits.stdout_bytes
        ):
            raise SandboxLost("more output than was asked for")
        return answer

    # When a sandbox is lost

    def _return_unanswered(self, todo: deque[int]) -> int:
        """Put what was sent and not answered back in line; say which of it ran, -1 for none."""
        running = self._sent[0][1] if self._sent else -1
        todo.extendleft(index for _seq, index in reversed(self._sent))
        self._sent.clear()
        return running

    async def _bury(self, error: SandboxLost) -> OutOfMemory | None:
        lease, self._lease = self._lease, None
        if lease is None:
            return None
        logger.warning("lost sandbox %s: %s", lease.sandbox.name, error)
        try:
            mortem = await lease.sandbox.post_mortem()
        finally:
            self.pool.give_back(lease, reusable=False)
        if not mortem.oom_killed:
            self.lost_count += 1
            return None
        memory_bytes = self.job.limits.memory_mb * 1024 * 1024
        return OutOfMemory(wall_time_s=time.monotonic() - self._turn_s, memory_bytes=memory_bytes)


def call_payload(call: dict[str, object]) -> bytes:
    """A call as the job reads it: ASCII JSON, so that nothing depends on an encoding."""
    return json.dumps(call, separators=(",", ":"), allow_nan=False).encode()
