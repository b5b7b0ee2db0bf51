"""Slots and the queue before them: bounds, turns, running alone, and that no slot is ever lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from execbox_service.failures import Overloaded
from execbox_service.scheduling.admission import Admission
from execbox_service.scheduling.caller import Caller


def admission(**fields: float) -> Admission:
    """One slot, a long queue and a long wait, unless ``fields`` say otherwise."""
    values = {"slot_count": 1, "queue_size": 100, "queue_wait_max_s": 30.0} | fields
    return Admission(
        slot_count=int(values["slot_count"]),
        queue_size=int(values["queue_size"]),
        queue_wait_max_s=values["queue_wait_max_s"],
    )


class Holder:
    """Somebody in a slot, until told to leave."""

    def __init__(self, hall: Admission, *, principal: str = "p", alone: bool = False) -> None:
        self.inside = asyncio.Event()
        self._leave = asyncio.Event()
        self._hall, self._principal, self._alone = hall, principal, alone
        self.task = asyncio.create_task(self._hold())

    async def _hold(self) -> float:
        async with self._hall.slot(Caller(self._principal), alone=self._alone) as waited_s:
            self.inside.set()
            await self._leave.wait()
            return waited_s

    async def leave(self) -> float:
        """Free the slot; how long it had been waited for."""
        self._leave.set()
        return await self.task


async def settle() -> None:
    """Let everybody who can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_slots_are_never_more_than_there_are() -> None:
    """As many enter as there are slots; the next enters when one leaves."""
    hall = admission(slot_count=2)
    holders = [Holder(hall) for _ in range(4)]
    await settle()
    assert [holder.inside.is_set() for holder in holders] == [True, True, False, False]
    assert (hall.active_count, hall.waiting_count) == (2, 2)
    await holders[0].leave()
    await settle()
    assert [holder.inside.is_set() for holder in holders] == [True, True, True, False]
    for holder in holders[1:]:
        await holder.leave()
    assert (hall.active_count, hall.waiting_count) == (0, 0)


async def test_queue_that_is_full_refuses_at_once_and_says_when() -> None:
    """Beyond its size nobody waits: overloaded, with a time to come back."""
    hall = admission(queue_size=2)
    holders = [Holder(hall) for _ in range(3)]
    await settle()
    with pytest.raises(Overloaded) as refusal:
        async with hall.slot(Caller("late")):
            pass
    assert refusal.value.code == "queue_full"
    assert 1 <= refusal.value.retry_after_s <= 60
    assert hall.waiting_count == 2
    for holder in holders:
        await holder.leave()


async def test_queue_of_size_zero_still_lets_in_who_need_not_wait() -> None:
    """No queue means that nobody waits, not that nobody enters."""
    hall = admission(queue_size=0)
    holder = Holder(hall)
    await settle()
    assert holder.inside.is_set()
    with pytest.raises(Overloaded):
        async with hall.slot(Caller("p")):
            pass
    await holder.leave()
    async with hall.slot(Caller("p")):
        pass


async def test_wait_that_takes_too_long_is_refused_and_leaves_the_queue() -> None:
    """A key that waits for its own executions longer than the limit is told so, and is not served
    afterwards."""
    hall = admission(queue_wait_max_s=0.05)
    holder = Holder(hall)
    await settle()
    with pytest.raises(Overloaded) as refusal:
        async with hall.slot(Caller("p")):
            pass
    assert refusal.value.code == "queue_timeout"
    assert hall.waiting_count == 0
    await holder.leave()
    assert hall.active_count == 0


async def test_keys_take_turns_whatever_one_of_them_sends() -> None:
    """A key with a hundred requests does not make another wait for more than one of them."""
    hall = admission()
    first = Holder(hall, principal="first")
    await settle()
    order: list[str] = []

    async def ask(principal: str) -> None:
        async with hall.slot(Caller(principal)):
            order.append(principal)

    greedy = [asyncio.create_task(ask("greedy")) for _ in range(50)]
    await settle()
    modest = [asyncio.create_task(ask(f"modest {n}")) for n in range(3) for _ in range(2)]
    await settle()
    await first.leave()
    await asyncio.gather(*greedy, *modest)
    last_modest = max(index for index, name in enumerate(order) if name != "greedy")
    assert last_modest <= 8
    assert Counter(order)["greedy"] == 50


async def test_alone_waits_for_all_and_keeps_all_out() -> None:
    """Running alone begins when every slot is free; meanwhile nobody new enters."""
    hall = admission(slot_count=3)
    early = [Holder(hall) for _ in range(2)]
    await settle()
    alone = Holder(hall, alone=True)
    await settle()
    late = Holder(hall)
    await settle()
    assert not alone.inside.is_set()
    assert not late.inside.is_set()
    for holder in early:
        await holder.leave()
    await settle()
    assert alone.inside.is_set()
    assert not late.inside.is_set()
    await alone.leave()
    await settle()
    assert late.inside.is_set()
    await late.leave()


