"""What is not the code's doing: the caller's mistakes and our own failures. No HTTP, no verdicts.

A status (``execbox.wire.Status``) says what the user's code did. Everything else that can stop a
request is one of the exceptions here, with a code whose meaning stands in ``execbox.wire``; the
HTTP layer turns each into the one error shape::

    RequestFailed
    ├── CallerMistake        4xx, not retryable
    └── ServiceFailure       503, retryable
        └── Overloaded       429, retryable
"""

from __future__ import annotations

from execbox.wire import ErrorCode

__all__ = ["CallerMistake", "Overloaded", "RequestFailed", "ServiceFailure"]


class RequestFailed(Exception):
    """A request that has no result; never says anything about the code that was sent.

    The message says what happened, the value, the limit and what to do. ``detail`` is the part of
    it that machines read: a JSON value.
    """

    def __init__(self, code: ErrorCode, message: str, *, detail: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail

    @property
    def http_status(self) -> int:
        """What the code calls for."""
        return self.code.facts.http_status

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code.facts.retryable


class CallerMistake(RequestFailed):
    """The request must be changed before it can succeed."""


class ServiceFailure(RequestFailed):
    """Our failure (engine down, container lost): the same request may succeed later.

    ``retry_after_s`` is how long to wait before it is worth a try.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        retry_after_s: float = 1.0,
        detail: object = None,
    ) -> None:
        super().__init__(code, message, detail=detail)
        self.retry_after_s = retry_after_s


class Overloaded(ServiceFailure):
    """More at once than there is room for: no result of the request is kept, so that all of it can
    be sent again. Mostly nothing was started. Calls may have run where what they gave found no room
    (``bodies_too_many``), and other items of a verify request before one was refused."""
