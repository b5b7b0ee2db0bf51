"""``generate``: input and output pairs for every function, sampled and certified by the service.

Takes functions in CodeI/O's shape with an ``input_generator``, or the raw answers of its
transform step, and adds ``ios``. What is sampled and what is dropped is the service's affair.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from execbox import wire
from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value, refuse_non_finite
from execbox.dataset.files.record_certificates import (
    OWN_META,
    own_meta_of,
    packed_certificates,
    with_own_meta,
)
from execbox.dataset.files.records import Record
from execbox.dataset.steps.patience import Patience
from execbox.dataset.steps.record_function import (
    conversion_of,
    function_of,
    function_record,
    generator_of,
    named_settings,
)
from execbox.dataset.steps.run_options import RunOptions, settled_for
from execbox.dataset.steps.services import GenerateService
from execbox.dataset.steps.sorting import MISSING_PACKAGE
from execbox.dataset.steps.step import Step, per_record
from execbox.errors import ExecboxError

__all__ = ["GenerateOptions", "generate_step", "open_generate_step"]

_SHOWN_CHARS = 300
_OUTCOMES = {
    "count": "complete",
    "attempts": "fewer_pairs",
    "given_up": "fewer_pairs",
    "job_time": "job_time_over",
}
_NOT_A_FAULT = frozenset({wire.RejectReason.DUPLICATE_INPUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateOptions:
    """How many pairs a function is to have, in how many draws, from which seed; and how it is run.

    Ranges: ``count`` 1 to 1000, ``attempts`` and ``give_up_after`` 1 to 10,000, ``seed`` 0 or
    more. A function is given up after so many draws in a row without a pair, where one that took
    all the time or memory it may counts ten; None tries all ``attempts``.
    """

    count: int = 10
    attempts: int = 1000
    give_up_after: int | None = 50
    seed: int = 0
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        try:
            wire.GenerateRequest.model_validate(
                {
                    "function": {"code": ""},
                    "input_generator": {"code": ""},
                    "count": self.count,
                    "attempts": self.attempts,
                    "give_up_after": self.give_up_after,
                    "seed": self.seed,
                }
            )
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise DatasetError(f"{first['loc'][0]} is {first['input']}: {first['msg']}") from error


@asynccontextmanager
async def open_generate_step(
    service: GenerateService, options: GenerateOptions | None = None
) -> AsyncIterator[Step]:
    """The step, with ``service`` opened around it and asked what it permits.

    A function that gives no pair is in the error file with the account of its draws. ``tallies``
    of the run's summary count ``pairs`` and the draws that gave none, by reason. The run raises
    ``ServiceError`` and ``TransportError`` where the service fails altogether.
    """
    chosen = options or GenerateOptions()
    async with service:
        run = settled_for(chosen.run, await service.capabilities())
        yield generate_step(service, replace(chosen, run=run))


def generate_step(service: GenerateService, options: GenerateOptions) -> Step:
    """The step, for a ``service`` that is open and options settled for it (``settled_for``).

    Its results are counted by why sampling stopped.
    """
    patience = Patience()
    run = options.run

    async def generate(record: Record) -> Value:
        value = function_record(record)
        refuse_non_finite(value, besides="ios")
        function = function_of(value, run)
        generator = generator_of(value)
        convert = conversion_of(value, run)
        try:
            response = await service.generate(
                function,
                generator,
                count=options.count,
                attempts=options.attempts,
                give_up_after=options.give_up_after,
                seed=options.seed,
                # Twice, because not every draw gives a pair.
                limits=run.limits_for(2 * options.count),
                checks=run.checks,
                isolation=run.isolation,
                convert=convert,
            )
        except ExecboxError as error:
            raise patience.problem_of(error) from error
        patience.answered()
        return _with_pairs(value | named_settings(function, convert), response)

    return Step(
        name="generate",
        settings={
            "count": options.count,
            "attempts": options.attempts,
            "give_up_after": options.give_up_after,
            "seed": options.seed,
            **run.settings,
        },
        work=per_record(generate),
        reason_of=lambda value: _OUTCOMES.get(str(own_meta_of(value).get("stopped")), "unknown"),
        tally=_tally,
        concurrency=run.concurrency or 1,
        non_finite=True,
    )


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
    draws = "draw" if response.attempts == 1 else "draws"
    text = f"no pair in {response.attempts} {draws} ({counts or 'none was made'})"
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


def _tally(value: Value) -> Mapping[str, int]:
    """Pairs, and rejected draws by reason, of a result or of a failure's detail."""
    rejected = own_meta_of(value).get("rejected")
    ios = value.get("ios")
    counts = {"pairs": len(ios)} if isinstance(ios, list) else {}
    return counts | (rejected if isinstance(rejected, dict) else {})
