"""Finding what calls that were caught depend on, by runs that change one thing or hold it still.

All of them are made beside the baseline, in its container; what counts as caught is decided in
``determinism_check``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from execbox.strict_json import StrictJSONError
from execbox.wire import Execution, Hint, Status
from execbox_service.json_steps import LARGE_BYTES, decode_any, free_in_steps, is_light
from execbox_service.judge.sameness import key_of, shown, without_addresses
from execbox_service.operations.judging import Judge, is_large
from execbox_service.operations.variations import HOLD_STILL, REPEAT, VARY_ONE
from execbox_service.runner_frames import Result
from execbox_service.sandboxes.driver import Attempt, Ended, Job, Variation, call_payload
from execbox_service.scheduling.job_run import JobRun
from execbox_service.scheduling.offload import in_turns, read_aside

__all__ = ["Causes", "CheckedCall"]

_OUTPUTS_MAX = 4
_HINTS_MAX = 1000
_SOUGHT_MAX = 20
"""Calls whose cause is looked for; the rest of a job's report the commonest cause of these."""
_SOUGHT_S = 30.0
"""How long a cause is looked for: some forty runs explain a result, and none of them changes it."""
_REPEATS = 5
"""Runs that must agree before a call counts as steady: a coin shows the same side five times in
one of sixteen."""
_MOVES = 3
"""Runs with a source moved that must all give a different output: what seldom changes may do so in
one of them."""


@dataclass(eq=False)
class CheckedCall:
    """One call under the check, and what its executions gave so far."""

    attempt: Attempt
    """The baseline's."""
    baseline: Execution
    pid: int | None
    """The process id of the baseline, in its container."""
    run_count: int = 1
    """How many executions there were, the baseline included."""
    cause: str | None = None
    hints: list[Hint] = field(default_factory=list)
    _seen: dict[str, object] = field(default_factory=dict)
    """The different results by what tells them apart, the baseline's first."""

    def under(self, variation: Variation) -> Attempt:
        """The same call once more, in other surroundings."""
        return self.attempt._replace(variation=variation)

    @property
    def differs(self) -> bool:
        return len(self._seen) > 1

    @property
    def outputs(self) -> list[object]:
        """The different results, at most four."""
        return list(self._seen.values())[:_OUTPUTS_MAX]

    @property
    def takes_long(self) -> bool:
        """Whether comparing the next execution takes long because of the baseline's output."""
        return not self._seen and not is_light((self.baseline.output,))

    def repeats(self, keys: set[str]) -> bool:
        """Whether runs with these keys gave what the baseline did, and nothing else."""
        return keys == {*islice(self._seen, 1)}

    def gave_otherwise(self, keys: set[str]) -> bool:
        """Whether no run with these keys gave what the baseline did."""
        return keys.isdisjoint(islice(self._seen, 1))

    def keep(self, execution: Execution) -> None:
        """Compare a further execution with those before it, and let go of what it gave again."""
        if not self._seen:
            self._seen[key_of(self.baseline)] = shown(self.baseline)
        self.run_count += 1
        key = key_of(execution)
        if key in self._seen or len(self._seen) >= _OUTPUTS_MAX:
            self._seen.setdefault(key, None)
            free_in_steps(execution.output)
        else:
            self._seen[key] = shown(execution)


class _OutOfTimeError(Exception):
    """The job's time, or that for finding causes, is over; what is not known now stays unknown."""


