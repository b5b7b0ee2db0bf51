"""When a failed request is sent again and after how long; deciding only, no sleeping or sending.

An execution has no effect outside its sandbox, so sending a request twice costs time and nothing
else. What is still not retried, and why:

- the caller's mistakes and unreadable answers: the next answer would be the same;
- failures the service does not call retryable;
- a read timeout: the time given already covers the longest the request may take, so a second
  one would double both the caller's wait and the load on a service that is in trouble.

A connection that broke after something was sent is retried once (``broken_retries_max``):
typically the service restarted, or closed a kept-alive connection at the moment it was reused.
What a gateway in front of the service answers in its place is one of these two: 502 and 503 mostly
mean that no service listens behind the gateway, because it is being started again, and count as
the service's own 503; 504 means that the gateway waited no longer, and counts as a connection that
broke.

A service that has no room is waited for by the clock (``window_s``) and not by a number of tries:
how many it takes depends on how many others ask, which says nothing about this request.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Protocol

from execbox._nodes.failures import is_of_a_gateway
from execbox.config import RetryPolicy, Waiting, WaitListener
from execbox.errors import (
    ConnectFailed,
    ConnectionBroken,
    ExecboxError,
    NoNodeAvailable,
    Overloaded,
    RequestNotReceived,
    RequestTimedOut,
    ServiceError,
    ServiceUnavailable,
    TransportError,
)
from execbox.wire import ERROR_CODES, ErrorCode

__all__ = ["Once", "Pacing", "Polling", "Retrying", "pause_before_retry_s"]

_POLL_S = 0.25
_NO_ROOM = frozenset(code for code, facts in ERROR_CODES.items() if facts.http_status == 429) | {
    ErrorCode.TOO_MANY_CONNECTIONS
}
"""By code, too, because a line of a batch has no status."""
_IN_THE_MIDDLE = frozenset({ErrorCode.INTERNAL_ERROR, ErrorCode.SHUTTING_DOWN})
"""What may be told of work that has begun."""


class Pacing(Protocol):
    """Decides after each failure of one request whether and when to send it again."""

    def pause_s(self, failure: ExecboxError) -> float | None:
        """How long to wait before the next attempt; None to give up and raise ``failure``."""

    def remaining_s(self) -> float:
        """How long the next attempt may take at most; infinity if only its own timeouts count."""


class Retrying:
    """The pacing of ordinary requests: the configured ``RetryPolicy``."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        timed_out_retries_max: int = 0,
        on_wait: WaitListener | None = None,
        clock: Callable[[], float] = time.monotonic,
        fraction: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._on_wait = on_wait
        self._timed_out_retries_max = timed_out_retries_max
        self._clock = clock
        self._fraction = fraction
        self._begun_s = clock()
        self._failures: list[ExecboxError] = []

    def pause_s(self, failure: ExecboxError) -> float | None:
        self._failures.append(_counted_as(failure))
        elapsed_s = self._clock() - self._begun_s
        pause_s = pause_before_retry_s(
            self._policy,
            self._failures,
            elapsed_s=elapsed_s,
            fraction=self._fraction(),
            timed_out_retries_max=self._timed_out_retries_max,
        )
        if pause_s is not None and self._on_wait is not None:
            window_s = self._policy.window_s
            self._on_wait(
                Waiting(failure=failure, elapsed_s=elapsed_s, pause_s=pause_s, window_s=window_s)
            )
        return pause_s

    def remaining_s(self) -> float:
        return float("inf")


class Once(Retrying):
    """As ``Retrying``, for what may not be done twice: sent again only if nothing was done."""

    def pause_s(self, failure: ExecboxError) -> float | None:
        nothing_ran = isinstance(failure, RequestNotReceived)
        may_have_run = (
            isinstance(failure, ConnectionBroken)
            or is_of_a_gateway(failure)
            or (isinstance(failure, ServiceError) and failure.code in _IN_THE_MIDDLE)
        )
        if may_have_run and not nothing_ran:
            return None
        return super().pause_s(failure)


class Polling:
    """The pacing of waiting for readiness: every failure of ours or of the way there is retried."""

    def __init__(self, timeout_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deadline_s = clock() + timeout_s

    def pause_s(self, failure: ExecboxError) -> float | None:
        if not isinstance(failure, ServiceError | TransportError):
            return None
        remaining_s = self._deadline_s - self._clock()
        return min(_POLL_S, remaining_s) if remaining_s > 0 else None

    def remaining_s(self) -> float:
        # Never nothing: the attempt at the very end still gets the time an answer takes.
        return max(0.1, self._deadline_s - self._clock())


def pause_before_retry_s(
    policy: RetryPolicy,
    failures: Sequence[ExecboxError],
    *,
    elapsed_s: float,
    fraction: float,
    timed_out_retries_max: int = 0,
) -> float | None:
    """Seconds to wait before sending again after ``failures`` (oldest first); None: give up.

    ``elapsed_s`` counts from the first attempt. ``fraction``, from 0 to 1, is the random draw:
    the pause is that part of an exponentially growing backoff, on top of what ``Retry-After``
    asked for. Each kind of failure has its own count (a service without room none, by default), all
    share the window, but for read timeouts: of those ``timed_out_retries_max`` are allowed, which
    only a fleet has.
    """
    newest = failures[-1]
    allowed = _retries_max(policy, newest)
    if isinstance(newest, RequestTimedOut):
        # Waiting for the answer was the time that the window is there to bound.
        allowed, elapsed_s = timed_out_retries_max, 0.0
    same_kind = sum(type(failure) is type(newest) for failure in failures)
    if allowed is not None and same_kind > allowed:
        return None
    # The exponent is capped because 2.0**1024 is an error and no pause needs it.
    backoff_s = min(policy.backoff_max_s, policy.backoff_s * 2.0 ** min(len(failures) - 1, 60))
    asked_s = newest.retry_after_s if isinstance(newest, ServiceError) else None
    pause_s = (asked_s or 0.0) + fraction * backoff_s
    return pause_s if elapsed_s + pause_s <= policy.window_s else None


def _counted_as(failure: ExecboxError) -> ExecboxError:
    """A gateway's answer as what kept it from the service's own."""
    if not isinstance(failure, ServiceError) or not is_of_a_gateway(failure):
        return failure
    if failure.http_status == HTTPStatus.GATEWAY_TIMEOUT:
        return ConnectionBroken(failure.message)
    return ServiceUnavailable(
        failure.message,
        code=failure.code,
        http_status=failure.http_status,
        retryable=True,
        retry_after_s=failure.retry_after_s,
    )


def _retries_max(policy: RetryPolicy, failure: ExecboxError) -> int | None:
    """None where nothing but the window bounds them."""
    if isinstance(failure, ConnectFailed | NoNodeAvailable):
        # What has never answered is mostly an address that is wrong.
        known = (
            failure.once_answered if isinstance(failure, ConnectFailed) else failure.once_available
        )
        return policy.unavailable_retries_max if known else policy.connect_retries_max
    if isinstance(failure, ConnectionBroken):
        return policy.broken_retries_max
    if not isinstance(failure, ServiceError) or not failure.retryable:
        return 0
    if _has_no_room(failure):
        return policy.busy_retries_max
    temporary = isinstance(failure, Overloaded | ServiceUnavailable)
    return policy.unavailable_retries_max if temporary else 0


def _has_no_room(failure: ServiceError) -> bool:
    if failure.code == ErrorCode.SESSIONS_TOO_MANY:
        # Mostly they are the caller's own, who would wait for itself.
        return False
    return isinstance(failure, Overloaded) or failure.code in _NO_ROOM
