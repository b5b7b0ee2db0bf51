"""What a cell takes of the memory of its key, from when it runs until its caller has its answer.

Memory only: that a cell holds a slot, and its session a container, is in ``sessions``.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from execbox.wire import ErrorCode, SessionLimits
from execbox_service.json_steps import read_bytes_max
from execbox_service.runner_frames import CellResult
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.memory import Hold
from execbox_service.scheduling.offload import read_aside

__all__ = ["CellRoom"]


class CellRoom:
    """A context around one cell, which may outlive its request: at its end it holds nothing."""

    def __init__(self, hold: Hold | None) -> None:
        """``hold`` is the cell's own; None: not counted."""
        self._hold = hold
        self._given_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._hold is not None:
            self._hold.shrink_to(0)

    def take(self, limits: SessionLimits) -> None:
        """Count what the cell may give back, before it runs: afterwards nothing could be refused,
        because a cell is never run again. Raises CallerMistake or Overloaded."""
        if self._hold is not None:
            size_bytes = 2 * limits.output_bytes + 4 * limits.stdout_bytes
            what = "what the cell may give back"
            self._hold.grow(size_bytes, too_large=ErrorCode.ANSWER_TOO_LARGE, what=what)

    async def count(self, result: CellResult) -> None:
        """Count what it did give back; images, and values of many parts, take more than that."""
        self._given_bytes = await read_aside(len(result.frame), _kept_bytes, result)
        if self._hold is not None:
            self._hold.shrink_to(self._given_bytes)
            self._hold.take_over(self._given_bytes - self._hold.size_bytes)

    def hand_over(self, caller: Caller) -> None:
        """Count it as its caller's from now on."""
        if caller.hold is not None:
            caller.hold.take_over(self._given_bytes)


def _kept_bytes(result: CellResult) -> int:
    """The memory that it takes, and will take once it is read."""
    streams_bytes = len(result.stdout) + len(result.stderr)
    return 2 * streams_bytes + len(result.frame) + read_bytes_max(result.frame)
