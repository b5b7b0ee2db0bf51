"""A job on its slots: spreading over those nobody wants, letting others pass, its time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from execbox.wire import Isolation, Limits
from execbox_service.admission import Admission, Lane, waiting_in
from execbox_service.failures import ServiceFailure
from execbox_service.frames import Result
from execbox_service.pool import Pool
from execbox_service.session import Attempt, Ended, Job, call_payload
from execbox_service.work import Work
from tests.fake_engine import (
    POOL_LIMITS,
    Behaviour,
    FakeEngine,
    FakeSandbox,
    honest,
    report_frame,
    result_frame,
)
from tests.service.test_session import hanging_up, outputs
from tests.virtual_time import now_s, run_in_virtual_time

POOL = replace(POOL_LIMITS, warm_count=4, executions_max=100_000, age_max_s=1e6)
QUICK_S = 0.004
DELAY_S = 0.001
"""Of a fake sandbox between two executions."""


def taking(duration_s: float, **fields: Any) -> Behaviour:
    """Answer honestly, each call after so long, one after the other."""
    free_s: dict[str, float] = {}

    def behave(sandbox: FakeSandbox, header: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        begins_s = max(free_s.get(sandbox.name, 0.0), loop.time()) + DELAY_S
        free_s[sandbox.name] = begins_s + duration_s
        answer = result_frame(
            header["seq"],
            frame=report_frame(header["call"]["args"][0]),
            wall_time_ns=round(duration_s * 1e9),
            **fields,
        )
        loop.call_at(free_s[sandbox.name], sandbox.deliver, answer)

    return behave


def stopped_first(duration_s: float, *, again_cpu_time_s: float) -> Behaviour:
    """Stop each call after so long; another time, too, when it has had so much CPU time."""
    seen: set[int] = set()
    first = taking(duration_s, killed="hard_stop", exit_code=None, signal=9)
    again = taking(
        duration_s,
        killed="hard_stop",
        exit_code=None,
        signal=9,
        cpu_time_ns=round(again_cpu_time_s * 1e9),
    )

    def behave(sandbox: FakeSandbox, header: dict[str, Any]) -> bytes | None:
        number = header["call"]["args"][0]
        behaviour = again if number in seen else first
        seen.add(number)
        return behaviour(sandbox, header)

    return behave


@dataclass
class Stage:
    """A pool of fake sandboxes behind two slots."""

    engine: FakeEngine
    pool: Pool
    admission: Admission

    async def job(
        self,
        count: int,
        *,
        key: str = "a",
        isolation: Isolation = "process",
        job_time_s: float = 3600,
    ) -> list[Ended]:
        """Run a job of so many calls, whose outputs are their numbers."""
        job = Job(
            function_payload=b"{}",
            packages=(),
            profile="default",
            limits=Limits(job_time_s=job_time_s),
            isolation=isolation,
            principal=key,
        )
        async with Work(self.admission, self.pool, job) as work:
            return await work.run([Attempt(call_payload({"args": [n]})) for n in range(count)])

    async def timed(self, work: Awaitable[Any]) -> float:
        """How long something takes."""
        began_s = now_s()
        await work
        return now_s() - began_s

    @property
    def call_counts(self) -> list[int]:
        """Of the sandboxes that ran anything, most first."""
        counts = (sandbox.call_count for sandbox in self.engine.made)
        return sorted(filter(None, counts), reverse=True)


@contextlib.asynccontextmanager
async def _stage(behaviours: list[Behaviour], **fields: Any) -> AsyncIterator[Stage]:
    engine = FakeEngine(behaviours)
    pool = Pool(engine, replace(POOL, **fields))
    pool.start()
    await asyncio.sleep(0.1)
    admission = Admission(slot_count=2, queue_size=100, queue_wait_max_s=30.0)
    try:
        yield Stage(engine, pool, admission)
        assert (admission.active_count, admission.waiting_count) == (0, 0)
    finally:
        await pool.stop()


def on_stage(
    play: Callable[[Stage], Awaitable[None]],
    behaviours: list[Behaviour] | None = None,
    **fields: Any,
) -> None:
    """Run a scene in virtual time; every sandbox takes ``QUICK_S`` a call unless told otherwise."""

    async def main() -> None:
        made = behaviours if behaviours is not None else [taking(QUICK_S)] * 100
        async with _stage(made, **fields) as stage:
            await play(stage)

    run_in_virtual_time(main())


def test_job_of_many_calls_uses_the_slots_nobody_wants() -> None:
    """On two idle slots it takes little more than half as long, and the order is the calls'."""

    async def play(stage: Stage) -> None:
        began_s = now_s()
        assert outputs(await stage.job(1000)) == list(range(1000))
        assert now_s() - began_s < 0.54 * 1000 * (QUICK_S + DELAY_S)
        assert len(stage.call_counts) == 2
        assert min(stage.call_counts) > 450
        assert sum(stage.call_counts) == 1000

    on_stage(play)


