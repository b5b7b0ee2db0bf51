"""An event loop whose clock jumps to the next thing that is due: hours of waiting in no time, and
the same on every machine. No tests."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_TIME_MAX_S = 5000.0


class _Jumping(selectors.SelectSelector):
    """Where nothing has arrived, no time is spent waiting: the clock is put forward instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everybody waits for something that nobody will do")
            self.now_s += max(0.0, timeout)
            if self.now_s > _TIME_MAX_S:
                raise RuntimeError("somebody waits for something that never happens")
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a loop of its own, whose clock begins at 0."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """The test, on a loop of its own in virtual time."""

    @functools.wraps(test)
    def run() -> None:
        run_in_virtual_time(test())

    del run.__dict__["__wrapped__"]
    return run


def now_s() -> float:
    """The running loop's clock."""
    return asyncio.get_running_loop().time()
