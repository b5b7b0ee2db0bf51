"""Telling objects that the process was forked; what they then let go of is theirs to know.

A forked child inherits every socket of its parent. Two processes that use one connection get each
other's answers, and a child that only keeps it open hides from the service that its parent ended.
"""

from __future__ import annotations

import os
import weakref
from functools import cache
from typing import Protocol

__all__ = ["ForkAware", "tell_after_fork"]


class ForkAware(Protocol):
    """Something that must not be used by two processes."""

    def after_fork(self) -> None:
        """Called in the child before anything else runs there. Takes no lock: the thread that
        held it may not exist in the child."""


_aware: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def tell_after_fork(aware: ForkAware) -> None:
    """Have ``aware.after_fork()`` called in every child forked from now on, as long as it lives.

    Covers whatever forks through Python (``os.fork``, ``multiprocessing``, process pools).
    """
    _register()
    _aware.add(aware)


@cache
def _register() -> None:
    if hasattr(os, "register_at_fork"):  # Windows has no fork.
        os.register_at_fork(after_in_child=_tell)


def _tell() -> None:
    for aware in list(_aware):
        aware.after_fork()
