"""How much memory of the service the requests of each API key may hold, and how much they do.

Bookkeeping only: what takes how much is estimated where it arises. Everything that grows with what
a caller sends, or with what a caller's code returns, is counted here before it is kept.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from execbox.wire import ErrorCode
from execbox_service.failures import CallerMistake, Overloaded

__all__ = ["Hold", "Memory"]


class Memory:
    """The memory of all requests together, shared by the keys. For the event loop, and for the
    threads that read and judge beside it.

    Where there are several keys, a key may hold as much as is then left for the others: the first
    a half, the next a quarter. So no key, whatever it does, takes what others need.
    """

    def __init__(self, *, bytes_max: int, several_keys: bool) -> None:
        self._bytes_max = bytes_max
        self._several_keys = several_keys
        self._held_bytes: dict[str, int] = {}
        self._all_bytes = 0
        """Of all keys together."""
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """Of all keys together."""
        return self._all_bytes

    @property
    def key_bytes_max(self) -> int:
        """The most that one key can hold, while no other key holds anything."""
        return self._bytes_max // 2 if self._several_keys else self._bytes_max

    def hold(self, principal: str) -> Hold:
        """What one request, or one batch, of the key named ``principal`` holds: nothing so far."""
        return Hold(self, principal)

    def take(self, principal: str, size_bytes: int) -> bool:
        """Count so many bytes more for a key; false, and nothing counted, where it has no room."""
        with self._lock:
            own_bytes = self._held_bytes.get(principal, 0) + size_bytes
            all_bytes = self._all_bytes + size_bytes
            if self._bytes_max - all_bytes < (own_bytes if self._several_keys else 0):
                return False
            self._held_bytes[principal] = own_bytes
            self._all_bytes = all_bytes
            return True

    def move(self, principal: str, size_bytes: int) -> None:
        """Count for a key, whatever room it has: what another hold gave back a moment ago, or what
        cannot be refused any more, because the work has been done."""
        with self._lock:
            self._held_bytes[principal] = self._held_bytes.get(principal, 0) + size_bytes
            self._all_bytes += size_bytes

    def give_back(self, principal: str, size_bytes: int) -> None:
        with self._lock:
            own_bytes = self._held_bytes.get(principal, 0)
            if size_bytes < own_bytes:
                self._held_bytes[principal] = own_bytes - size_bytes
                self._all_bytes -= size_bytes
            else:
                self._held_bytes.pop(principal, None)
                self._all_bytes -= own_bytes


class Hold:
    """What one request holds. A context: at its end, nothing."""

    def __init__(self, memory: Memory, principal: str) -> None:
        self._memory = memory
        self._principal = principal
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shrink_to(0)

    def grow(self, size_bytes: int, *, too_large: ErrorCode, what: str) -> None:
        """Count so many bytes more.

        Raises CallerMistake with the code ``too_large`` where this request alone needs more than a
        key may have, saying that ``what`` does; Overloaded where other requests hold it.
        """
        if self._memory.take(self._principal, size_bytes):
            self.size_bytes += size_bytes
            return
        needed_bytes, key_bytes_max = self.size_bytes + size_bytes, self._memory.key_bytes_max
        if needed_bytes > key_bytes_max:
            raise CallerMistake(
                too_large,
                f"{what} would take {needed_bytes} bytes of this service's memory, and the "
                f"requests of one API key may hold {key_bytes_max}; split the request",
                detail={"needed_bytes": needed_bytes, "key_bytes_max": key_bytes_max},
            )
        raise Overloaded(
            ErrorCode.BODIES_TOO_MANY,
            "the requests of this API key, or of all keys together, hold as much memory as the "
            "service has for them; send the request again later",
        )

    def beside(self) -> Hold:
        """One of the same key, for work that may outlive this one's request."""
        return Hold(self._memory, self._principal)

    def take_over(self, size_bytes: int) -> None:
        """Count so many bytes more, whatever room the key has: what a different hold of the key,
        which has just ended, counted until now, or what cannot be refused any more."""
        self._memory.move(self._principal, size_bytes)
        self.size_bytes += size_bytes

    def shrink_to(self, size_bytes: int) -> None:
        """Count what has been let go of; no more than that is held."""
        if size_bytes < self.size_bytes:
            self._memory.give_back(self._principal, self.size_bytes - size_bytes)
            self.size_bytes = size_bytes
