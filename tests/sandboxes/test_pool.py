"""Warm sandboxes: made ahead, used once or kept for one key, replaced."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from execbox_service.failures import ServiceFailure
from execbox_service.sandboxes.pool import Lease, Pool
from tests.fake_engine import POOL_LIMITS, FakeEngine, FakeSandbox
from tests.virtual_time import run_in_virtual_time

LIMITS = replace(POOL_LIMITS, idle_count=2, executions_max=3)


@contextlib.asynccontextmanager
async def running(engine: FakeEngine, **fields: Any) -> AsyncIterator[Pool]:
    """A pool that has filled itself, and is stopped afterwards."""
    pool = Pool(engine, replace(LIMITS, **fields))
    pool.start()
    await asyncio.sleep(0.01)
    try:
        yield pool
    finally:
        await pool.stop()
        assert not engine.living


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline_s = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        await asyncio.sleep(0.005)


def sandbox_of(lease: Lease) -> FakeSandbox:
    """The fake in a lease."""
    assert isinstance(lease.sandbox, FakeSandbox)
    return lease.sandbox


async def test_pool_fills_itself_and_refills_after_a_lease() -> None:
    """There are as many warm sandboxes as asked for, soon again after one is taken."""
    engine = FakeEngine()
    async with running(engine) as pool:
        assert pool.warm_count == 2
        lease = await pool.lease(principal="a", isolation="container")
        assert pool.warm_count == 1
        await until(lambda: pool.warm_count == 2)
        pool.give_back(lease, reusable=True)


@pytest.mark.parametrize("missing", [1, 2, 3, 6])
async def test_pool_that_fills_itself_makes_two_at_once_and_as_many_as_are_missing(
    missing: int,
) -> None:
    """Until it has seen what the engine can do."""
    engine = FakeEngine(create_delay_s=0.01)
    async with running(engine, warm_count=missing) as pool:
        await until(lambda: pool.warm_count == missing)
        assert engine.creating_count_max == min(missing, 2)
        assert len(engine.made) == missing


async def test_pool_of_size_zero_makes_one_for_each_that_asks() -> None:
    """Without warm sandboxes each lease waits for its own."""
    engine = FakeEngine()
    async with running(engine, warm_count=0) as pool:
        leases = await asyncio.gather(
            *(pool.lease(principal="a", isolation="container") for _ in range(3))
        )
        assert len({lease.sandbox.name for lease in leases}) == 3
        for lease in leases:
            pool.give_back(lease, reusable=True)


async def test_lease_of_level_container_is_used_once() -> None:
    """Given back, a sandbox of level ``container`` is destroyed, however well it behaved."""
    engine = FakeEngine()
    async with running(engine) as pool:
        lease = await pool.lease(principal="a", isolation="container")
        pool.give_back(lease, reusable=True)
        await until(lambda: sandbox_of(lease).destroyed_count == 1)
        again = await pool.lease(principal="a", isolation="container")
        assert again.sandbox is not lease.sandbox
        pool.give_back(again, reusable=False)


async def test_lease_of_level_process_goes_back_to_its_key_only() -> None:
    """A shared sandbox is never given to another key, nor to another level."""
    engine = FakeEngine()
    async with running(engine) as pool:
        first = await pool.lease(principal="a", isolation="process")
        pool.give_back(first, reusable=True)
        other = await pool.lease(principal="b", isolation="process")
        single = await pool.lease(principal="a", isolation="container")
        again = await pool.lease(principal="a", isolation="process")
        assert again.sandbox is first.sandbox
        assert other.sandbox is not first.sandbox
        assert single.sandbox is not first.sandbox
        for lease in (other, single, again):
            pool.give_back(lease, reusable=True)


@pytest.mark.parametrize("why", ["trouble", "executions", "age", "lost"])
async def test_lease_of_level_process_is_replaced_for_cause(why: str) -> None:
    """Trouble, enough executions, enough age, or a broken stream: another sandbox is taken."""
    engine = FakeEngine()
    async with running(engine) as pool:
        lease = await pool.lease(principal="a", isolation="process")
        if why == "executions":
            lease.execution_count = LIMITS.executions_max
        if why == "age":
            lease.leased_s -= LIMITS.age_max_s
        pool.give_back(lease, reusable=why != "trouble")
        if why == "lost":
            sandbox_of(lease).stream.closed = True
        again = await pool.lease(principal="a", isolation="process")
        assert again.sandbox is not lease.sandbox
        await until(lambda: sandbox_of(lease).destroyed_count == 1)
        pool.give_back(again, reusable=True)


async def test_idle_sandboxes_are_no_more_than_allowed_the_oldest_go_first() -> None:
    """A service with many keys does not collect containers."""
    engine = FakeEngine()
    async with running(engine) as pool:
        leases = []
        for key in ("a", "b", "c"):
            lease = await pool.lease(principal=key, isolation="process")
            leases.append(lease)
        for lease in leases:
            pool.give_back(lease, reusable=True)
        await until(lambda: sandbox_of(leases[0]).destroyed_count == 1)
        assert [sandbox_of(lease).destroyed_count for lease in leases] == [1, 0, 0]


async def test_idle_sandbox_unused_longest_goes_first_whoevers_it_is() -> None:
    """A key that is at work keeps its sandbox, though it was the first to have one."""
    engine = FakeEngine()
    async with running(engine) as pool:
        first, other, third = [
            await pool.lease(principal=key, isolation="process") for key in ("a", "b", "c")
        ]
        pool.give_back(first, reusable=True)
        pool.give_back(other, reusable=True)
        assert await pool.lease(principal="a", isolation="process") is first
        pool.give_back(first, reusable=True)
        pool.give_back(third, reusable=True)
        await until(lambda: sandbox_of(other).destroyed_count == 1)
        assert sandbox_of(first).destroyed_count == sandbox_of(third).destroyed_count == 0
        assert pool.idle_count == 2


async def test_recycle_while_leases_grow_old_keeps_or_destroys_each_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that grows old in the middle of it is not destroyed and kept as well."""
    engine = FakeEngine()
    async with running(engine, idle_count=8, warm_count=0) as pool:
        leases = [await pool.lease(principal="a", isolation="process") for _ in range(8)]
        for lease in leases:
            pool.give_back(lease, reusable=True)
        now_s = time.monotonic()
        for number, lease in enumerate(leases):
            # They grow old one after another, while the clock ticks whenever it is asked.
            lease.leased_s = now_s - LIMITS.age_max_s + 2 * number
        ticks = itertools.count(now_s)
        clock = SimpleNamespace(monotonic=lambda: next(ticks))
        with monkeypatch.context() as patch:
            patch.setattr("execbox_service.sandboxes.pool.time", clock)
            pool.recycle()
        destroyed_count = pool.counts.destroyed
        await until(lambda: sum(one.destroyed_count for one in engine.made) == destroyed_count)
        assert 0 < destroyed_count < 8
        assert pool.idle_count == 8 - destroyed_count
        assert all(one.destroyed_count <= 1 for one in engine.made)


