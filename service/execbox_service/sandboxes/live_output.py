"""What a cell writes while it runs, from its sandbox to its reader: one piece at a time.

The next piece is asked for when one has been taken, so what a slow reader does not take stays in
the sandbox, where it has a cap. What the bytes mean as text is in ``judge/live_text``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from execbox_service.engines.base import SandboxLost
from execbox_service.runner_frames import CellPiece

__all__ = ["LiveOutput"]


class LiveOutput:
    """One cell's output on its way. ``begin``, ``put`` and ``end`` are the sandbox's side, ``next``
    and ``leave`` the reader's."""

    def __init__(self) -> None:
        self._piece: CellPiece | None = None
        self._is_over = False
        self._changed = asyncio.Event()
        self._ask: Callable[[], None] | None = None
        self._interrupt: Callable[[], None] | None = None

    @property
    def begun(self) -> bool:
        """Whether the cell has been sent to its sandbox."""
        return self._interrupt is not None

    def begin(self, *, ask: Callable[[], None], interrupt: Callable[[], None]) -> None:
        """The cell has been sent, and the first piece asked for."""
        self._ask, self._interrupt = ask, interrupt

    def put(self, piece: CellPiece) -> None:
        """Keep a piece until it is taken. Raises SandboxLost for one that nobody asked for."""
        if self._piece is not None:
            raise SandboxLost("output that nobody asked for")
        self._piece = piece
        self._changed.set()

    def end(self) -> None:
        """No piece follows, and nothing is asked any more."""
        self._is_over = True
        self._ask = None
        self._changed.set()

    async def next(self) -> CellPiece | None:
        """The next piece; None when the cell has ended."""
        while self._piece is None and not self._is_over:
            self._changed.clear()
            await self._changed.wait()
        piece, self._piece = self._piece, None
        if piece is not None and self._ask is not None:
            self._ask()
        return piece

    def leave(self) -> None:
        """Nobody looks on any more: the cell is interrupted if it runs still."""
        if self._interrupt is not None and not self._is_over:
            self._interrupt()
