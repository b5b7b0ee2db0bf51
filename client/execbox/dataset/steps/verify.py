"""``verify``: what every answer was worth, found out by the service; feedback comes with it.

Adds ``res`` (``status`` and ``message``, in CodeI/O's words), ``verdict``, ``feedback`` and
``extracted``. Asking the service is in ``verdicts``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

from pydantic import ValidationError

from execbox import wire
from execbox.dataset.files.json_lines import BadRecord, Value, refuse_non_finite, text_field
from execbox.dataset.files.records import Record
from execbox.dataset.steps.asked_pair import AskedPair, FunctionsFile, asked_pair
from execbox.dataset.steps.patience import Patience
from execbox.dataset.steps.services import VerifyService
from execbox.dataset.steps.step import Step, Worked
from execbox.dataset.steps.turns import STATUS_OF_VERDICT
from execbox.dataset.steps.verdicts import (
    VerifyOptions,
    options_for,
    sendable,
    settings_of,
    verdicts_of,
)

__all__ = ["open_verify_step", "verify_step"]


@asynccontextmanager
async def open_verify_step(
    service: VerifyService,
    options: VerifyOptions | None = None,
    *,
    functions: Path | None = None,
) -> AsyncIterator[Step]:
    """The step, with ``service`` opened around it and asked what it permits.

    ``functions`` is needed for records that carry no ``refcode`` and ``io`` of their own, such as
    those made by CodeI/O's scripts: ``itemid`` and ``ioid`` are looked up in it, also where it is
    what ``certify`` left of the file that the questions were made from. An answer the
    service could not check is in the error file and checked by the next run, and so is one whose
    function or pair is not there: ``functions`` may be given, or completed, in between. The run
    raises
    ``ServiceError`` and ``TransportError`` where the service fails altogether.
    """
    with nullcontext() if functions is None else FunctionsFile(functions) as opened:
        async with service:
            settled = await options_for(service, options or VerifyOptions())
            yield verify_step(service, settled, functions=opened)


def verify_step(
    service: VerifyService, options: VerifyOptions, *, functions: FunctionsFile | None
) -> Step:
    """The step, for a ``service`` that is open and options settled for it (``options_for``).

    Its results are counted by verdict.
    """
    patience = Patience()

    async def work(records: Sequence[Record]) -> Sequence[Worked]:
        questions = [_question_or_problem(record, options, functions) for record in records]
        items = [item for item, _ in questions]
        converts = [convert for _, convert in questions]
        verdicts = await verdicts_of(items, service, options, patience=patience, converts=converts)
        return [
            verdict if isinstance(verdict, BadRecord) else _verified_record(record, verdict)
            for record, verdict in zip(records, verdicts, strict=True)
        ]

    return Step(
        name="verify",
        settings=settings_of(options),
        work=work,
        reason_of=lambda value: str(value.get("verdict")),
        concurrency=options.concurrency or 1,
        chunk_count=options.chunk_count,
        non_finite=True,
        made_of={} if functions is None else functions.made_of,
        is_other={} if functions is None else {"functions": functions.is_other},
    )


def _item_about(record: Record, asked: AskedPair, options: VerifyOptions) -> wire.VerifyItem:
    """What is sent for one record. Raises ``BadRecord`` where it does not say what to check."""
    value, source, pair = record.value, asked.function, asked.pair
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
                "response": sendable(text_field(value, "output")),
                "input": pair["input"],
                "output": pair["output"],
                "comparator": options.comparator,
                "extraction": options.extraction,
                "limits": options.limits,
            }
            | ({} if options.tolerance is None else {"tolerance": options.tolerance})
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(map(str, first["loc"]))
        raise BadRecord(f"{path}: {first['msg']}", reason="invalid_record") from error


def _question_or_problem(
    record: Record, options: VerifyOptions, functions: FunctionsFile | None
) -> tuple[wire.VerifyItem | BadRecord, wire.Conversion]:
    """What is sent for one record, and how values without a JSON form are written for it."""
    try:
        asked = asked_pair(record.value, functions)
        item = _item_about(record, asked, options)
        # It could not be written again, and would be checked by every run.
        refuse_non_finite(record.value, besides="extracted")
    except BadRecord as problem:
        return problem, options.convert
    named = record.value.get("convert", asked.function.get("convert", options.convert))
    return item, "codeio" if named == "codeio" else "none"


def _verified_record(record: Record, item: wire.VerifiedItem) -> Value:
    verdict = item.verdict
    if verdict is None:
        raise ValueError("an item without verdict is no result")
    feedback = item.feedback or ""
    return record.value | {
        "res": {"status": STATUS_OF_VERDICT.get(verdict.value, verdict.value), "message": feedback},
        "verdict": verdict.value,
        "feedback": feedback,
        "extracted": item.extracted,
    }
