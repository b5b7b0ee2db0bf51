"""Generating pairs: drawing inputs, running them, keeping what holds, accounting for the rest.

Everything that decides is a function of the request alone: draws are seeded by (seed, attempt),
looked at in order, and counted up to the one that completed the pairs. How many are drawn ahead
changes the cost and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from execbox.wire import (
    Call,
    Execution,
    ExecutionError,
    GenerateRequest,
    GenerateResponse,
    Pair,
    RejectedExample,
    RejectReason,
    Status,
    Stopped,
    Violation,
)
from execbox_service.operations import certificates
from execbox_service.operations.backend import Backend
from execbox_service.operations.checks import ActiveChecks, DeterminismCheck, reported_violations
from execbox_service.operations.job_payloads import (
    Options,
    function_jobs,
    generator_jobs,
    payload_of,
)
from execbox_service.operations.judging import judged
from execbox_service.sandboxes.driver import Attempt, Ended, Variation, call_payload
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.job_run import JobRun

_SHOWN_CHARS = 200
_FUNCTION_FILE, _GENERATOR_FILE = 'File "solution.py"', 'File "input_generator.py"'
"""As tracebacks name the two sources of a draw."""
_DRAWN_AHEAD_MIN, _DRAWN_AHEAD_MAX = 8, 200
_DRAW_PAYLOAD = call_payload({"args": []})


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


@dataclass
class _Account:
    """What has been decided so far, in the order of the attempts."""

    wanted_count: int
    pairs: list[Pair] = field(default_factory=list)
    rejected: Counter[RejectReason] = field(default_factory=Counter)
    examples: dict[RejectReason, RejectedExample] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    executions: list[Execution] = field(default_factory=list)
    """The last execution of every draw, for counting."""
    attempts: int = 0
    fruitless: int = 0
    """Draws since the last pair, the dear ones counted five times."""

    @property
    def complete(self) -> bool:
        return len(self.pairs) >= self.wanted_count


async def generate(
    backend: Backend, request: GenerateRequest, *, caller: Caller
) -> GenerateResponse:
    """Sample pairs. Raises Overloaded or ServiceFailure."""
    return await _Generation(backend, request, caller=caller).run()


def executions_of(_response: GenerateResponse) -> Sequence[Execution]:
    """What the log counts of an answer: pairs are no executions, and the metrics have those."""
    return ()


class _Generation:
    """One generate request on its way."""

    def __init__(self, backend: Backend, request: GenerateRequest, *, caller: Caller) -> None:
        self._backend = backend
        self._request = request
        self._caller = caller
        imports = backend.facts.imports
        self._checks = ActiveChecks.of(request.checks, imports=imports)
        varied = self._checks.determinism is not None
        options = Options.of(request, imports=imports, varied=varied)
        self._drawing = generator_jobs(
            request.function, request.input_generator, options, measured=self._checks.measured
        ).baseline
        self._running = function_jobs(request.function, options, measured=self._checks.measured)
        self._account = _Account(request.count)

    async def run(self) -> GenerateResponse:
        """Draw and run until there are enough pairs. Raises Overloaded or ServiceFailure."""
        facts = self._backend.facts
        job_time_s = self._request.limits.job_time_s
        async with self._backend.job_run(self._caller, job_time_s=job_time_s) as run:
            stopped = await self._until_stopped(run)
        account = self._account
        self._backend.metrics.executed(account.executions)
        return GenerateResponse(
            pairs=account.pairs,
            rejected={reason.value: n for reason, n in sorted(account.rejected.items())},
            examples={reason.value: shown for reason, shown in account.examples.items()},
            attempts=account.attempts,
            stopped=stopped,
            isolation=self._request.isolation,
            engine=facts.engine,
            image=facts.image,
            queue_time_s=run.queue_time_s,
        )

    async def _until_stopped(self, run: JobRun) -> Stopped:
        request, account = self._request, self._account
        while account.attempts < request.attempts:
            count = min(self._draw_count(), request.attempts - account.attempts)
            if request.give_up_after:
                count = min(count, request.give_up_after - account.fruitless)
            draws = await self._draw(run, first=account.attempts, count=count)
            await self._execute(run, [draw for draw in draws if draw.reason is None])
            for draw in draws:
                if draw.reason is RejectReason.NOT_RUN:
                    return "job_time"
                self._decide(draw)
                if account.complete:
                    return "count"
                if request.give_up_after and account.fruitless >= request.give_up_after:
                    return "given_up"
            if all(draw.reason in _UNUSABLE for draw in draws):
                return "invalid_code"
        return "attempts"

    def _draw_count(self) -> int:
        """As many as have been needed for each pair so far, for the pairs still wanted."""
        account = self._account
        left = account.wanted_count - len(account.pairs)
        if account.attempts == 0:
            return min(max(left, _DRAWN_AHEAD_MIN), _DRAWN_AHEAD_MAX)
        per_pair = (account.attempts + 1) / (len(account.pairs) + 1)
        return min(max(round(left * per_pair), _DRAWN_AHEAD_MIN), _DRAWN_AHEAD_MAX)

    # Drawing inputs

    async def _draw(self, run: JobRun, *, first: int, count: int) -> list[Draw]:
        attempts = range(first, first + count)
        ended = await run.run(
            self._drawing,
            [Attempt(_DRAW_PAYLOAD, _seeded(self._request.seed, n)) for n in attempts],
        )
        draws = [
            self._drawn(attempt, result) for attempt, result in zip(attempts, ended, strict=True)
        ]
        for draw in draws:
            self._mark_duplicate(draw)
        return draws

    def _drawn(self, attempt: int, ended: Ended) -> Draw:
        execution = judged(ended, limits=self._request.limits)
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

    def _mark_duplicate(self, draw: Draw) -> None:
        if draw.reason is not None:
            return
        text = json.dumps(draw.input, sort_keys=True)
        if text in self._account.seen:
            draw.reject(RejectReason.DUPLICATE_INPUT)
        self._account.seen.add(text)

    # Running them

    async def _execute(self, run: JobRun, draws: list[Draw]) -> None:
        if not draws:
            return
        calls = [Call(kwargs=draw.input) for draw in draws]
        payloads = [payload_of(call) for call in calls]
        executions = await self._checks.baseline(run, self._running, payloads=payloads, calls=calls)
        for draw, execution in zip(draws, executions, strict=True):
            _look_at(draw, execution)
        if self._checks.determinism is not None:
            await self._check(run, self._checks.determinism, draws=draws, payloads=payloads)

    async def _check(
        self,
        run: JobRun,
        check: DeterminismCheck,
        *,
        draws: Sequence[Draw],
        payloads: Sequence[bytes],
    ) -> None:
        standing = [
            (draw, payload, draw.execution)
            for draw, payload in zip(draws, payloads, strict=True)
            if draw.reason is None and draw.execution is not None
        ]
        checked = await check.checked(
            run,
            self._running,
            payloads=[payload for _draw, payload, _execution in standing],
            executions=[execution for _draw, _payload, execution in standing],
            explain=RejectReason.NON_DETERMINISTIC not in self._account.rejected,
        )
        for (draw, _payload, _execution), execution in zip(standing, checked, strict=True):
            draw.execution = execution
            if execution.determinism is None:
                draw.reject(RejectReason.NOT_RUN)
            elif not execution.determinism.deterministic:
                draw.reject(RejectReason.NON_DETERMINISTIC)

    # Deciding, in order

    def _decide(self, draw: Draw) -> None:
        account = self._account
        account.attempts += 1
        if draw.execution is not None:
            account.executions.append(draw.execution)
        if draw.reason is None:
            account.pairs.append(self._pair(draw))
            account.fruitless = 0
            return
        account.fruitless += _DEAR_COUNT if draw.reason in _DEAR else 1
        account.rejected[draw.reason] += 1
        if draw.reason not in account.examples:
            account.examples[draw.reason] = _example(draw)

    def _pair(self, draw: Draw) -> Pair:
        execution = draw.execution or Execution(status=Status.NOT_RUN)
        checked = execution.determinism
        certificate = None
        if checked is not None:
            certificate = certificates.write(
                self._backend.facts,
                packages=self._running.rerun.packages,
                limits=self._request.limits,
                runs=checked.runs,
                seed=self._request.seed,
                attempt=draw.attempt,
            )
        return Pair(input=draw.input, output=execution.output, certificate=certificate)


_DEAR_COUNT = 5
_DEAR = frozenset(
    {
        RejectReason.TIMEOUT,
        RejectReason.MEMORY_EXCEEDED,
        RejectReason.GENERATOR_TIMEOUT,
        RejectReason.GENERATOR_MEMORY_EXCEEDED,
    }
)
"""Reasons that cost as much time or memory as was allowed."""
_UNUSABLE = frozenset({RejectReason.GENERATOR_INVALID_CODE, RejectReason.INVALID_CODE})
"""Reasons that every draw shares: the source will not get better by drawing on."""


def _look_at(draw: Draw, execution: Execution) -> None:
    """Whether the execution gives a pair: what the paper's pipeline drops is dropped."""
    draw.execution = execution
    if execution.status is not Status.OK:
        draw.reject(RejectReason(execution.status))
    elif execution.output_text is not None:
        draw.reject(RejectReason.NON_FINITE)
    elif execution.output is None:
        draw.reject(RejectReason.NONE_OUTPUT)
    elif execution.complexity is not None and not execution.complexity.ok:
        draw.violations = execution.complexity.violations
        on_input = draw.violations[0].path.startswith("input")
        draw.reject(RejectReason.INPUT_COMPLEXITY if on_input else RejectReason.OUTPUT_COMPLEXITY)


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


