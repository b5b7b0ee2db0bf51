"""Who may run when: a fixed number of slots, a bounded queue, turns taken between keys.

A slot is the right to run one execution at a time. Waiting here costs nobody's deadline:
limits count from the start of an execution. Keys take turns, and within a key its lanes do: each
batch waits in a lane of its own, so that a key's single requests pass between its batch's lines.
Which key's and which lane's turn it is says ``turns``: whose executions are short gets more turns.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from execbox_service.failures import Overloaded
from execbox_service.scheduling.fair_share import Turns

_INTERVAL_WEIGHT = 0.1
_CHANGE_FACTOR = 4
_RETRY_AFTER_MIN_S, _RETRY_AFTER_MAX_S = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Lane:
    """Where a key's work waits. ``patient`` work is not refused and waits as long as it takes:
    whoever sends it keeps a bound on how much of it there is."""

    name: str
    patient: bool = False


SINGLES = Lane("singles")
"""The lane of requests that are no part of anything larger."""
BEGUN = Lane("begun", patient=True)
"""The lane of a key's jobs that have run for a while and let others pass."""
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


@dataclass(eq=False)
class Holder:
    """Whoever holds a slot or waits for one."""

    principal: str
    lane: Lane
    alone: bool = False
    bounded: bool = False
    """Whether it counts against the size of the queue."""
    entered_s: float = 0.0
    granted: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


@dataclass
class _Key:
    """Those of one key: who waits, by lane, and how many hold slots."""

    again: deque[Holder] = field(default_factory=deque)
    """Jobs that have held a slot before, and a sandbox since: served before the lanes."""
    lanes: dict[str, deque[Holder]] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)
    holder_count: int = 0

    @property
    def waits(self) -> bool:
        return bool(self.again or self.lanes)

    def queue_of(self, holder: Holder, *, again: bool) -> deque[Holder]:
        if again:
            return self.again
        if holder.lane.name not in self.lanes:
            self.turns.arrive(holder.lane.name)
        return self.lanes.setdefault(holder.lane.name, deque())

    def take_next(self, *, now_s: float) -> Holder:
        """Take out whoever is next; there must be somebody."""
        if self.again:
            return self.again.popleft()
        name = self.turns.next_of(self.lanes, now_s=now_s)
        holder = self.lanes[name].popleft()
        self.tidy()
        return holder

    def tidy(self) -> None:
        """Drop lanes in which nobody waits."""
        self.lanes = {name: queue for name, queue in self.lanes.items() if queue}
        self.turns.forget_idle(self.lanes)


