"""``verify``: what every answer was worth, found out by the service; feedback comes with it.

Adds ``res`` (``status`` and ``message``, in CodeI/O's words), ``verdict``, ``feedback`` and
``extracted``. Comparing, extracting and the feedback's wording are the service's; the HTTP is
behind ``Verifier``, which ``execbox.AsyncClient`` is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self, TypeAlias

from pydantic import ValidationError

from execbox import wire
from execbox.dataset.lookup import Lookup
from execbox.dataset.progress import Listener, Summary, unheard
from execbox.dataset.records import BadRecord, DatasetError, Record, Value, index_field, text_field
from execbox.dataset.step import Step, Worked, run_step_async
from execbox.errors import RequestError

__all__ = [
    "Verifier",
    "VerifyOptions",
    "item_of",
    "verdicts_of",
    "verify_file",
    "verify_step",
]

Comparator: TypeAlias = Literal["codeio", "exact", "tolerance"]
Prelude: TypeAlias = Literal["none", "codeio"]

_STATUS = {
    wire.Verdict.CORRECT: "success",
    wire.Verdict.INCORRECT: "failed",
    wire.Verdict.NO_ANSWER: "no answer",
}
"""CodeI/O's words; every other verdict is its own status."""


class Verifier(Protocol):
    """Checks predictions; opened around its use, called by several tasks at once."""

    async def verify(
        self,
        items: Sequence[wire.VerifyItem],
        *,
        isolation: wire.Isolation | None = None,
        convert: wire.Conversion | None = None,
        feedback_templates: wire.FeedbackTemplates | None = None,
    ) -> wire.VerifyResponse:
        """One entry per item, in their order. Raises ``RequestError`` for unacceptable items."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """How answers are checked and how many at once.

    ``prelude`` and ``convert`` are for records that do not name their own.
    ``feedback_templates`` replaces wording of the feedback. ``chunk_count`` items go into one
    request, ``concurrency`` requests are under way.
    """

    comparator: Comparator = "codeio"
    tolerance: wire.Tolerance | None = None
    limits: wire.Limits = field(default_factory=wire.Limits)
    isolation: wire.Isolation = "process"
    prelude: Prelude = "codeio"
    convert: wire.Conversion = "none"
    feedback_templates: wire.FeedbackTemplates | None = None
    chunk_count: int = 16
    concurrency: int = 4

    def __post_init__(self) -> None:
        for name in ("chunk_count", "concurrency"):
            if getattr(self, name) < 1:
                raise DatasetError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if (self.tolerance is None) == (self.comparator == "tolerance"):
            raise DatasetError("a tolerance is given with the comparator tolerance, and only then")


def verify_file(
    source: Path,
    output: Path,
    *,
    verifier: Verifier,
    functions: Path | None = None,
    options: VerifyOptions | None = None,
    restart: bool = False,
    listener: Listener = unheard,
) -> Summary:
    """Check every answer of ``source`` that has no verdict in ``output`` yet.

    ``functions`` is needed for records that carry no ``refcode`` and ``io`` of their own, such as
    those made by CodeI/O's scripts: ``itemid`` and ``ioid`` are looked up in it. An answer the
    service could not check is in the error file and checked by the next run. Raises
    ``ServiceError`` and ``TransportError`` where the service fails altogether. Opens and closes
    ``verifier``; not to be called where an event loop runs, see ``verify_step``.
    """

    async def run(lookup: Lookup | None) -> Summary:
        async with verifier:
            return await run_step_async(
                verify_step(verifier, options or VerifyOptions(), lookup=lookup),
                source=source,
                output=output,
                restart=restart,
                listener=listener,
            )

    with nullcontext() if functions is None else Lookup(functions) as lookup:
        return asyncio.run(run(lookup))


def verify_step(verifier: Verifier, options: VerifyOptions, *, lookup: Lookup | None) -> Step:
    """The step, for a ``verifier`` that is open; its results are counted by verdict."""

    async def work(records: Sequence[Record]) -> Sequence[Worked]:
        items = [_item_or_problem(record, options, lookup) for record in records]
        converts = [_conversion_of(record.value, options) for record in records]
        verdicts = await verdicts_of(items, verifier, options, converts=converts)
        return [
            verdict if isinstance(verdict, BadRecord) else _verified_record(record, verdict)
            for record, verdict in zip(records, verdicts, strict=True)
        ]

    return Step(
        name="verify",
        settings=_settings(options),
        work=work,
        reason_of=lambda value: str(value.get("verdict")),
        concurrency=options.concurrency,
        chunk_count=options.chunk_count,
    )


def item_of(record: Record, options: VerifyOptions, *, lookup: Lookup | None) -> wire.VerifyItem:
    """What is sent for one record. Raises ``BadRecord`` where it does not say what to check."""
    value = record.value
    source, pair = _function_and_pair(value, lookup)
    kind = {"i": "input", "o": "output"}.get(text_field(value, "io_pred"))
    if kind is None:
        raise BadRecord('"io_pred" must be "i" or "o"', reason="invalid_field")
    try:
        return wire.VerifyItem.model_validate(
            {
                "id": record.id[:1000],
                "function": {
                    "code": text_field(source, "refcode"),
                    "entry_point": source.get("funcname", "main_solution"),
                    "prelude": value.get("prelude", source.get("prelude", options.prelude)),
                },
                "kind": kind,
                "response": text_field(value, "output"),
                "input": pair["input"],
                "output": pair["output"],
                "comparator": options.comparator,
                "limits": options.limits,
            }
            | ({} if options.tolerance is None else {"tolerance": options.tolerance})
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(map(str, first["loc"]))
        raise BadRecord(f"{path}: {first['msg']}", reason="invalid_record") from error


def _function_and_pair(value: Value, lookup: Lookup | None) -> tuple[Value, Value]:
    pair = value.get("io")
    if "refcode" in value and isinstance(pair, dict):
        source = value
    elif lookup is None:
        raise BadRecord(
            'has no "refcode" and "io" of its own; give the functions file with --functions',
            reason="missing_function",
        )
    else:
        source = lookup.at(index_field(value, "itemid"))
        pair = _pair_at(source, index_field(value, "ioid"))
    if not {"input", "output"} <= pair.keys():
        raise BadRecord('the pair must have "input" and "output"', reason="invalid_pair")
    return source, pair


def _pair_at(source: Value, ioid: int) -> Value:
    ios = source.get("ios")
    if not isinstance(ios, list) or ioid >= len(ios) or not isinstance(ios[ioid], dict):
        raise BadRecord(f"refers to pair {ioid}, which its function lacks", reason="unknown_pair")
    pair: Value = ios[ioid]
    return pair


async def verdicts_of(
    items: Sequence[wire.VerifyItem | BadRecord],
    verifier: Verifier,
    options: VerifyOptions,
    *,
    converts: Sequence[wire.Conversion] | None = None,
) -> Sequence[wire.VerifiedItem | BadRecord]:
    """One answer per item, in their order; what is a problem already stays one.

    ``converts`` says how each item's values without a JSON form are written, else the options do.
    ``verdict`` is never None in what is returned: an answer that could not be checked is a
    ``BadRecord`` to be tried again.
    """
    answers: list[wire.VerifiedItem | BadRecord | None] = [None] * len(items)
    groups: defaultdict[wire.Conversion, list[tuple[int, wire.VerifyItem]]] = defaultdict(list)
    for place, item in enumerate(items):
        if isinstance(item, BadRecord):
            answers[place] = item
        else:
            groups[options.convert if converts is None else converts[place]].append((place, item))
    for convert, group in groups.items():
        request = _Request(verifier, options, convert)
        found = await request.answers([item for _, item in group])
        for (place, _), answer in zip(group, found, strict=True):
            answers[place] = _with_verdict(answer)
    return [answer for answer in answers if answer is not None]


@dataclass(frozen=True, slots=True)
class _Request:
    """What requests about one group of items have in common."""

    verifier: Verifier
    options: VerifyOptions
    convert: wire.Conversion

    async def answers(
        self, items: Sequence[wire.VerifyItem]
    ) -> Sequence[wire.VerifiedItem | BadRecord]:
        """Where a request is refused, its halves are sent by themselves, so that only what is
        refused alone counts as refused."""
        try:
            response = await self.verifier.verify(
                items,
                isolation=self.options.isolation,
                convert=self.convert,
                feedback_templates=self.options.feedback_templates,
            )
        except RequestError as error:
            # Where the key is refused, every record would be; that ends the run.
            if error.http_status in (401, 403):
                raise
            if len(items) == 1:
                return [BadRecord(error.message, reason=error.code)]
            middle = len(items) // 2
            return [*await self.answers(items[:middle]), *await self.answers(items[middle:])]
        return response.items


def _with_verdict(answer: wire.VerifiedItem | BadRecord) -> wire.VerifiedItem | BadRecord:
    if isinstance(answer, BadRecord):
        return answer
    if answer.verdict is None:
        error = answer.error
        return BadRecord(
            "no verdict, this is no fault of the answer: "
            + (error.message if error is not None else "the service gave no reason"),
            reason=error.code if error is not None else "no_verdict",
            retry=True,
        )
    if answer.verdict is wire.Verdict.NOT_RUN:
        return BadRecord(
            "the job's time was over before this answer's turn", reason="not_run", retry=True
        )
    return answer


def _item_or_problem(
    record: Record, options: VerifyOptions, lookup: Lookup | None
) -> wire.VerifyItem | BadRecord:
    try:
        return item_of(record, options, lookup=lookup)
    except BadRecord as problem:
        return problem


def _conversion_of(value: Value, options: VerifyOptions) -> wire.Conversion:
    return "codeio" if value.get("convert", options.convert) == "codeio" else "none"


def _verified_record(record: Record, answer: wire.VerifiedItem) -> Value:
    verdict = answer.verdict
    if verdict is None:
        raise ValueError("an answer without verdict is no result")
    feedback = answer.feedback or ""
    return record.value | {
        "res": {"status": _STATUS.get(verdict, verdict.value), "message": feedback},
        "verdict": verdict.value,
        "feedback": feedback,
        "extracted": answer.extracted,
    }


def _settings(options: VerifyOptions) -> Mapping[str, object]:
    return {
        "comparator": options.comparator,
        "tolerance": options.tolerance and options.tolerance.model_dump(),
        "limits": options.limits.model_dump(),
        "isolation": options.isolation,
        "prelude": options.prelude,
        "convert": options.convert,
        "feedback_templates": options.feedback_templates
        and options.feedback_templates.model_dump(),
    }
