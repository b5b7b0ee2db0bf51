"""Which worker gets the next connection. Bookkeeping; accepts and sends nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

__all__ = ["HandingOut"]


class HandingOut:
    """The open connections of each worker, by the address they come from."""

    def __init__(self) -> None:
        self._open: dict[int, Counter[str]] = {}
        self._last = 0

    def next_of(self, workers: Iterable[int], *, peer: str) -> int:
        """The worker with the fewest connections of this peer's, and of those the one with the
        fewest at all, so that the two of a client come to two workers; else in turn. There must be
        one."""

        def order(worker: int) -> tuple[int, int, bool, int]:
            own = self._open.get(worker, Counter())
            return own[peer], own.total(), worker <= self._last, worker

        self._last = min(workers, key=order)
        return self._last

    def opened(self, worker: int, *, peer: str) -> None:
        self._open.setdefault(worker, Counter())[peer] += 1

    def closed(self, worker: int, *, peer: str) -> None:
        own = self._open.get(worker, Counter())
        own[peer] -= 1
        if own[peer] <= 0:
            # Addresses are up to strangers, and must not be remembered for ever.
            del own[peer]

    def forget(self, worker: int) -> None:
        """It has ended, and all its connections."""
        self._open.pop(worker, None)

    def open_count(self, worker: int) -> int:
        return self._open.get(worker, Counter()).total()
