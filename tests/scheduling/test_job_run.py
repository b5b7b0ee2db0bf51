"""A job on its slots: spreading over those nobody wants, letting others pass, its time.

What is run again alone is in ``test_work_alone``.
"""

from __future__ import annotations

import asyncio

import pytest

from execbox.wire import Isolation
from execbox_service.scheduling.admission import Admission
from execbox_service.scheduling.caller import Caller
from tests.sandboxes.test_driver import hanging_up, outputs
from tests.scheduling.stage import DELAY_S, QUICK_S, Stage, on_stage, taking
from tests.virtual_time import now_s


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
        batch = Caller("a", lane="batch 1", admitted=True)
        jobs = [asyncio.create_task(stage.job(500, caller=batch)) for _ in range(4)]
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
