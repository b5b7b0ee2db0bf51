"""``Live``: the last ten minutes of the service, read from its metrics every two seconds.

One reading serves all who watch. How it is sent is in ``live_stream.py``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict

from execbox.wire import Readiness
from execbox_service.api.page.readings import (
    Latency,
    Reading,
    Sample,
    latency_between,
    reading_of,
    sample_of,
    statuses_between,
)
from execbox_service.metrics import MetricSample
from execbox_service.scheduling.reservations import KeyQueue

__all__ = ["INTERVAL_S", "Live", "LiveState", "Watched"]

INTERVAL_S: Final = 2.0
_KEPT_S: Final = 600.0
_PAUSE_S: Final = 30.0
"""After which what happened since the last reading is not one sample's."""

logger = logging.getLogger(__name__)


class LiveState(BaseModel):
    """What is shown besides the plots: of the last ten minutes, and of now."""

    model_config = ConfigDict(frozen=True)

    ready: bool
    reason: str | None
    """What ``/readyz`` complains of."""
    kept_s: float
    """How many seconds the numbers below are of."""
    statuses: dict[str, int]
    requests: Latency
    executions: Latency
    queue: Latency
    made: int
    made_in_all: int
    failed_in_all: int


@dataclass(frozen=True)
class Watched:
    """What ``Live`` reads."""

    samples: Callable[[], Awaitable[Iterable[MetricSample]]]
    """The metrics of the whole service."""
    readiness: Callable[[], Readiness]
    queues: Callable[[], list[KeyQueue]]
    paths: frozenset[str]
    """Those whose requests count for the percentiles."""


class Live:
    """Belongs to one event loop. ``run`` reads until it is cancelled."""

    def __init__(
        self, watched: Watched, *, always: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        """``always``: also while nobody looks, so that the history is there for who comes."""
        self._watched = watched
        self._always = always
        self.reader_count = 0
        self._clock = clock
        self._readings: deque[Reading] = deque()
        self._samples: deque[Sample] = deque()
        self._changed = asyncio.Condition()
        self.state: LiveState | None = None
        """None before the first reading."""

    async def run(self) -> None:
        """Read now, and every two seconds."""
        while True:
            if self._always or self.reader_count:
                try:
                    await self.read()
                except Exception:
                    # The edge of this task: a bug must not end it.
                    logger.exception("reading the numbers for the page failed")
            async with self._changed:
                self._changed.notify_all()
            await asyncio.sleep(INTERVAL_S)

    async def next_change(self) -> None:
        """Return after the next reading."""
        async with self._changed:
            await self._changed.wait()

    @property
    def samples(self) -> list[Sample]:
        """Those of the last ten minutes, oldest first."""
        return list(self._samples)

    def queues(self) -> list[KeyQueue]:
        """The keys that wait for a slot or hold one, now."""
        return self._watched.queues()

    async def read(self) -> None:
        """Take one reading, and drop what is older than ten minutes, or from before a pause."""
        watched = self._watched
        samples = await watched.samples()
        now = reading_of(samples, time_s=self._clock(), paths=watched.paths)
        if self._readings and now.time_s - self._readings[-1].time_s > _PAUSE_S:
            self._readings.clear()
            self._samples.clear()
        if self._readings:
            self._samples.append(sample_of(self._readings[-1], now))
        self._readings.append(now)
        while now.time_s - self._readings[0].time_s > _KEPT_S:
            self._readings.popleft()
            self._samples.popleft()
        self.state = self._state(self._readings[0], now)

    def _state(self, first: Reading, now: Reading) -> LiveState:
        readiness = self._watched.readiness()
        return LiveState(
            ready=readiness.ready,
            reason=readiness.reason,
            kept_s=now.time_s - first.time_s,
            statuses=statuses_between(first, now),
            requests=latency_between(first, now, of="requests"),
            executions=latency_between(first, now, of="executions"),
            queue=latency_between(first, now, of="queue"),
            made=now.number("sandboxes_made") - first.number("sandboxes_made"),
            made_in_all=now.number("sandboxes_made"),
            failed_in_all=now.number("sandboxes_failed"),
        )
