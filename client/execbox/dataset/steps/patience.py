"""``Patience``: whether a failed request is one record's failure, or ends the run; no retrying."""

from __future__ import annotations

from execbox.dataset.files.json_lines import BadRecord
from execbox.errors import (
    ConnectFailed,
    ExecboxError,
    NoNodeAvailable,
    RequestError,
    ServiceError,
    SessionGone,
    TransportError,
)
from execbox.wire import ErrorCode

__all__ = ["FAILURES_IN_A_ROW_MAX", "REFUSED_KEY", "Patience", "refusal"]

FAILURES_IN_A_ROW_MAX = 5
"""After so many requests in a row without an answer the run ends: the records are not the cause."""
REFUSED_KEY = frozenset({401, 403})
"""HTTP statuses that no record causes: every request would get them."""
_NOT_OF_THE_RECORD = frozenset(
    {
        ErrorCode.HOST_NOT_ALLOWED,
        ErrorCode.LIMIT_ABOVE_MAXIMUM,
        ErrorCode.ISOLATION_NOT_PERMITTED,
        ErrorCode.PROFILE_NOT_PERMITTED,
        ErrorCode.LANGUAGE_NOT_AVAILABLE,
        ErrorCode.SESSIONS_NOT_PERMITTED,
        # A proxy's own limit, which its operator can raise.
        "http_413",
    }
)
"""Codes of refusals that can end without a change of the record: the operator permits more."""


def refusal(error: RequestError) -> BadRecord:
    """Why a refused record has no result. What its own request is refused for would be refused
    again, so the next run does not ask; the rest it asks again."""
    return BadRecord(error.message, reason=error.code, retry=error.code in _NOT_OF_THE_RECORD)


class Patience:
    """Tells one record that the service has no answer for from a service that answers nothing.

    A refused key or connection, or a fleet without a node, is no record's failure; other failures
    are, unless nothing but failures comes. What the client itself refused to send says nothing
    about the service.
    """

    def __init__(self) -> None:
        self._failures_in_a_row = 0

    def answered(self) -> None:
        """The service has answered: failures are counted from none again."""
        self._failures_in_a_row = 0

    def problem_of(self, error: ExecboxError) -> BadRecord:
        """Why this record has no result; raises ``error`` where going on is no use."""
        if isinstance(error, RequestError) and error.http_status is None:
            return refusal(error)
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= FAILURES_IN_A_ROW_MAX:
            raise error
        match error:
            case RequestError() if error.http_status not in REFUSED_KEY:
                return refusal(error)
            case SessionGone():
                return BadRecord(error.message, reason=error.code, retry=True)
            case ServiceError() if not isinstance(error, NoNodeAvailable):
                message = f"the service failed, this is no fault of the record: {error.message}"
                return BadRecord(message, reason=error.code, retry=True)
            case TransportError() if not isinstance(error, ConnectFailed):
                return BadRecord(f"no answer: {error.message}", reason="no_answer", retry=True)
        raise error
