"""``Runtime``: puts together engine, pool and admission, and runs operations on them.

The HTTP layer sees only this. Built from one frozen settings object; nothing happens before
``start``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import execbox
from execbox.wire import Capabilities, ErrorCode, Limits, Readiness
from execbox_service.engines.base import Engine, EngineFacts, EngineUnavailable
from execbox_service.engines.choose import EngineChoice, choose_engine
from execbox_service.engines.container_spec import ContainerSpec, container_spec
from execbox_service.failures import ServiceFailure
from execbox_service.metrics import Metrics, MetricSample
from execbox_service.operations import policy
from execbox_service.operations.backend import Backend
from execbox_service.operations.registry import Operation, RequestT, ResponseT
from execbox_service.operations.session_room import OwnSessionRoom, SessionRoom
from execbox_service.operations.sessions import Sessions
from execbox_service.sandboxes import selftest
from execbox_service.sandboxes.pool import Pool, PoolLimits
from execbox_service.scheduling.admission import Admission
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.reservations import KeyQueue
from execbox_service.scheduling.slots import Slots
from execbox_service.settings import Settings

logger = logging.getLogger(__name__)

_EXECUTIONS_PER_CONTAINER_MAX = 20_000
"""A new container imports again what its key's functions need: seconds."""
_LOOK_S = 0.5
_LOOK_AGAIN_S = 2.0
"""After a sweep that failed: what was the matter may be over long before the next is due."""
_IDLE_PER_SLOT = 4
"""Kept for their keys between jobs. With one for each slot, two keys that take turns threw each
other's away: a third of the throughput, and waits of seconds (measured)."""


@dataclass(frozen=True)
class Part:
    """Which part of a service a runtime is, where it is not the whole."""

    number: int = 1
    """From 1 to ``count``."""
    count: int = 1
    slots: Slots | None = None
    """Where slots come from that are not its own."""
    session_room: SessionRoom | None = None
    engine: EngineChoice | None = None
    """What the other parts have, where the settings leave it open; with ``image_id``."""
    image_id: str | None = None
    choose: Callable[[ContainerSpec], Awaitable[tuple[Engine, EngineFacts]]] | None = None
    """What takes the place of the engine that the settings name."""


