"""``infer``: ask a model every question, as many times as wanted; what a model is, is in ``model``.

Adds ``output`` (the answer's text, as CodeI/O calls it), ``model``, ``finish_reason``, ``index``
(the zero-based line, where the record has none) and, where the endpoint tells it apart,
``reasoning``. Whether an answer is right is found out by ``verify``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value, list_field
from execbox.dataset.files.records import Record
from execbox.dataset.steps.model import Completion, Messages, Model, ModelFailed, ModelUnusable
from execbox.dataset.steps.step import Step, part_of, per_record

__all__ = [
    "PROMPTS_FAILED_IN_A_ROW_MAX",
    "InferOptions",
    "ModelOfQuestions",
    "infer_step",
    "messages_of",
    "open_infer_step",
]

PROMPTS_FAILED_IN_A_ROW_MAX = 25
"""After so many prompts in a row without an answer the run ends: the prompts are not the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferOptions:
    """How often each question is asked and how many at once.

    ``made_by`` goes into the run's settings, so that a file is not continued with another model
    or other sampling. With more than one of ``samples_count`` the ids are ``ID#1``, ``ID#2``...
    """

    samples_count: int = 1
    concurrency: int = 16
    made_by: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("samples_count", "concurrency"):
            if getattr(self, name) < 1:
                raise DatasetError(f"{name} must be 1 or more, not {getattr(self, name)}")


@asynccontextmanager
async def open_infer_step(model: Model, options: InferOptions | None = None) -> AsyncIterator[Step]:
    """The step, with ``model`` opened around it.

    A prompt without an answer is in the error file and tried again by the next run. The run
    raises ``ModelUnusable`` where going on is no use.
    """
    async with model:
        yield infer_step(model, options or InferOptions())


def infer_step(model: Model, options: InferOptions) -> Step:
    """The step, for a ``model`` that is open; its results are counted by finish reason, and those
    without any text apart."""
    asking = ModelOfQuestions(model)

    async def ask(record: Record) -> Value:
        completion = await asking.answer(messages_of(record.value))
        # As CodeI/O's script does, whose next step reads it: which line was asked.
        return {"index": record.index} | record.value | _answer(completion)

    return Step(
        name="infer",
        settings={"samples_count": options.samples_count, **options.made_by},
        work=per_record(ask),
        parts=lambda record: _samples(record, options.samples_count),
        reason_of=_outcome,
        concurrency=options.concurrency,
    )


class ModelOfQuestions:
    """Passes prompts on, and gives up when none is answered any more."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._failures_in_a_row = 0

    async def answer(self, messages: Messages) -> Completion:
        """One answer. Raises BadRecord for this prompt, ModelUnusable for all."""
        try:
            completion = await self._model.complete(messages)
        except ModelFailed as failure:
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= PROMPTS_FAILED_IN_A_ROW_MAX:
                raise ModelUnusable(
                    f"{self._failures_in_a_row} prompts in a row got no answer, the last because: "
                    f"{failure.message}; run the same command again when the model is well"
                ) from failure
            raise BadRecord(failure.message, reason=failure.reason, retry=True) from failure
        self._failures_in_a_row = 0
        return completion


def _samples(record: Record, count: int) -> Sequence[Record]:
    if count == 1:
        return (record,)
    return [
        part_of(record, part, suffix=f"#{part + 1}", value=record.value | {"sample": part + 1})
        for part in range(count)
    ]


def _outcome(value: Value) -> str:
    """What an answer is counted under: why it ended, and apart where it says nothing."""
    finish_reason = str(value.get("finish_reason"))
    if str(value.get("output", "")).strip():
        return finish_reason
    # Where thoughts and answers are told apart, all can end up in the thoughts.
    thought = value.get("reasoning")
    return f"{finish_reason}, no text{' but reasoning' if thought else ''}"


def messages_of(value: Value) -> Messages:
    """A record's own conversation. Raises BadRecord where it has none."""
    messages = list_field(value, "messages")
    if not messages:
        raise BadRecord('"messages" is empty', reason="invalid_field")
    checked = []
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise BadRecord(
                f'messages[{index}] must have "role" and "content"', reason="invalid_field"
            )
        checked.append(message)
    return checked


def _answer(completion: Completion) -> Value:
    answer: Value = {
        "output": completion.text,
        "model": completion.model,
        "finish_reason": completion.finish_reason,
    }
    if completion.reasoning is not None:
        answer["reasoning"] = completion.reasoning
    return answer
