"""Sandboxes for jobs: warm ones made ahead, used ones thrown away, all off the request's path.

Level ``container``: a sandbox is leased once and destroyed. Level ``process``: it goes back to the
key that leased it, and to no other, until it is old, has run enough, or gave any sign of trouble.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from execbox.wire import ErrorCode, Isolation
from execbox_service.engines.base import Engine, EngineUnavailable, Sandbox
from execbox_service.failures import ServiceFailure
from execbox_service.sandboxes.creating_count import COUNT_MIN, CreatingCount
from execbox_service.sandboxes.pool_size import PoolSize

logger = logging.getLogger(__name__)

_CREATING_MAX = 8
"""The most that are made at once: as many calls to the engine go on beside each other."""
_REFILL_DELAY_S = 0.02
"""Making a container costs a quarter of a core-second; the job just leased goes first."""
_BACKOFF_MIN_S, _BACKOFF_MAX_S = 0.5, 10.0
_LEASE_WAIT_MAX_S = 60.0
_BEHIND_S = 10.0
_FAILURES_BORNE = 3
"""Failures in a row after which jobs no longer wait for the engine to come back."""


@dataclass(slots=True, eq=False)
class Lease:
    """A sandbox that a job uses, with what decides whether it may be used again."""

    sandbox: Sandbox
    principal: str
    isolation: Isolation
    leased_s: float
    apart: bool = False
    """Whether it is one of those in which a key's calls are only repeated: see ``Pool.lease``."""
    returned_s: float = 0.0
    """When it was last given back, on the monotonic clock; no meaning while it is leased."""
    execution_count: int = 0
    memory_mb: int | None = None
    extra_memory_mb: int = 0
    """The most that a job it served asked for beyond its limits: it is not taken back."""
    package_sets: set[frozenset[str]] = field(default_factory=set)
    """What jobs it served needed: interpreters that have it are there already."""

    def unsuitability(self, packages: frozenset[str]) -> int:
        """How many packages it would have to import for such a job, or to lie idle meanwhile."""
        if not packages:
            return len(self.package_sets)
        return min((len(packages - known) for known in self.package_sets), default=len(packages))


@dataclass
class Counts:
    """What has happened to sandboxes since the start."""

    made: int = 0
    destroyed: int = 0
    failed: int = 0


@dataclass(frozen=True)
class PoolLimits:
    """How many sandboxes, and how long one may be used."""

    warm_count: int
    """Kept ready always; after a job had to wait, more, up to ``warm_count_max``."""
    idle_count: int
    memory_mb: int
    cpu_count: float
    executions_max: int
    age_max_s: float
    runner_allowance_mb: int = 128
    """What a sandbox has for its own processes beyond the memory of a job."""
    warm_count_max: int = 0
    """Where it is less than ``warm_count``, that is the most, too."""
    answer_grace_s: float = 30.0
    """How much longer than the supervisor's own hard stop an answer may take."""


