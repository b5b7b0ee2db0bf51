"""How long anybody waits before the slots, whatever the others do: simulated, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from statistics import median

import pytest

from execbox_service.failures import Overloaded
from execbox_service.scheduling.admission import Admission
from execbox_service.scheduling.caller import SINGLES, Caller
from tests.virtual_time import now_s, run_in_virtual_time

QUEUE_SIZE = 10
LINE_S = 0.1
"""How long each line of an endless batch holds a slot."""


def admission(slot_count: int, *, queue_size: int = 100) -> Admission:
    return Admission(slot_count=slot_count, queue_size=queue_size, queue_wait_max_s=1e6)


@dataclass
class Crowd:
    """Visitors of one admission, in the background."""

    hall: Admission
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def visit(
        self,
        hold_s: float,
        *,
        key: str,
        lane: str = SINGLES,
        admitted: bool = False,
        alone: bool = False,
    ) -> float:
        """Hold a slot once; the seconds spent waiting for it."""
        async with self.hall.slot(Caller(key, lane, admitted=admitted), alone=alone) as waited_s:
            await asyncio.sleep(hold_s)
        return waited_s

    async def batch(self, *, key: str, name: str) -> None:
        """Lines without end, twice as many under way as there are slots."""

        async def worker() -> None:
            while True:
                await self.visit(LINE_S, key=key, lane=name, admitted=True)

        async with asyncio.TaskGroup() as group:
            for _ in range(2 * self.hall.slot_count):
                group.create_task(worker())

    async def visit_once(self, hold_s: float, *, key: str, name: str) -> None:
        await self.visit(hold_s, key=key, lane=name)

    async def leave(self) -> None:
        for task in set(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def turns_s(turn_count: int, slot_count: int) -> float:
    """How long it takes to serve so many lines before one's own, one being served already."""
    return LINE_S * (turn_count / slot_count + 1)


@pytest.mark.parametrize("slot_count", [1, 2, 8])
@pytest.mark.parametrize("key_count", [1, 5, 20])
def test_single_of_a_key_waits_for_one_turn_of_each_other_key(
    slot_count: int, key_count: int
) -> None:
    """However long the others' batches are and however many each of them has."""

    async def main() -> None:
        crowd = Crowd(admission(slot_count))
        for number in range(key_count):
            for batch in range(3):
                crowd.begin(crowd.batch(key=f"k{number}", name=f"batch {batch}"))
        await asyncio.sleep(1.03)
        for _ in range(30):
            assert await crowd.visit(0.001, key="single") <= turns_s(key_count, slot_count)
            await asyncio.sleep(0.037)
        await crowd.leave()

    run_in_virtual_time(main())


@pytest.mark.parametrize("batch_count", [1, 4, 10])
def test_single_of_a_key_waits_for_one_line_of_each_of_its_own_batches(batch_count: int) -> None:
    """A key's batches are turns of their own, and so are its singles."""

    async def main() -> None:
        crowd = Crowd(admission(2))
        for batch in range(batch_count):
            crowd.begin(crowd.batch(key="a", name=f"batch {batch}"))
        await asyncio.sleep(1.03)
        for _ in range(30):
            assert await crowd.visit(0.001, key="a") <= turns_s(batch_count, 2)
            await asyncio.sleep(0.037)
        await crowd.leave()

    run_in_virtual_time(main())


def test_batches_of_all_keys_go_on_while_singles_never_end() -> None:
    """Singles of one key get no more than their share either."""

    async def main() -> None:
        crowd = Crowd(admission(2))

        async def singles() -> None:
            while True:
                await crowd.visit(LINE_S, key="a")

        for _ in range(50):
            crowd.begin(singles())
        waits_s = [await crowd.visit(LINE_S, key="b", lane="line", admitted=True)]
        waits_s += [await crowd.visit(LINE_S, key="a", lane="line", admitted=True)]
        assert max(waits_s) <= turns_s(2, 2)
        await crowd.leave()

    run_in_virtual_time(main())


