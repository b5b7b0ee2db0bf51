"""An attack program, what it must end in, and running one with the checks that follow each."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from execbox.wire import (
    CellResponse,
    Execution,
    Isolation,
    Language,
    Limits,
    ProgramRun,
    Status,
)
from harness.bench import Bench

LIMITS = Limits(
    cpu_time_s=1.0, wall_time_s=2.0, memory_mb=256, output_bytes=1_048_576, stdout_bytes=65_536
)
ANSWER_MARGIN_S = 12
"""Beyond the hard stop, counted twice for one that is run again alone: a machine under load."""
_HARD_STOP_FACTOR = 4
_ERROR_CHARS_MAX = 20_000
SHOWN_CHARS = 300
CANARY = "def main_solution(x): return x * 2"
_CHECKOUT = str(Path(__file__).resolve().parents[2])
FORBIDDEN_TEXT = (
    *("/usr/lib/execbox", "execbox_runner", "docker", "zygote", "supervisor"),
    _CHECKOUT,
)


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
    language: Language = "python"
    """Any other is that of a whole program; its output is what it prints."""


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
        hard_stop_s = _HARD_STOP_FACTOR * limits.wall_time_s
        assert time.monotonic() - started_s < 2 * hard_stop_s + ANSWER_MARGIN_S
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
    fault = outcome_fault(execution, attack)
    assert fault is None, f"{fault}: {execution}"


def assert_presentable(execution: Execution, *, stdout_bytes: int) -> None:
    """The answer is valid UTF-8 JSON, bounded, and says nothing of our own files."""
    fault = presentation_fault(execution, stdout_bytes=stdout_bytes)
    assert fault is None, f"{fault}: {execution}"


def outcome_fault(execution: Execution, attack: Attack) -> str | None:
    """What is wrong with the status or with what came with it; None where nothing is."""
    if execution.status.value not in attack.statuses:
        return f"status {execution.status.value}, not one of {', '.join(attack.statuses)}"
    if execution.status is Status.OK and not attack.any_output:
        expected, got = json.dumps(attack.output), json.dumps(execution.output)
        if got != expected:
            return f"output {got[:SHOWN_CHARS]}, not {expected[:SHOWN_CHARS]}"
    if execution.status is Status.EXCEPTION and attack.error_types:
        raised = execution.error.type if execution.error is not None else "nothing"
        if raised not in attack.error_types:
            return f"raised {raised}, not one of {', '.join(attack.error_types)}"
    return None


def presentation_fault(execution: Execution, *, stdout_bytes: int) -> str | None:
    """What an answer should not have or be; None where nothing is wrong."""
    if execution.error is not None:
        error_chars = len(f"{execution.error.message}\n{execution.error.traceback}")
        if error_chars >= _ERROR_CHARS_MAX:
            return f"an error of {error_chars} characters"
    return answer_fault(execution, stdout_bytes=stdout_bytes)


def answer_fault(ended: Execution | ProgramRun | CellResponse, *, stdout_bytes: int) -> str | None:
    """What no answer may have, of whatever kind: streams beyond their cap, words of ours."""
    json.loads(ended.model_dump_json().encode("utf-8"))
    for name in ("stdout", "stderr"):
        # A program's bytes that are no UTF-8 are shown as a character of three.
        shown = getattr(ended, name)
        size = len(shown) if isinstance(ended, ProgramRun) else len(shown.encode())
        if size > stdout_bytes:
            return f"{name} is longer than {stdout_bytes} bytes"
    if ended.error is None:
        return None
    said = f"{ended.error.message}\n{ended.error.traceback}"
    told = [text for text in FORBIDDEN_TEXT if text in said]
    return f"the error mentions {told[0]}" if told else None
