"""Doing something small again and again, in a thread, while something else is measured."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["beside"]


@contextmanager
def beside(every_s: float, work: Callable[[], None]) -> Iterator[None]:
    """``work`` again and again inside the ``with`` block, with this pause after each."""
    done = threading.Event()

    def again() -> None:
        while not done.is_set():
            work()
            done.wait(every_s)

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
