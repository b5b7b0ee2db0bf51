"""Who may run when: a fixed number of slots, and a bounded queue before them, shared fairly.

A slot is the right to run one execution at a time. Waiting here costs no deadline: limits count
from the start of an execution. The queue is bounded by its size; but for callers of whom it is
known how long they listen (``Caller.wait_max_s``) by that: they are refused where the queue will
not come to them in time, and let in where it will. Keys share the slots by start-time fair queueing
(``fair_share``), and so do the lanes of each key: a batch waits in a lane of its own, so that
single requests of the same key are served between its lines. Long executions of some keys do not
shut out the others: after a while a key that holds no slot gets one beyond ``slot_count``.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Iterator
from types import TracebackType

from execbox.wire import ErrorCode
from execbox_service.failures import Overloaded
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.fair_share import FairQueue
from execbox_service.scheduling.reservations import Demand, KeyLanes, KeyQueue, Reservation
from execbox_service.scheduling.retry_times import RetryTimes

__all__ = ["Admission"]

_ALONE_MAX_S = 1.0
"""How long other executions are kept from beginning for one that is to run alone: while the slots
become empty and while it has them, together. Then it goes on beside others."""
_RELIEF_AFTER_MAX_S = 10.0
"""How long no slot is granted, while keys without one wait, before there is one more for those: or
half of the longest wait, where that is less."""


class Admission:
    """Slots and the queue before them. Belongs to one event loop."""

    def __init__(self, *, slot_count: int, queue_size: int, queue_wait_max_s: float) -> None:
        self.slot_count = slot_count
        self._queue_size = queue_size
        self._queue_wait_max_s = queue_wait_max_s
        self._relief_after_s = min(_RELIEF_AFTER_MAX_S, queue_wait_max_s / 2)
        self._active_count = 0
        self._alone_active = False
        self._before_alone_count = 0
        """How many reservations of one slot are granted before the next that runs alone."""
        self._alone: deque[Reservation] = deque()
        self._keys: dict[str, KeyLanes] = {}
        """The keys that wait for a slot or hold one."""
        self._fair_queue = FairQueue()
        self._waiting_count = 0
        self._bounded_count = 0
        self._counted_count = 0
        self._relief_count = 0
        """Slots beyond ``slot_count`` that keys without a slot may have."""
        self._relief_at_s: float | None = None
        """When there is to be one more of those, unless a slot is granted before."""
        self._relief_timer: asyncio.TimerHandle | None = None
        """Looks whether it is time for that: then, or earlier and then again, since each grant
        moves it and a timer costs more than most else that is done for one."""
        self._retry_times = RetryTimes(queue_size)

    @property
    def queue_wait_max_s(self) -> float:
        return self._queue_wait_max_s

    @property
    def waiting_count(self) -> int:
        return self._waiting_count + len(self._alone)

    @property
    def active_count(self) -> int:
        return self._active_count

    @property
    def key_queues(self) -> list[KeyQueue]:
        """The keys that wait for a slot or hold one. Those that are to run alone wait in a line of
        their own and are not counted."""
        return [
            KeyQueue(
                name,
                len(key.again) + sum(map(len, key.lanes.values())),
                running_count=key.held_count,
            )
            for name, key in self._keys.items()
        ]

    def slot(self, caller: Caller, *, alone: bool = False, again: bool = False) -> _Slot:
        """Hold a slot, or with ``alone`` all of them for a second at most, and then one, for the
        time of an ``async with``; its value is the seconds spent waiting.

        ``again`` is for a job that has held a slot before: it is served before its key's lanes.
        The queue's bounds hold for neither ``again`` nor ``alone`` nor an admitted caller. Raises
        Overloaded when the queue is full or the wait gets too long.
        """
        return _Slot(self, caller, alone=alone, again=again)

    def ask(self, caller: Caller, *, alone: bool, again: bool, now_s: float) -> Reservation:
        """Wait for a slot, or for all of them, which may be granted at once; if it is not,
        ``granted`` is to be awaited. ``leave`` ends it."""
        bounded = not (alone or again or caller.admitted)
        counted = bounded and caller.wait_max_s is None
        reservation = Reservation(caller, alone, bounded=bounded, counted=counted)
        if bounded:
            if not self._has_free_slot():
                self._refuse_if_full(reservation)
                self._refuse_if_too_late(reservation)
            self._count(reservation, change=1)
        self._line_up(reservation, again=again)
        self._dispatch(now_s)
        return reservation

    async def granted(self, reservation: Reservation) -> None:
        """Wait until one that was asked for is granted. Raises Overloaded, as ``slot`` says."""
        granted = reservation.granted = asyncio.get_running_loop().create_future()
        if not reservation.bounded:
            try:
                await granted
            except BaseException:
                self._abandon(reservation)
                raise
            return
        wait_max_s = self._wait_max_s(reservation.caller)
        try:
            async with asyncio.timeout(wait_max_s):
                await granted
        except BaseException as error:
            self._abandon(reservation)
            if isinstance(error, TimeoutError):
                raise Overloaded(
                    ErrorCode.QUEUE_TIMEOUT,
                    f"no slot became free in {wait_max_s:g} s; no result of "
                    "this request is kept, send it again later",
                    retry_after_s=self._retry_times.next_s(_now_s()),
                ) from error
            raise

    # For a job that holds a slot already

    def is_wanted(self, caller: Caller) -> bool:
        """Whether a reservation waits that ``caller``'s job should let pass after a while.

        The other parts of its own batch or request are no reason: only lanes besides its own are.
        """
        if self._alone:
            return True
        own = caller.lane if caller.admitted else None
        return any(
            key.again or any(not (name == caller.principal and lane == own) for lane in key.lanes)
            for name, key in self._keys.items()
        )

    @property
    def demand(self) -> Demand:
        """Who waits and how many run, for those who cannot look for themselves."""
        lanes = itertools.islice(
            ((name, lane) for name, key in self._keys.items() for lane in key.lanes), 2
        )
        return Demand(
            waiting_count=self.waiting_count,
            active_count=self._active_count,
            urgent=bool(self._alone) or any(key.again for key in self._keys.values()),
            singles_wait=self._bounded_count > 0,
            lanes=tuple(lanes),
        )

    def waiting_in_lane_count(self, caller: Caller) -> int:
        """How many of the key's reservations wait in the lane of ``caller``."""
        key = self._keys.get(caller.principal)
        return len(key.lanes.get(caller.lane, ())) if key else 0

    def take_spare(self, caller: Caller) -> Reservation | None:
        """A further slot, if one is free and no reservation waits; ``leave_spare`` ends it."""
        busy = self._alone_active or self._active_count >= self.slot_count
        if busy or self.waiting_count:
            return None
        spare = Reservation(caller)
        self._begin(spare, _now_s())
        return spare

    async def has_spare(self, _spare: Reservation) -> bool:
        """Whether what ``take_spare`` gave was free after all: here it always was."""
        return True

    def leave_spare(self, spare: Reservation) -> None:
        """Give back what ``take_spare`` gave; exactly once."""
        self.leave(spare)

    # Entering and leaving

    def _wait_max_s(self, caller: Caller) -> float:
        return self._queue_wait_max_s if caller.wait_max_s is None else caller.wait_max_s

    # Of the bounded ones, while no slot is free

    def _refuse_if_full(self, reservation: Reservation) -> None:
        if reservation.counted and self._counted_count >= self._queue_size:
            raise Overloaded(
                ErrorCode.QUEUE_FULL,
                f"{self._counted_count} requests are waiting, which is the most; no result "
                "of this request is kept, send it again later",
                retry_after_s=self._retry_times.next_s(_now_s()),
            )

    def _refuse_if_too_late(self, reservation: Reservation) -> None:
        """Refuse at once what its sender would wait for in vain, as far as can be told."""
        caller = reservation.caller
        if caller.wait_max_s is None:
            return
        expected_s = self._expected_wait_s(caller)
        if expected_s > caller.wait_max_s:
            raise Overloaded(
                ErrorCode.QUEUE_TIMEOUT,
                f"a slot is expected in {expected_s:.1f} s, and this request's sender waits for "
                f"one no longer than {caller.wait_max_s:g} s; nothing was run, send it again later",
                retry_after_s=self._retry_times.next_s(_now_s()),
            )

    def _expected_wait_s(self, caller: Caller) -> float:
        """Keys take turns, so a key with few that wait is served before the others' are."""
        waiting_keys = {name for name, key in self._keys.items() if key.waits} | {caller.principal}
        in_turns_count = (self.waiting_in_lane_count(caller) + 1) * len(waiting_keys) - 1
        ahead_count = min(self._bounded_count, in_turns_count)
        return self._retry_times.wait_s(_now_s(), ahead_count=ahead_count)

    # Waiting

    def _has_free_slot(self) -> bool:
        return self._active_count < self.slot_count and not (self._alone_active or self._alone)

    def _key(self, principal: str) -> KeyLanes:
        key = self._keys.get(principal)
        if key is None:
            key = self._keys[principal] = KeyLanes()
        return key

    def _line_up(self, reservation: Reservation, *, again: bool) -> None:
        if reservation.alone:
            queue = self._alone
        else:
            principal = reservation.caller.principal
            key = self._key(principal)
            if not key.waits:
                self._fair_queue.arrive(principal)
            queue = key.queue_of(reservation, again=again)
            self._waiting_count += 1
        reservation.queue = queue
        queue.append(reservation)

    def _count(self, reservation: Reservation, *, change: int) -> None:
        """Of a bounded one."""
        self._bounded_count += change
        self._counted_count += change * reservation.counted

    def _abandon(self, reservation: Reservation) -> None:
        _stop_timer(reservation)
        if reservation in reservation.queue:
            reservation.queue.remove(reservation)
            self._waiting_count -= not reservation.alone
            if reservation.bounded:
                self._count(reservation, change=-1)
            self._tidy(reservation.caller.principal)
        elif reservation.is_granted:
            self.leave(reservation)
            return
        # Else it was cancelled while it waited, and ``_grant`` took it out and gave it nothing.
        self._dispatch(_now_s())

    def _begin(self, reservation: Reservation, now_s: float) -> None:
        reservation.begun_s = now_s
        self._active_count += 1
        if reservation.alone:
            return
        caller = reservation.caller
        key = self._key(caller.principal)
        key.held_count += 1
        key.fair_queue.begin(caller.lane, now_s=now_s)
        self._fair_queue.begin(caller.principal, now_s=now_s)

    def leave(self, reservation: Reservation) -> None:
        """Give back what ``ask`` or ``take_spare`` gave; exactly once."""
        now_s = _now_s()
        if reservation.timer is not None:
            _stop_timer(reservation)
        self._active_count -= 1
        if reservation.alone:
            self._end_of_alone(reservation, now_s)
        else:
            caller, begun_s = reservation.caller, reservation.begun_s
            key = self._keys[caller.principal]
            key.held_count -= 1
            self._fair_queue.end(caller.principal, begun_s=begun_s, now_s=now_s)
            if key.held_count or key.waits:
                key.end(caller.lane, begun_s=begun_s, now_s=now_s)
            else:
                self._drop(caller.principal)
        if self._active_count < self.slot_count:
            self._relief_count = 0
        self._dispatch(now_s)

    def _end_of_alone(self, reservation: Reservation, now_s: float) -> None:
        self._alone_active = False
        self._before_alone_count = self.slot_count
        # All slots' time: or code that is stopped on purpose would have most of the machine.
        all_s = (now_s - reservation.begun_s) * self.slot_count
        self._fair_queue.charge(reservation.caller.principal, used_s=all_s)
        self._fair_queue.forget_idle(self._keys)

    def _keep_others_out(self, reservation: Reservation) -> None:
        """Count the time for which nothing else begins because of one that is to run alone."""
        if reservation.timer is None:
            loop = asyncio.get_running_loop()
            reservation.timer = loop.call_later(_ALONE_MAX_S, self._let_others_in, reservation)

    def _let_others_in(self, reservation: Reservation) -> None:
        """It has had its time alone, or the slots did not become empty in that time: from now on it
        is an execution as any other, and the first in line if it has not begun."""
        waits, now_s = reservation in self._alone, _now_s()
        if waits:
            self._alone.remove(reservation)
            self._before_alone_count = self.slot_count
        else:
            self._end_of_alone(reservation, now_s)
            self._active_count -= 1
        reservation.alone = False
        if waits:
            self._line_up(reservation, again=True)
        else:
            self._begin(reservation, now_s)
        self._dispatch(now_s)

    # Relief

    def _expect_relief(self, now_s: float) -> None:
        """Look again after a while in which nothing was granted."""
        if self._relief_at_s is None:
            self._relief_at_s = now_s + self._relief_after_s
            if self._relief_timer is None:
                self._look_for_relief()

    def _look_for_relief(self) -> None:
        """Relieve if it is time for that, or look again when it is."""
        self._relief_timer = None
        if self._relief_at_s is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._relief_at_s:
            self._relief_timer = loop.call_at(self._relief_at_s, self._look_for_relief)
        else:
            self._relieve()

    def _relieve(self) -> None:
        """Permit one slot more, for the keys that hold none, since those of the others take so
        long: executions that sleep need no core, and no verdict depends on the load. At most as
        many as there are slots, until one of the others is free."""
        self._relief_at_s = None
        if self._relief_count < self.slot_count and any(self._keys_without_slot()):
            self._relief_count += 1
        self._dispatch(_now_s())

    def _keys_without_slot(self) -> Iterator[str]:
        return (name for name, key in self._keys.items() if key.waits and not key.held_count)

    def _tidy(self, principal: str) -> None:
        """Drop what a key no longer needs, and the whole key if it neither waits nor holds."""
        key = self._keys.get(principal)
        if key is None:
            return
        key.tidy()
        if not key.waits and not key.held_count:
            self._drop(principal)

    def _drop(self, principal: str) -> None:
        del self._keys[principal]
        self._fair_queue.forget_idle(self._keys)

    def _dispatch(self, now_s: float) -> None:
        """Grant what can be granted now. A reservation that runs alone goes first, so that it
        cannot starve, but never two in a row, so that it starves no other."""
        while not self._alone_active:
            if self._alone and not (self._before_alone_count and self._waiting_count):
                if self._active_count == 0:
                    self._alone_active = True
                    self._grant(self._alone.popleft(), now_s)
                else:
                    self._keep_others_out(self._alone[0])
                return
            if not self._waiting_count:
                return
            eligible = self._eligible_keys()
            if not eligible:
                self._expect_relief(now_s)
                return
            self._grant_next_of(self._fair_queue.next_of(eligible, now_s=now_s), now_s=now_s)

    def _eligible_keys(self) -> list[str]:
        """The keys that wait and may have a slot now."""
        if self._active_count >= self.slot_count:
            has_relief = self._active_count < self.slot_count + self._relief_count
            return list(self._keys_without_slot()) if has_relief else []
        return [name for name, key in self._keys.items() if key.waits]

    def _grant_next_of(self, principal: str, *, now_s: float) -> None:
        reservation = self._keys[principal].take_next(now_s=now_s)
        self._waiting_count -= 1
        if reservation.bounded:
            self._count(reservation, change=-1)
            self._retry_times.place_freed(now_s, more_wait=self._bounded_count > 0)
        if self._before_alone_count:
            self._before_alone_count -= 1
        self._grant(reservation, now_s)

    def _grant(self, reservation: Reservation, now_s: float) -> None:
        self._relief_at_s = None
        granted = reservation.granted
        if granted is not None and granted.cancelled():
            _stop_timer(reservation)
            self._alone_active = self._alone_active and not reservation.alone
            self._tidy(reservation.caller.principal)
            return
        if reservation.alone:
            self._keep_others_out(reservation)
        self._begin(reservation, now_s)
        reservation.is_granted = True
        if granted is not None:
            granted.set_result(None)


class _Slot:
    """A slot as an ``async with``: see ``Admission.slot``."""

    __slots__ = ("_admission", "_again", "_alone", "_caller", "_reservation")

    def __init__(self, admission: Admission, caller: Caller, *, alone: bool, again: bool) -> None:
        self._admission = admission
        self._caller = caller
        self._alone = alone
        self._again = again

    async def __aenter__(self) -> float:
        started_s = _now_s()
        admission = self._admission
        reservation = self._reservation = admission.ask(
            self._caller, alone=self._alone, again=self._again, now_s=started_s
        )
        if not reservation.is_granted:
            await admission.granted(reservation)
        return _now_s() - started_s

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._admission.leave(self._reservation)


def _stop_timer(reservation: Reservation) -> None:
    if reservation.timer is not None:
        reservation.timer.cancel()
        reservation.timer = None


def _now_s() -> float:
    """The event loop's clock, by which the waits are timed as well."""
    return asyncio.get_running_loop().time()