def _example(draw: Draw) -> RejectedExample:
    execution = draw.execution
    return RejectedExample(
        attempt=draw.attempt,
        input=draw.input,
        output=execution.output if execution is not None and draw.input is not None else None,
        error=execution.error if execution is not None else None,
        determinism=execution.determinism if execution is not None else None,
        violations=draw.violations,
    )


def _is_of_the_function(error: ExecutionError | None) -> bool:
    """Whether what went wrong in a draw did so in the function's source alone, which runs first."""
    trace = error.traceback if error is not None else None
    return trace is not None and _FUNCTION_FILE in trace and _GENERATOR_FILE not in trace


def _no_input(execution: Execution) -> ExecutionError:
    """What is wrong with what a generator returned, in the caller's terms."""
    if execution.output_text is not None:
        found = f"{execution.output_text[:_SHOWN_CHARS]}, and NaN and infinities are no JSON"
    else:
        found = json.dumps(execution.output)[:_SHOWN_CHARS]
    return ExecutionError(
        type="InvalidInput",
        message=f"the generator must return an object of keyword arguments, and returned {found}",
    )


def _seeded(seed: int, attempt: int) -> Variation:
    """Entropy of a draw's own, the same whenever and wherever it is made."""
    digest = hashlib.sha256(f"{seed}:{attempt}".encode()).digest()
    return Variation(surroundings=(("entropy_seed", int.from_bytes(digest[:6])),))
