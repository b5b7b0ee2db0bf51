"""What keys may do, counted over all workers of a machine: requests under way, rates, sessions.

The limits themselves are ``api/key_limits.py`` and ``operations/session_room.py``; the numbers are
on the board.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from execbox_service.operations.session_room import no_room
from execbox_service.workers.board import Board

__all__ = ["SharedKeyCounts", "SharedSessionRoom"]


class SharedKeyCounts:
    """The counts of one worker's requests, beside those of the others."""

    def __init__(self, board: Board, *, worker_number: int) -> None:
        self._board = board
        self._worker_number = worker_number

    def exclusive(self) -> AbstractContextManager[None]:
        return self._board.exclusive()

    def under_way_count(self, principal: str) -> int:
        return self._board.under_way_count(principal)

    def count_under_way(self, principal: str, *, change: int) -> None:
        number = self._worker_number
        self._board.count_under_way(principal, worker_number=number, change=change)

    def bucket(self, principal: str) -> tuple[float, float] | None:
        return self._board.bucket(principal)

    def keep_bucket(self, principal: str, *, tokens: float, filled_s: float) -> None:
        self._board.keep_bucket(principal, tokens=tokens, filled_s=filled_s)


class SharedSessionRoom:
    """Room for one worker's sessions, beside those of the others."""

    def __init__(
        self, board: Board, *, worker_number: int, count_max: int, key_count_max: int
    ) -> None:
        self._board = board
        self._worker_number = worker_number
        self._count_max = count_max
        self._key_count_max = key_count_max

    def take(self, principal: str) -> None:
        board = self._board
        with board.exclusive():
            own_count, all_count = board.session_count(principal), board.all_session_count
            if own_count >= self._key_count_max or all_count >= self._count_max:
                raise no_room(
                    own_count,
                    all_count,
                    key_count_max=self._key_count_max,
                    count_max=self._count_max,
                )
            board.count_sessions(principal, worker_number=self._worker_number, change=1)

    def leave(self, principal: str) -> None:
        with self._board.exclusive():
            self._board.count_sessions(principal, worker_number=self._worker_number, change=-1)
