"""Calls with checks in portions: what is checked when the time is over, and in which container."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from execbox.wire import Call, Execution, Isolation, Status
from execbox_service.operations.checked_run import GiveUp, run_checked
from execbox_service.operations.checks import ActiveChecks, DeterminismCheck
from execbox_service.operations.job_payloads import Jobs
from execbox_service.runner_frames import FrameKind
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.job_run import JobRun
from tests.fake_engine import FakeSandbox
from tests.scheduling.stage import Stage, job_at, on_stage, taking

CHECKS = ActiveChecks(size=None, determinism=DeterminismCheck(2))


async def checked(
    stage: Stage,
    count: int,
    *,
    job_time_s: float = 3600,
    isolation: Isolation = "process",
    give_up_after: int | None = None,
    checks: ActiveChecks = CHECKS,
) -> list[Execution]:
    """So many calls, each with its number, run and run again."""
    job = job_at(isolation, job_time_s=job_time_s)
    run = JobRun(stage.admission, stage.pool, caller=Caller("a"), job_time_s=job_time_s)
    async with run:
        return await run_checked(
            run,
            Jobs(baseline=job, rerun=job, texts=["def main_solution(n): return n"]),
            checks,
            calls=[Call(args=[n]) for n in range(count)],
            gives_up=GiveUp(give_up_after),
        )


def whole_count(executions: list[Execution]) -> int:
    """Of the calls, those that have a verdict."""
    return sum(each.determinism is not None for each in executions)


@pytest.mark.parametrize(("job_time_s", "whole_min"), [(20, 2), (40, 5), (120, 10)])
def test_run_checked_of_slow_calls_checks_them_one_after_another(
    job_time_s: float, whole_min: int
) -> None:
    """Ten calls of 3 s, run twice on two slots, take 30 s; with less time some are checked whole,
    where all were begun and none was checked."""

    async def play(stage: Stage) -> None:
        executions = await checked(stage, 10, job_time_s=job_time_s)
        whole = [n for n, each in enumerate(executions) if each.determinism is not None]
        assert len(whole) >= whole_min
        assert whole == list(range(len(whole)))
        assert all(executions[n].determinism.deterministic for n in whole)  # type: ignore[union-attr]

    on_stage(play, [taking(3.0)] * 100)


@pytest.mark.parametrize("slow_from", [1, 3, 7])
def test_run_checked_of_calls_that_become_slow_keeps_those_before(slow_from: int) -> None:
    """Pairs are often sorted by size: what the first took says little of the last."""

    def behave(sandbox: FakeSandbox, header: dict[str, Any]) -> None:
        slow = header["call"]["args"][0] >= slow_from
        return (slowly if slow else quickly)(sandbox, header)  # type: ignore[return-value]

    quickly, slowly = taking(0.01), taking(4.0)

    async def play(stage: Stage) -> None:
        executions = await checked(stage, 10, job_time_s=25)
        assert whole_count(executions) >= slow_from

    on_stage(play, [behave] * 100)


def test_run_checked_of_quick_calls_is_no_slower_than_all_at_once() -> None:
    """A thousand quick calls take few more steps than one: portions are for slow ones."""

    async def play(stage: Stage) -> None:
        executions = await checked(stage, 300)
        assert whole_count(executions) == 300
        interpreters = {
            header["interpreter"].get("PYTHONHASHSEED")
            for sandbox in stage.engine.made
            for kind, header, _body in sandbox.received
            if kind == FrameKind.EXECUTE
        }
        assert interpreters == {None, "7919"}
        jobs = sum(
            kind == FrameKind.JOB for sandbox in stage.engine.made for kind, *_ in sandbox.received
        )
        assert jobs <= 8

    on_stage(play)


@pytest.mark.parametrize("isolation", ["container", "process"])
def test_run_checked_runs_every_call_in_two_containers(isolation: Isolation) -> None:
    """However often a key's containers are used again, none runs both a baseline and a variation:
    what one execution leaves where another may find it is found in neither."""

    async def play(stage: Stage) -> None:
        for _ in range(5):
            assert whole_count(await checked(stage, 20, isolation=isolation)) == 20
        for sandbox in stage.engine.made:
            varied = {
                bool(header["interpreter"])
                for kind, header, _body in sandbox.received
                if kind == FrameKind.EXECUTE
            }
            assert len(varied) <= 1
        used = [sandbox for sandbox in stage.engine.made if sandbox.call_count]
        # Two for each job, and at level ``process`` two for all of them and two of further slots.
        assert len(used) == 10 if isolation == "container" else len(used) <= 4

    on_stage(play)


def test_run_checked_repeats_an_execution_with_the_process_number_of_the_baseline() -> None:
    """Two containers number their processes alike; the number is one of the things that differ."""
    numbers = itertools.chain([7, 7, 8], itertools.repeat(9))

    def behave(sandbox: FakeSandbox, header: dict[str, Any]) -> None:
        taking(0.01, pid=next(numbers))(sandbox, header)

    async def play(stage: Stage) -> None:
        (execution,) = await checked(stage, 1)
        assert execution.determinism is not None
        assert execution.determinism.runs == 2
        assert sum(sandbox.call_count for sandbox in stage.engine.made) == 3

    on_stage(play, [behave] * 10)


@pytest.mark.parametrize("took_s", [0.1, 5.0])
@pytest.mark.parametrize("checks", [CHECKS, ActiveChecks(size=None, determinism=None)])
def test_run_checked_gives_up_after_so_many_calls_that_took_all_they_may(
    took_s: float, checks: ActiveChecks
) -> None:
    """What follows is not run, and said so: an endless function costs what was permitted."""

    async def play(stage: Stage) -> None:
        executions = await checked(stage, 30, give_up_after=5, checks=checks)
        statuses = [execution.status for execution in executions]
        timeouts = statuses.count(Status.TIMEOUT)
        assert 5 <= timeouts <= 6
        assert statuses == [Status.TIMEOUT] * timeouts + [Status.NOT_RUN] * (30 - timeouts)

    endless = taking(took_s, killed="cpu_time", exit_code=None, signal=9, cpu_time_ns=5 * 10**9)
    on_stage(play, [endless] * 10)


@pytest.mark.parametrize(
    ("statuses", "given_up_at"),
    [
        (["timeout"] * 3, 2),
        (["timeout", "memory_exceeded", "timeout"], 2),
        (["timeout", "timeout", "ok", "timeout", "timeout"], None),
        (["exception"] * 5, None),
        (["timeout", "timeout", "exception", "timeout", "timeout", "timeout"], 5),
    ],
)
def test_give_up_counts_dear_executions_in_a_row(
    statuses: list[str], given_up_at: int | None
) -> None:
    """Whatever ended by itself begins the count anew."""
    gives_up = GiveUp(3)
    told = [gives_up(Execution(status=Status(status))) for status in statuses]
    assert (told.index(True) if True in told else None) == given_up_at
    never = GiveUp(None)
    assert not any(never(Execution(status=Status(status))) for status in statuses)
