"""An event loop in a thread of its own, for programs that block beside it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["LoopThread"]

_T = TypeVar("_T")


class LoopThread:
    """Runs from ``start`` to ``end``; what is begun before ``start`` waits for it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def start(self) -> None:
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Have it done there, and go on here."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, _T], *, timeout_s: float | None = None) -> _T:
        """What it gives. Raises what it raises, and TimeoutError."""
        return self.begin(work).result(timeout_s)

    def call(self, work: Callable[[], _T]) -> _T:
        """What a function gives that touches what only the loop's thread may."""

        async def calling() -> _T:
            return work()

        return self.run(calling())

    def end(self) -> None:
        """After all that was begun has been waited for, or cancelled."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
