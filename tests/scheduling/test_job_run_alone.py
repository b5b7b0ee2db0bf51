"""Executions that were stopped hard: run again with all slots to themselves, and judged then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from execbox_service.failures import ServiceFailure
from execbox_service.runner_frames import Result
from execbox_service.sandboxes.driver import Ended
from execbox_service.scheduling.caller import Caller
from tests.fake_engine import (
    Behaviour,
    FakeSandbox,
    honest,
    result_frame,
)
from tests.sandboxes.test_driver import outputs
from tests.scheduling.stage import QUICK_S, Stage, on_stage, staged, stopped_first, taking
from tests.virtual_time import now_s, run_in_virtual_time


def test_alone_gets_its_turn_while_jobs_are_endless() -> None:
    """What was too slow for a busy machine is run again at once, not after everybody else."""

    async def play(stage: Stage) -> None:
        jobs = [asyncio.create_task(stage.job(5000)) for _ in range(3)]
        await asyncio.sleep(1)
        entered = stage.admission.slot(Caller("c"), alone=True)
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
        async with staged([taking(QUICK_S)] * 50) as stage:
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
        async with staged([stopped] * 4) as stage:
            if status is None:
                with pytest.raises(ServiceFailure) as failure:
                    await stage.job(1)
                assert (failure.value.code, failure.value.retryable) == ("machine_too_busy", True)
            else:
                (ended,) = await stage.job(1)
                assert isinstance(ended, Result)
                assert ended.measured.killed == status

    run_in_virtual_time(main())


def test_call_that_had_its_cpu_time_is_judged_when_it_is_stopped() -> None:
    """G06: ten threads pinned to one core wait for each other. Running them again alone, while
    everybody stood still, showed nothing new."""

    async def play(stage: Stage) -> None:
        (ended,) = await stage.job(1)
        assert isinstance(ended, Result)
        assert ended.measured.killed == "hard_stop"
        assert stage.call_counts == [1]

    pinned = taking(40.0, killed="hard_stop", exit_code=None, signal=9, cpu_time_ns=38 * 10**9)
    on_stage(play, [pinned] * 4)


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
