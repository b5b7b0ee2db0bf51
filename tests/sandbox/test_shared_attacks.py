"""The attack programs of ../shared/attacks, at both isolation levels; skipped without them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from harness.attacks.attack import assert_outcome, run_attack
from harness.attacks.lists import (
    DESCRIBED,
    SHARED_PROGRAMS,
    SIGNALS,
    attack_of,
    limits_of,
    shared_records,
)
from harness.bench import Bench

from execbox.wire import Isolation

pytestmark = [
    pytest.mark.docker,
    pytest.mark.attacks,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not SHARED_PROGRAMS, reason="there is no ../shared/attacks"),
]


@pytest.mark.parametrize("isolation", ["process", "container"])
@pytest.mark.parametrize("record", [pytest.param(r, id=r["id"]) for r in shared_records()])
async def test_shared_attack_ends_as_it_must(
    bench: Bench, record: dict[str, Any], isolation: Isolation
) -> None:
    """The expected status and output, a canary beside it and one after it."""
    await run_attack(bench, attack_of(record), isolation=isolation, limits=limits_of(record))


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(r, id=r["id"])
        for r in shared_records()
        if "describe" in (r.get("expect_output") or {}) or r["id"] in SIGNALS
    ],
)
async def test_shared_attack_described_in_words_holds(bench: Bench, record: dict[str, Any]) -> None:
    """Expectations that are no single value: exact numbers, flags, signals."""
    ended = await bench.call(
        record["code"],
        *record["kwargs"].values(),
        limits=limits_of(record).model_dump(),
        isolation="process",
    )
    assert_outcome(ended, attack_of(record))
    if ended.status.value == "ok" and record["id"] in DESCRIBED:
        assert DESCRIBED[record["id"]](ended)
    if record["id"] in SIGNALS:
        assert ended.signal in SIGNALS[record["id"]]


@pytest.mark.parametrize("isolation", ["process", "container"])
async def test_shared_attacks_that_meet_do_not_at_the_same_time(
    bench: Bench, isolation: Isolation
) -> None:
    """What must not find another of its kind does not find one that runs beside it either."""
    for record in shared_records():
        if record["id"] in {"C14", "E04", "C03", "C13"}:
            ended = await asyncio.gather(
                *(
                    bench.call(
                        record["code"],
                        *record["kwargs"].values(),
                        limits=limits_of(record).model_dump(),
                        isolation=isolation,
                    )
                    for _ in range(2)
                )
            )
            for execution in ended:
                assert_outcome(execution, attack_of(record))


async def test_shared_attack_d21_gives_the_same_in_every_call_of_a_job(bench: Bench) -> None:
    """An entry point that replaces itself does so for its own process only."""
    (record,) = [record for record in shared_records() if record["id"] == "D21"]
    executions = await bench.calls(record["code"], *([1] for _ in range(5)))
    assert [execution.output for execution in executions] == [1] * 5
