"""Who may run when: a fixed number of slots, a bounded queue, turns taken between keys.

A slot is the right to run one execution at a time. Waiting here costs nobody's deadline:
limits count from the start of an execution. Keys take turns, and within a key its lanes do: each
batch waits in a lane of its own, so that a key's single requests pass between its batch's lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from execbox_service.failures import Overloaded

_HOLD_WEIGHT = 0.1
_RETRY_AFTER_MAX_S = 60.0


@dataclass(frozen=True, slots=True)
class Lane:
    """Where a key's work waits. ``patient`` work is not refused and waits as long as it takes:
    whoever sends it keeps a bound on how much of it there is."""

    name: str
    patient: bool = False


SINGLES = Lane("singles")
"""The lane of requests that are no part of anything larger."""
# Not an argument, because it is where a task came from and not what any step of its work does.
_lane: ContextVar[Lane] = ContextVar("execbox_lane", default=SINGLES)


@contextlib.contextmanager
def waiting_in(lane: Lane) -> Iterator[None]:
    """Let whatever the current task does within the block wait for slots in ``lane``."""
    token = _lane.set(lane)
    try:
        yield
    finally:
        _lane.reset(token)


def current_lane() -> Lane:
    """Where the current task waits for slots."""
    return _lane.get()


@dataclass
class _Waiter:
    alone: bool
    bounded: bool
    """Whether it counts against the size of the queue."""
    granted: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Admission:
    """Slots and the queue before them. Belongs to one event loop."""

    def __init__(self, *, slot_count: int, queue_size: int, queue_wait_max_s: float) -> None:
        self.slot_count = slot_count
        self._queue_size = queue_size
        self._queue_wait_max_s = queue_wait_max_s
        self._active_count = 0
        self._alone_active = False
        self._alone: deque[_Waiter] = deque()
        self._keys: OrderedDict[str, OrderedDict[str, deque[_Waiter]]] = OrderedDict()
        self._bounded_count = 0
        self._hold_mean_s = 0.05

    @property
    def waiting_count(self) -> int:
        lanes = (queue for lanes in self._keys.values() for queue in lanes.values())
        return sum(map(len, lanes)) + len(self._alone)

    @property
    def active_count(self) -> int:
        return self._active_count

    @contextlib.asynccontextmanager
    async def slot(
        self, *, principal: str, alone: bool = False, again: bool = False
    ) -> AsyncIterator[float]:
        """Hold a slot, or with ``alone`` all of them; yields the seconds spent waiting.

        ``again`` is for a job that has held a slot before: it is served before new ones of its
        lane, and the queue's bounds are not for it, nor for ``alone``, nor for a patient lane.
        Raises Overloaded when the queue is full or the wait gets too long.
        """
        started_s = time.monotonic()
        await self._enter(principal, alone=alone, again=again)
        entered_s = time.monotonic()
        try:
            yield entered_s - started_s
        finally:
            self._leave(alone=alone)
            held_s = time.monotonic() - entered_s
            self._hold_mean_s += _HOLD_WEIGHT * (held_s - self._hold_mean_s)

    def retry_after_s(self) -> float:
        """When a place in the queue is likely to be free, from how long slots are held."""
        turns = math.ceil((self.waiting_count + 1) / self.slot_count)
        return min(max(1.0, turns * self._hold_mean_s), _RETRY_AFTER_MAX_S)

    async def _enter(self, principal: str, *, alone: bool, again: bool) -> None:
        lane = _lane.get()
        waiter = _Waiter(alone, bounded=not (alone or again or lane.patient))
        self._refuse_if_full(waiter)
        queue = self._alone if alone else self._lane_of(principal, lane, first=again)
        if again:
            queue.appendleft(waiter)
        else:
            queue.append(waiter)
        self._bounded_count += waiter.bounded
        self._dispatch()
        try:
            async with asyncio.timeout(self._queue_wait_max_s if waiter.bounded else None):
                await waiter.granted
        except BaseException as error:
            self._abandon(waiter, queue)
            if isinstance(error, TimeoutError):
                raise Overloaded(
                    "queue_timeout",
                    f"no slot became free in {self._queue_wait_max_s:g} s; nothing was started, "
                    "send it again later",
                    retry_after_s=self.retry_after_s(),
                ) from error
            raise

    def _refuse_if_full(self, waiter: _Waiter) -> None:
        free = self._active_count < self.slot_count and not (self._alone_active or self._alone)
        if waiter.bounded and not free and self._bounded_count >= self._queue_size:
            raise Overloaded(
                "queue_full",
                f"{self._bounded_count} requests are waiting, which is the most; nothing was "
                "started, send it again later",
                retry_after_s=self.retry_after_s(),
            )

    def _lane_of(self, principal: str, lane: Lane, *, first: bool) -> deque[_Waiter]:
        lanes = self._keys.setdefault(principal, OrderedDict())
        queue = lanes.setdefault(lane.name, deque())
        if first:
            lanes.move_to_end(lane.name, last=False)
        return queue

    def _abandon(self, waiter: _Waiter, queue: deque[_Waiter]) -> None:
        if waiter in queue:
            queue.remove(waiter)
            self._bounded_count -= waiter.bounded
            self._dispatch()
        elif waiter.granted.done() and not waiter.granted.cancelled():
            self._leave(alone=waiter.alone)
        else:
            # Cancelled while waiting: the future was taken out by nobody, and holds nothing.
            self._dispatch()

    def _leave(self, *, alone: bool) -> None:
        self._active_count -= 1
        if alone:
            self._alone_active = False
        self._dispatch()

    def _dispatch(self) -> None:
        """Grant what can be granted now. Whoever must run alone goes first, so it cannot starve."""
        while not self._alone_active:
            if self._alone:
                if self._active_count == 0:
                    self._alone_active = True
                    self._grant(self._alone.popleft())
                return
            if self._active_count >= self.slot_count or not self._keys:
                return
            # The key whose turn it is goes to the back of the line of keys, and its lane likewise.
            principal, lanes = self._keys.popitem(last=False)
            name, queue = lanes.popitem(last=False)
            if queue:
                waiter = queue.popleft()
                self._bounded_count -= waiter.bounded
                self._grant(waiter)
            if queue:
                lanes[name] = queue
            if lanes:
                self._keys[principal] = lanes

    def _grant(self, waiter: _Waiter) -> None:
        if waiter.granted.cancelled():
            self._alone_active = self._alone_active and not waiter.alone
            return
        self._active_count += 1
        waiter.granted.set_result(None)
