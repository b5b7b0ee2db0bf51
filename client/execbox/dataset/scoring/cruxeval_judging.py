"""Judging one CRUXEval sample's generations: what is executed where, and what counts as right.

Three things never meet in one execution: the function, what is predicted, and what is expected
(docs/decisions/0011). So a prediction that rebinds ``f``, changes what was passed or forges an
``__eq__`` deceives no comparison: its execution yields text, the text is read here as data, and the
data is compared here. Files and scores are in ``cruxeval``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from execbox import wire
from execbox.dataset.files.json_lines import BadRecord
from execbox.dataset.scoring.cruxeval_answers import Mode
from execbox.dataset.scoring.literals import (
    NotALiteral,
    equal,
    is_plain_call,
    parse_literal,
)
from execbox.dataset.steps.request_sizes import request_sized
from execbox.dataset.steps.services import ExecuteService
from execbox.dataset.steps.verdicts import sendable

__all__ = ["PREDICTION_CHARS_MAX", "Judging", "Sample"]

PREDICTION_CHARS_MAX = 100_000
"""A longer prediction is wrong without being looked at."""

_LIMITS = wire.Limits(cpu_time_s=3.0, wall_time_s=6.0)
# The repr itself, and not whatever the sample has bound to that name.
_REPR = '__import__("builtins").repr'
_NOTED = "the call that was noted"
_RECORDER = f"""

def f(*args, **kwargs):
    return ["{_NOTED}", {_REPR}(args), {_REPR}(kwargs)]
"""
_NO_FUNCTION = wire.Function(code="def nothing():\n    pass\n", entry_point="nothing")


@dataclass(frozen=True, slots=True)
class _Call:
    expression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    code: str
    input: str
    output: str

    @property
    def function(self) -> wire.Function:
        return wire.Function.model_validate({"code": self.code, "entry_point": "f"})

    @property
    def call(self) -> str:
        """The call whose value was published, as text of that value."""
        return f"{_REPR}(f({self.input}\n))"

    @property
    def recorder(self) -> wire.Function:
        """The sample with ``f`` replaced by what only notes its arguments."""
        return wire.Function.model_validate({"code": self.code + _RECORDER, "entry_point": "f"})


class Judging:
    """The executions that one sample's generations need."""

    def __init__(self, service: ExecuteService, sample: Sample, isolation: wire.Isolation) -> None:
        self._service = service
        self._sample = sample
        self._isolation = isolation

    async def judged(
        self, predictions: Sequence[str], *, mode: Mode
    ) -> tuple[Mapping[str, str], bool]:
        """Outcome by prediction, and whether the sample gives what was published.

        Equal predictions are judged once.
        """
        outcomes: dict[str, str] = {}
        for prediction in dict.fromkeys(predictions):
            if len(prediction) > PREDICTION_CHARS_MAX:
                outcomes[prediction] = "too_long"
            elif not _is_source_text(prediction):
                outcomes[prediction] = "invalid_code"
            elif _is_disqualified(prediction, self._sample, mode=mode):
                outcomes[prediction] = "disqualified"
        open_ones = [text for text in dict.fromkeys(predictions) if text not in outcomes]
        judge = self._outputs if mode == "output" else self._inputs
        judged, published_holds = await judge(open_ones)
        return outcomes | judged, published_holds

    async def _outputs(self, predictions: Sequence[str]) -> tuple[dict[str, str], bool]:
        (really,) = await self._run(self._sample.function, [self._sample.call])
        expected, published_holds = self._expected(really)
        outcomes: dict[str, str] = {}
        for prediction in predictions:
            try:
                outcomes[prediction] = _compared(parse_literal(prediction), expected)
            except NotALiteral:
                continue
        # Something to work out, such as 'a' + str(1): where no function is that it could call.
        rest = [prediction for prediction in predictions if prediction not in outcomes]
        executions = await self._run(_NO_FUNCTION, [f"{_REPR}(\n{text}\n)" for text in rest])
        for prediction, execution in zip(rest, executions, strict=True):
            outcomes[prediction] = _outcome(execution, expected)
        return outcomes, published_holds

    async def _inputs(self, predictions: Sequence[str]) -> tuple[dict[str, str], bool]:
        """First what is passed, in an execution of its own where ``f`` only takes notes; then the
        function on that, as data."""
        outcomes: dict[str, str] = {}
        calls: dict[str, str] = {}
        recorded = await self._run(self._sample.recorder, [text.strip() for text in predictions])
        for prediction, execution in zip(predictions, recorded, strict=True):
            call = _call_to_make(prediction, execution)
            if isinstance(call, _Call):
                calls[prediction] = call.expression
            else:
                outcomes[prediction] = call
        really, *executions = await self._run(
            self._sample.function,
            [self._sample.call, *(f"{_REPR}(\n{call}\n)" for call in calls.values())],
        )
        expected, published_holds = self._expected(really)
        for prediction, execution in zip(calls, executions, strict=True):
            outcomes[prediction] = _outcome(execution, expected)
        return outcomes, published_holds

    def _expected(self, really: wire.Execution) -> tuple[object, bool]:
        """What the sample really gives; what was published, where it gives nothing readable."""
        try:
            published = parse_literal(self._sample.output)
        except NotALiteral as error:
            raise BadRecord(f"its output is no literal: {error}", reason="bad_sample") from error
        try:
            executed = _read(really)
        except NotALiteral:
            return published, False
        return executed, equal(executed, published)

    async def _run(
        self, function: wire.Function, expressions: Sequence[str]
    ) -> Sequence[wire.Execution]:
        executions: list[wire.Execution] = []
        for chunk in request_sized(expressions, sent=lambda text: text):
            response = await self._service.execute(
                function,
                [wire.Call.model_validate({"expression": text}) for text in chunk],
                limits=_LIMITS,
                isolation=self._isolation,
            )
            executions.extend(response.executions)
        if any(execution.status is wire.Status.NOT_RUN for execution in executions):
            raise BadRecord("the job's time was over first", reason="not_run", retry=True)
        return executions


