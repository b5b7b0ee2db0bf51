"""The attack programs of ../shared/attacks, at both isolation levels; skipped without them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from execbox.wire import Execution, Isolation, Limits
from tests.bench import Bench
from tests.sandbox.attack import Attack, assert_outcome, run_attack

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "attacks"
PROGRAMS = FOLDER / "attacks.jsonl"
LIMITS = Limits(
    cpu_time_s=2.0, wall_time_s=4.0, memory_mb=256, output_bytes=1_048_576, stdout_bytes=65_536
)
"""What the folder's README asks for."""

pytestmark = [
    pytest.mark.docker,
    pytest.mark.attacks,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not PROGRAMS.exists(), reason="there is no ../shared/attacks"),
]

ERROR_TYPES = {"A16": ("OSError",), "A35": ("MemoryError",), "B27": ("PermissionError",)}


def programs() -> list[dict[str, Any]]:
    """The records of the folder, none where it is absent."""
    if not PROGRAMS.exists():
        return []
    return [json.loads(line) for line in PROGRAMS.read_text("utf-8").splitlines()]


def attack_of(record: dict[str, Any]) -> Attack:
    """A record as an attack; an expectation in words is checked by ``DESCRIBED``."""
    expected = record.get("expect_output") or {}
    return Attack(
        name=record["id"],
        code=record["code"],
        statuses=tuple(record["expect_status"]),
        output=expected.get("equals"),
        any_output="equals" not in expected,
        arguments=tuple(record["kwargs"].values()),
        repeat=record.get("repeat", 1),
        error_types=ERROR_TYPES.get(record["id"], ()),
    )


def described_a33(ended: Execution) -> bool:
    return bool(ended.output == 10**200_000)


def described_a34(ended: Execution) -> bool:
    return ended.output_text == "[NaN,Infinity,-Infinity,-0.0,5e-324]" and (
        ended.output is None and ended.output_flags == ["non_finite"]
    )


def described_d05(ended: Execution) -> bool:
    return bool(ended.output == [{"b": 2}, [9], 7])


def described_d19(ended: Execution) -> bool:
    return ended.output is None and ended.output_text == "[NaN,NaN,NaN,Infinity]"


def described_d20(ended: Execution) -> bool:
    return bool(ended.output == ["\ud800", "e\u0301", "\u00e9", "\x00", "\u2028"])


DESCRIBED: dict[str, Callable[[Execution], bool]] = {
    "A33": described_a33,
    "A34": described_a34,
    "D05": described_d05,
    "D19": described_d19,
    "D20": described_d20,
}
SIGNALS: dict[str, set[str | None]] = {
    "B08": {None, "SIGKILL"},
    "A36": {"SIGSEGV"},
    "B24": {None, "SIGSYS"},
}


@pytest.mark.parametrize("isolation", ["process", "container"])
@pytest.mark.parametrize("record", [pytest.param(r, id=r["id"]) for r in programs()])
async def test_shared_attack_ends_as_it_must(
    bench: Bench, record: dict[str, Any], isolation: Isolation
) -> None:
    """The expected status and output, a canary beside it and one after it."""
    await run_attack(bench, attack_of(record), isolation=isolation, limits=LIMITS)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(r, id=r["id"])
        for r in programs()
        if "describe" in (r.get("expect_output") or {}) or r["id"] in SIGNALS
    ],
)
async def test_shared_attack_described_in_words_holds(bench: Bench, record: dict[str, Any]) -> None:
    """Expectations that are no single value: exact numbers, flags, signals."""
    ended = await bench.call(
        record["code"], *record["kwargs"].values(), limits=LIMITS.model_dump(), isolation="process"
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
    for record in programs():
        if record["id"] in {"C14", "E04", "C03", "C13"}:
            ended = await asyncio.gather(
                *(
                    bench.call(
                        record["code"],
                        *record["kwargs"].values(),
                        limits=LIMITS.model_dump(),
                        isolation=isolation,
                    )
                    for _ in range(2)
                )
            )
            for execution in ended:
                assert_outcome(execution, attack_of(record))


async def test_shared_attack_d21_gives_the_same_in_every_call_of_a_job(bench: Bench) -> None:
    """An entry point that replaces itself does so for its own process only."""
    (record,) = [record for record in programs() if record["id"] == "D21"]
    executions = await bench.calls(record["code"], *([1] for _ in range(5)))
    assert [execution.output for execution in executions] == [1] * 5
