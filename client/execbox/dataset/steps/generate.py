"""``generate``: input and output pairs for every function, sampled and certified by the service.

Takes functions in CodeI/O's shape with an ``input_generator``, or the raw answers of its
transform step, and adds ``ios``. What is sampled and what is dropped is the service's affair; the
HTTP is behind ``PairSource``, which ``execbox.AsyncClient`` is.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from pydantic import ValidationError

from execbox import wire
from execbox.dataset.files.records import BadRecord, DatasetError, Record, Value, text_field
from execbox.dataset.files.transform import parse_transformed, raw_answer
from execbox.dataset.steps.progress import Listener, Summary, unheard
from execbox.dataset.steps.sorting import MISSING_PACKAGE
from execbox.dataset.steps.step import Step, per_record, run_step_async
from execbox.dataset.steps.terms import (
    OWN_META,
    Patience,
    RunTerms,
    conversion_of,
    for_service,
    function_of,
    invalid_record,
    packed_certificates,
    with_own_meta,
)
from execbox.errors import ExecboxError

__all__ = ["GenerateOptions", "PairSource", "function_record", "generate_file", "generate_step"]

_SHOWN_CHARS = 300
_OUTCOMES = {
    "count": "complete",
    "attempts": "fewer_pairs",
    "given_up": "fewer_pairs",
    "job_time": "job_time_over",
}
_NOT_A_FAULT = frozenset({wire.RejectReason.DUPLICATE_INPUT})


class PairSource(Protocol):
    """Samples pairs; opened around its use, called by several tasks at once."""

    async def generate(
        self,
        function: wire.Function | str,
        input_generator: wire.InputGenerator | str,
        *,
        count: int,
        attempts: int,
        give_up_after: int | None,
        seed: int,
        limits: wire.Limits,
        checks: wire.Checks,
        isolation: wire.Isolation | None,
        convert: wire.Conversion,
    ) -> wire.GenerateResponse:
        """The pairs of one function. Raises ``RequestError`` where the request is refused."""

    async def capabilities(self) -> wire.Capabilities:
        """What the service permits."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateOptions:
    """How many pairs a function is to have, in how many draws, from which seed; and how it is run.

    Ranges: ``count`` 1 to 1000, ``attempts`` and ``give_up_after`` 1 to 10,000, ``seed`` 0 or
    more. A function is given up after so many draws in a row without a pair, where one that took
    all the time or memory it may counts five; None tries all ``attempts``.
    """

    count: int = 10
    attempts: int = 1000
    give_up_after: int | None = 50
    seed: int = 0
    terms: RunTerms = field(default_factory=RunTerms)

    def __post_init__(self) -> None:
        try:
            wire.GenerateRequest(
                function=wire.Function(code=""),
                input_generator=wire.InputGenerator(code=""),
                count=self.count,
                attempts=self.attempts,
                give_up_after=self.give_up_after,
                seed=self.seed,
            )
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise DatasetError(f"{first['loc'][0]} is {first['input']}: {first['msg']}") from error


def generate_file(
    source: Path,
    output: Path,
    *,
    pairs: PairSource,
    options: GenerateOptions | None = None,
    restart: bool = False,
    listener: Listener = unheard,
) -> Summary:
    """Sample pairs for every function of ``source`` that has none in ``output`` yet.

    A function that gives no pair is in the error file with the account of its draws. ``tallies``
    of the summary count ``pairs`` and the draws that gave none, by reason. Raises ``ServiceError``
    and ``TransportError`` where the service fails altogether; what was done is in ``output``.
    Opens and closes ``pairs``; not to be called where an event loop runs, see ``generate_step``.
    """
    chosen = options or GenerateOptions()

    async def run() -> Summary:
        async with pairs:
            terms = for_service(chosen.terms, await pairs.capabilities())
            return await run_step_async(
                generate_step(pairs, chosen, terms=terms),
                source=source,
                output=output,
                restart=restart,
                listener=listener,
            )

    return asyncio.run(run())


def generate_step(pairs: PairSource, options: GenerateOptions, *, terms: RunTerms) -> Step:
    """The step, for ``pairs`` that are open; its results are counted by why sampling stopped."""
    patience = Patience()

    async def generate(record: Record) -> Value:
        value = function_record(record)
        function = function_of(value, terms)
        generator = _generator_of(value)
        convert = conversion_of(value, terms)
        try:
            response = await pairs.generate(
                function,
                generator,
                count=options.count,
                attempts=options.attempts,
                give_up_after=options.give_up_after,
                seed=options.seed,
                limits=terms.limits,
                checks=terms.checks,
                isolation=terms.isolation,
                convert=convert,
            )
        except ExecboxError as error:
            raise patience.problem_of(error) from error
        patience.answered()
        settings: Value = {"prelude": function.prelude, "convert": convert}
        kept = {name: setting for name, setting in settings.items() if setting != "none"}
        return _with_pairs(value | kept, response)

    return Step(
        name="generate",
        settings={
            "count": options.count,
            "attempts": options.attempts,
            "give_up_after": options.give_up_after,
            "seed": options.seed,
            **terms.settings,
        },
        work=per_record(generate),
        reason_of=lambda value: _OUTCOMES.get(str(_own(value).get("stopped")), "unknown"),
        tally=_tally,
        concurrency=terms.concurrency or 1,
    )


