"""The determinism check: running calls again under variation, and finding what they depend on.

Which variations there are is in ``variations``, what counts as equal in ``judge.sameness``.
Runs go over all calls at once, one variation after another, so that each interpreter it takes
is started once.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from execbox.strict_json import StrictJSONError, decode
from execbox.wire import Determinism, Execution, Hint, Status
from execbox_service.judge.sameness import distinct_outputs, key_of, without_addresses
from execbox_service.operations.variations import (
    HOLD_STILL,
    REPEAT,
    VARY_ONE,
    further_variation,
    run_variation,
)
from execbox_service.runner_frames import Result
from execbox_service.sandboxes.driver import Attempt, Ended, Job, Variation, call_payload
from execbox_service.scheduling.job_run import JobRun

_CAUSES_SOUGHT_MAX = 20
"""Calls whose cause is looked for; the rest of a job's report the commonest cause of these."""
_REPEATS = 5
"""Runs that must agree before a call counts as steady: a coin shows the same side five times in
one of sixteen."""
_MOVES = 3
"""Runs that must all be another with a source elsewhere: what seldom changes may do so once."""
_SUSPECT_RUNS = 8
"""Runs for the other calls of a function of which one call was caught: two hash seeds may order
a small set alike."""
_TRIALS_MIN = 5
"""Varied runs that a function gets in all, its calls together, if its source names what has an
order of its own: two members of a set come in the same order again every other time."""
_ENTROPY_RUNS = 6
"""Runs of every call if the source names randomness or threads: what one call draws for says
nothing about another, and a draw may well come out the same."""
_NAMES_ORDER = re.compile(rb"\b(?:set|frozenset|hash|id)\b|\{[^{}:]*,")
_NAMES_ENTROPY = re.compile(
    rb"\b(?:random|randint|choice|shuffle|sample|rvs|secrets|uuid\w?|urandom"
    rb"|thread\w*|futures|asyncio)\b"
)

Judge = Callable[[Ended, int], Execution]
"""From a raw result and the factor its limits were multiplied by to an execution."""


@dataclass
class _Checked:
    """One call under the check: every execution of it so far, the baseline first."""

    payload: bytes
    executions: list[Execution]
    cause: str | None = None
    hints: list[Hint] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        return len({key_of(execution) for execution in self.executions}) > 1


async def check(
    job_run: JobRun,
    job: Job,
    *,
    payloads: Sequence[bytes],
    baselines: Sequence[Execution],
    runs: int,
    judge: Judge,
    explain: bool = True,
) -> list[Determinism | None]:
    """Check every call whose baseline is ``ok``. Raises ServiceFailure.

    None for the others, and for a call that showed no difference before the job's time was over
    and before it was run ``runs`` times: that is no result. Causes are looked for with ``explain``.
    """
    checked = {
        index: _Checked(payload, [baseline])
        for index, (payload, baseline) in enumerate(zip(payloads, baselines, strict=True))
        if baseline.status is Status.OK
    }
    checker = _Checker(job_run, job, judge)
    calls = list(checked.values())
    source = job.function_payload
    ordered_runs = max(runs, _runs_for_order(source, call_count=len(calls)))
    for run in range(2, max(ordered_runs, _runs_for_entropy(source)) + 1):
        steady = [call for call in calls if run <= runs or not call.differs]
        differently = run_variation if run <= ordered_runs else further_variation
        await checker.vary(steady, differently(run))
    if any(call.differs for call in calls):
        for run in range(2, _SUSPECT_RUNS + 1):
            steady = [c for c in calls if not c.differs and len(c.executions) < run]
            await checker.vary(steady, run_variation(run))
        if explain:
            await checker.find_causes([call for call in calls if call.differs])
    return [
        _report(checked[index], runs=runs) if index in checked else None
        for index in range(len(payloads))
    ]


def _runs_for_order(source: bytes, *, call_count: int) -> int:
    """How often to run each call, whatever was asked for: this decides effort, never a result."""
    if call_count and _NAMES_ORDER.search(source):
        return 1 + math.ceil(_TRIALS_MIN / call_count)
    return 1


def _runs_for_entropy(source: bytes) -> int:
    return _ENTROPY_RUNS if names_entropy(source) else 1