class Pool:
    """Owns every sandbox of this service. Belongs to one event loop."""

    def __init__(self, engine: Engine, limits: PoolLimits) -> None:
        self._engine = engine
        self.limits = limits
        self._warm: deque[tuple[Sandbox, float]] = deque()
        self._waiting: deque[asyncio.Future[Sandbox]] = deque()
        self._idle: dict[tuple[str, bool], list[Lease]] = {}
        """By key, those that are ``apart`` separately."""
        self.size = PoolSize(
            count_min=limits.warm_count,
            count_max=limits.warm_count_max,
            creating_max=COUNT_MIN,
        )
        self._creating = CreatingCount(count_max=_CREATING_MAX)
        self._behind_since_s: float | None = None
        self._creating_count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.counts = Counts()
        self._failed_count = 0
        self._backoff_s = 0.0
        self._backing_off = False
        self._stopped = False
        self.trouble: str | None = "no sandbox has been made yet"

    @property
    def warm_count(self) -> int:
        return len(self._warm)

    @property
    def idle_count(self) -> int:
        return sum(map(len, self._idle.values()))

    @property
    def waiting_count(self) -> int:
        return len(self._waiting)

    @property
    def behind_s(self) -> float:
        """How long the jobs that wait now will wait, as far as can be told; 0 while none waits."""
        per_s = self.size.refill_per_s
        return len(self._waiting) / per_s if self._waiting and per_s else 0.0

    def start(self) -> None:
        """Begin to make sandboxes."""
        self._refill()

    async def stop(self) -> None:
        """Destroy everything that is not leased; refuse what still waits."""
        self._stopped = True
        self._refuse_waiting(_stopping())
        idle = [lease.sandbox for leases in self._idle.values() for lease in leases]
        for sandbox in [sandbox for sandbox, _born_s in self._warm] + idle:
            self._discard(sandbox)
        self._warm.clear()
        self._idle.clear()
        while self._tasks:
            # Not gather: from Python 3.12 on, that of ended tasks does not yield, so that those
            # which remove themselves when they have ended never would, and this would never end.
            ended, _running = await asyncio.wait(self._tasks)
            self._tasks -= ended

    # Leasing

    async def lease(
        self,
        *,
        principal: str,
        isolation: Isolation,
        packages: frozenset[str] = frozenset(),
        apart: bool = False,
    ) -> Lease:
        """A sandbox for one job, one that has its packages if there is a choice.

        One that is leased ``apart`` is never one that is, or was, or will be leased otherwise:
        a call that runs once in each kind has run in two containers. Raises ServiceFailure when
        none can be had in time.
        """
        if self._stopped:
            raise _stopping()
        if isolation == "process":
            reused = self._take_idle((principal, apart), packages=packages)
            if reused is not None:
                return reused
        sandbox = self._take_warm()
        if sandbox is None:
            self.size.missed()
            sandbox = await self._wait_for_one()
        else:
            self.size.leased(left_count=len(self._warm))
            self._later(self._refill, _REFILL_DELAY_S)
        return Lease(sandbox, principal, isolation, time.monotonic(), apart=apart)

    def give_back(self, lease: Lease, *, reusable: bool) -> None:
        """End a lease: keep the sandbox for its key if that is allowed, else destroy it."""
        limits = self.limits
        now_s = time.monotonic()
        keep = (
            reusable
            and lease.isolation == "process"
            and not self._stopped
            and lease.execution_count < limits.executions_max
            and now_s - lease.leased_s < limits.age_max_s
        )
        if not keep:
            self._discard(lease.sandbox)
            return
        lease.returned_s = now_s
        self._idle.setdefault((lease.principal, lease.apart), []).append(lease)
        if self.idle_count > limits.idle_count:
            self._trim_idle()

    def _take_idle(self, kept: tuple[str, bool], *, packages: frozenset[str]) -> Lease | None:
        leases = self._idle.get(kept)
        while leases:
            # The last one used of those that suit best: what it holds is still in the caches.
            lease = leases[-1]
            if lease.unsuitability(packages) > 0:
                lease = min(reversed(leases), key=lambda lease: lease.unsuitability(packages))
            leases.remove(lease)
            if self._is_fresh(lease):
                return lease
            self._discard(lease.sandbox)
        return None

    def _is_fresh(self, lease: Lease) -> bool:
        age_s = time.monotonic() - lease.leased_s
        return age_s < self.limits.age_max_s and not lease.sandbox.lost

    def _trim_idle(self) -> None:
        """Keep no more idle sandboxes than are allowed: the longest unused of all go first."""
        while self.idle_count > self.limits.idle_count:
            idle = (lease for leases in self._idle.values() for lease in leases)
            lease = min(idle, key=lambda lease: lease.returned_s)
            self._idle[lease.principal, lease.apart].remove(lease)
            self._discard(lease.sandbox)
        self._idle = {key: leases for key, leases in self._idle.items() if leases}

    def _take_warm(self) -> Sandbox | None:
        while self._warm:
            sandbox, born_s = self._warm.popleft()
            if not sandbox.lost and time.monotonic() - born_s < self.limits.age_max_s:
                return sandbox
            self._discard(sandbox)
        return None

    async def _wait_for_one(self) -> Sandbox:
        future: asyncio.Future[Sandbox] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._refill()
        self._say_if_behind()
        try:
            async with asyncio.timeout(_LEASE_WAIT_MAX_S):
                return await future
        except (TimeoutError, asyncio.CancelledError) as error:
            self._withdraw(future)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise _unavailable(
                f"none was ready within {_LEASE_WAIT_MAX_S:g} s", retry_after_s=_BACKOFF_MAX_S
            ) from error

    def _say_if_behind(self) -> None:
        """Once for every time that demand outruns the engine for longer than a burst."""
        now_s = time.monotonic()
        if self._behind_since_s is None:
            self._behind_since_s = now_s
        elif now_s - self._behind_since_s > _BEHIND_S:
            logger.warning(
                "more containers are asked for than can be made: %d wait, %.1f a second are made; "
                "level process needs far fewer",
                len(self._waiting),
                self.size.refill_per_s or 0.0,
            )
            self._behind_since_s = math.inf

    def _withdraw(self, future: asyncio.Future[Sandbox]) -> None:
        """Stop waiting; a sandbox that was handed over at the last moment goes to the warm ones."""
        if future in self._waiting:
            self._waiting.remove(future)
        elif future.done() and not future.cancelled() and future.exception() is None:
            self._arrived(future.result())

    # Making and removing

    def _refill(self) -> None:
        if self._stopped or self._backing_off:
            return
        wanted = self.size.target_count + len(self._waiting) - len(self._warm)
        if wanted < self._creating.count:
            self._creating.rest()
        while self._creating_count < min(self._creating.count, wanted):
            self._creating_count += 1
            self._spawn(self._create())

    async def _create(self) -> None:
        begun_s = time.monotonic()
        try:
            sandbox = await self._engine.create()
        except EngineUnavailable as error:
            self._failed(str(error))
        except Exception as error:
            # The edge of this task: a bug must not make containers as fast as it can fail.
            logger.exception("making a sandbox failed in an unforeseen way")
            self._failed(f"{type(error).__name__}: {error}")
        else:
            self.trouble = None
            self.counts.made += 1
            now_s = time.monotonic()
            self.size.made(took_s=now_s - begun_s)
            if self._creating_count >= self._creating.count:
                self._creating.ready(now_s=now_s)
            self.size.creating_max = self._creating.count
            self._failed_count = 0
            self._backoff_s = 0.0
            self._arrived(sandbox)
        finally:
            self._creating_count -= 1
            self._refill()

    def _failed(self, why: str) -> None:
        if self.trouble != why:
            logger.error("cannot make sandboxes: %s", why)
        self.trouble = why
        self.counts.failed += 1
        self._failed_count += 1
        if self._failed_count >= _FAILURES_BORNE:
            self._refuse_waiting(_unavailable(why, retry_after_s=_BACKOFF_MAX_S))
        self._backoff_s = min(max(self._backoff_s * 2, _BACKOFF_MIN_S), _BACKOFF_MAX_S)
        if not self._backing_off:
            self._backing_off = True
            self._later(self._try_again, self._backoff_s)

    def _refuse_waiting(self, failure: ServiceFailure) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(failure)

    def _try_again(self) -> None:
        self._backing_off = False
        self._refill()

    def _arrived(self, sandbox: Sandbox) -> None:
        if self._stopped:
            self._discard(sandbox)
            return
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(sandbox)
                return
        self._behind_since_s = None
        self._warm.append((sandbox, time.monotonic()))

    def _discard(self, sandbox: Sandbox) -> None:
        self.counts.destroyed += 1
        self._spawn(sandbox.destroy())

    def recycle(self) -> None:
        """Drop warm sandboxes that are lost or old, and idle ones whose time is over."""
        self.size.settle(now_s=time.monotonic())
        keep = deque(
            (sandbox, born_s)
            for sandbox, born_s in self._warm
            if not sandbox.lost and time.monotonic() - born_s < self.limits.age_max_s
        )
        kept = {id(sandbox) for sandbox, _born_s in keep}
        for sandbox, _born_s in self._warm:
            if id(sandbox) not in kept:
                self._discard(sandbox)
        self._warm = keep
        for kept_for, leases in list(self._idle.items()):
            self._idle[kept_for] = []
            for lease in leases:
                # Asked once: a moment later the answer may differ.
                if self._is_fresh(lease):
                    self._idle[kept_for].append(lease)
                else:
                    self._discard(lease.sandbox)
        self._trim_idle()
        self._refill()

    def _later(self, function: Any, delay_s: float) -> None:
        asyncio.get_running_loop().call_later(delay_s, function)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _unavailable(why: str, *, retry_after_s: float) -> ServiceFailure:
    return ServiceFailure(
        ErrorCode.ENGINE_UNAVAILABLE,
        f"no sandbox can be made: {why}; nothing was run, send it again later",
        retry_after_s=retry_after_s,
    )


def _stopping() -> ServiceFailure:
    return ServiceFailure(
        ErrorCode.SHUTTING_DOWN, "the service is shutting down; send it again later"
    )
