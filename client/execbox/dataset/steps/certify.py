"""``certify``: pairs that exist already, run again and sorted into kept, corrected, dropped.

How one pair is sorted is in ``sorting``, what a record says afterwards in ``certified_record``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from execbox import strict_json, wire
from execbox.dataset.files.json_lines import BadRecord, Value, list_field, refuse_non_finite
from execbox.dataset.files.record_certificates import own_meta_of
from execbox.dataset.files.records import Record
from execbox.dataset.steps import inquiries
from execbox.dataset.steps.certified_record import (
    CheckedPair,
    certified_record,
    outcome_of,
    tally_of,
)
from execbox.dataset.steps.patience import REFUSED_KEY, Patience
from execbox.dataset.steps.record_function import conversion_of, function_of, named_settings
from execbox.dataset.steps.request_sizes import request_sized
from execbox.dataset.steps.run_options import RunOptions, settled_for
from execbox.dataset.steps.services import ExecuteService
from execbox.dataset.steps.sorting import Sorted, failed_pair, is_finite, same_json, sort_pair
from execbox.dataset.steps.step import Step, per_record
from execbox.errors import ExecboxError, RequestError

__all__ = ["certify_step", "open_certify_step"]
_GIVE_UP_AFTER = 5
_DEAR = frozenset({wire.Status.TIMEOUT, wire.Status.MEMORY_EXCEEDED})
_GIVEN_UP = Sorted(
    group="dropped",
    reason="given_up",
    message=f"not run: the {_GIVE_UP_AFTER} pairs before took all the time or memory they may",
)
_JOB_TIME = Sorted(
    group="dropped",
    reason="job_time",
    message="the job's time was over before it was checked; give it more with --job-time-s",
)


@asynccontextmanager
async def open_certify_step(
    service: ExecuteService, options: RunOptions | None = None
) -> AsyncIterator[Step]:
    """The step, with ``service`` opened around it and asked what it permits.

    A result's ``ios`` are the pairs kept and corrected, in their old order, and its
    ``meta.execbox`` says what became of every one. A record none of whose pairs is left is in the
    error file, with the same account. ``tallies`` of the run's summary count pairs. The run raises
    ``ServiceError`` and ``TransportError`` where the service fails altogether.
    """
    async with service:
        yield certify_step(
            service, settled_for(options or RunOptions(), await service.capabilities())
        )


def certify_step(service: ExecuteService, options: RunOptions) -> Step:
    """The step, for a ``service`` that is open and options settled for it (``settled_for``).

    Its results are counted by what had to change.
    """
    patience = Patience()

    async def certify(record: Record) -> Value:
        refuse_non_finite(record.value, besides="ios")
        job = _PairsOfRecord(service, record.value, options)
        try:
            checked = await job.run()
        except BadRecord:
            raise
        except ExecboxError as error:
            raise patience.problem_of(error) from error
        patience.answered()
        settings = named_settings(job.function, job.convert)
        return certified_record(record.value | settings, checked, itemid=record.index)

    return Step(
        name="certify",
        settings=options.settings,
        work=per_record(certify),
        reason_of=lambda value: outcome_of(own_meta_of(value)),
        tally=lambda value: tally_of(own_meta_of(value)),
        concurrency=options.concurrency or 1,
        non_finite=True,
        numbers_lines=True,
    )


class _PairsOfRecord:
    """All pairs of one record."""

    def __init__(self, service: ExecuteService, value: Value, options: RunOptions) -> None:
        self._service = service
        self._options = options
        self.function = function_of(value, options)
        self.convert = conversion_of(value, options)
        self._pairs = list_field(value, "ios")
        if not self._pairs:
            raise BadRecord('"ios" is empty: there is nothing to certify', reason="no_pairs")

    async def run(self) -> Sequence[CheckedPair]:
        """Every pair, in order."""
        checked: list[CheckedPair | None] = [None] * len(self._pairs)
        seen: set[str] = set()
        runnable: list[tuple[int, Value]] = []
        for index, pair in enumerate(self._pairs):
            unusable = _unusable(pair, seen)
            if unusable is not None:
                checked[index] = CheckedPair(pair, unusable)
            elif isinstance(pair, dict):
                runnable.append((index, pair))
        for chunk in request_sized(runnable, sent=lambda indexed: indexed[1]["input"]):
            for index, result in await self._run_chunk(chunk):
                checked[index] = result
        complete = [one for one in checked if one is not None]
        return await self._explained(complete)

    async def _run_chunk(
        self, chunk: Sequence[tuple[int, Value]]
    ) -> Sequence[tuple[int, CheckedPair]]:
        """Each pair with its index; asks again for what a job's time did not reach.

        A pair that a whole job's time is too short for is dropped, and after several such pairs
        in a row the rest is, too.
        """
        done: list[tuple[int, CheckedPair]] = []
        too_long_count = 0
        while chunk:
            calls = [wire.Call.model_validate({"kwargs": pair["input"]}) for _, pair in chunk]
            response = await self._execute(self.function, calls, checks=self._options.checks)
            ended = [execution.status for execution in response.executions]
            if _is_given_up(ended):
                return done + self._given_up(chunk, response)
            left = []
            for (index, pair), execution in zip(chunk, response.executions, strict=True):
                if self._is_incomplete(execution):
                    left.append((index, pair))
                else:
                    done.append((index, _checked(pair, execution, response.certificate)))
            too_long_count = too_long_count + 1 if len(left) == len(chunk) else 0
            if too_long_count:
                drop_count = len(left) if too_long_count == _GIVE_UP_AFTER else 1
                done += [(index, CheckedPair(pair, _JOB_TIME)) for index, pair in left[:drop_count]]
                left = left[drop_count:]
            chunk = left
        return done

    def _given_up(
        self, chunk: Sequence[tuple[int, Value]], response: wire.ExecuteResponse
    ) -> list[tuple[int, CheckedPair]]:
        """What was checked, and the rest as dropped without having been run."""
        return [
            (index, CheckedPair(pair, _GIVEN_UP))
            if self._is_incomplete(execution)
            else (index, _checked(pair, execution, response.certificate))
            for (index, pair), execution in zip(chunk, response.executions, strict=True)
        ]

    def _is_incomplete(self, execution: wire.Execution) -> bool:
        if execution.status is wire.Status.NOT_RUN:
            return True
        wanted = self._options.runs is not None and execution.status is wire.Status.OK
        return wanted and execution.determinism is None

    async def _explained(self, checked: Sequence[CheckedPair]) -> Sequence[CheckedPair]:
        """Say of outputs that were not reproduced what the rest of the record tells about them."""
        unclear = [one for one in checked if one.sorted.reason == "not_reproduced"]
        if not unclear:
            return checked
        outputs = await self._in_a_row()
        mutates = any(one.sorted.reason == "mutated_argument" for one in checked)
        mutates = mutates or await self._changes_arguments()
        return [
            replace(one, sorted=_explained(one, output, mutates=mutates)) if one in unclear else one
            for one, output in zip(checked, outputs, strict=True)
        ]

    async def _in_a_row(self) -> Sequence[object]:
        """What one process gives for all inputs, one after the other; as JSON text, or None."""
        output = await self._inquire(inquiries.IN_A_ROW)
        if isinstance(output, list) and len(output) == len(self._pairs):
            return output
        return [None] * len(self._pairs)

    async def _changes_arguments(self) -> bool:
        """Whether it changes its arguments where inputs are much like the record's."""
        return await self._inquire(inquiries.CHANGES_ARGUMENTS) is True

    async def _inquire(self, inquiry: inquiries.Inquiry) -> object:
        """What an inquiry answers, given all inputs; None where it cannot be made."""
        inputs = [pair.get("input") for pair in self._pairs if isinstance(pair, dict)]
        if len(inputs) != len(self._pairs) or not is_finite(inputs):
            return None
        function = inquiries.asked_of(self.function, inquiry)
        call = wire.Call(args=[inputs])
        try:
            response = await self._execute(function, [call], checks=wire.Checks())
        except RequestError as error:
            # All inputs together can be too large or too deep, where each by itself was not.
            if error.http_status in REFUSED_KEY:
                raise
            return None
        return response.executions[0].output

    async def _execute(
        self, function: wire.Function, calls: Sequence[wire.Call], *, checks: wire.Checks
    ) -> wire.ExecuteResponse:
        return await self._service.execute(
            function,
            calls,
            limits=self._options.limits_for(len(calls)),
            checks=checks,
            isolation=self._options.isolation,
            convert=self.convert,
            give_up_after=_GIVE_UP_AFTER,
        )


