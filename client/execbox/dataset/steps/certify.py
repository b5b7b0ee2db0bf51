"""``certify``: pairs that somebody has already, run again and sorted into kept, corrected, dropped.

How one pair is sorted is in ``sorting``. The HTTP is behind ``Executor``, which
``execbox.AsyncClient`` is.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from execbox import _json, wire
from execbox.dataset.files.records import BadRecord, Record, Value, list_field
from execbox.dataset.steps import inquiries
from execbox.dataset.steps.progress import Listener, Summary, unheard
from execbox.dataset.steps.sorting import Sorted, failed_pair, is_finite, same_json, sort_pair
from execbox.dataset.steps.step import Step, per_record, run_step_async
from execbox.dataset.steps.terms import (
    OWN_META,
    REFUSED_KEY,
    Patience,
    RunTerms,
    conversion_of,
    for_service,
    function_of,
    packed_certificates,
    request_sized,
    with_own_meta,
)
from execbox.errors import ExecboxError, RequestError

__all__ = ["Executor", "certify_file", "certify_step"]

_SHOWN_CHARS = 300


class Executor(Protocol):
    """Runs functions; opened around its use, called by several tasks at once."""

    async def execute(
        self,
        function: wire.Function | str,
        calls: Sequence[wire.Call | Mapping[str, object]],
        *,
        limits: wire.Limits,
        checks: wire.Checks,
        isolation: wire.Isolation | None,
        convert: wire.Conversion,
    ) -> wire.ExecuteResponse:
        """One execution per call, in their order. Raises ``RequestError`` where refused."""

    async def capabilities(self) -> wire.Capabilities:
        """What the service permits and runs."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def certify_file(
    source: Path,
    output: Path,
    *,
    executor: Executor,
    terms: RunTerms | None = None,
    restart: bool = False,
    listener: Listener = unheard,
) -> Summary:
    """Sort the pairs of every record of ``source`` that is not sorted in ``output`` yet.

    A result's ``ios`` are the pairs kept and corrected, in their old order, and its
    ``meta.execbox`` says what became of every one. A record none of whose pairs is left is in the
    error file, with the same account. ``tallies`` of the summary count pairs. Raises
    ``ServiceError`` and ``TransportError`` where the service fails altogether. Opens and closes
    ``executor``; not to be called where an event loop runs, see ``certify_step``.
    """

    async def run() -> Summary:
        async with executor:
            chosen = for_service(terms or RunTerms(), await executor.capabilities())
            return await run_step_async(
                certify_step(executor, chosen),
                source=source,
                output=output,
                restart=restart,
                listener=listener,
            )

    return asyncio.run(run())


def certify_step(executor: Executor, terms: RunTerms) -> Step:
    """The step, for an ``executor`` that is open; its results are counted by what had to change."""
    patience = Patience()

    async def certify(record: Record) -> Value:
        job = _Job(executor, record.value, terms)
        try:
            checked = await job.run()
        except BadRecord:
            raise
        except ExecboxError as error:
            raise patience.problem_of(error) from error
        patience.answered()
        return _with_sorted_pairs(record.value, checked, job=job)

    return Step(
        name="certify",
        settings=terms.settings,
        work=per_record(certify),
        reason_of=lambda value: _outcome(_own(value)),
        tally=lambda value: _tally(_own(value)),
        concurrency=terms.concurrency or 1,
        non_finite=True,
    )


@dataclass(frozen=True, slots=True)
class _Checked:
    """One pair of a record, sorted, with what certifies it."""

    pair: object
    sorted: Sorted
    certificate: wire.Certificate | None = None


class _Job:
    """All pairs of one record."""

    def __init__(self, executor: Executor, value: Value, terms: RunTerms) -> None:
        self._executor = executor
        self._terms = terms
        self.function = function_of(value, terms)
        self.convert = conversion_of(value, terms)
        self._pairs = list_field(value, "ios")
        if not self._pairs:
            raise BadRecord('"ios" is empty: there is nothing to certify', reason="no_pairs")

    async def run(self) -> Sequence[_Checked]:
        """Every pair, in order."""
        checked: list[_Checked | None] = [None] * len(self._pairs)
        seen: set[str] = set()
        runnable: list[tuple[int, Value]] = []
        for index, pair in enumerate(self._pairs):
            unusable = _unusable(pair, seen)
            if unusable is not None:
                checked[index] = _Checked(pair, unusable)
            elif isinstance(pair, dict):
                runnable.append((index, pair))
        for chunk in request_sized(runnable, sent=lambda indexed: indexed[1]["input"]):
            for index, result in await self._run_chunk(chunk):
                checked[index] = result
        complete = [one for one in checked if one is not None]
        return await self._explained(complete)

    async def _run_chunk(
        self, chunk: Sequence[tuple[int, Value]]
    ) -> Sequence[tuple[int, _Checked]]:
        """Each pair with its index; asks again for what a job's time did not reach."""
        done: list[tuple[int, _Checked]] = []
        while chunk:
            calls = [wire.Call.model_validate({"kwargs": pair["input"]}) for _, pair in chunk]
            response = await self._execute(self.function, calls, checks=self._terms.checks)
            left = []
            for (index, pair), execution in zip(chunk, response.executions, strict=True):
                if self._is_incomplete(execution):
                    left.append((index, pair))
                else:
                    done.append((index, _checked(pair, execution, response.certificate)))
            if len(left) == len(chunk):
                raise BadRecord(
                    "the job's time was over before one pair was checked; give it more with "
                    "--job-time-s",
                    reason="job_time",
                )
            chunk = left
        return done

    def _is_incomplete(self, execution: wire.Execution) -> bool:
        if execution.status is wire.Status.NOT_RUN:
            return True
        wanted = self._terms.runs is not None and execution.status is wire.Status.OK
        return wanted and execution.determinism is None

    async def _explained(self, checked: Sequence[_Checked]) -> Sequence[_Checked]:
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
        return await self._executor.execute(
            function,
            calls,
            limits=self._terms.limits,
            checks=checks,
            isolation=self._terms.isolation,
            convert=self.convert,
        )


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
) -> _Checked:
    result = sort_pair(pair["output"], execution)
    if result.group == "dropped" or certificate is None or execution.determinism is None:
        return _Checked(pair, result)
    runs = execution.determinism.runs
    return _Checked(pair, result, certificate.model_copy(update={"runs": runs}))


