"""Attacks and honest work mixed at full load for a while: afterwards everything is as before."""

from __future__ import annotations

import asyncio
import random

import pytest
from harness.attacks.attack import LIMITS, Attack
from harness.attacks.lists import CLASSES
from harness.bench import Bench, eventually, started_bench
from harness.meters import descriptor_count, resident_mb

from execbox.wire import Isolation, Status
from execbox_service.failures import ServiceFailure

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.alone]

QUICK = LIMITS.model_copy(update={"cpu_time_s": 0.2, "wall_time_s": 0.4})
HONEST = "def main_solution(x):\n    print(x)\n    return [x, {'twice': x * 2}]\n"
JOBS = 120


async def one_job(bench: Bench, chance: random.Random, attacks: list[Attack]) -> None:
    """An attack or an honest job, at either level, for one of a few keys."""
    isolation: Isolation = chance.choice(["process", "process", "process", "container"])
    key = f"key-{chance.randrange(3)}"
    if chance.random() < 0.4:
        attack = chance.choice(attacks)
        await bench.call(
            attack.code,
            limits=QUICK.model_dump(),
            isolation=isolation,
            principal=key,
        )
        return
    ended = await bench.call(HONEST, 21, isolation=isolation, principal=key)
    assert (ended.status, ended.output) == (Status.OK, [21, {"twice": 42}])
    assert ended.stdout == "21\n"


async def test_soak_of_attacks_and_honest_work_leaves_everything_as_it_was() -> None:
    """No job fails for us, honest work is right throughout, and nothing has grown."""
    chance = random.Random(20240229)
    attacks = [attack for kind in CLASSES.values() for attack in kind]
    async with started_bench(pool_size="2") as bench:

        async def worker(count: int) -> None:
            for _ in range(count):
                await one_job(bench, chance, attacks)

        await asyncio.gather(*(worker(5) for _ in range(4)))
        before_fds, before_mb = descriptor_count(), resident_mb()
        before_tasks = len(asyncio.all_tasks())
        try:
            await asyncio.gather(*(worker(JOBS // 4) for _ in range(4)))
        except ServiceFailure as failure:
            pytest.fail(f"a job met a failure of ours: {failure}")
        pool = bench.runtime._pool
        assert pool is not None
        await eventually(lambda: len(bench.containers()) == pool.warm_count + pool.idle_count)
        await eventually(lambda: descriptor_count() <= before_fds + 4)
        assert resident_mb() - before_mb < 32
        assert len(asyncio.all_tasks()) <= before_tasks + 4
        admission = bench.runtime._started.admission
        assert (admission.active_count, admission.waiting_count) == (0, 0)
    assert bench.containers() == []
