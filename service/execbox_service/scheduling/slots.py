"""``Slots``: what a job asks of whatever gives out slots. The contract only, no implementation.

``admission.Admission`` where one process is the whole service; where there are several, each
borrows its slots from a machine-wide one.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.reservations import Reservation

__all__ = ["Slots"]


class Slots(Protocol):
    """Belongs to one event loop. What the methods mean is said at ``Admission``'s."""

    @property
    def slot_count(self) -> int:
        """Of the whole machine, as the other counts are."""

    @property
    def queue_wait_max_s(self) -> float: ...

    @property
    def waiting_count(self) -> int: ...

    @property
    def active_count(self) -> int: ...

    def slot(
        self, caller: Caller, *, alone: bool = False, again: bool = False
    ) -> AbstractAsyncContextManager[float]: ...

    def is_wanted(self, caller: Caller) -> bool: ...

    def waiting_in_lane_count(self, caller: Caller) -> int: ...

    def take_spare(self, caller: Caller) -> Reservation | None:
        """A further slot that is probably free, if one is."""

    async def has_spare(self, spare: Reservation) -> bool:
        """Whether it was free: to be awaited before it is used."""

    def leave_spare(self, spare: Reservation) -> None:
        """Exactly once, whether or not it was free."""