def _is_source_text(text: str) -> bool:
    """Whether Python reads it at all: no NUL, and nothing that has no UTF-8."""
    return "\x00" not in text and sendable(text) == text


def _is_disqualified(prediction: str, sample: Sample, *, mode: Mode) -> bool:
    """CRUXEval's own rule: an input prediction calls f, an output prediction does not quote the
    call whose value is asked for."""
    if mode == "input":
        return "f(" not in prediction
    return f"f({sample.input})" in prediction


def _outcome(execution: wire.Execution, expected: object) -> str:
    if execution.status is not wire.Status.OK:
        return execution.status.value
    try:
        return _compared(_read(execution), expected)
    except NotALiteral:
        return "not_data"


def _compared(value: object, expected: object) -> str:
    return "correct" if equal(value, expected) else "incorrect"


def _read(execution: wire.Execution) -> object:
    if execution.status is not wire.Status.OK or not isinstance(execution.output, str):
        raise NotALiteral("no text")
    return parse_literal(execution.output)


def _call_to_make(prediction: str, recorded: wire.Execution) -> _Call | str:
    """The call that a prediction comes to, or its outcome where it comes to none."""
    if recorded.status is not wire.Status.OK:
        return recorded.status.value
    arguments = _recorded(recorded.output)
    if arguments is None:
        return "not_a_call"
    expression = _call_on_data(*arguments)
    if expression is None and is_plain_call(prediction, name="f"):
        expression = prediction.strip()
    return "not_data" if expression is None else _Call(expression)


def _recorded(output: object) -> tuple[str, str] | None:
    if isinstance(output, list) and len(output) == 3 and output[0] == _NOTED:
        _, args, kwargs = output
        if isinstance(args, str) and isinstance(kwargs, str):
            return args, kwargs
    return None


def _call_on_data(args_text: str, kwargs_text: str) -> str | None:
    """The call on the recorded arguments, written anew from data; None where they are no data."""
    try:
        args, kwargs = parse_literal(args_text), parse_literal(kwargs_text)
        if not isinstance(args, tuple) or not isinstance(kwargs, dict):
            return None
        call = f"f(*{args!r}, **{kwargs!r})"
    except ValueError:  # No literal, or an integer of more digits than Python writes.
        return None
    # A call within the arguments: f took notes there too, and gave no value to pass on.
    if _NOTED in call:
        return None
    # inf and nan are written as names, which mean nothing where the call is made.
    return None if re.search(r"\b(?:inf|nan)\b", call) else call