async def test_recycle_drops_every_lost_or_old_sandbox_wherever_it_is() -> None:
    """Warm or idle, first or last in its list: what is lost or old goes, the rest stays."""
    engine = FakeEngine()
    async with running(engine, idle_count=10, warm_count=3) as pool:
        await until(lambda: pool.warm_count == 3)
        leases = [await pool.lease(principal="a", isolation="process") for _ in range(3)]
        for lease in leases:
            pool.give_back(lease, reusable=True)
        sandbox_of(leases[0]).stream.closed = True
        leases[1].leased_s -= LIMITS.age_max_s
        await until(lambda: pool.warm_count == 3)
        warm_lost = engine.made[-1]
        warm_lost.stream.closed = True
        pool.recycle()
        await until(lambda: warm_lost.destroyed_count == 1 and pool.warm_count == 3)
        assert [sandbox_of(lease).destroyed_count for lease in leases] == [1, 1, 0]
        assert pool.idle_count == 1


@pytest.mark.parametrize(
    ("held", "asked", "chosen"),
    [
        pytest.param([[], ["numpy"]], ["numpy"], 1, id="one that has them"),
        pytest.param([["numpy"], []], [], 1, id="one without any for a job that needs none"),
        pytest.param([["numpy"], []], ["numpy", "scipy"], 0, id="one that has some of them"),
        pytest.param(
            [["numpy", "scipy"], ["numpy", "pandas", "scipy"]],
            ["numpy", "pandas"],
            1,
            id="one that has more",
        ),
        pytest.param([[], []], ["numpy"], 1, id="the last used where all are alike"),
    ],
)
async def test_lease_of_level_process_prefers_the_sandbox_that_imports_least(
    held: list[list[str]], asked: list[str], chosen: int
) -> None:
    """What is imported already need not be imported in another sandbox, too."""
    async with running(FakeEngine()) as pool:
        leases = [await pool.lease(principal="a", isolation="process") for _ in held]
        for lease, packages in zip(leases, held, strict=True):
            if packages:
                lease.package_sets.add(frozenset(packages))
            pool.give_back(lease, reusable=True)
        found = await pool.lease(principal="a", isolation="process", packages=frozenset(asked))
        assert found is leases[chosen]
        pool.give_back(found, reusable=True)


async def test_lost_warm_sandbox_is_not_leased() -> None:
    """A stream that broke while nobody used it is noticed before it is given to anybody."""
    engine = FakeEngine()
    async with running(engine) as pool:
        for sandbox in engine.made:
            sandbox.stream.closed = True
        lease = await pool.lease(principal="a", isolation="container")
        assert not lease.sandbox.lost
        pool.give_back(lease, reusable=True)


