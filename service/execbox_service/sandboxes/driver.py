"""Running one job's executions in sandboxes: sending, receiving, and what to do when one is lost.

Knows nothing of HTTP or verdicts. A lost sandbox is our failure: the call that was running is run
once more in a new one, unless the kernel's evidence says that it took all the memory.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from execbox.wire import ErrorCode, Isolation, Limits, Profile
from execbox_service.engines.base import Sandbox, SandboxLost
from execbox_service.failures import ServiceFailure
from execbox_service.json_steps import ascii_text
from execbox_service.runner_frames import (
    Fault,
    FrameKind,
    Refused,
    Result,
    framed,
    json_text,
)
from execbox_service.sandboxes.pool import Lease, Pool

logger = logging.getLogger(__name__)

_WINDOW = 2
"""Executions sent ahead, so that a sandbox never waits for our answer to its answer."""
_HARD_STOP_FACTOR = 4
_SEQ_BYTES, _SEQ_SPARE_BITS = 8, 2
"""An execution's number has 62 random bits: the most that the header of an answer may say."""
_FRAME_OVERHEAD_BYTES = 256 * 1024
"""What the supervisor keeps of a job's frame beside the output: header, message, traceback."""
_FETCH_OVERHEAD_BYTES = 4 * 1024 * 1024
"""What fetched files may need beside themselves: a thousand paths, and why others are left out."""


@dataclass(frozen=True)
class Fetch:
    """Which files a program's run sends back, and how many bytes of them at most."""

    globs: tuple[str, ...]
    bytes_max: int


@dataclass(frozen=True)
class SourceFile:
    """A program's source, and its file's name in the working directory."""

    name: str
    content: bytes


class Job(NamedTuple):
    """What all executions of one request have in common."""

    function_payload: bytes
    packages: tuple[str, ...]
    profile: Profile
    limits: Limits
    isolation: Isolation
    extra_memory_mb: int = 0
    """Beyond the limits' memory: what further interpreters with packages hold."""
    source: SourceFile | None = None
    """Where it is a program that is run from its source, and no function called."""
    executable: bytes | None = None
    """A program that has been compiled in a sandbox, and is run in no other place."""
    fetch: Fetch | None = None


Surroundings = tuple[tuple[str, str | int | tuple[str, ...]], ...]


class Variation(NamedTuple):
    """How an execution's surroundings differ from the baseline's."""

    interpreter: tuple[tuple[str, str], ...] = ()
    """Environment of the interpreter itself: hash seed, clock. Each value has its own zygote."""
    surroundings: Surroundings = ()
    """What is set in the fork: cwd, home, tz, locale, entropy_seed, frozen."""
    limit_factor: int = 1
    apart: bool = False
    """Whether the container is a different one, too: see ``Pool.lease``."""


BASELINE = Variation()


class Attempt(NamedTuple):
    """One execution to make: a call, and the variation to make it under."""

    call_payload: bytes
    variation: Variation = BASELINE
    stdin: bytes | None = None
    """None is an empty one that is no file."""


@dataclass(frozen=True)
class OutOfMemory:
    """The whole container was ended for want of memory while this execution ran."""

    wall_time_s: float
    memory_bytes: int


@dataclass(frozen=True)
class NotRun:
    """Held back when its turn came: the job's time was over, or others were to go first."""


Ended = Result | OutOfMemory | NotRun
_NOT_RUN: Final = NotRun()


class _MachineOutOfMemory(SandboxLost):
    """The supervisor says that the machine ran out of memory, and not its container."""


class _Run:
    """One call of ``SandboxDriver.run``: what is to be done, and what has ended."""

    __slots__ = ("attempts", "ended", "interrupted", "job", "may_begin", "sent", "todo", "turn_s")

    def __init__(
        self, job: Job, attempts: Sequence[Attempt], may_begin: Callable[[], bool]
    ) -> None:
        self.job = job
        self.attempts = attempts
        self.may_begin = may_begin
        self.todo = deque(range(len(attempts)))
        self.ended: list[Ended] = [_NOT_RUN] * len(attempts)
        self.sent: deque[tuple[int, int]] = deque()
        """Sequence number and index of each attempt that is in the sandbox, the running one first.
        """
        self.turn_s = 0.0
        """When the execution that is running came up: sent, or the one before it answered."""
        self.interrupted = -1
        """The attempt that was running when this run last lost a sandbox."""

    def return_unanswered(self) -> int:
        """Put what was sent and not answered back in line; say which of it ran, -1 for none."""
        running = self.sent[0][1] if self.sent else -1
        self.todo.extendleft(index for _seq, index in reversed(self.sent))
        self.sent.clear()
        return running


