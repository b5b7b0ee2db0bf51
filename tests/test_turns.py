"""Turns of several workers: side by side, unless one asks to be alone. In threads here, which the
locks of files do not tell from processes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.turns import turn

SOON_S = 10.0
NOT_YET_S = 0.2


def in_a_thread(folder: Path, *, alone: bool) -> tuple[threading.Event, Callable[[], None]]:
    """Somebody who comes for a turn: whether it is theirs, and how they end it."""
    has_it, over = threading.Event(), threading.Event()

    def come() -> None:
        with turn(folder, alone=alone):
            has_it.set()
            over.wait(SOON_S)

    thread = threading.Thread(target=come)
    thread.start()

    def end() -> None:
        over.set()
        thread.join()

    return has_it, end


def test_turns_of_two_that_mind_nobody_are_had_at_once(tmp_path: Path) -> None:
    """The second need not wait for the first."""
    with turn(tmp_path, alone=False):
        second, end = in_a_thread(tmp_path, alone=False)
        assert second.wait(SOON_S)
        end()


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_turn_alone_is_had_while_nobody_has_one(tmp_path: Path, first: bool, second: bool) -> None:
    """Whichever of the two came first, the second waits until the first has ended."""
    with turn(tmp_path, alone=first):
        later, end = in_a_thread(tmp_path, alone=second)
        assert not later.wait(NOT_YET_S)
    assert later.wait(SOON_S)
    end()


def test_turn_alone_is_not_put_off_by_those_who_come_later(tmp_path: Path) -> None:
    """Who comes after one that waits to be alone waits behind it."""
    with turn(tmp_path, alone=False):
        lonely, end_lonely = in_a_thread(tmp_path, alone=True)
        assert not lonely.wait(NOT_YET_S)
        late, end_late = in_a_thread(tmp_path, alone=False)
        assert not late.wait(NOT_YET_S)
    assert lonely.wait(SOON_S)
    assert not late.is_set()
    end_lonely()
    assert late.wait(SOON_S)
    end_late()


def test_turn_ends_with_the_test_that_fails(tmp_path: Path) -> None:
    """An exception takes nobody else's turn away."""
    with pytest.raises(ZeroDivisionError), turn(tmp_path, alone=True):
        _ = 1 / 0
    with turn(tmp_path, alone=True):
        pass
