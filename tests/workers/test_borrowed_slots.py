"""Slots lent by a ledger to several workers, without processes: what is sent, whose turn it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from execbox_service.failures import Overloaded
from execbox_service.scheduling.admission import Admission
from execbox_service.scheduling.caller import Caller
from execbox_service.workers.board import Board
from execbox_service.workers.borrowed_slots import BorrowedSlots
from execbox_service.workers.ledger import Ask, Ledger, Lender

KEYS = ("a", "b")


@dataclass
class Machine:
    """A ledger, and workers that borrow of it; each message takes one round of the loop."""

    slot_count: int = 2
    queue_size: int = 100
    asked: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.fd = Board.create()
        self.board = Board(self.fd, keys=KEYS, worker_count=4)
        admission = Admission(
            slot_count=self.slot_count, queue_size=self.queue_size, queue_wait_max_s=30
        )
        self.ledger = Ledger(admission, show=self.board.show)
        self.lenders: dict[int, Lender] = {}
        self.workers = 0

    async def is_idle(self) -> None:
        """Wait until no slot is lent: a worker may keep one for a few milliseconds."""
        for _ in range(1000):
            if self.ledger.admission.active_count == 0:
                return
            await asyncio.sleep(0.005)
        raise AssertionError("a slot stays lent")

    def worker(self) -> BorrowedSlots:
        self.workers += 1
        soon = asyncio.get_running_loop().call_soon
        lender = self.ledger.lender(
            granted=lambda number: self._told(soon, slots.grant, number),
            refused=lambda number, why: self._told(soon, slots.refuse, number, why),
        )
        self.lenders[self.workers] = lender

        def counted(kind: str, function: Callable[..., None]) -> Callable[..., None]:
            def send(*values: object) -> None:
                self.asked[kind] += 1
                soon(function, *values)

            return send

        def ask(number: int, ask: Ask) -> None:
            counted("ask", lender.ask)(number, ask)

        slots = BorrowedSlots(
            Board(self.fd, keys=KEYS, worker_count=4),
            worker_number=self.workers,
            slot_count=self.slot_count,
            queue_wait_max_s=30,
            ask=ask,
            ask_spare=counted("spare", lender.ask_spare),
            give_back=counted("back", lender.give_back),
        )
        return slots

    @staticmethod
    def _told(soon: Callable[..., object], function: Callable[..., None], *values: object) -> None:
        soon(function, *values)


async def _work(slots: BorrowedSlots, caller: Caller, *, count: int, each_s: float = 0.0) -> None:
    for _ in range(count):
        async with slots.slot(caller):
            await asyncio.sleep(each_s)


async def test_slots_are_never_more_than_the_machine_has() -> None:
    """Whatever the workers ask for at once, and as many as there are are used."""
    machine = Machine(slot_count=3)
    workers = [machine.worker() for _ in range(3)]
    running = most = 0

    async def one(slots: BorrowedSlots, lane: str) -> None:
        nonlocal running, most
        async with slots.slot(Caller("a", lane=lane, admitted=True)):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1

    await asyncio.gather(*(one(slots, f"batch {n % 4}") for n in range(60) for slots in workers))
    assert most == 3
    await machine.is_idle()
    assert machine.ledger.admission.waiting_count == 0


async def test_lines_of_a_batch_alone_cost_next_to_no_messages() -> None:
    """A thousand executions that take no time: the slots stay with their lane."""
    machine = Machine(slot_count=2)
    slots = machine.worker()
    caller = Caller("a", lane="batch 1", admitted=True)
    await asyncio.gather(*(_work(slots, caller, count=125) for _ in range(8)))
    assert machine.asked["ask"] < 100


async def test_lines_of_two_batches_on_two_workers_cost_few_messages() -> None:
    """Each has its turns, and a turn is many lines, though each line takes a while."""
    machine = Machine(slot_count=2)
    workers = [machine.worker() for _ in range(2)]
    await asyncio.gather(
        *(
            _work(slots, Caller("a", lane=f"batch {n}", admitted=True), count=40, each_s=0.002)
            for n, slots in enumerate(workers)
            for _ in range(4)
        )
    )
    # 320 lines, of which each would be asked for.
    assert machine.asked["ask"] + machine.asked["back"] < 160


async def test_two_workers_with_work_of_one_key_each_have_half() -> None:
    """A batch on each: neither keeps the other waiting."""
    machine = Machine(slot_count=2)
    done: Counter[int] = Counter()

    async def lines(slots: BorrowedSlots, number: int) -> None:
        caller = Caller("a", lane=f"batch {number}", admitted=True)
        while not over.is_set():
            async with slots.slot(caller):
                await asyncio.sleep(0.001)
                done[number] += 1

    over = asyncio.Event()
    workers = {number: machine.worker() for number in (1, 2)}
    tasks = [
        asyncio.create_task(lines(slots, number))
        for number, slots in workers.items()
        for _ in range(4)
    ]
    await asyncio.sleep(1.0)
    over.set()
    await asyncio.gather(*tasks)
    assert 0.67 < done[1] / done[2] < 1.5


async def test_key_with_one_execution_waits_for_no_whole_batch() -> None:
    """A different key's single call, at a different worker, comes between the lines."""
    machine = Machine(slot_count=1)
    busy, other = machine.worker(), machine.worker()
    batch = asyncio.gather(
        *(
            _work(busy, Caller("a", lane="batch 1", admitted=True), count=100, each_s=0.002)
            for _ in range(4)
        )
    )
    await asyncio.sleep(0.05)
    async with asyncio.timeout(0.3), other.slot(Caller("b")):
        pass
    assert not batch.done()
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch


