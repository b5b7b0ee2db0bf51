"""User ids of executions: each once, from another place in every container."""

from __future__ import annotations

import pytest

from execbox_runner import user_ids

MACHINE = "         0          0 4294967295\n"
USUAL = "         0     100000      65536\n"


@pytest.mark.parametrize(
    ("uid_map", "low", "high"),
    [
        (MACHINE, 1 << 20, 1 << 31),
        (USUAL, user_ids.FIRST_UID, user_ids.LAST_UID),
        ("0 1000 1\n1 100000 65535\n", user_ids.FIRST_UID, user_ids.LAST_UID),
        ("", user_ids.FIRST_UID, user_ids.LAST_UID),
    ],
)
def test_user_ids_are_those_the_container_has(uid_map: str, low: int, high: int) -> None:
    """All ids of the machine are shared with it, so a wide range is used; else a narrow one."""
    ids = user_ids.choose(uid_map)
    assert (ids.first, ids.last) == (low, high)
    assert all(low <= ids.draw() < high for _ in range(100))


@pytest.mark.parametrize("uid_map", [MACHINE, USUAL])
def test_user_ids_begin_elsewhere_in_every_container(uid_map: str) -> None:
    """Two containers side by side must not meet in what the kernel counts by user."""
    assert len({user_ids.choose(uid_map).draw() for _ in range(20)}) > 15


def test_user_ids_are_drawn_once_each_and_then_run_out() -> None:
    """The range goes round at its end, and stops before the second time."""
    ids = user_ids.UserIds(first=5, last=9, offset=2)
    drawn = []
    while not ids.run_out:
        drawn.append(ids.draw())
    assert drawn == [7, 8, 5, 6]


def test_user_ids_run_out_in_a_wide_range_too() -> None:
    """A container is replaced after so many, however many there are."""
    ids = user_ids.choose(MACHINE)
    drawn = {ids.draw() for _ in range(user_ids.USERS_MAX)}
    assert ids.run_out
    assert len(drawn) == user_ids.USERS_MAX


def test_user_id_of_the_reaper_is_never_drawn() -> None:
    """It is outside of both ranges, and no other user's."""
    for uid_map in (MACHINE, USUAL):
        ids = user_ids.choose(uid_map)
        assert not ids.first <= user_ids.REAPER_UID < ids.last
