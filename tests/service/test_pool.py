"""Warm sandboxes: made ahead, used once or kept for one key, replaced."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from execbox_service.failures import ServiceFailure
from execbox_service.pool import Lease, Pool, PoolLimits
from tests.fake_engine import FakeEngine, FakeSandbox

LIMITS = PoolLimits(
    warm_count=2,
    idle_count=2,
    memory_mb=512,
    cpu_count=1.0,
    executions_max=3,
    age_max_s=100.0,
)


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
async def test_pool_makes_at_most_two_at_once_and_as_many_as_are_missing(missing: int) -> None:
    """More at once do not make more a second."""
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
    monkeypatch.setattr("execbox_service.pool._BACKOFF_MIN_S", 0.02)
    engine = FakeEngine(unavailable="the daemon is away")
    async with running(engine) as pool:
        assert pool.trouble == "the daemon is away"
        engine.unavailable = None
        await until(lambda: pool.trouble is None and pool.warm_count == 2)


async def test_engine_that_stays_away_refuses_waiting_jobs_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever waits for a sandbox is told after a few failures, and may come back later."""
    monkeypatch.setattr("execbox_service.pool._BACKOFF_MIN_S", 0.02)
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
