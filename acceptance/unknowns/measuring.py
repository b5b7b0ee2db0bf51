"""Asking for all checks through one adapter, by several workers at once, and counting what is said.

Nothing fails here, and nothing is written.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from acceptance.unknowns.adapter import Adapter, Ask
from acceptance.unknowns.checks import Check, Said

__all__ = ["Tally", "asked", "counted"]

_NOTES_MAX: Final = 5


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
    notes: list[str] = field(default_factory=list)
    """Some of what was neither, and the false verdicts."""

    @property
    def is_honest(self) -> bool:
        """Whether no failure was taken for a verdict, or for the caller's mistake."""
        return not (self.false_zeros or self.false_ones or self.other)


def counted(pairs: Iterable[tuple[Check, Said]]) -> Tally:
    """What was said of checks, held to what they are worth."""
    tally = Tally()
    kinds: Counter[str] = Counter()
    for check, said in pairs:
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
    tally.notes += _most_common(kinds)
    return tally


def _most_common(kinds: Counter[str]) -> list[str]:
    return [f"{count} times {what}" for what, count in kinds.most_common(_NOTES_MAX)]


def asked(adapter: Adapter, checks: Sequence[Check], *, url: str, workers: int) -> Tally:
    """Ask for each check once. Raises ImportError where the adapter is not installed."""
    groups = _Groups(checks, size=adapter.group_size)
    raised: list[str] = []

    def work() -> list[tuple[Check, Said]]:
        found: list[tuple[Check, Said]] = []
        with adapter.opened(url) as ask:
            for group in groups:
                found += zip(group, _said(ask, group, raised=raised), strict=True)
        return found

    began_s = time.monotonic()
    with ThreadPoolExecutor(workers) as threads:
        parts = [threads.submit(work) for _ in range(workers)]
    tally = counted(pair for part in parts for pair in part.result())
    tally.took_s = time.monotonic() - began_s
    tally.notes += [
        f"{count} times {what}" for what, count in Counter(raised).most_common(_NOTES_MAX)
    ]
    return tally


def _said(ask: Ask, group: Sequence[Check], *, raised: list[str]) -> Sequence[Said]:
    try:
        return ask(group)
    except Exception as error:  # noqa: BLE001 - see below
        # Whatever an adapter lets through is what its user would have had to make sense of.
        raised.append(f"{type(error).__name__}: {str(error)[:200]}")
        return [Said.OTHER] * len(group)


class _Groups:
    """Checks in groups, of which each goes to one worker."""

    def __init__(self, checks: Sequence[Check], *, size: int) -> None:
        self._starts = iter(range(0, len(checks), size))
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
