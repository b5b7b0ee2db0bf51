"""Running a job in sandboxes that are lost or lie: our failure, never a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from execbox.wire import Isolation, Limits
from execbox_service.failures import ServiceFailure
from execbox_service.runner_frames import FrameKind, Result, pack
from execbox_service.sandboxes.driver import (
    Attempt,
    Ended,
    Job,
    OutOfMemory,
    SandboxDriver,
    Variation,
    call_payload,
)
from execbox_service.sandboxes.pool import Pool
from tests.fake_engine import (
    POOL_LIMITS,
    READY,
    Behaviour,
    FakeEngine,
    FakeSandbox,
    honest,
    measured,
    report_frame,
    result_frame,
)

JOB = Job(
    function_payload=b"{}",
    packages=("numpy",),
    profile="default",
    limits=Limits(wall_time_s=0.05, output_bytes=1000, stdout_bytes=100),
    isolation="process",
)
POOL = replace(POOL_LIMITS, warm_count=1, answer_grace_s=0.3)


@contextlib.asynccontextmanager
async def sandboxes(*behaviours: Behaviour) -> AsyncIterator[tuple[FakeEngine, Pool]]:
    """A pool whose first sandboxes behave like this, and all others honestly."""
    engine = FakeEngine(list(behaviours))
    pool = Pool(engine, POOL)
    pool.start()
    try:
        yield engine, pool
    finally:
        await pool.stop()


async def run(pool: Pool, count: int = 1, *, job: Job = JOB) -> list[Ended]:
    """Run a job of so many calls, as a request does."""
    driver = SandboxDriver(pool, principal="p")
    finished = False
    try:
        attempts = [Attempt(call_payload({"args": [n]})) for n in range(count)]
        ended = await driver.run(job, attempts)
        finished = True
    finally:
        driver.close(reusable=finished)
    return ended


def outputs(ended: Sequence[Ended]) -> list[Any]:
    """What each result holds, or the kind of what is none."""
    return [
        json.loads(result.frame[8 + struct.unpack("!I", result.frame[4:8])[0] :])
        if isinstance(result, Result)
        else type(result).__name__
        for result in ended
    ]


async def test_job_of_many_calls_runs_in_one_sandbox_in_order() -> None:
    """The function is sent once, each call once, never more than two ahead."""
    ahead: list[int] = []

    def watching(sandbox: FakeSandbox, header: dict[str, Any]) -> bytes:
        ahead.append(sandbox.call_count)
        return honest(sandbox, header)

    async with sandboxes(watching) as (engine, pool):
        assert outputs(await run(pool, 20)) == list(range(20))
        (sandbox, *_rest) = engine.made
        kinds = [kind for kind, _header, _body in sandbox.received]
        assert kinds == [FrameKind.JOB] + [FrameKind.EXECUTE] * 20
        assert sandbox.received[0][1] == {
            "packages": ["numpy"],
            "profile": "default",
            "runner_bytes": 128 * 2**20,
            "kept": True,
            "checked": True,
        }


async def test_job_says_what_it_may_use() -> None:
    """Limits reach the supervisor in its own units, multiplied where a variation says so."""
    async with sandboxes() as (engine, pool):
        driver = SandboxDriver(pool, principal="p")
        variation = Variation(
            interpreter=(("PYTHONHASHSEED", "1"),), surroundings=(("tz", "X"),), limit_factor=2
        )
        await driver.run(JOB, [Attempt(b"{}"), Attempt(b"{}", variation)])
        driver.close()
        plain, varied = (header for kind, header, _ in engine.made[0].received if kind == 2)
        assert plain["allowance"] == {
            "cpu_time_ns": 5_000_000_000,
            "wall_time_ns": 50_000_000,
            "output_bytes": 1000,
            "stdout_bytes": 100,
            "cpu_count": 1.0,
        }
        assert varied["allowance"]["cpu_time_ns"] == 10_000_000_000
        assert varied["interpreter"] == {"PYTHONHASHSEED": "1"}
        assert varied["surroundings"] == {"tz": "X"}


async def test_job_that_asks_for_other_memory_gets_it_before_it_runs() -> None:
    """The container's memory is what the job asked for, changed only where it differs."""
    small = JOB._replace(limits=JOB.limits.model_copy(update={"memory_mb": 64}))
    async with sandboxes() as (engine, pool):
        await run(pool, job=JOB)
        assert engine.made[0].memory_mb is None
        await run(pool, job=small)
        assert engine.made[0].memory_mb == 64
        await run(pool, job=JOB)
        assert engine.made[0].memory_mb == 512


