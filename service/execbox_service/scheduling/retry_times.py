"""When refused callers should come back: how fast places in the queue become free. Arithmetic."""

from __future__ import annotations

__all__ = ["RetryTimes"]

_INTERVAL_WEIGHT = 0.1
_CHANGE_FACTOR = 4
_INTERVAL_MIN_S = 0.05
_RETRY_AFTER_MIN_S, _RETRY_AFTER_MAX_S = 1.0, 60.0


class RetryTimes:
    """Watches places in the queue become free, and gives each refused caller a time of its own.

    All times are in seconds of one clock.
    """

    def __init__(self, queue_size: int) -> None:
        self._queue_size = queue_size
        self._interval_s = _INTERVAL_MIN_S
        self._steady_s = _INTERVAL_MIN_S
        """The same, but that a single pause counts little: none of the places after it will take as
        long as the one for which a daemon was started again."""
        self._freed_s: float | None = None
        """When the last place became free, if callers waited then: only so does the time until the
        next one say how fast the service is."""
        self._promised_s = 0.0

    def place_freed(self, now_s: float, *, more_wait: bool) -> None:
        """A place has become free, because the caller that had it was granted a slot."""
        if self._freed_s is not None:
            took_s = now_s - self._freed_s
            self._interval_s += _INTERVAL_WEIGHT * (took_s - self._interval_s)
            counted_s = min(took_s, _CHANGE_FACTOR * max(self._steady_s, _INTERVAL_MIN_S))
            self._steady_s += _INTERVAL_WEIGHT * (counted_s - self._steady_s)
        self._freed_s = now_s if more_wait else None

    def wait_s(self, now_s: float, *, ahead_count: int) -> float:
        """How long a caller behind so many others will wait for its slot, as things have gone: if
        no place has become free for long, the next one will be late, and not each after it."""
        next_s = max(self._steady_s, self._since_s(now_s) / _CHANGE_FACTOR)
        return next_s + ahead_count * self._steady_s

    def next_s(self, now_s: float) -> float:
        """In how many seconds, 1 to 60, a caller that is refused now should come back.

        Each refused caller is told of a different place, one after the other: they must not all
        come back for the same one.
        """
        interval_s = self._interval_now_s(now_s)
        promised_s = max(self._promised_s, now_s) + interval_s
        # No further than until the whole queue has moved on: callers that ask again at once, or
        # never, must not push the others' times away.
        self._promised_s = min(promised_s, now_s + max(1, self._queue_size) * interval_s)
        return min(max(_RETRY_AFTER_MIN_S, self._promised_s - now_s), _RETRY_AFTER_MAX_S)

    def _interval_now_s(self, now_s: float) -> float:
        """The time between two places, as it is now."""
        # An interval that takes so much longer than the last ones is a change, and no chance.
        return max(self._interval_s, self._since_s(now_s) / _CHANGE_FACTOR)

    def _since_s(self, now_s: float) -> float:
        return 0.0 if self._freed_s is None else now_s - self._freed_s
