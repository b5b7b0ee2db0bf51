"""Ending a request from a different thread than the one that waits for it, which blocks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Abort", "RequestAborted"]


class RequestAborted(Exception):
    """Its sender ended the request. The service is not blamed for it, and it is not sent again."""


class Abort:
    """Ends one request, whatever it waits for on its connection, headers of the answer included.

    Set it again until the request has ended: its connection may be made after the first time.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._lock = threading.Lock()
        self._break: Callable[[], None] | None = None

    def set(self) -> None:
        """Break its connection, if it has one; if not, none is lent to it any more."""
        with self._lock:
            self.is_set = True
            if self._break is not None:
                self._break()

    def check(self) -> None:
        """Raises RequestAborted once it is set."""
        if self.is_set:
            raise RequestAborted

    @contextmanager
    def breaking(self, connections: Callable[[], None]) -> Iterator[None]:
        """What ``set`` calls meanwhile; not afterwards, when they may be those of a different
        request. Raises RequestAborted where it is set already."""
        with self._lock:
            self.check()
            self._break = connections
        try:
            yield
        finally:
            with self._lock:
                self._break = None