# Sandboxes that are lost


def hanging_up(sandbox: FakeSandbox, _header: dict[str, Any]) -> None:
    """End without an answer."""
    asyncio.get_running_loop().call_soon(sandbox.hang_up)


def silent(_sandbox: FakeSandbox, _header: dict[str, Any]) -> None:
    """Take the call and say nothing, for ever."""


def after(count: int, then: Behaviour) -> Behaviour:
    """Honest for so many calls, then otherwise."""

    def behave(sandbox: FakeSandbox, header: dict[str, Any]) -> bytes | None:
        return honest(sandbox, header) if sandbox.call_count <= count else then(sandbox, header)

    return behave


async def test_sandbox_lost_once_costs_nothing_but_time() -> None:
    """The call that ran is run again elsewhere; no call runs twice that had an answer."""
    async with sandboxes(after(3, hanging_up)) as (engine, pool):
        assert outputs(await run(pool, 6)) == list(range(6))
        assert [sandbox.call_count for sandbox in engine.made[:2]] == [4, 3]
        assert engine.made[0].destroyed_count == 1


async def test_sandbox_lost_twice_over_one_call_is_our_failure() -> None:
    """Two in a row over the same call: retryable, and no verdict about the code."""
    async with sandboxes(hanging_up, hanging_up) as (engine, pool):
        with pytest.raises(ServiceFailure) as failure:
            await run(pool, 3)
        assert failure.value.retryable
        assert failure.value.code == "sandbox_lost"
        assert outputs(await run(pool, 2)) == [0, 1]
        assert [sandbox.destroyed_count for sandbox in engine.made[:2]] == [1, 1]


async def test_sandboxes_lost_over_different_calls_are_each_replaced() -> None:
    """Losses that are not of one call do not add up."""
    behaviours = [after(1, hanging_up) for _ in range(5)]
    async with sandboxes(*behaviours) as (_engine, pool):
        assert len(await run(pool, 6)) == 6


