"""Asking for all checks through one adapter, by several workers at once, and counting what is said.

Nothing fails here, and nothing is written.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from acceptance.unknowns.adapter import Adapter, Ask
from acceptance.unknowns.checks import Check, Said

__all__ = ["Answered", "Tally", "asked", "counted"]

_NOTES_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Answered:
    """What was said of a group of checks, in their order."""

    checks: Sequence[Check]
    said: Sequence[Said]
    raised: str | None = None
    """What the adapter let through."""


@dataclass
class Tally:
    """What became of checks."""

    count: int = 0
    right: int = 0
    """Right ones told right and wrong ones told wrong."""
    false_zeros: int = 0
    """Right ones told wrong."""
    false_ones: int = 0
    """Wrong ones told right."""
    unknown: int = 0
    other: int = 0
    """Neither a verdict nor unknown."""
    took_s: float = 0.0
    strike_count: int = 0
    """How often the fault struck meanwhile."""
    notes: list[str] = field(default_factory=list)
    """Some of what was neither, and the false verdicts."""

    @property
    def is_honest(self) -> bool:
        """Whether no failure was taken for a verdict, or for the caller's mistake."""
        return not (self.false_zeros or self.false_ones or self.other)


def counted(answers: Iterable[Answered]) -> Tally:
    """What was said of checks, held to what they are worth."""
    tally = Tally()
    kinds: Counter[str] = Counter()
    for answered in answers:
        if answered.raised is not None:
            kinds[answered.raised] += 1
        for check, said in zip(answered.checks, answered.said, strict=True):
            _count(tally, check, said=said, kinds=kinds)
    tally.notes += [f"{count} times {what}" for what, count in kinds.most_common(_NOTES_MAX)]
    return tally


def _count(tally: Tally, check: Check, *, said: Said, kinds: Counter[str]) -> None:
    tally.count += 1
    match said:
        case Said.UNKNOWN:
            tally.unknown += 1
        case Said.OTHER:
            tally.other += 1
        case Said.ONE if check.is_right:
            tally.right += 1
        case Said.ZERO if not check.is_right:
            tally.right += 1
        case Said.ONE:
            tally.false_ones += 1
            kinds[f"told right: {check.body.strip()!r}"] += 1
        case Said.ZERO:
            tally.false_zeros += 1
            kinds[f"told wrong: {check.body.strip()!r}"] += 1


def asked(
    adapter: Adapter, checks: Sequence[Check], *, url: str, in_flight: int
) -> Generator[Answered, None, None]:
    """Ask for each check once, with so many under way; answers as they come. Raises ImportError
    where the adapter is not installed."""
    groups = _Groups(checks, size=adapter.group_size)
    told: queue.SimpleQueue[Answered | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            with adapter.opened(url) as ask:
                for group in groups:
                    told.put(_answered(ask, group))
        finally:
            told.put(None)

    worker_count = min(adapter.workers(in_flight), groups.count)
    with ThreadPoolExecutor(max(1, worker_count)) as threads:
        working = [threads.submit(work) for _ in range(worker_count)]
        try:
            ended_count = 0
            while ended_count < worker_count:
                answered = told.get()
                if answered is not None:
                    yield answered
                ended_count += answered is None
        finally:
            groups.end()
    for each in working:
        each.result()


def _answered(ask: Ask, group: Sequence[Check]) -> Answered:
    try:
        return Answered(group, ask(group))
    except Exception as error:  # noqa: BLE001 - see below
        # Whatever an adapter lets through is what its user would have had to make sense of.
        raised = f"{type(error).__name__}: {str(error)[:200]}"
        return Answered(group, [Said.OTHER] * len(group), raised)


class _Groups:
    """Checks in groups, of which each goes to one worker."""

    def __init__(self, checks: Sequence[Check], *, size: int) -> None:
        starts = range(0, len(checks), size)
        self.count = len(starts)
        self._starts = iter(starts)
        self._lock = threading.Lock()
        self._checks = checks
        self._size = size

    def __iter__(self) -> Iterator[Sequence[Check]]:
        while True:
            with self._lock:
                start = next(self._starts, None)
            if start is None:
                return
            yield self._checks[start : start + self._size]

    def end(self) -> None:
        """No worker gets a further one."""
        with self._lock:
            self._starts = iter(range(0))
