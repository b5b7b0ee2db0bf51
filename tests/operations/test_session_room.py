"""How many sessions there may be, of one key and of all together."""

from __future__ import annotations

import pytest

from execbox.wire import ErrorCode
from execbox_service.failures import CallerMistake, Overloaded
from execbox_service.operations.session_room import OwnSessionRoom


@pytest.mark.parametrize(
    ("count_max", "key_count_max", "says"),
    [(2, 1, "this key has 1 sessions"), (1, 2, "the service has 1 sessions")],
    ids=["of_a_key", "of_all"],
)
def test_room_that_is_taken_is_there_again_when_a_session_ends(
    count_max: int, key_count_max: int, says: str
) -> None:
    """Told with the number, and that it may be sent again."""
    room = OwnSessionRoom(count_max=count_max, key_count_max=key_count_max)
    room.take("key")
    with pytest.raises(Overloaded, match=says) as refused:
        room.take("key")
    assert refused.value.code is ErrorCode.SESSIONS_TOO_MANY
    room.leave("key")
    room.take("key")


@pytest.mark.parametrize(
    ("count_max", "key_count_max", "setting"),
    [(0, 16, "EXECBOX_SESSION_COUNT_MAX"), (32, 0, "EXECBOX_KEY_SESSION_COUNT_MAX")],
    ids=["of_all", "of_a_key"],
)
def test_room_for_no_session_at_all_is_refused_for_good(
    count_max: int, key_count_max: int, setting: str
) -> None:
    """As what the operator does not permit: a client that waited would wait for ever."""
    room = OwnSessionRoom(count_max=count_max, key_count_max=key_count_max)
    with pytest.raises(CallerMistake, match=f"{setting} is 0") as refused:
        room.take("key")
    assert refused.value.code is ErrorCode.SESSIONS_NOT_PERMITTED
