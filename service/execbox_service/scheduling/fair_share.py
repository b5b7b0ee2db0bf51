"""Whose turn it is: of those who wait, the one that has had the least of the slots' time so far.

Arithmetic only: who waits and what for is known in ``admission``. Turns of equal length would let
a key whose executions take a second have two hundred times as much as one whose take five
milliseconds, and let the latter wait for all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

_TICK_S = 0.001
"""Times are counted in these, at least one each: what is less is noise, and order decides."""
_REMEMBERED_MAX = 64


@dataclass
class _Share:
    used_tick_count: int = 0
    holder_count: int = 0
    entered_sum_s: float = 0.0
    """Of those who hold a slot now, when they got it."""
    turn: int = -1
    """Its last; a lower one has waited for longer."""

    def used_s(self, now_s: float) -> float:
        """With what those use who are not done."""
        running_s = self.holder_count * now_s - self.entered_sum_s
        return self.used_tick_count * _TICK_S + running_s


class Turns:
    """The slots' time that each name has had. Whoever comes anew has had as little as whoever of
    the others has had least, and not less: nobody saves up time by staying away."""

    def __init__(self) -> None:
        self._shares: dict[str, _Share] = {}
        self._floor_s = 0.0
        self._numbers = itertools.count()

    def next_of(self, names: Iterable[str], *, now_s: float) -> str:
        """The one of these that is next; there must be one."""

        def place(name: str) -> tuple[float, int]:
            share = self._share(name)
            return share.used_s(now_s), share.turn

        return min(names, key=place)

    def arrive(self, name: str) -> None:
        """Somebody waits under a name under which nobody did."""
        share = self._share(name)
        if not share.holder_count:
            share.used_tick_count = max(share.used_tick_count, self._floor_tick_count)

    def begin(self, name: str, *, now_s: float) -> None:
        """Somebody under this name was given a slot."""
        share = self._share(name)
        self._floor_s = max(self._floor_s, share.used_s(now_s))
        share.holder_count += 1
        share.entered_sum_s += now_s
        share.turn = next(self._numbers)

    def end(self, name: str, *, entered_s: float, now_s: float) -> None:
        """And has given it back."""
        share = self._share(name)
        share.holder_count -= 1
        share.entered_sum_s = share.entered_sum_s - entered_s if share.holder_count else 0.0
        share.used_tick_count += max(1, round((now_s - entered_s) / _TICK_S))

    def charge(self, name: str, *, used_s: float) -> None:
        """Count time that was had without a turn."""
        self._share(name).used_tick_count += round(used_s / _TICK_S)

    def forget_idle(self, waiting: Iterable[str]) -> None:
        """Drop the names that nobody waits under or holds a slot for, unless they have had more
        than others: that is remembered until the others have caught up, of so many at most."""
        kept = set(waiting)
        idle = [
            (share.used_tick_count, name)
            for name, share in self._shares.items()
            if name not in kept and not share.holder_count
        ]
        idle.sort(reverse=True)
        for place, (used_tick_count, name) in enumerate(idle):
            if place >= _REMEMBERED_MAX or used_tick_count * _TICK_S <= self._floor_s:
                del self._shares[name]

    def __len__(self) -> int:
        return len(self._shares)

    def _share(self, name: str) -> _Share:
        if name not in self._shares:
            # Not only by ``arrive``: a slot can be had without having waited in line for it.
            self._shares[name] = _Share(self._floor_tick_count)
        return self._shares[name]

    @property
    def _floor_tick_count(self) -> int:
        return round(self._floor_s / _TICK_S)
