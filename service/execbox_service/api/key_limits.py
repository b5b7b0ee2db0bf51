"""How much one API key may ask for: requests under way at once, and requests a second.

Says who is let in before anything of a request is read. Who is calling is found in
``auth.py``, which job gets a slot is decided in ``scheduling/admission.py``; nothing here waits.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from execbox.wire import ErrorCode
from execbox_service.failures import Overloaded

__all__ = ["KeyLimited", "KeyLimits", "Limit", "TokenBucket"]

Limit: TypeAlias = Literal["concurrency", "rate"]

_EXCEEDED: dict[Limit, ErrorCode] = {
    "concurrency": ErrorCode.KEY_CONCURRENCY_EXCEEDED,
    "rate": ErrorCode.KEY_RATE_EXCEEDED,
}
_HOLD_WEIGHT = 0.1
_RETRY_AFTER_MAX_S = 60.0


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
        self._tokens = float(burst_count)
        self._filled_s = now_s

    def take(self, now_s: float) -> float:
        """Take a token and return 0; or take none, and return the seconds until there is one."""
        passed_s = max(0.0, now_s - self._filled_s)
        self._filled_s = max(self._filled_s, now_s)
        self._tokens = min(self._burst_count, self._tokens + passed_s * self._rate_per_s)
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate_per_s


@dataclass
class _Use:
    """What one key is doing now."""

    bucket: TokenBucket | None
    under_way_count: int = 0
    hold_mean_s: float = 1.0


class KeyLimits:
    """The limits of every key, each for itself. Belongs to one event loop.

    ``concurrency_max`` None and ``rate_per_s`` 0 mean that there is no such limit. Memory grows
    with the names of keys, which are the operator's.
    """

    def __init__(
        self,
        *,
        concurrency_max: int | None,
        rate_per_s: float,
        burst_count: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._concurrency_max = concurrency_max
        self._rate_per_s = rate_per_s
        self._burst_count = burst_count
        self._clock = clock
        self._uses: dict[str, _Use] = {}

    @contextlib.contextmanager
    def under_way(self, principal: str) -> Iterator[None]:
        """Count one request of the key named ``principal`` for the time of the block.

        Raises KeyLimited where it is one too many; such a request costs the key nothing.
        """
        use = self._use_of(principal)
        if self._concurrency_max is not None and use.under_way_count >= self._concurrency_max:
            raise _too_many_at_once(use, self._concurrency_max)
        started_s = self._clock()
        wait_s = use.bucket.take(started_s) if use.bucket else 0.0
        if wait_s > 0:
            raise _too_many_a_second(self._rate_per_s, wait_s)
        use.under_way_count += 1
        try:
            yield
        finally:
            use.under_way_count -= 1
            held_s = self._clock() - started_s
            use.hold_mean_s += _HOLD_WEIGHT * (held_s - use.hold_mean_s)

    def _use_of(self, principal: str) -> _Use:
        use = self._uses.get(principal)
        if use is None:
            bucket = None
            if self._rate_per_s > 0:
                bucket = TokenBucket(
                    rate_per_s=self._rate_per_s,
                    burst_count=self._burst_count,
                    now_s=self._clock(),
                )
            use = self._uses[principal] = _Use(bucket)
        return use


def _too_many_at_once(use: _Use, concurrency_max: int) -> KeyLimited:
    # As many requests that each take so long end one after another at this distance.
    free_in_s = min(use.hold_mean_s / use.under_way_count, _RETRY_AFTER_MAX_S)
    return KeyLimited(
        "concurrency",
        f"{use.under_way_count} requests of this API key are under way, and {concurrency_max} may "
        "be; nothing was started, send it again when one has ended, or send many calls in one "
        "request",
        retry_after_s=free_in_s,
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
