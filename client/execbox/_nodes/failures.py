"""What a failed request says about the node it was sent to, as a pure table; nothing is kept here.

A request can be the cause of its own failure, so only what is true of every request leaves a node
out at once; of other failures it takes several in a row.
"""

from __future__ import annotations

from enum import Enum, auto

from execbox.errors import (
    AuthenticationError,
    ConnectFailed,
    ConnectionBroken,
    ExecboxError,
    InvalidResponse,
    Overloaded,
    RequestNotReceived,
    RequestTimedOut,
    ServiceError,
    SessionGone,
    TransportError,
)
from execbox.wire import ErrorCode

__all__ = [
    "Effect",
    "ForeignAnswer",
    "ImageChanged",
    "as_of_node",
    "check_image",
    "effect_of",
    "is_of_a_gateway",
    "naming",
    "session_failure",
]

_GATEWAY_STATUSES = frozenset({502, 503, 504})
_OF_THE_NODE = frozenset(
    {
        ErrorCode.NOT_READY,
        ErrorCode.TOO_MANY_CONNECTIONS,
        ErrorCode.ENGINE_UNAVAILABLE,
        ErrorCode.SELF_TEST_FAILED,
        ErrorCode.NOTHING_RUN,
        ErrorCode.SHUTTING_DOWN,
    }
)
"""Codes of failures that the next request to the same node would have, too."""
_TOO_MUCH = frozenset(
    {
        ErrorCode.SESSIONS_TOO_MANY,
        ErrorCode.KEY_RATE_EXCEEDED,
        ErrorCode.KEY_CONCURRENCY_EXCEEDED,
        ErrorCode.QUEUE_FULL,
        ErrorCode.QUEUE_TIMEOUT,
        ErrorCode.BODIES_TOO_MANY,
    }
)
"""Codes of a 429, which a line of a batch has without its status."""


class Effect(Enum):
    """What becomes of a node after a request to it."""

    NONE = auto()
    """It has answered."""
    STRIKE = auto()
    """It failed in a way that the request may have caused: several in a row leave the node out."""
    REST = auto()
    """It has too much to do: other nodes are asked first for a while."""
    OUT = auto()
    """It cannot answer: it is left out until it does."""


def effect_of(failure: ExecboxError) -> Effect:
    """What ``failure`` of one request says about its node."""
    if isinstance(failure, RequestNotReceived):
        return Effect.STRIKE
    if isinstance(failure, ConnectFailed | ConnectionBroken | RequestTimedOut):
        return Effect.OUT
    if isinstance(failure, ServiceError):
        if isinstance(failure, Overloaded) or failure.code in _TOO_MUCH:
            return Effect.REST
        whole = failure.code in _OF_THE_NODE or is_of_a_gateway(failure)
        return Effect.OUT if whole else Effect.STRIKE
    return Effect.STRIKE if isinstance(failure, TransportError) else Effect.NONE


def is_of_a_gateway(failure: ExecboxError) -> bool:
    """Whether something in front of the node answered that the node does not (502, 503, 504)."""
    return (
        isinstance(failure, ServiceError)
        and failure.http_status in _GATEWAY_STATUSES
        and failure.code == f"http_{failure.http_status}"
    )


class ForeignAnswer(InvalidResponse, ConnectionBroken):
    """What answered at the address of a node that works was not execbox: whether anything ran is
    not known, so it counts as a connection that broke."""


def as_of_node(failure: ExecboxError, address: str) -> ExecboxError:
    """A request's ``failure`` at a node that has answered a probe, as its sender is told it.

    A refused API key gets the node that refused it. An answer that is not execbox's is a node's
    trouble there, and not a wrong address; every other failure stays as it is.
    """
    if isinstance(failure, InvalidResponse) and not isinstance(failure, ForeignAnswer):
        return ForeignAnswer(failure.message)
    return naming(failure, address)


def naming(failure: ExecboxError, address: str) -> ExecboxError:
    """A refused API key with the node that refused it; every other failure as it is."""
    if not isinstance(failure, AuthenticationError) or address in failure.message:
        return failure
    return AuthenticationError(
        f"{address}: {failure.message}; all nodes of a fleet are sent the same key",
        code=failure.code,
        detail=failure.detail,
        http_status=failure.http_status,
    )


def session_failure(failure: ExecboxError, address: str) -> ExecboxError:
    """What ``failure`` of a session's request means, whose node is at ``address``."""
    if not isinstance(failure, ConnectFailed):
        return naming(failure, address)
    return SessionGone(
        f"the node {address}, which holds this session's variables, cannot be reached: "
        f"{failure.message}; begin a new session, it goes to a node that answers",
        code=ErrorCode.SESSION_GONE,
        # As the node itself would say once it has been started anew.
        http_status=410,
    )


class ImageChanged(ConnectionBroken):
    """A node answered with a different image than the fleet had: the answer is not used."""


def check_image(answer: object, *, wanted: str | None, address: str) -> None:
    """Raises ``ImageChanged`` for an answer made with a different image than ``wanted``.

    A node can be started anew with a different image while a client does not look.
    """
    image = getattr(answer, "image", None)
    if wanted is not None and isinstance(image, str) and image != wanted:
        raise ImageChanged(
            f"{address} answered with image {image}, and this client began with image {wanted}"
        )