@pytest.mark.parametrize(("call_count", "most_count"), [(100, 2), (250, 5), (1000, 16)])
def test_job_takes_only_as_many_slots_as_what_is_left_is_worth(
    call_count: int, most_count: int
) -> None:
    """Of sixteen idle slots one for each 0.3 s that is left, beside the job's own."""

    async def play(stage: Stage) -> None:
        stage.admission = Admission(slot_count=16, queue_size=100, queue_wait_max_s=30.0)
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, stage.admission.active_count)
                await asyncio.sleep(0.001)

        watcher = asyncio.create_task(watch())
        assert outputs(await stage.job(call_count)) == list(range(call_count))
        watcher.cancel()
        assert most == most_count
        assert stage.admission.active_count == 0

    on_stage(play)


def test_job_of_few_slow_calls_spreads_them_one_by_one() -> None:
    """Eight seconds' work on two slots is done in about half of that."""

    async def play(stage: Stage) -> None:
        began_s = now_s()
        assert outputs(await stage.job(8)) == list(range(8))
        assert now_s() - began_s <= 5.1

    on_stage(play, [taking(1.0)] * 10)


@pytest.mark.parametrize(
    ("count", "isolation"), [(40, "process"), (1000, "container")], ids=["short", "level container"]
)
def test_job_stays_in_one_sandbox(count: int, isolation: Isolation) -> None:
    """Where another is not worth it, or each job is to have one of its own."""

    async def play(stage: Stage) -> None:
        await stage.job(count, isolation=isolation)
        assert stage.call_counts == [count]

    on_stage(play)


def test_further_slots_are_given_up_as_soon_as_somebody_waits() -> None:
    """Another key's single call finds a slot within a few executions, and the job goes on."""

    async def play(stage: Stage) -> None:
        job = asyncio.create_task(stage.job(2000))
        await asyncio.sleep(1)
        assert stage.admission.active_count == 2
        for _ in range(20):
            assert await stage.timed(stage.job(1, key="b")) < 6 * (QUICK_S + DELAY_S)
            await asyncio.sleep(0.05)
        assert outputs(await job) == list(range(2000))

    on_stage(play)


@pytest.mark.parametrize("key", ["a", "b"])
@pytest.mark.parametrize("isolation", ["process", "container"])
def test_single_call_passes_between_long_jobs(key: str, isolation: Isolation) -> None:
    """Whether it is of their key or another, it waits for a turn and not for the jobs."""

    async def play(stage: Stage) -> None:
        jobs = [asyncio.create_task(stage.job(3000, isolation=isolation)) for _ in range(3)]
        await asyncio.sleep(2)
        waits_s = []
        for _ in range(10):
            waits_s.append(await stage.timed(stage.job(1, key=key)))
            await asyncio.sleep(0.2)
        assert max(waits_s) < 0.6
        for job in jobs:
            assert outputs(await job) == list(range(3000))

    on_stage(play)


def test_lines_of_one_batch_do_not_make_each_other_wait() -> None:
    """A long line keeps its slot while only lines of its own batch wait."""

    async def play(stage: Stage) -> None:
        with waiting_in(Lane("batch 1", patient=True)):
            jobs = [asyncio.create_task(stage.job(500)) for _ in range(4)]
        took_s = [await stage.timed(job) for job in jobs[:2]]
        assert max(took_s) < 1.05 * 500 * (QUICK_S + DELAY_S) + 0.1
        await asyncio.gather(*jobs)

    on_stage(play)


def test_jobs_that_let_others_pass_hold_no_sandboxes_meanwhile() -> None:
    """Ten long jobs of one key at level process run in as many sandboxes as there are slots."""

    async def play(stage: Stage) -> None:
        await asyncio.gather(*(stage.job(500) for _ in range(10)))
        assert len(stage.call_counts) <= 3

    on_stage(play)


def test_long_jobs_of_level_container_hold_a_bounded_number_of_containers() -> None:
    """Of ten jobs of one key no more are begun at once than twice the slots."""

    async def play(stage: Stage) -> None:
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                busy = sum(1 for each in stage.engine.made if each.call_count and not each.lost)
                most = max(most, busy)
                await asyncio.sleep(0.01)

        watcher = asyncio.create_task(watch())
        await asyncio.gather(*(stage.job(300, isolation="container") for _ in range(10)))
        watcher.cancel()
        assert 3 <= most <= 2 * stage.admission.slot_count + 1

    on_stage(play)