class Causes:
    """The search for the causes of one job's calls. Raises ServiceFailure."""

    def __init__(self, run: JobRun, job: Job, *, judge: Judge) -> None:
        self._run = run
        self._job = job
        self._judge = judge
        self._ends_s = asyncio.get_running_loop().time() + _SOUGHT_S

    async def find(self, calls: list[CheckedCall]) -> None:
        """Say of each call what it depends on; ``unknown`` where nothing tells."""
        sought = calls[:_SOUGHT_MAX]
        with contextlib.suppress(_OutOfTimeError):
            await self._seek(sought)
        commonest = Counter(call.cause for call in sought if call.cause).most_common(1)
        for call in calls:
            call.cause = call.cause or (commonest[0][0] if commonest else "unknown")
        hints = await self._hints()
        for call in calls:
            call.hints = hints

    async def _seek(self, calls: list[CheckedCall]) -> None:
        repeats = await self._keys(calls, REPEAT, count=_REPEATS)
        stable = [call for call, keys in zip(calls, repeats, strict=True) if call.repeats(keys)]
        await self._vary_one(stable)
        await self._hold_still([call for call in calls if call not in stable])

    async def _keys(
        self, calls: list[CheckedCall], variation: Variation, *, count: int
    ) -> list[set[str]]:
        """The different results of each call in so many runs under one variation."""
        keys: list[set[str]] = [set() for _ in calls]
        attempts = [call.under(variation) for call in calls]
        for _ in range(count):
            if asyncio.get_running_loop().time() >= self._ends_s:
                raise _OutOfTimeError
            ended = await self._run.run(self._job, attempts, apart=variation.apart)
            found = await in_turns(
                lambda result: self._key(result, variation), ended, is_large=is_large
            )
            for seen, key in zip(keys, found, strict=True):
                seen.add(key)
        return keys

    def _key(self, ended: Ended, variation: Variation) -> str:
        execution = self._judge(ended, variation.limit_factor)
        if execution.status is Status.NOT_RUN:
            raise _OutOfTimeError
        key = key_of(execution)
        free_in_steps(execution.output)
        return key

    async def _vary_one(self, calls: list[CheckedCall]) -> None:
        """What always differs when one thing does depends on that thing."""
        for probe in VARY_ONE:
            left = [call for call in calls if call.cause is None]
            keys = await self._keys(left, probe.variation, count=2)
            for call, seen in zip(left, keys, strict=True):
                if call.gave_otherwise(seen):
                    call.cause = probe.cause

    async def _hold_still(self, calls: list[CheckedCall]) -> None:
        """Whatever stops changing when one source stands still depends on that source.

        What changes although entropy, the clock, the process's identity and the timers stand
        still depends on when the machine did what: ``timing``.
        """
        for stillness in HOLD_STILL:
            left = [call for call in calls if call.cause is None]
            held = await self._keys(left, stillness.held, count=_REPEATS)
            masked = await _without_addresses(held)
            still = [
                (call, keys) for call, keys in zip(left, masked, strict=True) if len(keys) == 1
            ]
            for moved in stillness.moved:
                unmoved = [(call, keys) for call, keys in still if call.cause is None]
                seen = await self._keys([call for call, _ in unmoved], moved, count=_MOVES)
                masked = await _without_addresses(seen)
                for (call, keys), others in zip(unmoved, masked, strict=True):
                    if keys.isdisjoint(others):
                        call.cause = stillness.cause
        for call in calls:
            call.cause = call.cause or "timing"

    async def _hints(self) -> list[Hint]:
        """Lines of the source that read something that can vary: read inside a job process."""
        (ended,) = await self._run.run(self._job, [Attempt(call_payload({"hints": True}))])
        report = ended.report if isinstance(ended, Result) else None
        if report is None or report.header.status != "ok":
            return []
        return await read_aside(len(report.output), _hints_in, report.output)


def _hints_in(output: bytes) -> list[Hint]:
    try:
        return [Hint.model_validate(hint) for hint in islice(decode_any(output), _HINTS_MAX)]
    except (StrictJSONError, ValueError, TypeError):
        return []


async def _without_addresses(found: Sequence[set[str]]) -> list[set[str]]:
    return await in_turns(
        lambda keys: {without_addresses(key) for key in keys},
        found,
        is_large=lambda keys: sum(map(len, keys)) >= LARGE_BYTES,
    )
