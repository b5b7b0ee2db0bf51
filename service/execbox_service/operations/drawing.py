"""Drawing inputs from a generator: each in a process of its own, the same whenever it is made.

What becomes of an input is decided in ``generate``. Here is how draws are made that do not repeat
where the sources fix their randomness, or count, at their top level: see decision 0034.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

from execbox.wire import (
    Execution,
    ExecutionError,
    Limits,
    RejectReason,
    Status,
    Violation,
)
from execbox_service.json_steps import is_light, text_head
from execbox_service.judge.sameness import key_of
from execbox_service.operations.checks import reported_violations
from execbox_service.operations.job_payloads import Jobs
from execbox_service.operations.judging import is_large, judged
from execbox_service.sandboxes.driver import Attempt, Ended, Variation, call_payload
from execbox_service.scheduling.job_run import JobRun
from execbox_service.scheduling.offload import in_turns

__all__ = ["Draw", "Drawing"]

_PROBE_COUNT = 8
"""Draws that must all be the same before they count as repeating: of a coin, one in 128 times."""
_SHOWN_CHARS = 200
_FUNCTION_FILE, _GENERATOR_FILE = 'File "solution.py"', 'File "input_generator.py"'
"""As tracebacks name the two sources of a draw."""
_SEEDS = re.compile(r"seed|Random|default_rng|RandomState|Generator")
_SCANNED_CHARS_MAX = 300_000
_LETHAL = frozenset({Status.TIMEOUT, Status.MEMORY_EXCEEDED, Status.NO_RESULT})
"""How a draw ends that ends its process: those after it in one process would never be reached."""


@dataclass
class Draw:
    """One attempt: the input drawn, and why it gave no pair, if it did not."""

    attempt: int
    input: Any = None
    execution: Execution | None = None
    reason: RejectReason | None = None
    violations: list[Violation] = field(default_factory=list)

    def reject(self, reason: RejectReason) -> None:
        """Say once why this draw gives no pair; the first reason stays."""
        self.reason = self.reason or reason


class _Way(Enum):
    """How a draw comes to its own value."""

    SEEDED = "by the entropy of its process"
    RESEEDED = "by seeding anew what the sources have seeded"
    CONTINUED = "by making the draws before it, too"


class Drawing:
    """The draws of one request, whose values are a function of seed and attempt."""

    def __init__(self, jobs: Jobs, *, seed: int, limits: Limits) -> None:
        self._job = jobs.baseline
        self._seed = seed
        self._limits = limits
        self._names_seeds = any(
            _SEEDS.search(text[:_SCANNED_CHARS_MAX]) is not None for text in jobs.texts
        )
        self._way = _Way.SEEDED
        self._passed_over: list[int] = []

    async def draw(self, run: JobRun, *, first: int, count: int) -> list[Draw]:
        """Draws of so many attempts. The first of all, as ``first`` 0, are at least eight if the
        request permits that many. Raises ServiceFailure."""
        executions = await self._executions(run, first=first, count=count)
        if first == 0:
            for way in (_Way.RESEEDED, _Way.CONTINUED):
                if not await self._repeat([execution for execution, _ended in executions]):
                    break
                self._way = way
                executions[1:] = await self._executions(run, first=1, count=count - 1)
        return await in_turns(
            lambda each: self._drawn(each[0], *each[1]), enumerate(executions, first)
        )

    async def _repeat(self, executions: Sequence[Execution]) -> bool:
        """Whether draws are seen to repeat, from the first of them and how they end."""
        probe = executions[:_PROBE_COUNT]
        if len(probe) < 2:
            return False
        keys = await in_turns(
            key_of, probe, is_large=lambda execution: not is_light((execution.output,))
        )
        if len(set(keys)) > 1:
            return False
        if probe[0].status in _LETHAL:
            return self._way is _Way.SEEDED and self._names_seeds
        return probe[0].status not in (Status.NOT_RUN, Status.INVALID_CODE)

    async def _executions(
        self, run: JobRun, *, first: int, count: int
    ) -> list[tuple[Execution, Ended]]:
        together_count = count
        if self._way is _Way.CONTINUED:
            # What follows a lethal draw is to be made again, and is not to be much.
            together_count = run.width(self._job)
        executions: list[tuple[Execution, Ended]] = []
        while len(executions) < count:
            begin = first + len(executions)
            attempts = range(begin, min(begin + together_count, first + count))
            ended = await run.run(self._job, [self._attempt(attempt) for attempt in attempts])
            judge = partial(judged, limits=self._limits)
            begun = await in_turns(judge, ended, is_large=is_large)
            for attempt, execution, result in zip(attempts, begun, ended, strict=True):
                executions.append((execution, result))
                if self._way is _Way.CONTINUED and execution.status in _LETHAL:
                    self._passed_over.append(attempt)
                    break
        return executions

    def _attempt(self, attempt: int) -> Attempt:
        call: dict[str, object] = {"args": []}
        if self._way is _Way.RESEEDED:
            call["redraw"] = {"reseed": True}
        elif self._way is _Way.CONTINUED:
            call["redraw"] = {"earlier_count": attempt, "passed_over": self._passed_over}
        return Attempt(call_payload(call), _seeded(self._seed, attempt))

    def _drawn(self, attempt: int, execution: Execution, ended: Ended) -> Draw:
        draw = Draw(attempt, execution=execution)
        if execution.status is Status.NOT_RUN:
            draw.reject(RejectReason.NOT_RUN)
        elif execution.status in (Status.UNSERIALIZABLE, Status.OUTPUT_TOO_LARGE):
            draw.reject(RejectReason.INVALID_INPUT)
        elif execution.status is not Status.OK:
            whose = "" if _is_of_the_function(execution.error) else "generator_"
            draw.reject(RejectReason(f"{whose}{execution.status}"))
        elif execution.output_text is not None or not isinstance(execution.output, dict):
            draw.execution = execution.model_copy(update={"error": _no_input(execution)})
            draw.reject(RejectReason.INVALID_INPUT)
        else:
            draw.input = execution.output
            draw.violations = _input_violations(ended)
            if draw.violations:
                draw.reject(RejectReason.INPUT_COMPLEXITY)
        return draw


def _input_violations(ended: Ended) -> list[Violation]:
    """What a draw's own process measured of its output, which is our input."""
    return [
        Violation(
            path=item.path.replace("output", "input", 1),
            rule=item.rule,
            measured=item.measured,
            limit=item.limit,
        )
        for item in reported_violations(ended)
    ]


def _is_of_the_function(error: ExecutionError | None) -> bool:
    """Whether what went wrong in a draw did so in the function's source alone, which runs first."""
    trace = error.traceback if error is not None else None
    return trace is not None and _FUNCTION_FILE in trace and _GENERATOR_FILE not in trace


def _no_input(execution: Execution) -> ExecutionError:
    """What is wrong with what a generator returned, in the caller's terms."""
    if execution.output_text is not None:
        found = f"{execution.output_text[:_SHOWN_CHARS]}, and NaN and infinities are no JSON"
    else:
        found = text_head(execution.output, _SHOWN_CHARS)[:_SHOWN_CHARS]
    return ExecutionError(
        type="InvalidInput",
        message=f"the generator must return an object of keyword arguments, and returned {found}",
    )


def _seeded(seed: int, attempt: int) -> Variation:
    """Entropy of a draw's own, the same whenever and wherever it is made."""
    digest = hashlib.sha256(f"{seed}:{attempt}".encode()).digest()
    return Variation(surroundings=(("entropy_seed", int.from_bytes(digest[:6])),))