def test_helper_whose_sandboxes_are_lost_leaves_its_calls_to_the_job() -> None:
    """Every call has its answer, once."""

    def play_with(lost_count: int) -> None:
        async def play(stage: Stage) -> None:
            assert outputs(await stage.job(400)) == list(range(400))

        on_stage(play, [taking(QUICK_S), *[hanging_up] * lost_count, *[taking(QUICK_S)] * 20])

    for lost_count in (1, 2, 3):
        play_with(lost_count)


def test_helper_that_gets_no_sandbox_keeps_nobody_waiting() -> None:
    """While the engine makes none, the job goes on with the one it has, and its slot is free for
    others as soon as they come."""

    async def play(stage: Stage) -> None:
        stage.engine.create_delay_s = 50
        other = asyncio.create_task(stage.job(1, key="b"))
        await asyncio.sleep(0.2)
        await other
        job = asyncio.create_task(stage.job(2000))
        await asyncio.sleep(1)
        assert stage.admission.active_count == 2
        assert stage.pool.waiting_count == 1
        assert await stage.timed(stage.job(1, key="b")) < 0.2
        assert outputs(await job) == list(range(2000))

    on_stage(play, [taking(QUICK_S)] * 2, warm_count=2)


def test_cancelled_job_frees_all_its_slots_and_sandboxes() -> None:
    """Whoever goes away leaves nothing behind, wherever their calls were running."""

    async def play(stage: Stage) -> None:
        job = asyncio.create_task(stage.job(1000))
        await asyncio.sleep(1)
        assert stage.admission.active_count == 2
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        await asyncio.sleep(0.1)
        assert stage.admission.active_count == 0
        assert stage.pool.idle_count == 0
        used = [sandbox for sandbox in stage.engine.made if sandbox.call_count]
        assert [sandbox.destroyed_count for sandbox in used] == [1, 1]

    on_stage(play)


def test_job_after_its_time_leaves_later_calls_out() -> None:
    """On one slot or several: what was begun has its result, what was not is not run."""

    async def play(stage: Stage) -> None:
        found = outputs(await stage.job(1000, job_time_s=2))
        ran_count = sum(output != "NotRun" for output in found)
        assert 0.8 * 2 * 2 < ran_count * (QUICK_S + DELAY_S) < 2.1 * 2
        assert found[:300] == list(range(300))
        assert found[-1] == "NotRun"

    on_stage(play)


def test_time_of_a_job_does_not_run_while_it_waits_for_a_slot() -> None:
    """Among five jobs on two slots, each has its whole time, though it takes longer."""

    async def play(stage: Stage) -> None:
        keys = "abcde"
        began_s = now_s()
        found = await asyncio.gather(*(stage.job(500, key=key, job_time_s=4) for key in keys))
        assert now_s() - began_s > 5
        assert all(outputs(ended) == list(range(500)) for ended in found)

    on_stage(play)


def test_alone_gets_its_turn_while_jobs_are_endless() -> None:
    """What was too slow for a busy machine is run again at once, not after everybody else."""

    async def play(stage: Stage) -> None:
        jobs = [asyncio.create_task(stage.job(5000)) for _ in range(3)]
        await asyncio.sleep(1)
        entered = stage.admission.slot(principal="c", alone=True)
        assert await stage.timed(entered.__aenter__()) < 0.6
        await entered.__aexit__(None, None, None)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    on_stage(play)


def test_call_stopped_by_a_busy_machine_is_run_again_alone() -> None:
    """It is not judged by the first run, and nothing else runs during the second."""
    seen: list[int] = []

    async def play(stage: Stage) -> None:
        def stopped_once(sandbox: FakeSandbox, header: dict[str, Any]) -> bytes:
            seen.append(stage.admission.active_count)
            if len(seen) == 1:
                return result_frame(header["seq"], killed="hard_stop", exit_code=None, signal=9)
            return honest(sandbox, header)

        other = asyncio.create_task(stage.job(100, key="b", isolation="container"))
        await asyncio.sleep(0.01)
        stage.engine.made[1].behaviour = stopped_once
        assert outputs(await stage.job(1)) == [0]
        await other

    async def main() -> None:
        async with _stage([taking(QUICK_S)] * 50) as stage:
            await play(stage)

    run_in_virtual_time(main())
    assert seen == [2, 1]