class Runtime:
    """Runs operations. ``start`` once, ``stop`` once, in one event loop."""

    def __init__(self, settings: Settings, part: Part | None = None) -> None:
        self._settings = settings
        self._part = part = part or Part()
        self._spec = container_spec(
            settings,
            worker_number=part.number,
            worker_count=part.count,
            image_id=part.image_id,
        )
        self._engine: Engine | None = None
        self._pool: Pool | None = None
        self.metrics = Metrics()
        self._admission: Admission | None = None
        self._backend: Backend | None = None
        self._sessions: Sessions | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._looker: asyncio.Task[None] | None = None
        self._trouble: str | None = None

    async def start(self) -> None:
        """Find the engine, prove the sandbox, fill the pool. Raises ServiceFailure."""
        try:
            self._engine, facts = await self._choose_engine()
        except EngineUnavailable as error:
            raise ServiceFailure(
                ErrorCode.ENGINE_UNAVAILABLE,
                f"{error}. 'execbox doctor' says what is there and how to get what is missing.",
            ) from error
        self._pool = Pool(self._engine, _pool_limits(self._settings, self._part))
        slots: Slots
        if self._part.slots is None:
            slots = self._admission = admission_of(self._settings)
        else:
            slots = self._part.slots
        self._backend = Backend(
            slots,
            self._pool,
            facts,
            self.metrics,
            answer_bytes_max=self._settings.answer_bytes_max,
        )
        self._sessions = Sessions(
            self._backend,
            self._part.session_room
            or OwnSessionRoom(
                count_max=self._settings.session_count_max,
                key_count_max=self._settings.key_session_count_max,
            ),
            id_prefix=f"{self._part.number}-" if self._part.count > 1 else "",
        )
        self.metrics.watch(self._pool, slots if self._part.slots is None else None)
        self._pool.start()
        try:
            await self._prove(self._pool, engine_name=facts.engine)
        except BaseException:
            await self.stop()
            raise
        self._sessions.start()
        self._sweeper = asyncio.create_task(self._keep_clean(self._engine))
        self._looker = asyncio.create_task(self._look_after(self._pool))
        logger.info("engine %s ready, image %s", facts.engine, facts.image)

    async def _prove(self, pool: Pool, *, engine_name: str) -> None:
        expected = selftest.Expected(
            memory_limit_bytes=self._spec.memory_bytes(self._spec.memory_mb),
            open_file_count=self._spec.open_file_count,
        )
        try:
            await selftest.prove(pool, expected)
        except ServiceFailure as failure:
            if pool.trouble is None:
                raise
            # Whoever starts a service has sent nothing that could be sent again.
            raise ServiceFailure(
                ErrorCode.ENGINE_UNAVAILABLE,
                f"the engine {engine_name} answers, but makes no sandbox: {pool.trouble}. "
                "'execbox doctor' says what is there and how to get what is missing.",
            ) from failure

    async def stop(self) -> None:
        """Remove every container of this service."""
        for task in (self._sweeper, self._looker):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._sessions is not None:
            await self._sessions.stop()
        if self._pool is not None:
            await self._pool.stop()
        if self._engine is not None:
            await self._engine.stop()

    def perform(
        self, operation: Operation[RequestT, ResponseT], request: RequestT, *, caller: Caller
    ) -> Awaitable[ResponseT]:
        """Do what a request asks for. Raises RequestFailed; cancelling it ends its work."""
        # Not ``async``: one coroutine fewer to go through whenever the work waits or goes on.
        return operation.perform(self._started, request, caller=caller)

    @property
    def sessions(self) -> Sessions:
        """The sessions that live."""
        if self._sessions is None:
            raise _starting()
        return self._sessions

    async def _choose_engine(self) -> tuple[Engine, EngineFacts]:
        if self._part.choose is not None:
            return await self._part.choose(self._spec)
        return await choose_engine(self._part.engine or self._settings.engine, self._spec)

    async def exposition(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return self.metrics.render()

    async def samples(self) -> Iterable[MetricSample]:
        """The metrics as numbers."""
        return self.metrics.samples()

    def key_queues(self) -> list[KeyQueue]:
        """The keys that wait for a slot or hold one; none before it is started, or where slots
        come from elsewhere."""
        return self._admission.key_queues if self._admission is not None else []

    @property
    def waiting_count(self) -> int:
        """How many jobs wait for a slot."""
        return self._started.admission.waiting_count

    def readiness(self) -> Readiness:
        """Whether executions can run now, from what the pool last saw of the engine."""
        if self._pool is None or self._backend is None:
            return Readiness(ready=False, reason="starting")
        reason = self._pool.trouble or self._trouble
        return Readiness(ready=reason is None, reason=reason)

    def capabilities(self) -> Capabilities:
        """What this service permits and runs."""
        settings, facts = self._settings, self._facts
        return Capabilities(
            version=execbox.__version__,
            engine=facts.engine,
            image=facts.image,
            python=facts.python,
            packages=facts.packages,
            languages=list(facts.languages),
            isolation=list(settings.isolation_allowed),
            profiles=list(settings.profiles_allowed),
            concurrency=settings.slot_count,
            limits_default=policy.limits_default(settings),
            limits_max=policy.limits_max(settings),
            calls_max=settings.calls_max,
            body_bytes_max=settings.body_bytes_max,
            weaker_than_docker=list(facts.weaker_than_docker),
        )

    @property
    def _started(self) -> Backend:
        if self._backend is None:
            raise _starting()
        return self._backend

    @property
    def _facts(self) -> EngineFacts:
        return self._started.facts

    async def _look_after(self, pool: Pool) -> None:
        """On a timer, and not when a request comes: drop sandboxes that are old or lost. Making
        another shows whether the engine lives."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                pool.recycle()
            except Exception as error:
                # The edge of this task: a bug must not end it.
                self._trouble = f"{type(error).__name__}: {error}"
                logger.exception("looking after the sandboxes failed")

    async def _keep_clean(self, engine: Engine) -> None:
        """On a timer: remove containers that no job leases."""
        interval_s = self._settings.sweep_interval_s
        while True:
            failed = self._trouble is not None
            await asyncio.sleep(min(interval_s, _LOOK_AGAIN_S) if failed else interval_s)
            try:
                self.metrics.swept(await engine.sweep())
            except EngineUnavailable as error:
                self._trouble = str(error)
                logger.warning("the sweep failed: %s", error)
            except Exception as error:
                # The edge of this task: a bug must neither end it nor keep a stop from removing.
                self._trouble = f"{type(error).__name__}: {error}"
                logger.exception("the sweep failed in an unforeseen way")
            else:
                self._trouble = None


def _starting() -> ServiceFailure:
    return ServiceFailure(ErrorCode.NOT_READY, "the service is starting; send it again in a moment")


def _pool_limits(settings: Settings, part: Part) -> PoolLimits:
    """The part's share of what the whole service keeps."""
    return PoolLimits(
        warm_count=math.ceil(settings.pool_size / part.count),
        warm_count_max=math.ceil(settings.pool_size_max / part.count),
        idle_count=math.ceil(_IDLE_PER_SLOT * settings.slot_count / part.count),
        memory_mb=min(Limits().memory_mb, settings.memory_mb_max),
        cpu_count=settings.container_cpu_count,
        executions_max=_EXECUTIONS_PER_CONTAINER_MAX,
        age_max_s=settings.container_age_max_s,
        runner_allowance_mb=settings.runner_allowance_mb,
    )


def admission_of(settings: Settings) -> Admission:
    """The slots of a whole service, and the queue before them."""
    return Admission(
        slot_count=settings.slot_count,
        queue_size=settings.queue_size,
        queue_wait_max_s=settings.queue_wait_max_s,
    )
