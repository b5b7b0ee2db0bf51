"""How much one API key may ask for: requests under way at once, and requests a second.

Says who is let in before anything of a request is read. Who is calling is found in
``auth.py``, which job gets a slot is decided in ``scheduling/admission.py``; nothing here waits.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeAlias

from execbox.wire import ErrorCode
from execbox_service.failures import Overloaded

__all__ = ["KeyCounts", "KeyLimited", "KeyLimits", "Limit", "OwnKeyCounts", "TokenBucket"]

Limit: TypeAlias = Literal["concurrency", "rate"]

_EXCEEDED: dict[Limit, ErrorCode] = {
    "concurrency": ErrorCode.KEY_CONCURRENCY_EXCEEDED,
    "rate": ErrorCode.KEY_RATE_EXCEEDED,
}
_HOLD_WEIGHT = 0.1
_RETRY_AFTER_MAX_S = 60.0
_UNLIMITED: AbstractContextManager[None] = contextlib.nullcontext()


class KeyLimited(Overloaded):
    """One key asks for more than it may, whatever the service has room for."""

    def __init__(
        self, limit: Limit, message: str, *, retry_after_s: float, detail: dict[str, float]
    ) -> None:
        super().__init__(_EXCEEDED[limit], message, retry_after_s=retry_after_s, detail=detail)
        self.limit: Limit = limit


class TokenBucket:
    """Full at first, with ``burst_count`` tokens; one comes back every ``1 / rate_per_s``."""

    def __init__(self, *, rate_per_s: float, burst_count: int, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst_count = burst_count
        self.tokens = float(burst_count)
        self.filled_s = now_s

    def take(self, now_s: float) -> float:
        """Take a token and return 0; or take none, and return the seconds until there is one."""
        passed_s = max(0.0, now_s - self.filled_s)
        self.filled_s = max(self.filled_s, now_s)
        self.tokens = min(self._burst_count, self.tokens + passed_s * self._rate_per_s)
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / self._rate_per_s


class KeyCounts(Protocol):
    """Where it is counted what each key is doing: in this process, or for all of a machine's."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Within, nothing else reads or changes the counts; short, and never across an await."""

    def under_way_count(self, principal: str) -> int: ...

    def count_under_way(self, principal: str, *, change: int) -> None: ...

    def bucket(self, principal: str) -> tuple[float, float] | None:
        """What ``keep_bucket`` kept: tokens, and when there were so many; None before it has."""

    def keep_bucket(self, principal: str, *, tokens: float, filled_s: float) -> None: ...


class OwnKeyCounts:
    """The counts of a service that is one process. Memory grows with the names of keys, which are
    the operator's."""

    def __init__(self) -> None:
        self._under_way: dict[str, int] = {}
        self._buckets: dict[str, tuple[float, float]] = {}

    def exclusive(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def under_way_count(self, principal: str) -> int:
        return self._under_way.get(principal, 0)

    def count_under_way(self, principal: str, *, change: int) -> None:
        self._under_way[principal] = self.under_way_count(principal) + change

    def bucket(self, principal: str) -> tuple[float, float] | None:
        return self._buckets.get(principal)

    def keep_bucket(self, principal: str, *, tokens: float, filled_s: float) -> None:
        self._buckets[principal] = (tokens, filled_s)


class KeyLimits:
    """The limits of every key, each for itself. Belongs to one event loop.

    ``concurrency_max`` None and ``rate_per_s`` 0 mean that there is no such limit. ``clock`` must
    be the same for all who share ``counts``.
    """

    def __init__(
        self,
        *,
        concurrency_max: int | None,
        rate_per_s: float,
        burst_count: int,
        clock: Callable[[], float] = time.monotonic,
        counts: KeyCounts | None = None,
    ) -> None:
        self._concurrency_max = concurrency_max
        self._rate_per_s = rate_per_s
        self._burst_count = burst_count
        self._clock = clock
        self._counts = OwnKeyCounts() if counts is None else counts
        self._hold_mean_s: dict[str, float] = {}

    def under_way(self, principal: str) -> AbstractContextManager[None]:
        """Count one request of the key named ``principal`` for the time of the block.

        Entering it raises KeyLimited where it is one too many; such a request costs the key
        nothing.
        """
        if self._concurrency_max is None and not self._rate_per_s:
            return _UNLIMITED
        return self._counted(principal)

    @contextlib.contextmanager
    def _counted(self, principal: str) -> Iterator[None]:
        started_s = self._clock()
        with self._counts.exclusive():
            self._refuse_too_many(principal, now_s=started_s)
            self._counts.count_under_way(principal, change=1)
        try:
            yield
        finally:
            with self._counts.exclusive():
                self._counts.count_under_way(principal, change=-1)
            mean_s = self._hold_mean_s.get(principal, 1.0)
            mean_s += _HOLD_WEIGHT * (self._clock() - started_s - mean_s)
            self._hold_mean_s[principal] = mean_s

    def _refuse_too_many(self, principal: str, *, now_s: float) -> None:
        count = self._counts.under_way_count(principal)
        if self._concurrency_max is not None and count >= self._concurrency_max:
            # As many requests that each take so long end one after another at this distance.
            free_in_s = self._hold_mean_s.get(principal, 1.0) / count
            raise _too_many_at_once(count, self._concurrency_max, free_in_s=free_in_s)
        if not self._rate_per_s:
            return
        bucket = TokenBucket(
            rate_per_s=self._rate_per_s, burst_count=self._burst_count, now_s=now_s
        )
        if (kept := self._counts.bucket(principal)) is not None:
            bucket.tokens, bucket.filled_s = kept
        wait_s = bucket.take(now_s)
        self._counts.keep_bucket(principal, tokens=bucket.tokens, filled_s=bucket.filled_s)
        if wait_s > 0:
            raise _too_many_a_second(self._rate_per_s, wait_s)


def _too_many_at_once(count: int, concurrency_max: int, *, free_in_s: float) -> KeyLimited:
    return KeyLimited(
        "concurrency",
        f"{count} requests of this API key are under way, and {concurrency_max} may "
        "be; nothing was started, send it again when one has ended, or send many calls in one "
        "request",
        retry_after_s=min(free_in_s, _RETRY_AFTER_MAX_S),
        detail={"key_concurrency_max": concurrency_max},
    )


def _too_many_a_second(rate_per_s: float, wait_s: float) -> KeyLimited:
    return KeyLimited(
        "rate",
        f"this API key may send {rate_per_s:g} requests a second; nothing was started, send it "
        f"again in {wait_s:.3g} s, or send many calls in one request",
        retry_after_s=wait_s,
        detail={"key_rate_per_s": rate_per_s},
    )
