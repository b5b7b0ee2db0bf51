"""``Ledger``: gives out the machine's slots to workers; the front's side of ``borrowed_slots``.

One admission for all of them decides whose turn it is, so that keys share the slots fairly
whatever worker their connections came to. What a worker holds when it dies is free at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from execbox_service.failures import Overloaded
from execbox_service.scheduling.admission import Admission
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.reservations import Demand, Reservation

__all__ = ["Ask", "Ledger", "Lender"]


@dataclass(frozen=True)
class Ask:
    """What a worker asks a slot for; its caller's lane is the machine's, not the worker's."""

    caller: Caller
    alone: bool = False
    again: bool = False


class Lender:
    """What one worker has of the machine's slots, and waits for."""

    def __init__(
        self,
        admission: Admission,
        *,
        granted: Callable[[int], None],
        refused: Callable[[int, Overloaded | None], None],
        changed: Callable[[], None],
    ) -> None:
        """``granted`` is told the ask's number, ``refused`` also why: None for a further slot that
        is not free."""
        self._admission = admission
        self._granted = granted
        self._refused = refused
        self._changed = changed
        self._asks: dict[int, asyncio.Task[None]] = {}
        self._returned: dict[int, asyncio.Event] = {}
        self._spares: dict[int, Reservation] = {}

    def ask(self, number: int, ask: Ask) -> None:
        """Wait for a slot in the worker's name; ``number`` is one that it has not used."""
        task = asyncio.create_task(self._lend(number, ask))
        self._asks[number] = task
        task.add_done_callback(lambda _task: self._forget(number))
        self._changed()

    def ask_spare(self, number: int, caller: Caller) -> None:
        """A further slot, if one is free and nobody waits."""
        spare = self._admission.take_spare(caller)
        if spare is None:
            self._refused(number, None)
            return
        self._spares[number] = spare
        self._granted(number)
        self._changed()

    def give_back(self, number: int) -> None:
        """End what an ask was granted, or its waiting."""
        if (spare := self._spares.pop(number, None)) is not None:
            self._admission.leave_spare(spare)
            self._changed()
        elif (returned := self._returned.get(number)) is not None:
            returned.set()
        elif (task := self._asks.get(number)) is not None:
            task.cancel()

    async def end(self) -> None:
        """Take back everything: the worker is gone."""
        for number in list(self._spares):
            self.give_back(number)
        tasks = list(self._asks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._changed()

    async def _lend(self, number: int, ask: Ask) -> None:
        try:
            async with self._admission.slot(ask.caller, alone=ask.alone, again=ask.again):
                returned = self._returned[number] = asyncio.Event()
                self._granted(number)
                self._changed()
                await returned.wait()
        except Overloaded as overloaded:
            self._refused(number, overloaded)

    def _forget(self, number: int) -> None:
        self._asks.pop(number, None)
        self._returned.pop(number, None)
        self._changed()


class Ledger:
    """The machine's slots. Belongs to one event loop."""

    def __init__(self, admission: Admission, *, show: Callable[[Demand], None]) -> None:
        """``show`` is told who waits, after each change."""
        self.admission = admission
        self._show = show
        self._stale = False

    def lender(
        self,
        *,
        granted: Callable[[int], None],
        refused: Callable[[int, Overloaded | None], None],
    ) -> Lender:
        """For one more worker."""
        return Lender(self.admission, granted=granted, refused=refused, changed=self.changed)

    def changed(self) -> None:
        """Show the demand anew, once for all that changes in one round of the event loop."""
        if not self._stale:
            self._stale = True
            asyncio.get_running_loop().call_soon(self._show_now)

    def _show_now(self) -> None:
        self._stale = False
        self._show(self.admission.demand)
