"""How far a run has come, as numbers: counts by reason, rate and share read; nothing is shown here.

A display is a ``Listener``; the one for terminals is ``execbox.cli.progress_display``.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Listener", "Progress", "Snapshot", "Summary", "unheard"]

_WINDOW_S = 15.0
_SAMPLE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One moment of a run. ``counts`` are results by reason, ``failures`` records without one.

    Both include what earlier runs of the same command left in the files; ``resumed_count`` says
    how much that is. ``tallies`` count what records are made of, such as pairs, where the step
    does that. ``rate_per_s`` is records a second in the last seconds of this run alone.
    """

    step: str
    read_bytes: int
    total_bytes: int
    """Of the input; 0 where it is not known."""
    counts: Mapping[str, int]
    failures: Mapping[str, int]
    tallies: Mapping[str, int]
    resumed_count: int
    elapsed_s: float
    rate_per_s: float

    @property
    def share(self) -> float:
        """How much of the input has been read, 0 to 1."""
        return min(1.0, self.read_bytes / self.total_bytes) if self.total_bytes else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a finished run left behind: every line of the input is in one of the two counts,
    except where one record gives several results (``prompts``) or none.

    ``counts`` are the results in the output by reason, ``failures`` the lines of the error file
    by reason, ``retryable_count`` those of them that running the same command again tries anew,
    ``tallies`` what the records of both are made of, where the step counts that. ``line_count``
    are the lines of the input that are not empty.
    """

    step: str
    counts: Mapping[str, int]
    failures: Mapping[str, int]
    tallies: Mapping[str, int]
    retryable_count: int
    resumed_count: int
    elapsed_s: float
    line_count: int

    @property
    def result_count(self) -> int:
        """Lines in the output."""
        return sum(self.counts.values())

    @property
    def failure_count(self) -> int:
        """Lines in the error file."""
        return sum(self.failures.values())


Listener: TypeAlias = Callable[[Snapshot], None]
"""Called after every piece of work and about once a second; how often to show is its own affair."""


def unheard(_: Snapshot) -> None:
    """The listener of a run without a display."""


class Progress:
    """Counts what happens in one run; not shared between threads."""

    def __init__(
        self, step: str, *, total_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._step = step
        self._total_bytes = total_bytes
        self._clock = clock
        self._begun_s = clock()
        self._samples: deque[tuple[float, int]] = deque([(self._begun_s, 0)])
        self._fresh_count = 0
        self.read_bytes = 0
        self.line_count = 0
        self.resumed_count = 0
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.tallies: Counter[str] = Counter()
        self.retryable_count = 0

    def result(self, reason: str, *, resumed: bool = False) -> None:
        """One result, counted under ``reason``."""
        self.counts[reason] += 1
        self._count(resumed=resumed)

    def failure(self, reason: str, *, retry: bool, resumed: bool = False) -> None:
        """One record without a result."""
        self.failures[reason] += 1
        self.retryable_count += retry
        self._count(resumed=resumed)

    def tally(self, counts: Mapping[str, int]) -> None:
        """What one record is made of."""
        self.tallies.update(counts)

    def snapshot(self) -> Snapshot:
        now_s = self._clock()
        if now_s - self._samples[-1][0] >= _SAMPLE_S:
            self._samples.append((now_s, self._fresh_count))
            while len(self._samples) > 2 and now_s - self._samples[0][0] > _WINDOW_S:
                self._samples.popleft()
        oldest_s, oldest_count = self._samples[0]
        span_s = now_s - oldest_s
        return Snapshot(
            step=self._step,
            read_bytes=self.read_bytes,
            total_bytes=self._total_bytes,
            counts=self.counts,
            failures=self.failures,
            tallies=self.tallies,
            resumed_count=self.resumed_count,
            elapsed_s=now_s - self._begun_s,
            rate_per_s=(self._fresh_count - oldest_count) / span_s if span_s > 0 else 0.0,
        )

    def summary(self) -> Summary:
        return Summary(
            step=self._step,
            counts=dict(self.counts),
            failures=dict(self.failures),
            tallies=dict(self.tallies),
            retryable_count=self.retryable_count,
            resumed_count=self.resumed_count,
            elapsed_s=self._clock() - self._begun_s,
            line_count=self.line_count,
        )

    def _count(self, *, resumed: bool) -> None:
        if resumed:
            self.resumed_count += 1
        else:
            self._fresh_count += 1
