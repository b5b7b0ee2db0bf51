"""An attack program, what it must end in, and running one with the checks that follow each."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from execbox.wire import Execution, Isolation, Limits, Status
from tests.bench import Bench

LIMITS = Limits(
    cpu_time_s=1.0, wall_time_s=2.0, memory_mb=256, output_bytes=1_048_576, stdout_bytes=65_536
)
ANSWER_MARGIN_S = 12
"""Beyond the wall limit, counted twice for one that is run again alone: a machine under load."""
CANARY = "def main_solution(x): return x * 2"
_FORBIDDEN_TEXT = ("/usr/lib/execbox", "execbox_runner", "/work/", "docker", "zygote", "supervisor")


@dataclass(frozen=True)
class Attack:
    """A program, the statuses it may end in, and its output where it ends ``ok``."""

    name: str
    code: str
    statuses: tuple[str, ...]
    output: Any = None
    any_output: bool = False
    arguments: tuple[Any, ...] = ()
    repeat: int = 1
    """How often in a row: the first plants something, the next must not find it."""
    error_types: tuple[str, ...] = ()
    """With ``exception``: the types it may be; empty for any."""


async def run_attack(
    bench: Bench, attack: Attack, *, isolation: Isolation, limits: Limits = LIMITS
) -> None:
    """Run an attack beside a canary and before one, and check everything that must hold."""
    key = f"attacker-{isolation}"
    executions = []
    for _ in range(attack.repeat):
        started_s = time.monotonic()
        execution, beside = await asyncio.gather(
            bench.call(
                attack.code,
                *attack.arguments,
                limits=limits.model_dump(),
                isolation=isolation,
                principal=key,
            ),
            bench.call(CANARY, 4, isolation="process", principal="bystander"),
        )
        assert time.monotonic() - started_s < 2 * limits.wall_time_s + ANSWER_MARGIN_S
        assert (beside.status, beside.output) == (Status.OK, 8)
        executions.append(execution)
    for execution in executions:
        assert_outcome(execution, attack)
        assert_presentable(execution, stdout_bytes=limits.stdout_bytes)
    after = await bench.call(
        CANARY, 21, limits=limits.model_dump(), isolation=isolation, principal=key
    )
    assert (after.status, after.output) == (Status.OK, 42)


def assert_outcome(execution: Execution, attack: Attack) -> None:
    """The status is one of those expected, and so is what came with it."""
    assert execution.status.value in attack.statuses, execution
    if execution.status is Status.OK and not attack.any_output:
        expected = json.dumps(attack.output)
        assert json.dumps(execution.output) == expected, execution.output
    if execution.status is Status.EXCEPTION and attack.error_types:
        assert execution.error is not None
        assert execution.error.type in attack.error_types, execution.error


def assert_presentable(execution: Execution, *, stdout_bytes: int) -> None:
    """The answer is valid UTF-8 JSON, bounded, and says nothing of our own files."""
    text = execution.model_dump_json()
    text.encode("utf-8")
    json.loads(text)
    assert len(execution.stdout.encode()) <= stdout_bytes
    assert len(execution.stderr.encode()) <= stdout_bytes
    if execution.error is not None:
        said = f"{execution.error.message}\n{execution.error.traceback}"
        assert len(said) < 20_000
        for forbidden in _FORBIDDEN_TEXT:
            assert forbidden not in said, said