async def test_engine_that_fails_is_trouble_until_it_works_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trouble is reported, tried again by itself, and over when a sandbox can be made."""
    monkeypatch.setattr("execbox_service.sandboxes.pool._BACKOFF_MIN_S", 0.02)
    engine = FakeEngine(unavailable="the daemon is away")
    async with running(engine) as pool:
        assert pool.trouble == "the daemon is away"
        engine.unavailable = None
        await until(lambda: pool.trouble is None and pool.warm_count == 2)


async def test_engine_that_stays_away_refuses_waiting_jobs_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever waits for a sandbox is told after a few failures, and may come back later."""
    monkeypatch.setattr("execbox_service.sandboxes.pool._BACKOFF_MIN_S", 0.02)
    engine = FakeEngine(unavailable="the daemon is away")
    async with running(engine) as pool, asyncio.timeout(5):
        with pytest.raises(ServiceFailure) as failure:
            await pool.lease(principal="a", isolation="container")
    assert failure.value.code == "engine_unavailable"
    assert failure.value.retryable
    assert "the daemon is away" in failure.value.message


async def test_engine_with_a_bug_does_not_make_the_pool_spin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An exception nobody foresaw is trouble like any other, with pauses in between."""
    engine = FakeEngine()
    tries = 0

    async def broken() -> FakeSandbox:
        nonlocal tries
        tries += 1
        raise ValueError("a bug")

    monkeypatch.setattr(engine, "create", broken)
    async with running(engine) as pool:
        await asyncio.sleep(0.1)
        assert tries <= 4
        assert pool.trouble == "ValueError: a bug"


async def test_waiter_that_is_cancelled_loses_no_sandbox() -> None:
    """A sandbox that arrives for somebody who left goes to the warm ones."""
    engine = FakeEngine(create_delay_s=0.02)
    async with running(engine, warm_count=0) as pool:
        waiter = asyncio.create_task(pool.lease(principal="a", isolation="container"))
        await asyncio.sleep(0.005)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await until(lambda: pool.warm_count == 1)
        assert pool.waiting_count == 0


async def test_stopped_pool_refuses_and_destroys() -> None:
    """After the stop nobody gets a sandbox, nobody waits, and none is left."""
    engine = FakeEngine()
    async with running(engine, warm_count=0) as pool:
        held = await pool.lease(principal="a", isolation="container")
        engine.create_delay_s = 10
        waiting = asyncio.create_task(pool.lease(principal="a", isolation="container"))
        await asyncio.sleep(0.01)
        engine.create_delay_s = 0
        stopping = asyncio.create_task(pool.stop())
        with pytest.raises(ServiceFailure, match="shutting down"):
            await waiting
        for task in list(pool._tasks):
            task.cancel()
        await stopping
        with pytest.raises(ServiceFailure, match="shutting down"):
            await pool.lease(principal="a", isolation="process")
        pool.give_back(held, reusable=True)
        await until(lambda: sandbox_of(held).destroyed_count == 1)


class SharingEngine(FakeEngine):
    """Makes so many a second, by how many are under way; all that are share them."""

    def __init__(self, rates: dict[int, float]) -> None:
        super().__init__()
        self._rates = rates

    async def create(self) -> FakeSandbox:
        count = self.creating_count + 1
        self.create_delay_s = count / self._rates.get(count, self._rates[max(self._rates)])
        return await super().create()


@pytest.mark.parametrize(
    ("rates", "slot_count"),
    [
        pytest.param({1: 4.0, 2: 6.2, 3: 7.0, 4: 7.6, 5: 7.0}, 2, id="Docker 20.10, two slots"),
        pytest.param({1: 7.3, 2: 11.9, 3: 13.0, 4: 13.6, 5: 13.5}, 2, id="Docker 28, two slots"),
        pytest.param({1: 7.3, 2: 11.9, 3: 13.0, 4: 13.6, 5: 13.5}, 8, id="Docker 28, eight"),
        pytest.param({1: 9.0, 2: 9.0, 3: 8.0}, 2, id="an engine that makes one after another"),
    ],
)
def test_pool_under_full_demand_goes_at_the_engines_rate(
    monkeypatch: pytest.MonkeyPatch, rates: dict[int, float], slot_count: int
) -> None:
    """Nine tenths at least of the most that the engine makes, finding that included."""

    async def measure() -> float:
        loop = asyncio.get_running_loop()
        clock = SimpleNamespace(monotonic=loop.time)
        monkeypatch.setattr("execbox_service.sandboxes.pool.time", clock)
        pool = Pool(SharingEngine(rates), replace(LIMITS, warm_count=4, warm_count_max=12))
        pool.start()
        end_s, served_count = 120.0, 0

        async def client() -> None:
            nonlocal served_count
            while loop.time() < end_s:
                lease = await pool.lease(principal="a", isolation="container")
                await asyncio.sleep(0.006)
                pool.give_back(lease, reusable=False)
                served_count += 1

        await asyncio.gather(*(client() for _ in range(slot_count)))
        await pool.stop()
        return served_count / end_s

    assert run_in_virtual_time(measure()) > 0.9 * max(rates.values())