async def test_alone_is_let_in_where_the_queue_is_full() -> None:
    """What runs again was let in before: the queue's size is not for it."""
    hall = admission(queue_size=1)
    first, second = Holder(hall), Holder(hall)
    await settle()
    alone = Holder(hall, alone=True)
    await settle()
    await first.leave()
    await settle()
    assert alone.inside.is_set()
    await alone.leave()
    await second.leave()


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("granted", [False, True])
async def test_cancelled_waiter_frees_what_it_had(alone: bool, granted: bool) -> None:
    """Cancelling in the queue, or in the moment of being let in, loses no slot."""
    hall = admission()
    first = Holder(hall)
    await settle()
    waiter = Holder(hall, alone=alone)
    await settle()
    if granted:
        first._leave.set()
        await first.task
    waiter.task.cancel()
    if not granted:
        await settle()
        await first.leave()
    await settle()
    assert (hall.active_count, hall.waiting_count) == (0, 0)
    after = Holder(hall)
    await settle()
    assert after.inside.is_set()
    await after.leave()


async def test_error_inside_frees_the_slot() -> None:
    """A slot is free again however its holder leaves."""
    hall = admission()

    async def fail() -> None:
        async with hall.slot(Caller("p")):
            raise ValueError("inside")

    for _ in range(3):
        with pytest.raises(ValueError, match="inside"):
            await fail()
    assert hall.active_count == 0


@pytest.mark.parametrize("seed", range(12))
async def test_no_slot_is_lost_whoever_is_cancelled_when(seed: int) -> None:
    """Hundreds of waiters, cancelled at any moment, some alone: at most the slots and as many for
    relief are held, always, those alone are alone, and at the end everything is free."""
    chance = random.Random(seed)
    slot_count = chance.randint(1, 4)
    hall = admission(slot_count=slot_count, queue_size=40, queue_wait_max_s=0.02)
    inside: Counter[bool] = Counter()

    async def visit(*, alone: bool) -> None:
        async with hall.slot(Caller(f"p{chance.randint(0, 3)}"), alone=alone):
            inside[alone] += 1
            try:
                assert inside[True] <= 1
                assert not (inside[True] and inside[False])
                assert inside[False] <= 2 * slot_count
                for _ in range(chance.randint(0, 4)):
                    await asyncio.sleep(0)
                if chance.random() < 0.1:
                    await asyncio.sleep(chance.random() * 0.01)
            finally:
                inside[alone] -= 1

    tasks: list[asyncio.Task[None]] = []
    for _ in range(300):
        tasks.append(asyncio.create_task(visit(alone=chance.random() < 0.1)))
        if chance.random() < 0.5:
            await asyncio.sleep(0)
        if chance.random() < 0.4:
            chance.choice(tasks).cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(
        result is None or isinstance(result, Overloaded | asyncio.CancelledError)
        for result in ended
    ), ended
    assert (hall.active_count, hall.waiting_count) == (0, 0)
    async with asyncio.timeout(1), hall.slot(Caller("after"), alone=True):
        pass


async def test_caller_with_less_patience_than_the_service_waits_no_longer_than_that() -> None:
    """And is told how long that was."""
    hall = admission()
    holder = Holder(hall)
    await settle()
    with pytest.raises(Overloaded, match=r"no slot became free in 0.06 s"):
        async with hall.slot(Caller("p", wait_max_s=0.06)):
            pass
    assert hall.waiting_count == 0
    await holder.leave()


async def test_caller_for_whom_the_queue_moves_too_slowly_is_refused_at_once() -> None:
    """One that waits as long as the service has it wait is let in all the same."""
    hall = admission()
    holder = Holder(hall)
    waiting = [Holder(hall) for _ in range(3)]
    await settle()
    # Nothing has been seen yet: 50 ms for each is what is expected.
    with pytest.raises(Overloaded, match=r"expected in 0\.2 s"):
        async with hall.slot(Caller("p", wait_max_s=0.19)):
            pass
    assert hall.waiting_count == 3
    patient = Holder(hall)
    await settle()
    assert hall.waiting_count == 4
    for each in (holder, *waiting, patient):
        await each.leave()


async def test_caller_whose_key_has_the_next_turn_is_not_refused_for_the_others_queue() -> None:
    """Keys take turns, however many requests of one of them wait."""
    hall = admission()
    holder = Holder(hall)
    waiting = [Holder(hall, principal="many") for _ in range(50)]
    await settle()

    async def enter() -> None:
        async with hall.slot(Caller("few", wait_max_s=5.0 / 2 - 0.1)):
            pass

    few = asyncio.create_task(enter())
    await settle()
    assert not few.done()
    await holder.leave()
    for each in waiting:
        await each.leave()
    await few


async def test_caller_of_known_patience_is_let_in_however_many_wait_and_takes_no_place() -> None:
    """The queue's size is for those of whom it is not known; and so is its longest wait."""
    hall = admission(queue_size=1, queue_wait_max_s=0.02)
    holder = Holder(hall)
    await settle()

    async def enter(patience_s: float) -> None:
        async with hall.slot(Caller("p", wait_max_s=patience_s)):
            pass

    patient = [asyncio.create_task(enter(10.0)) for _ in range(3)]
    await settle()
    assert hall.waiting_count == 3
    with pytest.raises(Overloaded) as late:
        async with hall.slot(Caller("p")):
            pass
    assert late.value.code == "queue_timeout"
    assert [task.done() for task in patient] == [False] * 3
    await holder.leave()
    await asyncio.gather(*patient)
    assert (hall.active_count, hall.waiting_count) == (0, 0)