def _is_given_up(statuses: Sequence[wire.Status]) -> bool:
    """Whether the service stopped because so many calls in a row took all they may."""
    if wire.Status.NOT_RUN not in statuses:
        return False
    before = statuses[: statuses.index(wire.Status.NOT_RUN)][-_GIVE_UP_AFTER:]
    return len(before) == _GIVE_UP_AFTER and _DEAR.issuperset(before)


def _unusable(pair: object, seen: set[str]) -> Sorted | None:
    """Why a pair is dropped without running it; its input is added to those seen."""
    problem = failed_pair(pair)
    if problem is not None or not isinstance(pair, dict):
        return Sorted(group="dropped", reason="invalid_pair", message=problem)
    if not is_finite(pair["input"]):
        return Sorted(
            group="dropped", reason=wire.RejectReason.NON_FINITE, message="the input is no JSON"
        )
    text = json.dumps(pair["input"], sort_keys=True)
    if text in seen:
        return Sorted(group="dropped", reason=wire.RejectReason.DUPLICATE_INPUT)
    seen.add(text)
    return None


def _checked(
    pair: Value, execution: wire.Execution, certificate: wire.Certificate | None
) -> CheckedPair:
    result = sort_pair(pair["output"], execution)
    if result.group == "dropped" or certificate is None or execution.determinism is None:
        return CheckedPair(pair, result)
    runs = execution.determinism.runs
    return CheckedPair(pair, result, certificate.model_copy(update={"runs": runs}))


def _explained(one: CheckedPair, in_a_row: object, *, mutates: bool) -> Sorted:
    published = one.pair["output"] if isinstance(one.pair, dict) else None
    if isinstance(in_a_row, str) and _is_text_of(in_a_row, published):
        return replace(one.sorted, reason="state_between_calls")
    # A function that changes its arguments may find nothing left to change in what it has changed.
    return replace(one.sorted, reason="mutated_argument") if mutates else one.sorted


def _is_text_of(text: str, value: object) -> bool:
    """Whether ``text``, which the record's own code may have written, is JSON of ``value``."""
    try:
        return same_json(strict_json.decode(text, non_finite=True), value)
    except ValueError:
        return False
