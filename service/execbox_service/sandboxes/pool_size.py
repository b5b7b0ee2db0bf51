"""How many warm sandboxes to keep: more after a job had to wait, fewer once some stay unused.

Pure arithmetic over what the pool tells it; making and removing is the pool's.
"""

from __future__ import annotations

_MAKING_WEIGHT = 0.2
_SETTLE_S = 30.0


class PoolSize:
    """The number aimed at, between two bounds, and how fast sandboxes can be made."""

    def __init__(self, *, count_min: int, count_max: int, creating_max: int) -> None:
        self._count_min = count_min
        self._count_max = max(count_min, count_max)
        self.creating_max = creating_max
        """How many are made at the same time, where all are needed."""
        self._spare_count = count_min
        """The fewest that were left after a lease since the last time it settled."""
        self._settled_s = 0.0
        self._making_s: float | None = None
        self.target_count = count_min

    @property
    def refill_per_s(self) -> float | None:
        """How many can be made a second, from how long the last ones took; None before any was."""
        return None if self._making_s is None else self.creating_max / self._making_s

    def made(self, *, took_s: float) -> None:
        """One has become ready after this time, at least a millisecond."""
        took_s = max(took_s, 0.001)
        if self._making_s is None:
            self._making_s = took_s
        self._making_s += _MAKING_WEIGHT * (took_s - self._making_s)

    def leased(self, *, left_count: int) -> None:
        """A warm one was taken, and so many are left."""
        self._spare_count = min(self._spare_count, left_count)

    def missed(self) -> None:
        """A job found none: keep one more from now on."""
        self._spare_count = 0
        self.target_count = min(self.target_count + 1, self._count_max)

    def settle(self, *, now_s: float) -> None:
        """Give up, now and then, what was not needed since the last time."""
        if now_s - self._settled_s < _SETTLE_S:
            return
        self._settled_s = now_s
        self.target_count = max(self.target_count - self._spare_count, self._count_min)
        self._spare_count = self.target_count
