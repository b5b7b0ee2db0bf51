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
from execbox.dataset.files.json_lines import BadRecord, Value, index_field, text_field
from execbox.dataset.files.lookup import Lookup
from execbox.dataset.files.records import Record
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

__all__ = ["item_of", "open_verify_step", "verify_step"]


@asynccontextmanager
async def open_verify_step(
    service: VerifyService,
    options: VerifyOptions | None = None,
    *,
    functions: Path | None = None,
) -> AsyncIterator[Step]:
    """The step, with ``service`` opened around it and asked what it permits.

    ``functions`` is needed for records that carry no ``refcode`` and ``io`` of their own, such as
    those made by CodeI/O's scripts: ``itemid`` and ``ioid`` are looked up in it. An answer the
    service could not check is in the error file and checked by the next run. The run raises
    ``ServiceError`` and ``TransportError`` where the service fails altogether.
    """
    with nullcontext() if functions is None else Lookup(functions) as lookup:
        async with service:
            settled = await options_for(service, options or VerifyOptions())
            yield verify_step(service, settled, lookup=lookup)


def verify_step(service: VerifyService, options: VerifyOptions, *, lookup: Lookup | None) -> Step:
    """The step, for a ``service`` that is open and options settled for it (``options_for``).

    Its results are counted by verdict.
    """

    async def work(records: Sequence[Record]) -> Sequence[Worked]:
        items = [_item_or_problem(record, options, lookup) for record in records]
        converts = [_conversion_of(record.value, options) for record in records]
        verdicts = await verdicts_of(items, service, options, converts=converts)
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
                "response": sendable(text_field(value, "output")),
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


def _item_or_problem(
    record: Record, options: VerifyOptions, lookup: Lookup | None
) -> wire.VerifyItem | BadRecord:
    try:
        return item_of(record, options, lookup=lookup)
    except BadRecord as problem:
        return problem


def _conversion_of(value: Value, options: VerifyOptions) -> wire.Conversion:
    return "codeio" if value.get("convert", options.convert) == "codeio" else "none"


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
