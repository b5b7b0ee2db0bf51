"""The determinism check: running calls again under variation, and saying which gave one answer.

Which variations there are is in ``variations``, what counts as equal in ``judge.sameness``, and
how a cause is found in ``determinism_causes``. Calls come in portions, each checked whole before
the next has begun; within one, runs go over all calls at once, one variation after another, so
that each interpreter they take is started once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from execbox.wire import Determinism, Execution, Status
from execbox_service.operations.determinism_causes import Causes, CheckedCall
from execbox_service.operations.job_payloads import Jobs
from execbox_service.operations.judging import Judge, is_large
from execbox_service.operations.source_words import names_entropy, names_order
from execbox_service.operations.variations import further_variation, run_variation
from execbox_service.runner_frames import Result
from execbox_service.sandboxes.driver import Attempt, Ended, Variation
from execbox_service.scheduling.job_run import JobRun
from execbox_service.scheduling.offload import in_turns

__all__ = ["Checker"]

_SUSPECT_RUNS = 8
"""Runs for the other calls of a function of which one call was caught: two hash seeds may order
a small set alike."""
_TRIALS_MIN = 5
"""Varied runs that a function gets in all, its calls together, if its source names what has an
order of its own: two members of a set come in the same order again every other time."""
_ENTROPY_RUNS = 6
"""Runs of every call if the source names randomness or threads: what one call draws for says
nothing about the other calls, and two draws may well be the same."""


class Checker:
    """The check of one request's calls. Its methods raise ServiceFailure."""

    def __init__(
        self, run: JobRun, jobs: Jobs, *, runs: int, call_count: int, judge: Judge
    ) -> None:
        """``call_count`` is how many calls there will be in all portions."""
        self._run = run
        self._job = jobs.rerun
        self._runs = runs
        self._judge = judge
        self._ordered_runs = runs
        if call_count and names_order(jobs.texts):
            self._ordered_runs = max(runs, 1 + math.ceil(_TRIALS_MIN / call_count))
        entropy_runs = _ENTROPY_RUNS if names_entropy(jobs.texts) else 1
        self._total_runs = max(self._ordered_runs, entropy_runs)
        self._calls: list[CheckedCall] = []

    async def vary(
        self, attempts: Sequence[Attempt], baselines: Sequence[tuple[Execution, Ended]]
    ) -> None:
        """Run a portion of the calls again, those whose baseline is ``ok``."""
        portion = [
            CheckedCall(attempt, execution, pid=_pid_of(ended))
            for attempt, (execution, ended) in zip(attempts, baselines, strict=True)
        ]
        self._calls += portion
        checked = [call for call in portion if call.baseline.status is Status.OK]
        for number in range(2, self._total_runs + 1):
            steady = [call for call in checked if number <= self._runs or not call.differs]
            differently = run_variation if number <= self._ordered_runs else further_variation
            await self._vary(steady, differently(number))

    @property
    def outputs(self) -> list[object]:
        """What the calls gave so far that differs."""
        return [output for call in self._calls for output in call.outputs]

    async def verdicts(self, *, explain: bool) -> list[Determinism | None]:
        """What was found about all calls, in their order; causes are looked for with ``explain``.

        None for those whose baseline is not ``ok``, and for a call that showed no difference
        before the job's time was over and before it was run ``runs`` times: that is no result.
        """
        checked = [call for call in self._calls if call.baseline.status is Status.OK]
        caught = any(call.differs for call in checked)
        if caught:
            for number in range(2, _SUSPECT_RUNS + 1):
                steady = [c for c in checked if not c.differs and c.run_count < number]
                await self._vary(steady, run_variation(number))
        if caught and explain:
            causes = Causes(self._run, self._job, judge=self._judge)
            await causes.find([call for call in checked if call.differs])
        return await in_turns(self._verdict, self._calls)

    async def _vary(self, calls: list[CheckedCall], variation: Variation) -> None:
        """Run each call once more; what the job's time did not reach is left as it is."""
        varied = await self._varied(calls, variation)
        kept = await in_turns(
            lambda each: self._keep(*each, variation),
            varied,
            is_large=lambda each: is_large(each[1]) or each[0].takes_long,
        )
        again = [call for (call, _ended), keep in zip(varied, kept, strict=True) if not keep]
        await in_turns(
            lambda each: self._keep(*each, variation, whatever=True),
            await self._varied(again, variation),
            is_large=lambda each: is_large(each[1]) or each[0].takes_long,
        )

    async def _varied(
        self, calls: list[CheckedCall], variation: Variation
    ) -> list[tuple[CheckedCall, Ended]]:
        attempts = [call.under(variation) for call in calls]
        ended = await self._run.run(self._job, attempts, apart=variation.apart)
        return list(zip(calls, ended, strict=True))

    def _keep(
        self, call: CheckedCall, ended: Ended, variation: Variation, *, whatever: bool = False
    ) -> bool:
        """Keep an execution, unless its process happens to have the baseline's number: two
        containers count their processes each for itself, and this must differ, too."""
        if call.pid is not None and _pid_of(ended) == call.pid and not whatever:
            return False
        execution = self._judge(ended, variation.limit_factor)
        if execution.status is not Status.NOT_RUN:
            call.keep(execution)
        return True

    def _verdict(self, call: CheckedCall) -> Determinism | None:
        if call.baseline.status is not Status.OK:
            return None
        if call.run_count < self._runs and not call.differs:
            return None
        return Determinism.model_validate(
            {
                "deterministic": not call.differs,
                "cause": call.cause,
                "outputs": call.outputs if call.differs else [],
                "runs": call.run_count,
                "hints": call.hints,
            }
        )


def _pid_of(ended: Ended) -> int | None:
    return ended.measured.pid if isinstance(ended, Result) else None
