"""Waiting for a slot on real containers: reported, and nobody's time limit."""

from __future__ import annotations

import asyncio

import pytest
from harness.bench import started_bench

from execbox.wire import Status

pytestmark = pytest.mark.docker
SLEEP = "import time\ndef main_solution(duration_s):\n    time.sleep(duration_s)\n    return 1\n"


@pytest.mark.alone
@pytest.mark.parametrize("isolation", ["process", "container"])
async def test_wait_in_a_full_queue_is_reported_and_no_timeout(isolation: str) -> None:
    """Behind one that holds the only slot for longer than all their limits, every job ends ok and
    says how long it waited."""
    async with started_bench(slot_count="1", pool_size="2") as bench:
        limits = {"cpu_time_s": 0.5, "wall_time_s": 0.7, "job_time_s": 1.0}

        async def first() -> None:
            await bench.call(SLEEP, 1.5, isolation=isolation, principal="first")

        holding = asyncio.create_task(first())
        await asyncio.sleep(0.2)
        answers = await asyncio.gather(
            *(
                bench.request(
                    SLEEP, [{"args": [0.1]}], isolation=isolation, limits=limits, principal=f"p{n}"
                )
                for n in range(4)
            )
        )
        await holding
        for answer in answers:
            (execution,) = answer.executions
            assert execution.status is Status.OK, execution
            assert answer.queue_time_s > 1.0
        assert max(answer.queue_time_s for answer in answers) > 1.5


async def test_large_job_and_singles_share_the_slots_and_all_are_answered_rightly() -> None:
    """A job of many calls spread over both slots, with another key's calls in between: every
    output is its own call's."""
    code = "def main_solution(n):\n    return n * 2\n"
    async with started_bench(slot_count="2", pool_size="4") as bench:
        large = asyncio.create_task(
            bench.calls(code, *([n] for n in range(150)), isolation="process", principal="large")
        )
        for n in range(4):
            await asyncio.sleep(0.05)
            single = await bench.call(code, n, isolation="process", principal="single")
            assert single.output == 2 * n
        assert [execution.output for execution in await large] == [2 * n for n in range(150)]
