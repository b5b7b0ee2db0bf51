"""Every exception this library raises on purpose, and nothing that decides when to raise one.

Whose fault it is decides the class, so that one ``except`` clause decides what to do::

    ExecboxError
    ├── ConfigError              the client was set up wrongly (also a ValueError)
    │   └── MixedNodes           the nodes of a fleet run different images or versions
    ├── ClientMisused            closed, or of a different process or loop (also a RuntimeError)
    ├── RequestError             the caller's mistake: change the request (4xx)
    │   ├── AuthenticationError  no API key, or one that is not permitted (401, 403)
    │   ├── InvalidRequest       refused before sending, 400 or 422 (also a ValueError)
    │   └── RequestTooLarge      the body is longer than the service takes (413)
    ├── SessionGone              a session has ended, its variables are lost (410): begin a new one
    ├── ServiceError             the service's failure (5xx); see ``retryable``
    │   ├── ServiceUnavailable   it cannot run anything at the moment (503)
    │   │   └── NoNodeAvailable  of a fleet, not one node can take the request
    │   └── Overloaded           too much at once, or at too high a rate (429)
    └── TransportError           there was no answer that could be used
        ├── ConnectFailed        no connection could be made: nothing was sent
        ├── ConnectionBroken     the connection ended before the answer did
        │   └── RequestNotReceived  the request did not arrive whole: nothing ran (408)
        ├── RequestTimedOut      connected and sent, but no answer in time
        └── InvalidResponse      an answer that is not execbox's: wrong URL, proxy, version

None of them says anything about the code that was run: what that did is a status in a response.
All of them can be pickled, so they survive process pools.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

__all__ = [
    "AuthenticationError",
    "ClientMisused",
    "ConfigError",
    "ConnectFailed",
    "ConnectionBroken",
    "ExecboxError",
    "InvalidRequest",
    "InvalidResponse",
    "MixedNodes",
    "NoNodeAvailable",
    "Overloaded",
    "RequestError",
    "RequestNotReceived",
    "RequestTimedOut",
    "RequestTooLarge",
    "ServiceError",
    "ServiceUnavailable",
    "SessionGone",
    "TransportError",
]


class ExecboxError(Exception):
    """Base of every exception raised here; ``message`` is one readable sentence."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(ExecboxError, ValueError):
    """A setting of the client cannot be used; the message names it and says what it may be."""


class MixedNodes(ConfigError):
    """The nodes of a fleet run different images or versions, so their outputs and certificates do
    not belong into one data set. The message names the nodes, and the option that allows it."""


class ClientMisused(ExecboxError, RuntimeError):
    """A client was used after it was closed, or a batch where it cannot go on: in a process that
    was forked after it began, or in a different event loop. Nothing was sent."""


class _Coded(ExecboxError):
    """What the service, or the client in its place, gives a code of the API to."""

    _code: ClassVar[str]
    """Where none is given."""

    # Every keyword has a default because unpickling an exception calls it with the message only.
    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        detail: object = None,
        http_status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = self._code if code is None else code
        self.detail = detail
        self.http_status = http_status


class RequestError(_Coded):
    """The request must be changed before it can succeed.

    ``code`` is the service's stable identifier and ``detail`` its machine-readable part;
    ``http_status`` is None where the client refused before sending anything.
    """

    _code = "invalid_request"


class AuthenticationError(RequestError):
    """The API key is missing, unknown or not permitted to do this."""


class InvalidRequest(RequestError, ValueError):
    """A value in the request is not acceptable; the message names its path."""


class RequestTooLarge(RequestError):
    """The body is over the service's cap: send fewer calls per request."""


class SessionGone(_Coded):
    """The session has ended, or the service was started anew; the message says which. Variables
    and files are lost: what begins a new session has to run again what they came from.

    Mostly nobody's mistake, and no failure of the service as it is now. ``code`` and ``detail``
    are as in ``RequestError``; ``http_status`` is None where the client found out by itself.
    """

    _code = "session_gone"


class ServiceError(_Coded):
    """The service failed; the request may be fine.

    ``retryable`` is what the service said: the same request may succeed later. The client has
    then already retried as often as its ``RetryPolicy`` permits. ``retry_after_s`` is how long
    the service asked to be left alone, None if it did not say.
    """

    _code = "service_failure"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        detail: object = None,
        http_status: int | None = None,
        retryable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code=code, detail=detail, http_status=http_status)
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class ServiceUnavailable(ServiceError):
    """Nothing can be run at the moment: engine down, container lost, or not ready yet."""


class NoNodeAvailable(ServiceUnavailable):
    """Not one node of a fleet can take the request; the message says of each node why.

    ``nodes`` has the same by address. ``once_available`` is whether any node has answered this
    client before.
    """

    def __init__(
        self,
        message: str,
        *,
        nodes: Mapping[str, str] | None = None,
        once_available: bool = False,
    ) -> None:
        super().__init__(message, code="no_node_available", retryable=True)
        self.nodes = dict(nodes or {})
        self.once_available = once_available


class Overloaded(ServiceError):
    """The queue is full, the service has no memory left for the request, or this key's rate is used
    up. No result of the request is kept and all of it can be sent again; mostly nothing of it was
    started, but a part of it may have run."""


class TransportError(ExecboxError):
    """No usable answer arrived; whether anything ran is not known unless a subclass says."""


class ConnectFailed(TransportError):
    """No connection could be made, so nothing was sent and nothing ran. ``once_answered`` is
    whether the service has answered this client before: then it is mostly being started again."""

    def __init__(self, message: str, *, once_answered: bool = False) -> None:
        super().__init__(message)
        self.once_answered = once_answered


class ConnectionBroken(TransportError):
    """The connection ended, or stopped being HTTP, before the answer was complete."""


class RequestNotReceived(ConnectionBroken):
    """The service waited for the rest of the request as long as it does, so nothing of it ran.

    Mostly the way there failed. Where every request of a size ends so, it is too much for that way:
    send less at once.
    """


class RequestTimedOut(TransportError):
    """The service took the request and did not answer within the read timeout."""


class InvalidResponse(TransportError):
    """The answer is not one of execbox's: another service, a proxy, or another version."""
