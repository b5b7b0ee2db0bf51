"""``BorrowedSlots``: the machine's slots, as one worker has them; its side of ``ledger``.

A worker asks the front for each slot that something waits for, and the front decides whose turn it
is. A slot that is done with goes on to what waits in the same lane of the same key, without asking,
for as long as nothing else waits, and for a short turn even then: so an execution of a millisecond
costs no message. What nobody here takes up at once is given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final, cast

from execbox_service.failures import RequestFailed
from execbox_service.scheduling.caller import BEGUN, SINGLES, Caller
from execbox_service.scheduling.reservations import Reservation
from execbox_service.workers.board import Board
from execbox_service.workers.ledger import Ask

__all__ = ["BorrowedSlots"]

_TURN_S: Final = 0.005
"""How long a slot stays in its lane while others wait: as long as a message and its answer may take
on a busy machine, and far less than a caller notices."""
_BATCH_TURN_S: Final = 0.05
"""The same where all that wait are lines of batches and parts of large requests. Nobody waits for
one of them, and a batch's slot is held for milliseconds by the work of its process alone: with the
short turn, two batches on two workers sent three messages for each line (measured)."""
_LINGER_S: Final = 0.002
"""How long a slot, or an ask, is kept that nothing here has a use for: the next request of a caller
that has just been answered, or the next line of a batch, comes before."""
_MACHINE_WIDE_LANES: Final = (SINGLES, BEGUN)

Lane = tuple[str, str]
"""A key, and one of its lanes as the whole machine names it."""


@dataclass(eq=False)
class _Lease:
    number: int
    lane: Lane
    begun_s: float
    again: bool = True
    """Whether it may go on to what waits in its lane."""
    idle_since_s: float = 0.0


@dataclass(eq=False)
class _Wait:
    lane: Lane
    number: int
    """Of the ask that was sent for it."""
    admitted: bool
    plain: bool
    """Whether any slot of its lane will do."""
    granted: asyncio.Future[_Lease]


@dataclass(eq=False)
class _Spare(Reservation):
    """A further slot that has been asked for."""

    is_free: asyncio.Future[bool] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


@dataclass
class _LaneState:
    waits: deque[_Wait] = field(default_factory=deque)
    spare_asks: deque[tuple[int, float]] = field(default_factory=deque)
    """Asks whose wait has had a slot otherwise, and since when: the next wait takes one over."""
    idle: list[_Lease] = field(default_factory=list)

    @property
    def is_used(self) -> bool:
        return bool(self.waits or self.spare_asks or self.idle)


class BorrowedSlots:
    """Implements ``scheduling.slots.Slots``. Belongs to one event loop."""

    def __init__(
        self,
        board: Board,
        *,
        worker_number: int,
        slot_count: int,
        queue_wait_max_s: float,
        ask: Callable[[int, Ask], None],
        ask_spare: Callable[[int, Caller], None],
        give_back: Callable[[int], None],
    ) -> None:
        """The last three reach the front's ``Lender``, which answers with ``grant`` and
        ``refuse``."""
        self.slot_count = slot_count
        self.queue_wait_max_s = queue_wait_max_s
        self._board = board
        self._worker_number = worker_number
        self._ask = ask
        self._ask_spare = ask_spare
        self._give_back = give_back
        self._numbers = itertools.count(1)
        self._waits: dict[int, _Wait] = {}
        self._spare_asks: dict[int, Lane] = {}
        self._lanes: dict[Lane, _LaneState] = {}
        self._spares: dict[int, _Spare] = {}
        self._spare_numbers: dict[Reservation, int] = {}
        self._tidying: asyncio.TimerHandle | None = None

    @property
    def waiting_count(self) -> int:
        return self._board.waiting_count

    @property
    def active_count(self) -> int:
        return self._board.active_count

    @contextlib.asynccontextmanager
    async def slot(
        self, caller: Caller, *, alone: bool = False, again: bool = False
    ) -> AsyncIterator[float]:
        """As ``Admission.slot``."""
        started_s = _now_s()
        lease = await self._borrow(caller, alone=alone, again=again)
        try:
            yield _now_s() - started_s
        finally:
            self._end(lease)

    def is_wanted(self, caller: Caller) -> bool:
        return self._board.waits_beside(self._lane_of(caller) if caller.admitted else None)

    def waiting_in_lane_count(self, caller: Caller) -> int:
        """Of this worker's, whose sandboxes those are that wait."""
        state = self._lanes.get(self._lane_of(caller))
        return len(state.waits) if state else 0

    def take_spare(self, caller: Caller) -> Reservation | None:
        asked_count = sum(not spare.is_free.done() for spare in self._spares.values())
        if self.waiting_count or self.active_count + asked_count >= self.slot_count:
            return None
        spare, number = _Spare(caller), next(self._numbers)
        self._spares[number], self._spare_numbers[spare] = spare, number
        self._ask_spare(number, self._sent(caller))
        return spare

    async def has_spare(self, spare: Reservation) -> bool:
        # Shielded, because the front's answer comes whether or not it is still waited for.
        return await asyncio.shield(cast(_Spare, spare).is_free)

    def leave_spare(self, spare: Reservation) -> None:
        number = self._spare_numbers.pop(spare)
        if self._spares.pop(number, None) is not None:
            self._give_back(number)

    # What the front answers. What has been given back meanwhile is known there as well.

    def grant(self, number: int) -> None:
        """An ask has its slot."""
        if (spare := self._spares.get(number)) is not None:
            spare.is_free.set_result(True)
        elif (wait := self._waits.pop(number, None)) is not None:
            self._leave_lane(wait)
            lease = _Lease(number, wait.lane, _now_s(), again=wait.plain)
            if wait.granted.done():
                self._end(lease)
            else:
                wait.granted.set_result(lease)
        elif (lane := self._spare_asks.pop(number, None)) is not None:
            state = self._state(lane)
            state.spare_asks = deque(each for each in state.spare_asks if each[0] != number)
            self._end(_Lease(number, lane, _now_s()))

    def refuse(self, number: int, why: RequestFailed | None) -> None:
        """An ask will have none; ``why`` is None for a further slot that was not free."""
        if (spare := self._spares.pop(number, None)) is not None:
            spare.is_free.set_result(False)
        elif (wait := self._waits.pop(number, None)) is not None:
            self._leave_lane(wait)
            if not wait.granted.done() and why is not None:
                wait.granted.set_exception(why)

    # Borrowing

    async def _borrow(self, caller: Caller, *, alone: bool, again: bool) -> _Lease:
        lane = self._lane_of(caller)
        state = self._state(lane)
        plain = not (alone or again)
        if plain and state.idle:
            return state.idle.pop()
        if plain and caller.admitted and state.spare_asks:
            number, _since_s = state.spare_asks.popleft()
            del self._spare_asks[number]
        else:
            number = next(self._numbers)
            self._ask(number, Ask(self._sent(caller), alone=alone, again=again))
        granted: asyncio.Future[_Lease] = asyncio.get_running_loop().create_future()
        wait = self._waits[number] = _Wait(lane, number, caller.admitted, plain, granted)
        if plain:
            state.waits.append(wait)
        try:
            return await granted
        except BaseException:
            self._abandon(wait)
            raise

    def _abandon(self, wait: _Wait) -> None:
        granted = wait.granted
        if granted.done() and not granted.cancelled() and granted.exception() is None:
            self._end(granted.result())
        elif self._waits.pop(wait.number, None) is not None:
            self._leave_lane(wait)
            self._give_back(wait.number)

    def _leave_lane(self, wait: _Wait) -> None:
        state = self._state(wait.lane)
        if wait.plain and wait in state.waits:
            state.waits.remove(wait)
        self._tidy_later()

    def _end(self, lease: _Lease) -> None:
        """Let a slot go on to what waits in its lane, keep it for a moment, or give it back."""
        state, now_s = self._state(lease.lane), _now_s()
        self._tidy_later()
        others_wait = self._others_wait(lease.lane)
        if not lease.again or (others_wait and now_s - lease.begun_s >= self._turn_s):
            self._give_back(lease.number)
        elif state.waits:
            self._hand_over(lease, state)
        elif others_wait:
            self._give_back(lease.number)
        else:
            lease.idle_since_s = now_s
            state.idle.append(lease)

    def _hand_over(self, lease: _Lease, state: _LaneState) -> None:
        wait = state.waits.popleft()
        del self._waits[wait.number]
        if wait.granted.done():
            # Cancelled a moment ago: it had no slot, and its task has yet to see that.
            self._give_back(wait.number)
            self._end(lease)
            return
        if wait.admitted:
            state.spare_asks.append((wait.number, _now_s()))
            self._spare_asks[wait.number] = wait.lane
        else:
            self._give_back(wait.number)
        wait.granted.set_result(lease)

    @property
    def _turn_s(self) -> float:
        return _TURN_S if self._board.someone_hurries else _BATCH_TURN_S

    def _others_wait(self, lane: Lane) -> bool:
        """Whether anything waits on this machine but what this worker asks for in this lane."""
        board = self._board
        asked_count = len(self._waits) + len(self._spare_asks)
        return board.waits_beside(lane) or board.waiting_count > asked_count

    # Giving back

    def _tidy_later(self) -> None:
        if self._tidying is None:
            loop = asyncio.get_running_loop()
            self._tidying = loop.call_later(_LINGER_S, self._tidy)

    def _tidy(self) -> None:
        """Give back what has been of no use for a while."""
        self._tidying = None
        before_s = _now_s() - _LINGER_S
        for state in self._lanes.values():
            while state.spare_asks and state.spare_asks[0][1] <= before_s:
                number, _since_s = state.spare_asks.popleft()
                del self._spare_asks[number]
                self._give_back(number)
            for lease in [each for each in state.idle if each.idle_since_s <= before_s]:
                state.idle.remove(lease)
                self._give_back(lease.number)
        self._lanes = {lane: state for lane, state in self._lanes.items() if state.is_used}
        if any(state.idle or state.spare_asks for state in self._lanes.values()):
            self._tidy_later()

    # Naming

    def _state(self, lane: Lane) -> _LaneState:
        return self._lanes.setdefault(lane, _LaneState())

    def _lane_of(self, caller: Caller) -> Lane:
        lane = caller.lane
        wide = lane in _MACHINE_WIDE_LANES
        return caller.principal, lane if wide else f"{self._worker_number}/{lane}"

    def _sent(self, caller: Caller) -> Caller:
        _principal, lane = self._lane_of(caller)
        return Caller(
            caller.principal, lane=lane, admitted=caller.admitted, wait_max_s=caller.wait_max_s
        )


def _now_s() -> float:
    return asyncio.get_running_loop().time()