class Admission:
    """Slots and the queue before them. Belongs to one event loop."""

    def __init__(self, *, slot_count: int, queue_size: int, queue_wait_max_s: float) -> None:
        self.slot_count = slot_count
        self._queue_size = queue_size
        self._queue_wait_max_s = queue_wait_max_s
        self._active_count = 0
        self._alone_active = False
        self._before_alone_count = 0
        """Of those who wait for one slot, so many are to be let in before the next alone."""
        self._alone: deque[Holder] = deque()
        self._keys: dict[str, _Key] = {}
        """Of those keys for which anybody waits or holds a slot."""
        self._turns = Turns()
        self._waiting_count = 0
        self._bounded_count = 0
        self._places = _Places(queue_size)

    @property
    def queue_wait_max_s(self) -> float:
        return self._queue_wait_max_s

    @property
    def waiting_count(self) -> int:
        return self._waiting_count + len(self._alone)

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
        started_s = _now_s()
        holder = await self._enter(principal, alone=alone, again=again)
        try:
            yield _now_s() - started_s
        finally:
            self._leave(holder)

    # A job that holds a slot already

    def is_wanted(self, *, principal: str, lane: Lane) -> bool:
        """Whether somebody waits whom a job that holds a slot should let pass now and then: not
        the rest of its own batch."""
        if self._alone:
            return True
        own = lane.name if lane.patient else None
        return any(
            key.again or any(not (name == principal and each == own) for each in key.lanes)
            for name, key in self._keys.items()
        )

    def waiting_in_lane_count(self, lane: Lane, *, principal: str) -> int:
        key = self._keys.get(principal)
        return len(key.lanes.get(lane.name, ())) if key else 0

    def take_spare(self, *, principal: str, lane: Lane) -> Holder | None:
        """A further slot, if there is one that nobody waits for; ``leave_spare`` ends it."""
        busy = self._alone_active or self._active_count >= self.slot_count
        if busy or self.waiting_count:
            return None
        spare = Holder(principal, lane)
        self._begin(spare)
        return spare

    def leave_spare(self, spare: Holder) -> None:
        """Give back what ``take_spare`` gave; exactly once."""
        self._leave(spare)

    # Entering and leaving

    async def _enter(self, principal: str, *, alone: bool, again: bool) -> Holder:
        lane = _lane.get()
        holder = Holder(principal, lane, alone, bounded=not (alone or again or lane.patient))
        self._refuse_if_full(holder)
        queue = self._alone if alone else self._queue_of(holder, again=again)
        queue.append(holder)
        self._waiting_count += not alone
        self._bounded_count += holder.bounded
        self._dispatch()
        if holder.granted.done():
            return holder
        try:
            async with asyncio.timeout(self._queue_wait_max_s if holder.bounded else None):
                await holder.granted
        except BaseException as error:
            self._abandon(holder, queue)
            if isinstance(error, TimeoutError):
                raise Overloaded(
                    "queue_timeout",
                    f"no slot became free in {self._queue_wait_max_s:g} s; nothing was started, "
                    "send it again later",
                    retry_after_s=self._places.promise_s(),
                ) from error
            raise
        return holder

    def _refuse_if_full(self, holder: Holder) -> None:
        free = self._active_count < self.slot_count and not (self._alone_active or self._alone)
        if holder.bounded and not free and self._bounded_count >= self._queue_size:
            raise Overloaded(
                "queue_full",
                f"{self._bounded_count} requests are waiting, which is the most; nothing was "
                "started, send it again later",
                retry_after_s=self._places.promise_s(),
            )

    def _queue_of(self, holder: Holder, *, again: bool) -> deque[Holder]:
        key = self._keys.setdefault(holder.principal, _Key())
        if not key.waits:
            self._turns.arrive(holder.principal)
        return key.queue_of(holder, again=again)

    def _abandon(self, holder: Holder, queue: deque[Holder]) -> None:
        if holder in queue:
            queue.remove(holder)
            self._waiting_count -= not holder.alone
            self._bounded_count -= holder.bounded
            self._tidy(holder.principal)
        elif holder.granted.done() and not holder.granted.cancelled():
            self._leave(holder)
            return
        # Else cancelled while waiting: the future was taken out by nobody, and holds nothing.
        self._dispatch()

    def _begin(self, holder: Holder) -> None:
        holder.entered_s = now_s = _now_s()
        self._active_count += 1
        if holder.alone:
            return
        key = self._keys.setdefault(holder.principal, _Key())
        key.holder_count += 1
        key.turns.begin(holder.lane.name, now_s=now_s)
        self._turns.begin(holder.principal, now_s=now_s)

    def _leave(self, holder: Holder) -> None:
        self._active_count -= 1
        now_s = _now_s()
        if holder.alone:
            self._alone_active = False
            self._before_alone_count = self.slot_count
            # All slots' time: or code that is stopped on purpose would have most of the machine.
            all_s = (now_s - holder.entered_s) * self.slot_count
            self._turns.charge(holder.principal, used_s=all_s)
            self._turns.forget_idle(self._keys)
        else:
            key = self._keys[holder.principal]
            key.holder_count -= 1
            key.turns.end(holder.lane.name, entered_s=holder.entered_s, now_s=now_s)
            self._turns.end(holder.principal, entered_s=holder.entered_s, now_s=now_s)
            self._tidy(holder.principal)
        self._dispatch()

    def _tidy(self, principal: str) -> None:
        """Drop what is not needed of a key, and all of it if nobody of it is there."""
        key = self._keys.get(principal)
        if key is None:
            return
        key.tidy()
        if not key.waits and not key.holder_count:
            del self._keys[principal]
            self._turns.forget_idle(self._keys)

    def _dispatch(self) -> None:
        """Grant what can be granted now. Whoever must run alone goes first, so it cannot starve,
        but not twice in a row, so it starves nobody."""
        while not self._alone_active:
            if self._alone and not (self._before_alone_count and self._waiting_count):
                if self._active_count == 0:
                    self._alone_active = True
                    self._grant(self._alone.popleft())
                return
            if self._active_count >= self.slot_count or not self._waiting_count:
                return
            now_s = _now_s()
            waiting = (name for name, key in self._keys.items() if key.waits)
            principal = self._turns.next_of(waiting, now_s=now_s)
            holder = self._keys[principal].take_next(now_s=now_s)
            self._waiting_count -= 1
            self._bounded_count -= holder.bounded
            if holder.bounded:
                self._places.freed(more_wait=self._bounded_count > 0)
            self._before_alone_count = max(0, self._before_alone_count - 1)
            self._grant(holder)

    def _grant(self, holder: Holder) -> None:
        if holder.granted.cancelled():
            self._alone_active = self._alone_active and not holder.alone
            self._tidy(holder.principal)
            return
        self._begin(holder)
        holder.granted.set_result(None)


class _Places:
    """When places in the queue become free: seen for those who wait, foretold to those refused."""

    def __init__(self, queue_size: int) -> None:
        self._queue_size = queue_size
        self._interval_s = 0.05
        self._freed_s: float | None = None
        """The last time, if others were waiting then: the time until the next is the service's."""
        self._promised_s = 0.0

    def freed(self, *, more_wait: bool) -> None:
        """A place has become free, because whoever had it was let in."""
        now_s = _now_s()
        if self._freed_s is not None:
            self._interval_s += _INTERVAL_WEIGHT * (now_s - self._freed_s - self._interval_s)
        self._freed_s = now_s if more_wait else None

    def promise_s(self) -> float:
        """In how many seconds to come back. Everybody refused is told of a place of their own, one
        after the other, so that they do not all come back for the same one."""
        now_s = _now_s()
        since_s = 0.0 if self._freed_s is None else now_s - self._freed_s
        # What takes so much longer than it did is a change, and no chance.
        interval_s = max(self._interval_s, since_s / _CHANGE_FACTOR)
        promised_s = max(self._promised_s, now_s) + interval_s
        # No further than until the whole queue has moved on: callers who ask again at once, or
        # never, must not push the others' times away.
        self._promised_s = min(promised_s, now_s + max(1, self._queue_size) * interval_s)
        return min(max(_RETRY_AFTER_MIN_S, self._promised_s - now_s), _RETRY_AFTER_MAX_S)


def _now_s() -> float:
    """The event loop's clock, by which the waits are timed as well."""
    return asyncio.get_running_loop().time()
