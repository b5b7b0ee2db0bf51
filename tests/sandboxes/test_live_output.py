"""A cell's output on its way: one piece at a time, asked for when the one before was taken."""

from __future__ import annotations

import asyncio

import pytest

from execbox_service.engines.base import SandboxLost
from execbox_service.runner_frames import CellPiece
from execbox_service.sandboxes.live_output import LiveOutput

FIRST, SECOND = CellPiece(1, b"a", b""), CellPiece(1, b"", b"b")


async def test_piece_is_asked_for_when_the_one_before_is_taken() -> None:
    """Until the cell has ended; what is left then is still taken."""
    live, asked, interrupted = LiveOutput(), [], []
    live.begin(ask=lambda: asked.append(1), interrupt=lambda: interrupted.append(1))
    taking = asyncio.create_task(live.next())
    await asyncio.sleep(0)
    assert not asked
    live.put(FIRST)
    assert await taking == FIRST
    assert len(asked) == 1
    live.put(SECOND)
    live.end()
    assert [await live.next(), await live.next(), await live.next()] == [SECOND, None, None]
    live.leave()
    assert (len(asked), len(interrupted)) == (1, 0)


async def test_piece_that_nobody_asked_for_is_a_lie_of_the_sandbox() -> None:
    """So that no sandbox fills the memory of the service."""
    live = LiveOutput()
    live.begin(ask=lambda: None, interrupt=lambda: None)
    live.put(FIRST)
    with pytest.raises(SandboxLost, match="nobody asked"):
        live.put(SECOND)


async def test_cell_that_is_left_is_interrupted_only_while_it_runs() -> None:
    """Before it has been sent there is nothing to interrupt."""
    live, interrupted = LiveOutput(), []
    live.leave()
    assert not live.begun
    live.begin(ask=lambda: None, interrupt=lambda: interrupted.append(1))
    live.leave()
    assert live.begun
    assert interrupted == [1]
