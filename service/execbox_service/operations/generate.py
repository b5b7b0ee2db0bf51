"""Generating pairs: drawing inputs, running them, keeping what holds, accounting for the rest.

Everything that decides is a function of the request alone: draws are seeded by (seed, attempt),
looked at in order, and counted up to the one that completed the pairs. How many are drawn ahead
changes the cost and nothing else.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from execbox.wire import (
    Call,
    Execution,
    GenerateRequest,
    GenerateResponse,
    Pair,
    RejectedExample,
    RejectReason,
    Status,
    Stopped,
)
from execbox_service.failures import RequestFailed
from execbox_service.json_steps import encode_in_steps, is_light
from execbox_service.operations import certificates
from execbox_service.operations.backend import Backend
from execbox_service.operations.checked_run import DEAR, run_checked
from execbox_service.operations.checks import ActiveChecks
from execbox_service.operations.drawing import Draw, Drawing
from execbox_service.operations.job_payloads import Options, function_jobs, generator_jobs
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.job_run import JobRun
from execbox_service.scheduling.offload import ASIDE_BYTES, free_aside, in_turns, read_aside

_DRAWN_AHEAD_MIN, _DRAWN_AHEAD_MAX = 8, 200


@dataclass
class _Account:
    """What has been decided so far, in the order of the attempts."""

    wanted_count: int
    pairs: list[Pair] = field(default_factory=list)
    rejected: Counter[RejectReason] = field(default_factory=Counter)
    examples: dict[RejectReason, RejectedExample] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)
    """Digests of the inputs that were drawn."""
    executions: list[Execution] = field(default_factory=list)
    """The last execution of every draw, for counting."""
    attempts: int = 0
    fruitless: int = 0
    """Draws since the last pair, the dear ones counted ten times."""

    @property
    def complete(self) -> bool:
        return len(self.pairs) >= self.wanted_count


async def generate(
    backend: Backend, request: GenerateRequest, *, caller: Caller
) -> GenerateResponse:
    """Sample pairs. Raises Overloaded or ServiceFailure."""
    sources_bytes = len(request.function.code) + len(request.input_generator.code)
    generation = await read_aside(sources_bytes, _Generation, backend, request, caller=caller)
    return await generation.run()


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
        self._checks = ActiveChecks.of(request.checks)
        varied = self._checks.determinism is not None
        options = Options.of(request, imports=imports, varied=varied)
        self._drawing = Drawing(
            generator_jobs(
                request.function, request.input_generator, options, measured=self._checks.measured
            ),
            seed=request.seed,
            limits=request.limits,
        )
        self._running = function_jobs(request.function, options, measured=self._checks.measured)
        self._account = _Account(request.count)
        self._draws: Sequence[Draw] = ()
        """Those that are being looked at."""

    async def run(self) -> GenerateResponse:
        """Draw and run until there are enough pairs. Raises Overloaded or ServiceFailure."""
        facts = self._backend.facts
        job_time_s = self._request.limits.job_time_s
        async with self._backend.job_run(self._caller, job_time_s=job_time_s) as run:
            try:
                stopped = await self._until_stopped(run)
            except RequestFailed:
                pairs, executions = self._account.pairs, self._account.executions
                inputs = [draw.input for draw in self._draws]
                await free_aside(ASIDE_BYTES, pairs, executions, inputs)
                raise
        account = self._account
        executed = self._backend.metrics.executed
        await in_turns(executed, ([execution] for execution in account.executions))
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
            draws = await self._drawing.draw(run, first=account.attempts, count=count)
            self._draws = draws
            await in_turns(self._mark_duplicate, draws, is_large=_is_large)
            await self._execute(run, [draw for draw in draws if draw.reason is None])
            stopped = self._decide_all(draws)
            await self._let_go(draws)
            if stopped is not None:
                return stopped
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

    def _mark_duplicate(self, draw: Draw) -> None:
        if draw.reason is not None:
            return
        digest = hashlib.sha256()
        for piece in encode_in_steps(draw.input, sort_keys=True):
            digest.update(piece.encode("ascii"))
        if digest.digest() in self._account.seen:
            draw.reject(RejectReason.DUPLICATE_INPUT)
        self._account.seen.add(digest.digest())

    # Running them

    async def _execute(self, run: JobRun, draws: list[Draw]) -> None:
        """Run inputs and check the pairs; what was not reached is rejected as ``not_run``."""
        if not draws:
            return
        account = self._account
        fruitless = _Fruitless(account.fruitless, give_up_after=self._request.give_up_after)
        executions = await run_checked(
            run,
            self._running,
            self._checks,
            calls=await in_turns(lambda draw: Call(kwargs=draw.input), draws),
            gives_up=fruitless.gives_up,
            is_wanted=lambda index, execution: _look_at(draws[index], execution),
            explain=RejectReason.NON_DETERMINISTIC not in account.rejected,
        )
        for draw, execution in zip(draws, executions, strict=True):
            draw.execution = execution
            verdict = execution.determinism
            if verdict is not None and not verdict.deterministic:
                draw.reject(RejectReason.NON_DETERMINISTIC)
            elif execution.status is Status.NOT_RUN or (
                verdict is None and self._checks.determinism is not None
            ):
                draw.reject(RejectReason.NOT_RUN)

    # Deciding, in order

    def _decide_all(self, draws: Sequence[Draw]) -> Stopped | None:
        request, account = self._request, self._account
        for draw in draws:
            if draw.reason is RejectReason.NOT_RUN:
                return "job_time"
            self._decide(draw)
            if account.complete:
                return "count"
            if request.give_up_after and account.fruitless >= request.give_up_after:
                return "given_up"
        return None

    async def _let_go(self, draws: Sequence[Draw]) -> None:
        """Free what was drawn and given and is not in the answer."""
        shown = {example.attempt for example in self._account.examples.values()}
        kept = self._account.attempts
        for draw in draws:
            if (draw.reason is None and draw.attempt < kept) or draw.attempt in shown:
                continue
            if _is_large(draw):
                await free_aside(ASIDE_BYTES, draw.input, draw.execution)

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


_DEAR_COUNT = 10
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


class _Fruitless:
    """Draws since the last that may give a pair, as ``_Account`` counts them, but before it is
    known which gave one: never more than the account will say."""

    def __init__(self, count: int, *, give_up_after: int | None) -> None:
        self._count = count
        self._give_up_after = give_up_after

    def gives_up(self, execution: Execution) -> bool:
        """To be told each execution, in order."""
        if execution.status is Status.OK:
            self._count = 0
        else:
            self._count += _DEAR_COUNT if execution.status in DEAR else 1
        return self._give_up_after is not None and self._count >= self._give_up_after


def _is_large(draw: Draw) -> bool:
    output = draw.execution.output if draw.execution is not None else None
    return not is_light((draw.input, output))


def _look_at(draw: Draw, execution: Execution) -> bool:
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
    return draw.reason is None


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
