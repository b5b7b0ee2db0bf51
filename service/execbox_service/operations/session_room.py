"""How many sessions there may be: of one key, and of all together. Counts; knows no session."""

from __future__ import annotations

from collections import Counter
from typing import Final, Protocol

from execbox.wire import ErrorCode
from execbox_service.failures import CallerMistake, Overloaded

__all__ = ["OwnSessionRoom", "SessionRoom", "no_room"]

_RETRY_S: Final = 10.0


class SessionRoom(Protocol):
    """Where sessions are counted: in this process, or for all of a machine's."""

    def take(self, principal: str) -> None:
        """Count one more. Raises Overloaded where that is one too many, CallerMistake where there
        may be none."""

    def leave(self, principal: str) -> None:
        """Exactly once for each that was taken."""


class OwnSessionRoom:
    """The count of a service that is one process."""

    def __init__(self, *, count_max: int, key_count_max: int) -> None:
        self._count_max = count_max
        self._key_count_max = key_count_max
        self._counts: Counter[str] = Counter()

    def take(self, principal: str) -> None:
        own_count, all_count = self._counts[principal], self._counts.total()
        if own_count >= self._key_count_max or all_count >= self._count_max:
            raise no_room(
                own_count,
                all_count,
                key_count_max=self._key_count_max,
                count_max=self._count_max,
            )
        self._counts[principal] += 1

    def leave(self, principal: str) -> None:
        self._counts[principal] -= 1


def no_room(
    own_count: int, all_count: int, *, key_count_max: int, count_max: int
) -> Overloaded | CallerMistake:
    """What a session is refused with that there is no room for: for good where none is permitted,
    since a client that waited for one to end would wait for ever."""
    if key_count_max == 0 or count_max == 0:
        name = "EXECBOX_SESSION_COUNT_MAX" if count_max == 0 else "EXECBOX_KEY_SESSION_COUNT_MAX"
        return CallerMistake(
            ErrorCode.SESSIONS_NOT_PERMITTED,
            f"this service's operator permits no sessions ({name} is 0); run a function or a "
            "program instead, or ask the operator to permit them",
        )
    of_key = own_count >= key_count_max
    whose = "this key has" if of_key else "the service has"
    return Overloaded(
        ErrorCode.SESSIONS_TOO_MANY,
        f"{whose} {own_count if of_key else all_count} sessions, which is the most; end one, or "
        "send it again later",
        retry_after_s=_RETRY_S,
    )