def function_record(record: Record) -> Value:
    """A record in the shape of a function: as it is, or made from a raw answer.

    Of a raw answer's record ``meta`` is kept, with ``msgidx`` (its zero-based line, as in CodeI/O)
    and the ``model``; the messages and the text are not. Raises ``BadRecord``.
    """
    value = record.value
    if "refcode" in value:
        return value
    text = raw_answer(value)
    if text is None:
        raise BadRecord(
            '"refcode" is missing, and so is a raw answer ("output") to take it from',
            reason="missing_field",
        )
    parsed = parse_transformed(text)
    meta = value.get("meta")
    origin = {"msgidx": record.index} | ({"model": value["model"]} if "model" in value else {})
    return {
        "problem_description": parsed.problem,
        "io_requirements": parsed.requirements,
        "refcode": parsed.code,
        "funcname": "main_solution",
        "input_generator": parsed.generator,
        "category": value.get("category"),
        "meta": origin | meta if isinstance(meta, dict) else origin,
    }


def _generator_of(value: Value) -> wire.InputGenerator:
    if not text_field(value, "input_generator").strip():
        raise BadRecord('"input_generator" is empty', reason="missing_field")
    try:
        return wire.InputGenerator.model_validate({"code": value["input_generator"]})
    except ValidationError as error:
        raise invalid_record(error, names={"code": "input_generator"}) from error


def _with_pairs(value: Value, response: wire.GenerateResponse) -> Value:
    account: Value = {
        "stopped": response.stopped,
        "attempts": response.attempts,
        "rejected": response.rejected,
        "examples": {reason: _example(one) for reason, one in response.examples.items()},
    }
    if not response.pairs:
        raise BadRecord(
            _why_none(response),
            reason=_reason(response),
            detail={OWN_META: account},
        )
    certificates = [pair.certificate for pair in response.pairs if pair.certificate is not None]
    front = {name: value[name] for name in value if name not in {"ios", "category", "meta"}}
    return front | {
        "ios": [{"input": pair.input, "output": pair.output} for pair in response.pairs],
        "category": value.get("category"),
        "meta": with_own_meta(value, account | packed_certificates(certificates)),
    }


def _commonest(response: wire.GenerateResponse) -> str:
    """The reason most draws were rejected for; the account has all of them."""
    faults = Counter(
        {name: count for name, count in response.rejected.items() if name not in _NOT_A_FAULT}
    )
    if not faults:
        return response.stopped
    return min(faults, key=lambda name: (-faults[name], name))


def _reason(response: wire.GenerateResponse) -> str:
    """What a record without pairs is counted under."""
    commonest = _commonest(response)
    example = response.examples.get(commonest)
    error = example.error if example is not None else None
    return "missing_package" if error and error.type == MISSING_PACKAGE else commonest


def _why_none(response: wire.GenerateResponse) -> str:
    reasons = sorted(response.rejected.items(), key=lambda item: (-item[1], item[0]))
    counts = ", ".join(f"{count} {name}" for name, count in reasons)
    text = f"no pair in {response.attempts} draws ({counts or 'none was made'})"
    if response.stopped == "job_time":
        text += "; the job's time was over"
    example = response.examples.get(_commonest(response))
    if example is not None and example.error is not None:
        error = example.error
        line = f", line {error.line}" if error.line is not None else ""
        text += f"; for example draw {example.attempt}: {error.type}: {_cut(error.message)}{line}"
    if example is not None and example.determinism is not None:
        text += f"; cause: {example.determinism.cause}"
    return text


def _example(example: wire.RejectedExample) -> Value:
    """What explains a rejection and is the same in every run: no output that varies, and short."""
    shown: Value = {"attempt": example.attempt}
    if example.input is not None and len(json.dumps(example.input)) <= _SHOWN_CHARS:
        shown["input"] = example.input
    if example.error is not None:
        shown["error"] = f"{example.error.type}: {_cut(example.error.message)}"
    if example.determinism is not None:
        shown["cause"] = example.determinism.cause
        shown["hints"] = [hint.model_dump() for hint in example.determinism.hints[:3]]
    if example.violations:
        shown["violations"] = [violation.model_dump() for violation in example.violations[:3]]
    return shown


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"


def _own(value: Value) -> Value:
    meta = value.get("meta", value)
    own = meta.get(OWN_META) if isinstance(meta, dict) else None
    return own if isinstance(own, dict) else {}


def _tally(value: Value) -> Mapping[str, int]:
    """Pairs, and rejected draws by reason, of a result or of a failure's detail."""
    rejected = _own(value).get("rejected")
    ios = value.get("ios")
    counts = {"pairs": len(ios)} if isinstance(ios, list) else {}
    return counts | (rejected if isinstance(rejected, dict) else {})
