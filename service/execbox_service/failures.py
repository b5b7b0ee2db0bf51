"""What is not the code's doing: the caller's mistakes and our own failures. No HTTP, no verdicts.

A status (``execbox.wire.Status``) says what the user's code did. Everything else that can stop a
request is one of the exceptions here, and the HTTP layer turns each into the one error shape::

    RequestFailed
    ├── CallerMistake        4xx, not retryable
    └── ServiceFailure       503, retryable
        └── Overloaded       429, retryable
"""

from __future__ import annotations

__all__ = ["CallerMistake", "Overloaded", "RequestFailed", "ServiceFailure"]


class RequestFailed(Exception):
    """A request that has no result; never says anything about the code that was sent."""

    http_status: int
    retryable: bool

    def __init__(self, code: str, message: str, *, detail: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail


class CallerMistake(RequestFailed):
    """The request must be changed before it can succeed.

    ``http_status`` is 4xx; the message says what happened, the value, the limit and what to do.
    """

    retryable = False

    def __init__(
        self, code: str, message: str, *, http_status: int = 422, detail: object = None
    ) -> None:
        super().__init__(code, message, detail=detail)
        self.http_status = http_status


class ServiceFailure(RequestFailed):
    """Our failure (engine down, container lost): the same request may succeed later."""

    http_status = 503
    retryable = True

    def __init__(
        self, code: str, message: str, *, retry_after_s: float = 1.0, detail: object = None
    ) -> None:
        super().__init__(code, message, detail=detail)
        self.retry_after_s = retry_after_s


class Overloaded(ServiceFailure):
    """The queue is full: nothing was started."""

    http_status = 429