@pytest.mark.parametrize("own", [False, True], ids=["of another key", "of its own key"])
def test_quick_calls_do_not_wait_for_those_who_wait_with_slow_ones(own: bool) -> None:
    """Beside endless calls of a second each, twenty quick ones a second wait for no more than one
    that has begun, although they come more often than slow ones end."""

    async def main() -> None:
        crowd = Crowd(admission(2))
        waits_s: list[float] = []

        async def slow() -> None:
            while True:
                await crowd.visit(1.0, key="slow", lane="slow", admitted=True)

        async def quick() -> None:
            waits_s.append(await crowd.visit(0.005, key="slow" if own else "quick"))

        for _ in range(10):
            crowd.begin(slow())
        await asyncio.sleep(0.5)
        for _ in range(1000):
            crowd.begin(quick())
            await asyncio.sleep(0.05)
        assert len(waits_s) > 980
        assert max(waits_s) <= 1.0
        await crowd.leave()

    run_in_virtual_time(main())


def test_keys_that_always_wait_have_equal_shares_of_the_slots_time() -> None:
    """Whether their executions take a second or ten milliseconds."""

    async def main() -> None:
        crowd = Crowd(admission(2))
        used_s = {"slow": 0.0, "medium": 0.0, "quick": 0.0}

        async def work(key: str, hold_s: float) -> None:
            while True:
                await crowd.visit(hold_s, key=key)
                used_s[key] += hold_s

        for key, hold_s in (("slow", 1.0), ("medium", 0.1), ("quick", 0.01)):
            for _ in range(10):
                crowd.begin(work(key, hold_s))
        await asyncio.sleep(100)
        assert max(used_s.values()) < 1.05 * min(used_s.values())
        await crowd.leave()

    run_in_virtual_time(main())


def test_key_that_stayed_away_has_saved_up_nothing() -> None:
    """After ten minutes without it, its burst shares the slots with the key that was there."""

    async def main() -> None:
        crowd = Crowd(admission(1))
        served: list[str] = []

        async def work(key: str) -> None:
            while True:
                await crowd.visit(0.1, key=key)
                served.append(key)

        crowd.begin(work("early"))
        crowd.begin(work("early"))
        await asyncio.sleep(600)
        served.clear()
        for _ in range(10):
            crowd.begin(work("late"))
        await asyncio.sleep(10)
        assert 45 <= served.count("early") <= 55
        await crowd.leave()

    run_in_virtual_time(main())


def test_keys_that_have_gone_leave_nothing_behind() -> None:
    """A service does not remember every key and every batch there ever was."""

    async def main() -> None:
        hall = admission(2, queue_size=300)
        crowd = Crowd(hall)
        for number in range(300):
            crowd.begin(crowd.visit_once(0.01 * (number % 7), key=f"k{number}", name=f"b{number}"))
        await asyncio.sleep(100)
        assert not crowd.tasks
        await crowd.visit(0.001, key="last")
        assert not hall._keys
        assert len(hall._fair_queue) <= 64

    run_in_virtual_time(main())


def test_alone_waits_for_nobody_but_who_is_inside() -> None:
    """Endless work of many keys delays it by no more than what has been begun."""

    async def main() -> None:
        crowd = Crowd(admission(4))
        for number in range(10):
            crowd.begin(crowd.batch(key=f"k{number}", name="batch"))
        await asyncio.sleep(1.03)
        for _ in range(20):
            assert await crowd.visit(0.05, key="late", alone=True) <= LINE_S
            await asyncio.sleep(0.3)
        await crowd.leave()

    run_in_virtual_time(main())


@pytest.mark.parametrize("slot_count", [1, 4])
def test_alone_without_end_lets_others_in_between(slot_count: int) -> None:
    """After one that ran alone there is a turn for each slot, so that nobody waits for ever."""

    async def main() -> None:
        crowd = Crowd(admission(slot_count))

        async def alone_without_end() -> None:
            while True:
                await crowd.visit(LINE_S, key="alone", alone=True)

        for _ in range(10):
            crowd.begin(alone_without_end())
        await asyncio.sleep(0.01)
        for _ in range(10):
            waits_s = await asyncio.gather(
                *(crowd.visit(LINE_S, key="p") for _ in range(slot_count))
            )
            assert max(waits_s) <= 2 * LINE_S + 0.001
        await crowd.leave()

    run_in_virtual_time(main())