def _explained(one: _Checked, in_a_row: object, *, mutates: bool) -> Sorted:
    published = one.pair["output"] if isinstance(one.pair, dict) else None
    if isinstance(in_a_row, str) and _is_text_of(in_a_row, published):
        return replace(one.sorted, reason="state_between_calls")
    # A function that changes its arguments may find nothing left to change in what it has changed.
    return replace(one.sorted, reason="mutated_argument") if mutates else one.sorted


def _is_text_of(text: str, value: object) -> bool:
    """Whether ``text``, which the record's own code may have written, is JSON of ``value``."""
    try:
        return same_json(_json.decode(text, non_finite=True), value)
    except ValueError:
        return False


def _with_sorted_pairs(value: Value, checked: Sequence[_Checked], *, job: _Job) -> Value:
    account: Value = {
        "pairs": len(checked),
        "corrected": [
            {"ioid": _place(checked, index), "was": index, "reason": one.sorted.reason}
            | _published(one)
            for index, one in enumerate(checked)
            if one.sorted.group == "corrected"
        ],
        "dropped": [
            _dropped(index, one)
            for index, one in enumerate(checked)
            if one.sorted.group == "dropped"
        ],
    }
    left = [one for one in checked if one.sorted.group != "dropped"]
    if not left:
        raise BadRecord(_why_none(checked), reason=_commonest(checked), detail={OWN_META: account})
    certificates = [one.certificate for one in left if one.certificate is not None]
    settings: Value = {"prelude": job.function.prelude, "convert": job.convert}
    return (
        value
        | {name: setting for name, setting in settings.items() if setting != "none"}
        | {
            "ios": [
                {**one.pair, "output": one.sorted.output}
                for one in left
                if isinstance(one.pair, dict)
            ],
            "meta": with_own_meta(value, account | packed_certificates(certificates)),
        }
    )


def _published(one: _Checked) -> Value:
    output = one.pair["output"] if isinstance(one.pair, dict) else None
    return {"published": output} if is_finite(output) else {"published_text": json.dumps(output)}


def _place(checked: Sequence[_Checked], index: int) -> int:
    """Where a pair is among those that are left."""
    return sum(one.sorted.group != "dropped" for one in checked[:index])


def _dropped(index: int, one: _Checked) -> Value:
    dropped: Value = {"was": index, "reason": one.sorted.reason}
    for name in ("cause", "message"):
        if getattr(one.sorted, name) is not None:
            dropped[name] = getattr(one.sorted, name)
    if is_finite(one.pair) and len(json.dumps(one.pair)) <= _SHOWN_CHARS:
        dropped["pair"] = one.pair
    return dropped


def _commonest(checked: Sequence[_Checked]) -> str:
    counts = Counter(one.sorted.reason for one in checked)
    return min(counts, key=lambda name: (-counts[name], name))


def _why_none(checked: Sequence[_Checked]) -> str:
    counts = Counter(one.sorted.counted_as.removeprefix("dropped: ") for one in checked)
    text = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    message = next((one.sorted.message for one in checked if one.sorted.message), None)
    return f"no pair is left of {len(checked)} ({text})" + (f"; {message}" if message else "")


def _own(value: Value) -> Value:
    meta = value.get("meta", value)
    own = meta.get(OWN_META) if isinstance(meta, dict) else None
    return own if isinstance(own, dict) else {}


def _outcome(own: Value) -> str:
    changed = [name for name in ("corrected", "dropped") if own.get(name)]
    return "pairs " + " and ".join(changed) if changed else "all pairs kept"


def _tally(own: Value) -> Mapping[str, int]:
    """Pairs by what became of them, of a result or of a failure's detail."""
    counts: Counter[str] = Counter()
    for group in ("corrected", "dropped"):
        entries = own.get(group)
        for entry in entries if isinstance(entries, list) else []:
            cause = f" ({entry['cause']})" if "cause" in entry else ""
            counts[f"{group}: {entry['reason']}{cause}"] += 1
    total = own.get("pairs")
    if isinstance(total, int):
        counts["kept"] = total - counts.total()
    return counts
