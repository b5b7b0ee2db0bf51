"""Which connection gives way when there are as many as the service may have.

Bookkeeping only: how a connection ends, and when it counts as claimed, is in ``connection.py``.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["ConnectionRoom", "Evictable"]


class Evictable(Protocol):
    """A connection that can be told to end."""

    def give_way(self) -> None:
        """End at once, for a newer connection."""


class ConnectionRoom:
    """The connections of one server on which no caller with a valid key is being answered.

    Any stranger can open connections and say nothing, so those never keep others out: the one that
    has been unclaimed longest gives way. An honest caller's is unclaimed for milliseconds.
    """

    def __init__(self) -> None:
        self._unclaimed: dict[Evictable, None] = {}

    def unclaimed(self, connection: Evictable) -> None:
        """Put a connection at the end of the line: it is new, or its request has been answered."""
        self._unclaimed.pop(connection, None)
        self._unclaimed[connection] = None

    def claimed(self, connection: Evictable) -> None:
        """Take a connection out: a caller with a valid key waits on it, or it has ended."""
        self._unclaimed.pop(connection, None)

    def make(self, *, but: Evictable) -> bool:
        """Let the connection that has been unclaimed longest give way; false if none can."""
        for connection in self._unclaimed:
            if connection is not but:
                del self._unclaimed[connection]
                connection.give_way()
                return True
        return False