@pytest.mark.parametrize("hold_s", [36.0, 120.0])
def test_keys_whose_executions_last_do_not_shut_out_the_others(hold_s: float) -> None:
    """G07: two jobs that slept on two slots refused everybody else for 30 s. Two more sleepers of
    another key take their room, and there is some left for the third."""

    async def main() -> None:
        hall = Admission(slot_count=2, queue_size=100, queue_wait_max_s=30.0)
        crowd = Crowd(hall)
        for key in ("a", "a", "b", "b"):
            crowd.begin(crowd.visit_once(hold_s, key=key, name="singles"))
        await asyncio.sleep(0.01)
        waits_s = [await crowd.visit(0.1, key="c") for _ in range(5)]
        assert waits_s[0] < 21
        assert max(waits_s[1:]) < 0.001
        assert hall.active_count <= 4
        await crowd.leave()
        assert hall.active_count == 0

    run_in_virtual_time(main())


def test_key_that_holds_a_slot_gets_none_beyond_their_number() -> None:
    """What one key asks for is bounded by the slots, however long it waits."""

    async def main() -> None:
        hall = Admission(slot_count=2, queue_size=100, queue_wait_max_s=1e6)
        crowd = Crowd(hall)
        for _ in range(5):
            crowd.begin(crowd.visit_once(100, key="a", name="singles"))
        for _ in range(90):
            await asyncio.sleep(1)
            assert hall.active_count == 2
        await crowd.leave()

    run_in_virtual_time(main())


def test_slots_that_are_granted_now_and_then_need_no_relief() -> None:
    """Waiting for long because many wait is what a queue is for: no more runs than there are
    slots."""

    async def main() -> None:
        hall = Admission(slot_count=2, queue_size=100, queue_wait_max_s=1e6)
        crowd = Crowd(hall)
        for number in range(20):
            crowd.begin(crowd.visit_once(9, key=f"k{number}", name="singles"))
        while crowd.tasks:
            await asyncio.sleep(1)
            assert hall.active_count <= 2

    run_in_virtual_time(main())


@pytest.mark.parametrize(("others_s", "waited_s"), [(0.5, 0.5), (50.0, 1.0)])
def test_alone_keeps_others_out_for_a_second_at_most(others_s: float, waited_s: float) -> None:
    """G06: an execution that ran alone for 8 s, and one that waited for all slots to be empty, kept
    everybody from beginning. After a second it is as any other."""

    async def main() -> None:
        crowd = Crowd(Admission(slot_count=2, queue_size=100, queue_wait_max_s=30.0))
        crowd.begin(crowd.visit_once(others_s, key="before", name="singles"))
        await asyncio.sleep(0)
        alone = asyncio.create_task(crowd.visit(8.0, key="alone", alone=True))
        await asyncio.sleep(0)
        assert await crowd.visit(0.01, key="late") <= 1.001 + (0 if others_s < 1 else 8)
        assert await alone == pytest.approx(waited_s, abs=0.02)
        await crowd.leave()
        assert crowd.hall.active_count == 0

    run_in_virtual_time(main())


# Retry-After


@dataclass
class Refusal:
    """Somebody who was told to come back, and when their place was free in fact."""

    told_s: float
    promised_count: int
    """Places promised to others and not due yet: theirs is the one after those, or the last of the
    queue's."""
    at_s: float
    entered_before_count: int


