"""What the requests of each key may hold of the service's memory: shares, refusals, giving back."""

from __future__ import annotations

import pytest

from execbox.wire import ErrorCode
from execbox_service.failures import CallerMistake, Overloaded
from execbox_service.scheduling.memory import Hold, Memory


def grow(hold: Hold, size_bytes: int) -> None:
    hold.grow(size_bytes, too_large=ErrorCode.ANSWER_TOO_LARGE, what="it")


def test_hold_of_the_only_key_may_be_all_there_is() -> None:
    """Nobody else is to be kept room for."""
    memory = Memory(bytes_max=100, several_keys=False)
    with memory.hold("only") as hold:
        grow(hold, 100)
        with pytest.raises(Overloaded), memory.hold("only") as other:
            grow(other, 1)
    assert memory.held_bytes == 0


def test_hold_of_each_key_leaves_as_much_for_the_others() -> None:
    """Whatever keys do that come first, one that comes later finds room."""
    memory = Memory(bytes_max=1024, several_keys=True)
    holds = [memory.hold(name) for name in "abcd"]
    for hold, share in zip(holds, (512, 256, 128, 64), strict=True):
        grow(hold, share)
        with pytest.raises((Overloaded, CallerMistake)):
            grow(hold, 1)
    assert memory.held_bytes == 960
    holds[0].shrink_to(0)
    grow(holds[3], 200)


def test_hold_that_can_never_fit_is_the_callers_mistake() -> None:
    """Coming again would not help: it names what is needed and what there is."""
    memory = Memory(bytes_max=100, several_keys=True)
    with memory.hold("a") as hold, pytest.raises(CallerMistake, match=r"51 bytes .* 50") as mistake:
        grow(hold, 51)
    assert (mistake.value.code, mistake.value.http_status) == ("answer_too_large", 413)
    assert memory.held_bytes == 0


def test_hold_that_takes_over_counts_though_there_is_no_room() -> None:
    """An answer that was counted while it was made is counted until it is sent."""
    memory = Memory(bytes_max=100, several_keys=False)
    with memory.hold("a") as batch:
        grow(batch, 60)
        with memory.hold("a") as line:
            grow(line, 40)
        batch.take_over(40)
        assert memory.held_bytes == 100
        batch.shrink_to(0)
    assert memory.held_bytes == 0