def lose_before_a_call(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let sandboxes of these names be lost when a job with memory of its own comes to them."""
    set_memory_mb = FakeSandbox.set_memory_mb

    async def lost(sandbox: FakeSandbox, memory_mb: int) -> None:
        if sandbox.name in names:
            sandbox.hang_up()
        await set_memory_mb(sandbox, memory_mb)

    monkeypatch.setattr(FakeSandbox, "set_memory_mb", lost)


SMALL = JOB._replace(limits=JOB.limits.model_copy(update={"memory_mb": 64}))


async def test_sandboxes_lost_before_a_call_do_not_add_up_over_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two losses of sandboxes that ran nothing, with an answered call between them, are no row."""

    def once(_sandbox: FakeSandbox, header: dict[str, Any]) -> bytes:
        return result_frame(header["seq"], frame=report_frame("once"), reusable=False)

    lose_before_a_call(monkeypatch, "fake-0", "fake-2")
    async with sandboxes(honest, once) as (engine, pool):
        assert outputs(await run(pool, 2, job=SMALL)) == ["once", 1]
        assert [sandbox.call_count for sandbox in engine.made[:4]] == [0, 2, 0, 1]


@pytest.mark.parametrize("names", [("fake-0", "fake-1"), ("fake-1",)], ids=["twice", "after one"])
async def test_sandboxes_lost_in_a_row_without_an_answer_are_our_failure(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    """Whether a call was running in them or not: there is no end to it otherwise."""
    lose_before_a_call(monkeypatch, *names)
    async with sandboxes(hanging_up) as (_engine, pool):
        with pytest.raises(ServiceFailure) as failure:
            await run(pool, 2, job=SMALL)
        assert failure.value.code == "sandbox_lost"


async def test_call_that_lost_its_sandbox_is_run_again_though_none_may_begin() -> None:
    """It has begun, so it is to have a result; those after it are held back."""
    asked: list[None] = []

    def may_begin() -> bool:
        asked.append(None)
        return len(asked) <= 2

    async with sandboxes(hanging_up) as (_engine, pool):
        driver = SandboxDriver(pool, principal="p")
        attempts = [Attempt(call_payload({"args": [n]})) for n in range(3)]
        ended = await driver.run(JOB, attempts, may_begin=may_begin)
        driver.close()
        assert outputs(ended) == [0, "NotRun", "NotRun"]


async def test_sandbox_that_died_for_want_of_memory_is_the_codes_doing() -> None:
    """With the kernel's evidence the running call has its result, and the others go on."""

    def dying(sandbox: FakeSandbox, header: dict[str, Any]) -> None:
        sandbox.oom_killed = True
        hanging_up(sandbox, header)

    async with sandboxes(after(1, dying), dying) as (_engine, pool):
        ended = await run(pool, 4)
        assert outputs(ended) == [0, "OutOfMemory", "OutOfMemory", 3]
        assert isinstance(ended[1], OutOfMemory)
        assert 0 <= ended[1].wall_time_s < 5


def stating(fault: dict[str, Any]) -> Behaviour:
    """Give up with this statement, in a container whose engine saw an end for want of memory."""

    def behave(sandbox: FakeSandbox, _header: dict[str, Any]) -> bytes:
        sandbox.oom_killed = True
        return pack(FrameKind.FAULT, fault)

    return behave


OURS = {"message": "the machine ran out of memory", "machine_out_of_memory": True}


async def test_machines_want_of_memory_is_our_failure_whatever_the_engine_saw() -> None:
    """The supervisor has read whose limit it was; the engine knows only that a process ended."""
    async with sandboxes(stating(OURS)) as (_engine, pool):
        assert outputs(await run(pool, 2)) == [0, 1]
    async with sandboxes(stating(OURS), stating(OURS)) as (_engine, pool):
        with pytest.raises(ServiceFailure) as failure:
            await run(pool, 2)
        assert (failure.value.code, failure.value.retryable) == ("sandbox_lost", True)


async def test_supervisor_that_gave_up_for_its_own_containers_memory_has_its_verdict() -> None:
    """A zygote that the container's own limit ended: the kernel's evidence decides."""
    async with sandboxes(stating({"message": "the zygote ended"})) as (_engine, pool):
        assert outputs(await run(pool, 2)) == ["OutOfMemory", 1]


async def test_sandbox_that_may_not_be_used_again_is_left_at_once() -> None:
    """After an answer that says so, what was sent ahead runs in another sandbox."""

    def once(_sandbox: FakeSandbox, header: dict[str, Any]) -> bytes:
        return result_frame(header["seq"], frame=report_frame("once"), reusable=False)

    async with sandboxes(once, once) as (engine, pool):
        assert outputs(await run(pool, 4)) == ["once", "once", 2, 3]
        assert [sandbox.destroyed_count for sandbox in engine.made[:2]] == [1, 1]


@pytest.mark.parametrize(("isolation", "kept"), [("process", True), ("container", False)])
async def test_sandbox_is_told_whether_it_will_be_kept(isolation: Isolation, kept: bool) -> None:
    """One that is thrown away after the job need not be cleaned after its last call."""
    async with sandboxes() as (engine, pool):
        await run(pool, 2, job=JOB._replace(isolation=isolation))
        assert engine.made[0].received[0][1]["kept"] is kept


async def test_call_refused_for_what_an_earlier_one_left_runs_in_another_sandbox() -> None:
    """It costs the sandbox and nothing else: it is no lost one, and no failure of the call's."""

    def once(sandbox: FakeSandbox, header: dict[str, Any]) -> bytes:
        if sandbox.call_count == 1:
            return honest(sandbox, header)
        return pack(FrameKind.REFUSED, {"seq": header["seq"]})

    async with sandboxes(once, once, once) as (engine, pool):
        driver = SandboxDriver(pool, principal="p")
        attempts = [Attempt(call_payload({"args": [n]})) for n in range(6)]
        assert outputs(await driver.run(JOB, attempts)) == list(range(6))
        driver.close()
        assert driver.lost_count == 0
        assert [sandbox.destroyed_count for sandbox in engine.made[:3]] == [1, 1, 1]


async def test_call_may_not_begin_is_asked_again_for_one_that_was_refused() -> None:
    """It had not begun: time that ran out meanwhile holds it back like any other."""
    asked: list[None] = []

    def may_begin() -> bool:
        asked.append(None)
        return len(asked) <= 2

    def once(sandbox: FakeSandbox, header: dict[str, Any]) -> bytes:
        if sandbox.call_count == 1:
            return honest(sandbox, header)
        return pack(FrameKind.REFUSED, {"seq": header["seq"]})

    async with sandboxes(once) as (_engine, pool):
        driver = SandboxDriver(pool, principal="p")
        attempts = [Attempt(call_payload({"args": [n]})) for n in range(3)]
        ended = await driver.run(JOB, attempts, may_begin=may_begin)
        driver.close()
        assert outputs(ended) == [0, "NotRun", "NotRun"]


async def test_call_that_may_not_begin_is_not_run() -> None:
    """What is held back is left out, and so is what comes after it; earlier results stay."""
    asked: list[None] = []

    def may_begin() -> bool:
        asked.append(None)
        return len(asked) <= 3

    async with sandboxes() as (engine, pool):
        driver = SandboxDriver(pool, principal="p")
        attempts = [Attempt(call_payload({"args": [n]})) for n in range(10)]
        ended = await driver.run(JOB, attempts, may_begin=may_begin)
        driver.close()
        assert outputs(ended) == [0, 1, 2] + ["NotRun"] * 7
        assert engine.made[0].call_count == 3


async def test_cancelled_job_destroys_its_sandbox() -> None:
    """A client that goes away takes its work with it; the sandbox is not used again."""
    async with sandboxes(silent) as (engine, pool):
        task = asyncio.create_task(run(pool, 3))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.01)
        assert engine.made[0].destroyed_count == 1
        assert outputs(await run(pool, 1)) == [0]


# Sandboxes that lie


def saying(make: Callable[[int], bytes]) -> Behaviour:
    """Answer every call with bytes made from its number."""
    return lambda _sandbox, header: make(header["seq"])


def in_pieces(data: bytes) -> Behaviour:
    """Send only the beginning of an answer, then nothing more."""
    return lambda _sandbox, _header: data


def too_many(sandbox: FakeSandbox, header: dict[str, Any]) -> bytes:
    """Answer, and go on answering."""
    return b"".join(result_frame(header["seq"] + n, frame=report_frame(0)) for n in range(100))


LIES: dict[str, Behaviour] = {
    "never answers": silent,
    "hangs up": hanging_up,
    "half a frame": in_pieces(result_frame(0, frame=report_frame(1))[:-1]),
    "half a prefix": in_pieces(b"\0\0"),
    "junk": in_pieces(os.urandom(400)),
    "text": in_pieces(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "an endless frame announced": in_pieces(struct.pack("!IBI", 2**32 - 1, 17, 10) + b"{" * 10),
    "a header longer than its frame": in_pieces(struct.pack("!IBI", 10, 17, 2000) + b"{" * 64),
    "another call's number": saying(lambda seq: result_frame(seq + 1, frame=report_frame(1))),
    "an old call's number": saying(lambda seq: result_frame(10**9, frame=report_frame(1))),
    "an answer twice": saying(lambda seq: result_frame(seq, frame=report_frame(1)) * 2),
    "ready again": saying(lambda seq: pack(FrameKind.READY, READY.model_dump())),
    "the first call refused": saying(lambda seq: pack(FrameKind.REFUSED, {"seq": seq})),
    "another call refused": saying(lambda seq: pack(FrameKind.REFUSED, {"seq": seq + 1})),
    "a refusal that says more": saying(lambda seq: pack(FrameKind.REFUSED, {"seq": seq, "a": 1})),
    "a fault": saying(lambda seq: pack(FrameKind.FAULT, {"message": "no"})),
    "a frame of ours": saying(lambda seq: pack(FrameKind.EXECUTE, {"seq": seq})),
    "an unknown kind": saying(lambda seq: struct.pack("!IBI", 7, 99, 2) + b"{}"),
    "more stdout than asked for": saying(lambda seq: result_frame(seq, stdout=b"x" * 101)),
    "a larger frame than asked for": saying(lambda seq: result_frame(seq, frame=b"x" * 300_000)),
    "wrong sizes": saying(lambda seq: result_frame(seq, frame=b"ab", sizes=[1, 0, 0])),
    "negative sizes": saying(lambda seq: result_frame(seq, frame=b"a", sizes=[-1, 1, 1])),
    "times below zero": saying(lambda seq: result_frame(seq, cpu_time_ns=-1)),
    "a reason of its own": saying(lambda seq: result_frame(seq, killed="whim")),
    "no JSON": saying(lambda seq: struct.pack("!IBI", 8, 17, 3) + b"{,}"),
    "deep JSON": saying(lambda seq: struct.pack("!IBI", 60_005, 17, 60_000) + b"[" * 60_000),
    "a list": saying(lambda seq: pack(FrameKind.RESULT, [measured(seq)])),
    "answers without end": too_many,
}


@pytest.mark.parametrize("lie", LIES)
async def test_lying_sandbox_is_destroyed_and_the_next_is_asked(lie: str) -> None:
    """One lie costs the sandbox; the job gets its answers from another, and so does the next."""
    async with sandboxes(LIES[lie]) as (engine, pool):
        async with asyncio.timeout(5):
            ended = await run(pool, 2)
        liar = engine.made[0]
        assert all(isinstance(result, Result) for result in ended)
        if lie != "an answer twice":
            assert len(engine.made) >= 2
        await asyncio.sleep(0.01)
        assert outputs(await run(pool, 1)) == [0]
        assert liar.destroyed_count == 1 or lie == "an answer twice"


# Those that answer each call once before they go wrong do not fail twice over one.
HALF_HONEST = {"an answer twice", "answers without end"}


@pytest.mark.parametrize("lie", [name for name in LIES if name not in HALF_HONEST])
async def test_lying_sandboxes_in_a_row_are_our_failure(lie: str) -> None:
    """Two liars over one call: a retryable failure, and the service is unmoved."""
    async with sandboxes(LIES[lie], LIES[lie]) as (engine, pool):
        async with asyncio.timeout(5):
            with pytest.raises(ServiceFailure) as failure:
                await run(pool, 2)
        assert failure.value.retryable
        assert outputs(await run(pool, 2)) == [0, 1]
        await asyncio.sleep(0.01)
        assert [sandbox.destroyed_count for sandbox in engine.made[:2]] == [1, 1]


async def test_answer_sent_twice_is_not_taken_for_the_next_calls() -> None:
    """The second copy has another call's number, and the sandbox is destroyed for it."""
    async with sandboxes(LIES["an answer twice"]) as (engine, pool):
        ended = await run(pool, 2)
        assert outputs(ended)[0] == 1
        assert engine.made[0].destroyed_count == 1


async def test_answer_sent_twice_is_not_taken_for_the_next_jobs() -> None:
    """F27: a job whose sandbox still holds an answer to the one before it does not get that."""
    job = JOB._replace(isolation="process")
    async with sandboxes(LIES["an answer twice"]) as (engine, pool):
        assert outputs(await run(pool, 1, job=job)) == [1]
        assert outputs(await run(pool, 1, job=job)) == [0]
        assert engine.made[0].destroyed_count == 1


@pytest.mark.parametrize("seed", range(20))
async def test_answer_with_a_changed_byte_is_an_answer_or_our_failure(seed: int) -> None:
    """Whatever byte of an answer is changed, nothing but results or ServiceFailure comes of it."""
    chance = random.Random(seed)

    def changed(_sandbox: FakeSandbox, header: dict[str, Any]) -> bytes:
        data = bytearray(result_frame(header["seq"], frame=report_frame([1, "x"]), stdout=b"out"))
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        return bytes(data)

    async with sandboxes(changed, changed) as (_engine, pool), asyncio.timeout(5):
        try:
            ended = await run(pool, 3)
        except ServiceFailure:
            return
        assert all(isinstance(result, Result) for result in ended)
