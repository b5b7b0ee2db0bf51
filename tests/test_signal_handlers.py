"""Handlers of signals end with the test that set them, as tests of programs do."""

from __future__ import annotations

import signal

import pytest


@pytest.mark.parametrize("turn", ["first", "second"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_handler_set_in_a_test_is_gone_in_the_next(number: signal.Signals, turn: str) -> None:
    """Each of the two finds none of its own, and leaves one."""

    def ours(_number: int, _frame: object) -> None:
        """What the other would find."""

    assert getattr(signal.getsignal(number), "__name__", None) != ours.__name__
    signal.signal(number, ours)