@dataclass
class Rush:
    """Callers who come at random, more than can be served, and come back when they are told."""

    crowd: Crowd
    chance: random.Random
    hold_s: float
    refusals: list[Refusal] = field(default_factory=list)
    entered_s: list[float] = field(default_factory=list)
    promises_s: list[float] = field(default_factory=list)

    async def caller(self) -> None:
        while True:
            try:
                async with self.crowd.hall.slot(Caller(f"k{self.chance.randrange(5)}")):
                    self.entered_s.append(now_s())
                    await asyncio.sleep(self.chance.expovariate(1 / self.hold_s))
                return
            except Overloaded as refusal:
                told_s = refusal.retry_after_s
                due = [each for each in self.promises_s if each > now_s()]
                rank = min(len(due), QUEUE_SIZE - 1)
                self.refusals.append(Refusal(told_s, rank, now_s(), len(self.entered_s)))
                self.promises_s = [*due, now_s() + told_s]
                await asyncio.sleep(told_s)

    async def run(self, *, interval_s: float, until_s: float) -> None:
        while now_s() < until_s:
            self.crowd.begin(self.caller())
            await asyncio.sleep(self.chance.expovariate(1 / interval_s))
        await self.crowd.leave()

    def ratios(self) -> list[float]:
        """Told over true, for those whose place was free before the end."""
        found = []
        for refusal in self.refusals:
            index = refusal.entered_before_count + refusal.promised_count
            if index < len(self.entered_s):
                true_s = self.entered_s[index] - refusal.at_s
                found.append(refusal.told_s / min(max(true_s, 1.0), 60.0))
        return found


@pytest.mark.parametrize("batches", [0, 3], ids=["singles only", "with batches"])
@pytest.mark.parametrize("overload", [1.2, 3.0])
@pytest.mark.parametrize(("slot_count", "hold_s"), [(2, 0.02), (2, 3.0), (8, 5.0), (1, 1.0)])
def test_retry_after_is_about_when_the_place_is_free(
    slot_count: int, hold_s: float, overload: float, batches: int
) -> None:
    """Told over true is about one in the middle, and within a factor of four for nine of ten; a
    second is the least anybody is told."""

    async def main() -> None:
        crowd = Crowd(admission(slot_count, queue_size=QUEUE_SIZE))
        for number in range(batches):
            crowd.begin(crowd.batch(key=f"b{number}", name="batch"))
        rush = Rush(crowd, random.Random(7), hold_s)
        interval_s = hold_s / slot_count / overload
        await rush.run(interval_s=interval_s, until_s=interval_s * 400)
        ratios = sorted(rush.ratios())
        assert len(ratios) > 50
        assert 0.7 <= median(ratios) <= 1.4
        assert ratios[len(ratios) // 20] >= 0.25
        assert ratios[-len(ratios) // 20] <= 4

    run_in_virtual_time(main())


def test_retry_after_is_not_pushed_away_by_callers_who_do_not_listen() -> None:
    """Asking a thousand times in a row makes nobody's wait longer than it takes to serve all who
    wait."""

    async def main() -> None:
        crowd = Crowd(admission(1, queue_size=10))
        for _ in range(5):
            await crowd.visit(0.5, key="a")

        async def wait() -> None:
            await crowd.visit(0.5, key="a")

        for _ in range(11):
            crowd.begin(wait())
        await asyncio.sleep(0.01)
        told_s = 0.0
        for _ in range(1000):
            with pytest.raises(Overloaded) as refusal:
                await crowd.visit(0.5, key="impatient")
            told_s = refusal.value.retry_after_s
        assert told_s <= 10.0
        await crowd.leave()

    run_in_virtual_time(main())


def test_time_had_alone_counts_for_all_slots_as_the_keys_own() -> None:
    """Code that has itself run alone on purpose does not get more of the machine by it."""

    async def main() -> None:
        crowd = Crowd(admission(2))
        order: list[str] = []

        async def visit(key: str) -> None:
            await crowd.visit(1.0, key=key)
            order.append(key)

        await crowd.visit(5.0, key="alone", alone=True)
        for _ in range(2):
            crowd.begin(crowd.visit_once(0.5, key="before", name="singles"))
        await asyncio.sleep(0.1)
        for key in ("alone", "other", "alone", "other", "alone", "other", "alone", "other"):
            crowd.begin(visit(key))
        await asyncio.sleep(10)
        assert order == ["other"] * 4 + ["alone"] * 4

    run_in_virtual_time(main())