@pytest.mark.parametrize(
    ("cpu_time_s", "status"), [(0.1, None), (9.9, None), (10.0, "hard_stop"), (12.0, "hard_stop")]
)
def test_call_stopped_again_alone_is_no_verdict_unless_it_had_its_time(
    cpu_time_s: float, status: str | None
) -> None:
    """Less CPU time than the wall limit of 10 s has room for: the machine is at fault."""

    def stopped(sandbox: FakeSandbox, header: dict[str, Any]) -> bytes:
        return result_frame(
            header["seq"],
            killed="hard_stop",
            exit_code=None,
            signal=9,
            cpu_time_ns=round(cpu_time_s * 1e9),
        )

    async def main() -> None:
        async with _stage([stopped] * 4) as stage:
            if status is None:
                with pytest.raises(ServiceFailure) as failure:
                    await stage.job(1)
                assert (failure.value.code, failure.value.retryable) == ("machine_too_busy", True)
            else:
                (ended,) = await stage.job(1)
                assert isinstance(ended, Result)
                assert ended.measured.killed == status

    run_in_virtual_time(main())


def killed_or_kind(ended: list[Ended]) -> list[str | None]:
    """What ended each execution, or the kind of what is no result."""
    return [
        result.measured.killed if isinstance(result, Result) else type(result).__name__
        for result in ended
    ]


@pytest.mark.parametrize(
    ("job_time_s", "ran_count"), [(1, 1), (39, 1), (100, 2), (200, 3), (3600, 6)]
)
def test_calls_that_were_stopped_have_a_result_though_the_time_is_over(
    job_time_s: float, ran_count: int
) -> None:
    """Each is run again before others begin, 40 s and 40 s: only what has not begun is left out."""

    async def play(stage: Stage) -> None:
        began_s = now_s()
        found = killed_or_kind(await stage.job(6, job_time_s=job_time_s))
        assert found == ["hard_stop"] * ran_count + ["NotRun"] * (6 - ran_count)
        assert now_s() - began_s < job_time_s + 2 * 40 + 1

    on_stage(play, [stopped_first(40.0, again_cpu_time_s=12)] * 20)


def test_calls_stopped_on_several_slots_are_each_run_again_alone() -> None:
    """What was under way on a further slot is not left out either, and nothing runs beside it."""
    active_counts: list[int] = []

    async def play(stage: Stage) -> None:
        seen: set[int] = set()
        quick, slow = taking(0.1), taking(40.0, killed="hard_stop", exit_code=None, signal=9)

        def behave(sandbox: FakeSandbox, header: dict[str, Any]) -> bytes | None:
            number = header["call"]["args"][0]
            if number in seen:
                active_counts.append(stage.admission.active_count)
            stop = number in {20, 21} and number not in seen
            seen.add(number)
            return (slow if stop else quick)(sandbox, header)

        for sandbox in stage.engine.made:
            sandbox.behaviour = behave
        assert outputs(await stage.job(40)) == list(range(40))

    on_stage(play)
    assert active_counts == [1, 1]


def test_others_have_turns_between_the_executions_run_again_alone() -> None:
    """A job of which much was stopped lets all slots pause for one execution at a time."""
    order: list[str] = []

    def noting(behaviour: Behaviour, name: str) -> Behaviour:
        def behave(sandbox: FakeSandbox, header: dict[str, Any]) -> bytes | None:
            order.append(f"{name}{header['call']['args'][0]}")
            return behaviour(sandbox, header)

        return behave

    async def play(stage: Stage) -> None:
        stopping = noting(stopped_first(5.0, again_cpu_time_s=12), "a")
        stage.engine.made[0].behaviour = stopping
        job = asyncio.create_task(stage.job(3, isolation="container"))
        await asyncio.sleep(0.01)
        for sandbox in stage.engine.made[1:]:
            sandbox.behaviour = noting(taking(QUICK_S), "b")
        while not job.done():
            await stage.job(1, key="b")
            await asyncio.sleep(0.1)
        assert killed_or_kind(await job) == ["hard_stop"] * 3

    on_stage(play)
    first_again = order.index("a0", order.index("a0") + 1)
    for number in (1, 2):
        again = order.index(f"a{number}", order.index(f"a{number}") + 1)
        assert "b0" in order[first_again:again]
        first_again = again


def test_job_that_starves_alone_stops_at_once() -> None:
    """The first execution that says so is enough: the others do not pause everybody as well."""

    async def play(stage: Stage) -> None:
        with pytest.raises(ServiceFailure) as failure:
            await stage.job(5)
        assert failure.value.code == "machine_too_busy"
        assert sum(stage.call_counts) == 2

    on_stage(play, [stopped_first(40.0, again_cpu_time_s=0.1)] * 20)