async def test_worker_that_ends_gives_back_everything() -> None:
    """What it held and what it waited for."""
    machine = Machine(slot_count=2)
    gone, other = machine.worker(), machine.worker()
    caller = Caller("a", lane="batch 1", admitted=True)
    hung = [asyncio.create_task(_work(gone, caller, count=1, each_s=60)) for _ in range(5)]
    await asyncio.sleep(0.05)
    assert machine.ledger.admission.active_count == 2
    await machine.lenders[1].end()
    assert machine.ledger.admission.waiting_count == 0
    async with asyncio.timeout(1), other.slot(Caller("b")), other.slot(Caller("b")):
        pass
    for task in hung:
        task.cancel()
    await asyncio.gather(*hung, return_exceptions=True)


async def test_full_queue_is_refused_as_by_one_process() -> None:
    """The queue is the machine's."""
    machine = Machine(slot_count=1, queue_size=1)
    one, two = machine.worker(), machine.worker()
    async with one.slot(Caller("a")):
        waiting = asyncio.create_task(_work(two, Caller("a"), count=1))
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded, match="1 requests are waiting"):
            async with one.slot(Caller("a")):
                pytest.fail("it was let in")
    await waiting


async def test_waiting_that_is_given_up_leaves_nothing_behind() -> None:
    """Cancelled before it has a slot, and at the moment in which it is granted one."""
    machine = Machine(slot_count=1)
    slots = machine.worker()
    for rounds in range(12):
        tasks = [asyncio.create_task(_work(slots, Caller("a"), count=1)) for _ in range(3)]
        for _ in range(rounds):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await machine.is_idle()
    assert machine.ledger.admission.waiting_count == 0
    async with asyncio.timeout(1), slots.slot(Caller("a")):
        pass


async def test_alone_has_all_slots_of_all_workers() -> None:
    """Nothing else begins on the machine meanwhile."""
    machine = Machine(slot_count=2)
    one, two = machine.worker(), machine.worker()
    caller = Caller("b", lane="batch 1", admitted=True)
    beside = asyncio.gather(*(_work(two, caller, count=40, each_s=0.002) for _ in range(2)))
    await asyncio.sleep(0.02)
    async with one.slot(Caller("a"), alone=True):
        assert machine.ledger.admission.active_count == 1
        await asyncio.sleep(0.05)
        assert machine.ledger.admission.active_count == 1
    await beside


async def test_spare_slots_are_those_that_are_free() -> None:
    """One of two, and none beyond that; what was not free is no harm."""
    machine = Machine(slot_count=2)
    one, two = machine.worker(), machine.worker()
    async with two.slot(Caller("b")):
        await asyncio.sleep(0.01)
        first = one.take_spare(Caller("a"))
        second = two.take_spare(Caller("b"))
        assert first is not None
        assert await one.has_spare(first)
        assert second is None or not await two.has_spare(second)
        one.leave_spare(first)
        if second is not None:
            two.leave_spare(second)
    await machine.is_idle()
