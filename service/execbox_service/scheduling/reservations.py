"""What waits for slots and holds them: a reservation, one key's lanes, and how a queue looks from
outside. What is granted when is decided in ``admission``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.fair_share import FairQueue

__all__ = ["Demand", "KeyLanes", "KeyQueue", "Reservation"]


@dataclass(eq=False)
class Reservation:
    """A slot that a caller waits for or holds; with ``alone``, all slots for a while."""

    caller: Caller
    alone: bool = False
    bounded: bool = False
    """Whether it waits only so long."""
    counted: bool = False
    """Whether it counts against the size of the queue: only where nothing is known of how long its
    sender listens. For the others the time that they have is what bounds the queue."""
    begun_s: float = field(default=0.0, init=False)
    """When the slot was granted."""
    queue: deque[Reservation] = field(init=False)
    """Where it waits; unset where it never did."""
    timer: asyncio.TimerHandle | None = field(default=None, init=False)
    """With ``alone``: the end of the time for which other executions are kept from beginning."""
    is_granted: bool = field(default=False, init=False)
    granted: asyncio.Future[None] | None = field(default=None, init=False)
    """What its caller waits on, where it has to wait."""


@dataclass(frozen=True)
class Demand:
    """Who waits for slots at one moment, as far as those who hold slots need to know."""

    waiting_count: int
    active_count: int
    urgent: bool
    """Whether a job waits that is to run alone, or that has held a slot before."""
    singles_wait: bool
    """Whether a request waits that is no part of a batch or of a large one."""
    lanes: tuple[tuple[str, str], ...]
    """Key and lane of what waits else: two at most, however many there are."""


@dataclass(frozen=True)
class KeyQueue:
    """How many jobs of one API key wait for a slot, and how many have one."""

    key: str
    waiting_count: int
    running_count: int


@dataclass
class KeyLanes:
    """One API key's reservations that wait, by lane, and how many it holds."""

    again: deque[Reservation] = field(default_factory=deque)
    """Of jobs that have held a slot before, and have held a sandbox since: served before lanes."""
    lanes: dict[str, deque[Reservation]] = field(default_factory=dict)
    fair_queue: FairQueue = field(default_factory=FairQueue)
    held_count: int = 0

    @property
    def waits(self) -> bool:
        return bool(self.again or self.lanes)

    def queue_of(self, reservation: Reservation, *, again: bool) -> deque[Reservation]:
        if again:
            return self.again
        lane = reservation.caller.lane
        queue = self.lanes.get(lane)
        if queue is None:
            self.fair_queue.arrive(lane)
            queue = self.lanes[lane] = deque()
        return queue

    def take_next(self, *, now_s: float) -> Reservation:
        """Take out the reservation that is served next; the key must have one that waits."""
        if self.again:
            return self.again.popleft()
        name = self.fair_queue.next_of(self.lanes, now_s=now_s)
        queue = self.lanes[name]
        reservation = queue.popleft()
        if not queue:
            del self.lanes[name]
        self.fair_queue.forget_idle(self.lanes)
        return reservation

    def tidy(self) -> None:
        """Drop lanes in which nothing waits any more."""
        self.lanes = {name: queue for name, queue in self.lanes.items() if queue}
        self.fair_queue.forget_idle(self.lanes)

    def end(self, lane: str, *, begun_s: float, now_s: float) -> None:
        """One in this lane gives back the slot that it was granted at ``begun_s``."""
        self.fair_queue.end(lane, begun_s=begun_s, now_s=now_s)
        self.fair_queue.forget_idle(self.lanes)