class SandboxDriver:
    """Runs attempts in order, in one sandbox as long as it lasts, in as many as it takes."""

    def __init__(self, pool: Pool, *, principal: str, apart: bool = False) -> None:
        """``apart``: in sandboxes of their own, as ``Pool.lease`` has them."""
        self._pool = pool
        self._principal = principal
        self._apart = apart
        self._lease: Lease | None = None
        self._told: Job | None = None
        """The job whose function the sandbox has."""
        self._answers_due = False
        """Whether the sandbox has been sent what it has not answered."""
        self.lost_count = 0
        """Sandboxes that were lost for no reason the code has given."""

    async def run(
        self,
        job: Job,
        attempts: Sequence[Attempt],
        *,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> list[Ended]:
        """Run every attempt; the results are in their order. Raises ServiceFailure.

        ``may_begin`` is asked before each execution; what it holds back is ``NotRun``. It is not
        asked again for an execution that had begun when its sandbox was lost.
        """
        run = _Run(job, attempts, may_begin)
        # Of attempts, when a sandbox was last lost: if one has ended since, that is progress.
        left_count: int | None = None
        while run.todo:
            try:
                await self._drive(run)
            except SandboxLost as error:
                running = run.return_unanswered()
                lost = await self._bury(error, run)
                if isinstance(lost, OutOfMemory) and running >= 0:
                    run.ended[running] = lost
                    run.todo.remove(running)
                elif left_count == len(run.todo):
                    raise ServiceFailure(
                        ErrorCode.SANDBOX_LOST,
                        "two sandboxes in a row were lost; send the request again",
                    ) from error
                else:
                    left_count = len(run.todo)
                    run.interrupted = running
        return run.ended

    @property
    def sandbox(self) -> Sandbox | None:
        """The sandbox in use, if one is."""
        return self._lease.sandbox if self._lease is not None else None

    def close(self, *, reusable: bool = True) -> None:
        """Give the sandbox back. Must be called after the last run, whatever happened; a run after
        it takes a different sandbox."""
        lease = self._lease
        if lease is not None:
            self._lease = None
            self._pool.give_back(lease, reusable=reusable and not self._answers_due)

    # Driving one sandbox

    async def _drive(self, run: _Run) -> None:
        lease = await self._leased(run.job)
        todo, sent = run.todo, run.sent
        while todo or sent:
            while todo and len(sent) < _WINDOW:
                index = todo.popleft()
                if index != run.interrupted and not run.may_begin():
                    continue
                self._send(lease, run, index)
            if not sent:
                return
            result = await self._receive(lease, run)
            if isinstance(result, Refused):
                # It has not run, and costs a sandbox and nothing else.
                run.return_unanswered()
                self.close(reusable=False)
                return
            _seq, index = sent.popleft()
            self._answers_due = bool(sent)
            run.turn_s = time.monotonic()
            run.ended[index] = result
            lease.execution_count += 1
            if not result.measured.reusable:
                run.return_unanswered()
                self.close(reusable=False)
                return

    async def _leased(self, job: Job) -> Lease:
        if self._lease is None:
            self._lease = await self._pool.lease(
                principal=self._principal,
                isolation=job.isolation,
                packages=frozenset(job.packages),
                apart=self._apart,
            )
            self._told = None
            self._answers_due = False
        lease = self._lease
        if self._told is not job:
            if job.extra_memory_mb > lease.extra_memory_mb:
                lease.extra_memory_mb = job.extra_memory_mb
            wanted_mb = job.limits.memory_mb + lease.extra_memory_mb
            if (lease.memory_mb or self._pool.limits.memory_mb) != wanted_mb:
                await lease.sandbox.set_memory_mb(wanted_mb)
            lease.memory_mb = wanted_mb
            self._tell(lease, job)
        return lease

    def _tell(self, lease: Lease, job: Job) -> None:
        """Send what all executions of the job have in common."""
        runner_mb = self._pool.limits.runner_allowance_mb + lease.extra_memory_mb
        header = _job_header(
            job.packages,
            profile=job.profile,
            runner_bytes=runner_mb * 1024 * 1024,
            # One that is thrown away after this job is not cleaned after its last call.
            kept=job.isolation == "process",
        )
        contents: Sequence[bytes] = ()
        if job.source is not None or job.executable is not None:
            files, contents = _program_files(job)
            header = header[:-1] + b"," + json_text(files)[1:]
        lease.sandbox.send(*framed(FrameKind.JOB, header, job.function_payload, *contents))
        if job.packages:
            lease.package_sets.add(frozenset(job.packages))
        self._told = job

    def _send(self, lease: Lease, run: _Run, index: int) -> None:
        attempt, job = run.attempts[index], run.job
        # Not counted: an answer left over from an earlier job in the same sandbox fits no call.
        seq = int.from_bytes(os.urandom(_SEQ_BYTES)) >> _SEQ_SPARE_BITS
        limits = job.limits
        rest = _execute_header(
            limits.cpu_time_s,
            limits.wall_time_s,
            limits.output_bytes,
            limits.stdout_bytes,
            variation=attempt.variation,
            fetch=job.fetch,
            cpu_count=self._pool.limits.cpu_count,
        )
        if attempt.stdin is None:
            frame = framed(FrameKind.EXECUTE, b'{"seq":%d,%b' % (seq, rest), attempt.call_payload)
        else:
            header = b'{"seq":%d,"stdin_bytes":%d,%b' % (seq, len(attempt.stdin), rest)
            frame = framed(FrameKind.EXECUTE, header, attempt.call_payload, attempt.stdin)
        lease.sandbox.send(*frame)
        if not run.sent:
            run.turn_s = time.monotonic()
        run.sent.append((seq, index))
        self._answers_due = True

    async def _receive(self, lease: Lease, run: _Run) -> Result | Refused:
        """The next answer. The second deadline, whatever the supervisor says, is here."""
        limits = run.job.limits
        grace_s = self._pool.limits.answer_grace_s
        patience_s = 2 * _HARD_STOP_FACTOR * limits.wall_time_s + grace_s
        answer = await lease.sandbox.receive(patience_s)
        if isinstance(answer, Result) and answer.measured.seq == run.sent[0][0]:
            frame_bytes, stdout_bytes, stderr_bytes = answer.measured.sizes
            fetch = run.job.fetch
            files_bytes_max = 0 if fetch is None else fetch.bytes_max + _FETCH_OVERHEAD_BYTES
            if (
                frame_bytes > limits.output_bytes + _FRAME_OVERHEAD_BYTES
                or stdout_bytes > limits.stdout_bytes
                or stderr_bytes > limits.stdout_bytes
                or len(answer.files) > files_bytes_max
            ):
                raise SandboxLost("more output than was asked for")
            return answer
        if isinstance(answer, Fault):
            lost = _MachineOutOfMemory if answer.machine_out_of_memory else SandboxLost
            raise lost(f"the supervisor gave up: {answer.message}")
        if not isinstance(answer, Refused) or answer.seq != run.sent[0][0]:
            raise SandboxLost("an answer to a different question")
        if lease.execution_count == 0:
            raise SandboxLost("it refused its first call, which nothing can have come before")
        return answer

    # When a sandbox is lost

    async def _bury(self, error: SandboxLost, run: _Run) -> OutOfMemory | None:
        lease, self._lease = self._lease, None
        if lease is None:
            return None
        logger.warning("lost sandbox %s: %s", lease.sandbox.name, error)
        try:
            # The engine knows that a process was ended for want of memory, and not whose it was.
            is_oom = (
                not isinstance(error, _MachineOutOfMemory)
                and (await lease.sandbox.post_mortem()).oom_killed
            )
        finally:
            self._pool.give_back(lease, reusable=False)
        if not is_oom:
            self.lost_count += 1
            return None
        return OutOfMemory(
            wall_time_s=time.monotonic() - run.turn_s,
            memory_bytes=run.job.limits.memory_mb * 1024 * 1024,
        )


def _program_files(job: Job) -> tuple[dict[str, object], Sequence[bytes]]:
    """What a job's header says of the program that it runs, and the contents that follow."""
    files: dict[str, object] = {}
    contents: list[bytes] = []
    if job.source is not None:
        files["program_name"] = job.source.name
        files["program_bytes"] = len(job.source.content)
        contents.append(job.source.content)
    if job.executable is not None:
        files["executable_bytes"] = len(job.executable)
        contents.append(job.executable)
    return files, contents


@lru_cache(maxsize=256)
def _job_header(
    packages: tuple[str, ...], *, profile: Profile, runner_bytes: int, kept: bool
) -> bytes:
    """What the header of a job begins with, as JSON text: for most it is all, and the same."""
    header = {
        "packages": packages,
        "profile": profile,
        "runner_bytes": runner_bytes,
        "kept": kept,
        "checked": True,
    }
    return json_text(header)


@lru_cache(maxsize=256)
def _execute_header(
    cpu_time_s: float,
    wall_time_s: float,
    output_bytes: int,
    stdout_bytes: int,
    *,
    variation: Variation,
    fetch: Fetch | None,
    cpu_count: float,
) -> bytes:
    """What the header of an execution ends with, as JSON text: for most it is the same."""
    header: dict[str, object] = {
        "allowance": {
            "cpu_time_ns": round(cpu_time_s * variation.limit_factor * 1e9),
            "wall_time_ns": round(wall_time_s * variation.limit_factor * 1e9),
            "output_bytes": output_bytes,
            "stdout_bytes": stdout_bytes,
            "cpu_count": cpu_count,
        },
        "interpreter": dict(variation.interpreter),
        "surroundings": dict(variation.surroundings),
    }
    if fetch is not None:
        header["fetch"] = {"globs": fetch.globs, "bytes_max": fetch.bytes_max}
    return json_text(header)[1:]


def call_payload(call: dict[str, object]) -> bytes:
    """A call as the job reads it: ASCII JSON, so that nothing depends on an encoding.

    Infinities are written as words; where they are not permitted, none comes this far.
    """
    return ascii_text(call)
