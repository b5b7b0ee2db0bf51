"""Finding what calls that were caught depend on, by runs that change one thing or hold it still.

All of them are made beside the baseline, in its container; what counts as caught is decided in
``determinism_check``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field, replace

from execbox.strict_json import StrictJSONError, decode
from execbox.wire import Execution, Hint, Status
from execbox_service.judge.sameness import key_of, without_addresses
from execbox_service.operations.judging import Judge
from execbox_service.operations.variations import HOLD_STILL, REPEAT, VARY_ONE
from execbox_service.runner_frames import Result
from execbox_service.sandboxes.driver import Attempt, Job, Variation, call_payload
from execbox_service.scheduling.job_run import JobRun

__all__ = ["Causes", "CheckedCall"]

_SOUGHT_MAX = 20
"""Calls whose cause is looked for; the rest of a job's report the commonest cause of these."""
_SOUGHT_S = 30.0
"""How long a cause is looked for: some forty runs explain a result, and none of them changes it."""
_REPEATS = 5
"""Runs that must agree before a call counts as steady: a coin shows the same side five times in
one of sixteen."""
_MOVES = 3
"""Runs that must all be another with a source elsewhere: what seldom changes may do so once."""


@dataclass
class CheckedCall:
    """One call under the check: every execution of it so far, the baseline first."""

    attempt: Attempt
    """The baseline's."""
    executions: list[Execution]
    pid: int | None
    """The process id of the baseline, in its container."""
    cause: str | None = None
    hints: list[Hint] = field(default_factory=list)
    _keys: list[str] = field(default_factory=list)
    """Of the executions that have been compared: each takes as long as writing its output."""

    def under(self, variation: Variation) -> Attempt:
        """The same call once more, in other surroundings."""
        return replace(self.attempt, variation=variation)

    @property
    def differs(self) -> bool:
        self._keys += map(key_of, self.executions[len(self._keys) :])
        return len(set(self._keys)) > 1


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
        stable = [
            call
            for call, keys in zip(calls, repeats, strict=True)
            if keys == {key_of(call.executions[0])}
        ]
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
            for seen, result in zip(keys, ended, strict=True):
                execution = self._judge(result, variation.limit_factor)
                if execution.status is Status.NOT_RUN:
                    raise _OutOfTimeError
                seen.add(key_of(execution))
        return keys

    async def _vary_one(self, calls: list[CheckedCall]) -> None:
        """What always differs when one thing does depends on that thing."""
        for probe in VARY_ONE:
            left = [call for call in calls if call.cause is None]
            keys = await self._keys(left, probe.variation, count=2)
            for call, seen in zip(left, keys, strict=True):
                if key_of(call.executions[0]) not in seen:
                    call.cause = probe.cause

    async def _hold_still(self, calls: list[CheckedCall]) -> None:
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
        (ended,) = await self._run.run(self._job, [Attempt(call_payload({"hints": True}))])
        report = ended.report if isinstance(ended, Result) else None
        if report is None or report.header.status != "ok":
            return []
        try:
            return [Hint.model_validate(hint) for hint in decode(report.output)]
        except (StrictJSONError, ValueError, TypeError):
            return []


def _without_addresses(keys: set[str]) -> set[str]:
    return {without_addresses(key) for key in keys}
