"""``Board``: the memory that the front and its workers share. Numbers only; decides nothing.

The front writes who waits for slots, and every worker reads it without asking. What each key is
doing is written by the worker that lets a request in, under a lock that the kernel takes from a
process that dies; the front then clears what that worker had counted.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
from collections.abc import Iterator, Sequence
from typing import Final

from execbox_service.scheduling.reservations import Demand

__all__ = ["Board", "board_keys"]

_WORD_BYTES: Final = 8
_WAITING, _ACTIVE, _URGENT, _SINGLES, _LANE_COUNT, _LANE_MARK, _DEMAND_WORDS = range(7)
_TOKENS, _FILLED, _IS_KEPT, _BUCKET_WORDS = range(4)
_UNDER_WAY, _SESSIONS, _WORKER_WORDS = range(3)
_WITHOUT_KEY: Final = ("", "anonymous")


def board_keys(names: Sequence[str]) -> tuple[str, ...]:
    """The callers that a service with these API keys can have."""
    return tuple(dict.fromkeys((*_WITHOUT_KEY, *names)))


class Board:
    """One process's view of it. Each number is one aligned word, which is written whole."""

    def __init__(self, fd: int, *, keys: Sequence[str], worker_count: int) -> None:
        """``fd`` is what ``create`` gave, and stays open with the board."""
        self._fd = fd
        self._worker_count = worker_count
        self._row_words = _BUCKET_WORDS + _WORKER_WORDS * worker_count
        self._rows = {
            name: _DEMAND_WORDS + number * self._row_words for number, name in enumerate(keys)
        }
        size_bytes = _WORD_BYTES * (_DEMAND_WORDS + len(keys) * self._row_words)
        if os.fstat(fd).st_size == 0:
            os.ftruncate(fd, size_bytes)
        memory = memoryview(mmap.mmap(fd, size_bytes))
        self._counts = memory.cast("q")
        self._times = memory.cast("d")

    @staticmethod
    def create() -> int:
        """A new one, empty: its descriptor, for all who share it."""
        return os.memfd_create("execbox-board")

    # Slots: written by the front

    def show(self, demand: Demand) -> None:
        counts = self._counts
        counts[_LANE_MARK] = _mark(*demand.lanes[0]) if len(demand.lanes) == 1 else 0
        counts[_LANE_COUNT] = len(demand.lanes)
        counts[_URGENT] = demand.urgent
        counts[_SINGLES] = demand.singles_wait
        counts[_ACTIVE] = demand.active_count
        counts[_WAITING] = demand.waiting_count

    @property
    def waiting_count(self) -> int:
        return self._counts[_WAITING]

    @property
    def active_count(self) -> int:
        return self._counts[_ACTIVE]

    @property
    def someone_hurries(self) -> bool:
        """Whether anything waits that is more than one line of many."""
        return bool(self._counts[_URGENT] or self._counts[_SINGLES])

    def waits_beside(self, own: tuple[str, str] | None) -> bool:
        """Whether anything waits beside what waits in the lane ``own``, of a key's."""
        counts = self._counts
        if counts[_URGENT] or counts[_LANE_COUNT] > 1:
            return True
        return counts[_LANE_COUNT] == 1 and (own is None or counts[_LANE_MARK] != _mark(*own))

    # Keys: written by the workers

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Not a lock of threads: each process takes it in one thread only."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def under_way_count(self, key: str) -> int:
        """Requests of a key, in all workers."""
        return self._sum(key, _UNDER_WAY)

    def count_under_way(self, key: str, *, worker_number: int, change: int) -> None:
        self._counts[self._cell(key, worker_number, _UNDER_WAY)] += change

    def session_count(self, key: str) -> int:
        """Sessions of a key, in all workers."""
        return self._sum(key, _SESSIONS)

    @property
    def all_session_count(self) -> int:
        return sum(self._sum(key, _SESSIONS) for key in self._rows)

    def count_sessions(self, key: str, *, worker_number: int, change: int) -> None:
        self._counts[self._cell(key, worker_number, _SESSIONS)] += change

    def bucket(self, key: str) -> tuple[float, float] | None:
        row = self._rows[key]
        if not self._counts[row + _IS_KEPT]:
            return None
        return self._times[row + _TOKENS], self._times[row + _FILLED]

    def keep_bucket(self, key: str, *, tokens: float, filled_s: float) -> None:
        row = self._rows[key]
        self._times[row + _TOKENS], self._times[row + _FILLED] = tokens, filled_s
        self._counts[row + _IS_KEPT] = 1

    def forget(self, worker_number: int) -> None:
        """Clear what a worker had counted: it has ended, and so has all it did."""
        with self.exclusive():
            for key in self._rows:
                for what in range(_WORKER_WORDS):
                    self._counts[self._cell(key, worker_number, what)] = 0

    def _sum(self, key: str, what: int) -> int:
        first = self._cell(key, 1, what)
        return sum(self._counts[first : first + _WORKER_WORDS * self._worker_count : _WORKER_WORDS])

    def _cell(self, key: str, worker_number: int, what: int) -> int:
        return self._rows[key] + _BUCKET_WORDS + _WORKER_WORDS * (worker_number - 1) + what


def _mark(key: str, lane: str) -> int:
    """One number for a lane: that two have the same does not happen."""
    digest = hashlib.blake2b(f"{key}\0{lane}".encode(), digest_size=_WORD_BYTES).digest()
    return int.from_bytes(digest, "little", signed=True)
