"""Which flow is served next, by the slot time each has used: arithmetic, with made-up clocks."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from execbox_service.scheduling.fair_share import FairQueue


@dataclass
class Clock:
    """A fair queue at a time that is put forward by hand."""

    fair_queue: FairQueue = field(default_factory=FairQueue)
    now_s: float = 100.0

    def hold(self, name: str, duration_s: float) -> None:
        """Arrive, have a slot for so long, and give it back."""
        self.fair_queue.arrive(name)
        self.begin(name)
        self.now_s += duration_s
        self.end(name, duration_s)

    def begin(self, name: str) -> None:
        self.fair_queue.begin(name, now_s=self.now_s)

    def end(self, name: str, duration_s: float) -> None:
        self.fair_queue.end(name, begun_s=self.now_s - duration_s, now_s=self.now_s)

    def next_of(self, *names: str) -> str:
        return self.fair_queue.next_of(names, now_s=self.now_s)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([], "a"),
        ([("a", 0.0)], "b"),
        ([("a", 0.0), ("b", 0.0)], "a"),
        ([("a", 0.1), ("b", 0.2)], "a"),
        ([("a", 0.2), ("b", 0.1)], "b"),
        ([("b", 0.1), ("a", 0.05), ("a", 0.04)], "a"),
        ([("b", 0.1), ("a", 0.05), ("a", 0.06)], "b"),
        # Less than a millisecond is no difference: whoever had the last turn waits.
        ([("a", 0.0001), ("b", 0.0002)], "a"),
        ([("b", 0.0002), ("a", 0.0001)], "b"),
    ],
)
def test_next_is_who_has_had_least(held: list[tuple[str, float]], expected: str) -> None:
    """Of two who wait from the beginning; where they have had the same, in turns."""
    clock = Clock()
    clock.fair_queue.arrive("a")
    clock.fair_queue.arrive("b")
    for name, duration_s in held:
        clock.begin(name)
        clock.now_s += duration_s
        clock.end(name, duration_s)
    assert clock.next_of("a", "b") == expected


def test_time_of_who_still_holds_a_slot_counts_already() -> None:
    """A second execution does not go to who has been running one for a second."""
    clock = Clock()
    clock.fair_queue.arrive("slow")
    clock.begin("slow")
    clock.fair_queue.arrive("quick")
    for _ in range(9):
        clock.hold("quick", 0.1)
    clock.now_s += 0.1
    assert clock.next_of("slow", "quick") == "quick"
    clock.hold("quick", 0.3)
    clock.hold("quick", 0.3)
    clock.now_s -= 0.3
    assert clock.next_of("slow", "quick") == "slow"


def test_slots_that_are_free_together_are_dealt_to_all_who_wait() -> None:
    """Not all to the flow that is behind by a hair, whose process would have to use them alone."""
    clock = Clock()
    flows = ("a", "b", "c", "d")
    for name in flows:
        clock.hold(name, 0.05)
    clock.hold("a", 0.002)
    dealt = []
    for _ in range(8):
        name = clock.next_of(*flows)
        clock.begin(name)
        dealt.append(name)
    assert {name: dealt.count(name) for name in flows} == dict.fromkeys(flows, 2)


def test_flow_far_behind_is_served_until_it_has_caught_up() -> None:
    """What its slots are expected to take counts, and no more than that."""
    clock = Clock()
    clock.fair_queue.arrive("behind")
    clock.fair_queue.arrive("ahead")
    clock.hold("behind", 0.1)
    clock.hold("ahead", 0.4)
    dealt = []
    for _ in range(4):
        name = clock.next_of("ahead", "behind")
        clock.begin(name)
        dealt.append(name)
    # A use of "behind" is expected to take a quarter of its last: 0.025 s.
    assert dealt == ["behind"] * 4


def test_newcomer_has_had_as_much_as_who_has_had_least() -> None:
    """It goes first once, and is not ahead by all that was used before it came."""
    clock = Clock()
    for _ in range(100):
        clock.hold("old", 1.0)
    clock.fair_queue.arrive("new")
    assert clock.next_of("old", "new") == "new"
    clock.hold("new", 2.5)
    assert clock.next_of("old", "new") == "old"


def test_newcomer_that_never_waited_has_had_as_much_as_who_has_had_least() -> None:
    """A slot that it did not wait in line for is no head start for those who come after it."""
    clock = Clock()
    for _ in range(100):
        clock.hold("old", 1.0)
    clock.begin("new")
    clock.fair_queue.arrive("new")
    clock.now_s += 2.5
    assert clock.next_of("old", "new") == "old"
    clock.end("new", 2.5)
    assert clock.next_of("old", "new") == "old"


def test_debt_is_remembered_until_others_have_caught_up() -> None:
    """Going away for a moment does not wipe it out."""
    clock = Clock()
    clock.fair_queue.arrive("steady")
    clock.hold("heavy", 5.0)
    clock.fair_queue.forget_idle(["steady"])
    clock.fair_queue.arrive("heavy")
    assert clock.next_of("heavy", "steady") == "steady"
    for _ in range(12):
        clock.hold("steady", 0.5)
    clock.fair_queue.forget_idle(["steady"])
    assert len(clock.fair_queue) == 1


def test_names_remembered_are_bounded() -> None:
    """However many have been there; who has had most is remembered."""
    clock = Clock()
    clock.fair_queue.arrive("steady")
    for number in range(500):
        clock.hold(f"n{number}", 0.01 + number / 1000)
    clock.fair_queue.forget_idle(["steady"])
    assert len(clock.fair_queue) <= 65
    clock.fair_queue.arrive("n499")
    assert clock.next_of("n499", "steady") == "steady"