def names_entropy(source: bytes) -> bool:
    """Whether a source says a word for randomness or threads: it need not use what it names."""
    return _NAMES_ENTROPY.search(source) is not None


def _report(call: _Checked, *, runs: int) -> Determinism | None:
    if len(call.executions) < runs and not call.differs:
        return None
    return Determinism.model_validate(
        {
            "deterministic": not call.differs,
            "cause": call.cause,
            "outputs": distinct_outputs(call.executions) if call.differs else [],
            "runs": len(call.executions),
            "hints": call.hints,
        }
    )


def _without_addresses(keys: set[str]) -> set[str]:
    return {without_addresses(key) for key in keys}


class _Checker:
    def __init__(self, job_run: JobRun, job: Job, judge: Judge) -> None:
        self._job_run = job_run
        self._job = job
        self._judge = judge

    async def vary(self, calls: list[_Checked], variation: Variation) -> None:
        """Run each call once more; what the job's time did not reach is left as it is."""
        for call, execution in zip(calls, await self._run(calls, variation), strict=True):
            if execution.status is not Status.NOT_RUN:
                call.executions.append(execution)

    async def _run(self, calls: list[_Checked], variation: Variation) -> list[Execution]:
        attempts = [Attempt(call.payload, variation) for call in calls]
        ended = await self._job_run.run(self._job, attempts)
        return [self._judge(result, variation.limit_factor) for result in ended]

    async def find_causes(self, calls: list[_Checked]) -> None:
        """Say of each call what it depends on; ``unknown`` where nothing tells."""
        sought = calls[:_CAUSES_SOUGHT_MAX]
        repeats = await self._keys(sought, REPEAT, count=_REPEATS)
        stable = [
            call
            for call, keys in zip(sought, repeats, strict=True)
            if keys == {key_of(call.executions[0])}
        ]
        await self._vary_one(stable)
        await self._hold_still([call for call in sought if call not in stable])
        commonest = Counter(call.cause for call in sought if call.cause).most_common(1)
        for call in calls:
            call.cause = call.cause or (commonest[0][0] if commonest else "unknown")
        hints = await self._hints()
        for call in calls:
            call.hints = hints

    async def _keys(
        self, calls: list[_Checked], variation: Variation, *, count: int
    ) -> list[set[str]]:
        """The different results of each call in so many runs under one variation."""
        keys: list[set[str]] = [set() for _ in calls]
        for _ in range(count):
            executions = await self._run(calls, variation)
            for seen, execution in zip(keys, executions, strict=True):
                seen.add(key_of(execution))
        return keys

    async def _vary_one(self, calls: list[_Checked]) -> None:
        """What always differs when one thing does depends on that thing."""
        for probe in VARY_ONE:
            left = [call for call in calls if call.cause is None]
            keys = await self._keys(left, probe.variation, count=2)
            for call, seen in zip(left, keys, strict=True):
                if key_of(call.executions[0]) not in seen:
                    call.cause = probe.cause

    async def _hold_still(self, calls: list[_Checked]) -> None:
        """Whatever stops changing when one source stands still depends on that source.

        What changes although entropy, the clock, the process's identity and the timers stand
        still depends on when the machine did what: ``timing``.
        """
        for stillness in HOLD_STILL:
            left = [call for call in calls if call.cause is None]
            held = await self._keys(left, stillness.held, count=_REPEATS)
            still = [
                (call, keys)
                for call, keys in zip(left, map(_without_addresses, held), strict=True)
                if len(keys) == 1
            ]
            for moved in stillness.moved:
                unmoved = [(call, keys) for call, keys in still if call.cause is None]
                seen = await self._keys([call for call, _ in unmoved], moved, count=_MOVES)
                for (call, keys), others in zip(unmoved, seen, strict=True):
                    if keys.isdisjoint(_without_addresses(others)):
                        call.cause = stillness.cause
        for call in calls:
            call.cause = call.cause or "timing"

    async def _hints(self) -> list[Hint]:
        """Lines of the source that read something that can vary: read inside a job process."""
        (ended,) = await self._job_run.run(self._job, [Attempt(call_payload({"hints": True}))])
        report = ended.report if isinstance(ended, Result) else None
        if report is None or report.header.status != "ok":
            return []
        try:
            return [Hint.model_validate(hint) for hint in decode(report.output)]
        except (StrictJSONError, ValueError, TypeError):
            return []
