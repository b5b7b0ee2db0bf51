"""How many sandboxes to make at once: as many as give the most a second, found while it is needed.

Pure arithmetic over when sandboxes became ready; making them is the pool's. An engine makes more a
second with several under way, up to a number that depends on the engine and on the machine, and
fewer beyond it.
"""

from __future__ import annotations

from typing import Final

COUNT_MIN: Final = 2
"""Two at once are hardly ever fewer a second than one, and leave cores to those that run."""
_STRETCH_COUNT: Final = 12
"""Ready ones that one judgement rests on: with less, it would be the machine's other work."""
_BETTER: Final = 1.05
"""How much more a second a larger number must give: each one under way takes time from jobs."""
_NEW_WEIGHT: Final = 0.5
_LOOK_AGAIN_COUNT: Final = 8
"""Stretches after which the numbers beside the best are tried again: the load may be different."""


class CreatingCount:
    """The number that gives the most a second, among those tried between two bounds."""

    def __init__(self, *, count_max: int) -> None:
        """``count_max`` is at least ``COUNT_MIN``."""
        self._count_max = max(COUNT_MIN, count_max)
        self._rates: dict[int, float] = {}
        """Ready ones a second, by how many were under way."""
        self._best = COUNT_MIN
        self._stretches_left = 0
        """Until the numbers beside the best are tried again."""
        self._ready_count = 0
        self._began_s: float | None = None
        self.count = COUNT_MIN

    def rest(self) -> None:
        """No more than usual is needed: what is under way says nothing of what could be."""
        self._began_s = None
        self.count = self._best

    def ready(self, *, now_s: float) -> None:
        """One has become ready while as many as ``count`` were under way, and all were needed."""
        if self._began_s is None:
            self._began_s, self._ready_count = now_s, 0
            return
        self._ready_count += 1
        if self._ready_count < _STRETCH_COUNT:
            return
        # At least a millisecond: clocks are coarse, and engines in tests at once.
        self._judge(self._ready_count / max(now_s - self._began_s, 0.001))
        self._began_s, self._ready_count = None, 0

    def _judge(self, rate_per_s: float) -> None:
        known = self._rates.get(self.count, rate_per_s)
        self._rates[self.count] = known + _NEW_WEIGHT * (rate_per_s - known)
        self._best = self._best_known()
        if self._stretches_left == 0:
            untried = self._untried()
            if untried is not None:
                self.count = untried
                return
            self._stretches_left = _LOOK_AGAIN_COUNT
        self._stretches_left -= 1
        if self._stretches_left == 0:
            self._rates = {self._best: self._rates[self._best]}
        self.count = self._best

    def _best_known(self) -> int:
        """The smallest number than which no larger one gives clearly more."""
        best = min(self._rates)
        for count, rate_per_s in sorted(self._rates.items()):
            if rate_per_s > self._rates[best] * _BETTER:
                best = count
        return best

    def _untried(self) -> int | None:
        """The next number to try, which is one of those beside the best."""
        for count in (self._best + 1, self._best - 1):
            if COUNT_MIN <= count <= self._count_max and count not in self._rates:
                return count
        return None
