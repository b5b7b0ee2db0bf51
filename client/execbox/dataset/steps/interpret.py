"""``interpret``: questions that a model answers by running code, R1-Code-Interpreter's way.

Each reply's block is run and its result fed back, until the model says ``<<<answer>>>`` or has
used up its blocks. Adds ``ended``, ``final_answer``, ``verdict``, ``blocks`` and ``transcript``.
What a reply holds is in ``interpreted_reply``; what runs blocks, in ``interpreters``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from execbox import wire
from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value, list_field, text_field
from execbox.dataset.files.records import Record
from execbox.dataset.steps.infer import ModelOfQuestions, messages_of
from execbox.dataset.steps.interpreted_reply import reply_of, same_answer
from execbox.dataset.steps.interpreters import (
    BlockRun,
    Interpreter,
    ProgramInterpreter,
    SessionInterpreter,
    told,
)
from execbox.dataset.steps.model import Completion, Messages, Model
from execbox.dataset.steps.patience import Patience
from execbox.dataset.steps.run_options import fastest_isolation
from execbox.dataset.steps.services import InterpretService
from execbox.dataset.steps.step import Step, per_record
from execbox.errors import ExecboxError

__all__ = [
    "INSTRUCTIONS",
    "InterpretOptions",
    "RunAs",
    "interpret_step",
    "open_interpret_step",
    "question_of",
]

RunAs: TypeAlias = Literal["program", "session"]
Ended: TypeAlias = Literal["answered", "no_answer", "rounds_used_up"]

INSTRUCTIONS: Final = """\
Think about the question below, then answer it. You can run Python while you think: write one
block that begins with ```python and ends with ```, and stop there. It is run, and what it printed
is the next message, so print what you want to know. $state
You can do so up to $blocks times. When you know the answer, write it as <<<answer>>>.

"""
_STATE: Final[Mapping[RunAs, str]] = {
    "program": "Each block is a program of its own and knows nothing of those before.",
    "session": "Variables stay from block to block.",
}
_LAST = "\n\nThat was the last block that can be run: answer now, as <<<answer>>>."


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpretOptions:
    """How many blocks a model may have run, as what, within which limits.

    ``made_by`` goes into the run's settings, as in ``InferOptions``. ``isolation`` None takes the
    fastest that the service permits; a session always has a container of its own.
    ``shown_chars_max`` bounds each text that is fed back; the record has all of it.
    ``idle_time_s``, at most 3600, is how long a session lives without a block: longer than one
    answer of the model may take, and not much, because the sessions of a run that was killed are in
    the way of the next one for so long.
    """

    blocks_max: int = 5
    run_as: RunAs = "program"
    limits: wire.Limits = field(default_factory=wire.Limits)
    isolation: wire.Isolation | None = None
    instructions: str = INSTRUCTIONS
    shown_chars_max: int = 4000
    question_field: str = "question"
    expected_field: str = "expected"
    concurrency: int = 16
    idle_time_s: float = 900.0
    made_by: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("blocks_max", "shown_chars_max", "concurrency"):
            if getattr(self, name) < 1:
                raise DatasetError(f"{name} must be 1 or more, not {getattr(self, name)}")

    @property
    def settings(self) -> Mapping[str, object]:
        """What results depend on, for the run's settings file."""
        return {
            "blocks_max": self.blocks_max,
            "run_as": self.run_as,
            "limits": self.limits.model_dump(),
            "instructions": self.instructions,
            "shown_chars_max": self.shown_chars_max,
            "question_field": self.question_field,
            "expected_field": self.expected_field,
            **self.made_by,
        }


@asynccontextmanager
async def open_interpret_step(
    model: Model, service: InterpretService, options: InterpretOptions | None = None
) -> AsyncIterator[Step]:
    """The step, with ``model`` and ``service`` opened around it.

    A question that the model or the service failed on is in the error file and asked again by the
    next run, from its beginning. The run raises ``ModelUnusable``, ``ServiceError`` or
    ``TransportError`` where going on is no use.
    """
    options = options or InterpretOptions()
    async with model, service:
        able = await service.capabilities()
        settled = replace(options, isolation=options.isolation or fastest_isolation(able))
        yield interpret_step(model, service, settled)


def question_of(value: Value, options: InterpretOptions) -> Messages:
    """A record's own conversation as it is, or its question behind the instructions.

    Raises ``BadRecord`` where it has neither.
    """
    if "messages" in value:
        list_field(value, "messages")
        return messages_of(value)
    question = text_field(value, options.question_field)
    told_first = options.instructions.replace("$state", _STATE[options.run_as])
    told_first = told_first.replace("$blocks", str(options.blocks_max))
    return [{"role": "user", "content": told_first + question}]


def interpret_step(model: Model, service: InterpretService, options: InterpretOptions) -> Step:
    """The step, for a model and a service that are open; results are counted by how they ended,
    blocks by their status, and answers by whether they are right where that can be known."""
    asked, patience = ModelOfQuestions(model), Patience()

    async def interpret(record: Record) -> Value:
        async with _interpreter(service, options) as interpreter:
            conversation = _Conversation(asked, interpreter, patience, options)
            await conversation.hold(question_of(record.value, options))
        return record.value | conversation.outcome(record.value.get(options.expected_field))

    return Step(
        name="interpret",
        settings=options.settings,
        work=per_record(interpret),
        reason_of=lambda value: str(value.get("ended")),
        tally=_tally,
        concurrency=options.concurrency,
    )


class _Conversation:
    """One question: replies, blocks and results, until it ends."""

    def __init__(
        self,
        model: ModelOfQuestions,
        interpreter: Interpreter,
        patience: Patience,
        options: InterpretOptions,
    ) -> None:
        self._model = model
        self._interpreter = interpreter
        self._patience = patience
        self._options = options
        self._transcript: list[Value] = []
        self._blocks: list[Value] = []
        self._answer: str | None = None
        self._ended: Ended = "no_answer"
        self._made_by: Value = {}

    async def hold(self, question: Messages) -> None:
        """Raises BadRecord where the model or the service failed."""
        self._transcript.extend(question)
        while True:
            completion = await self._asked()
            reply = reply_of(completion.text, is_cut=completion.finish_reason == "length")
            self._transcript.append({"role": "assistant", "content": reply.text})
            self._made_by = {
                "model": completion.model,
                "finish_reason": completion.finish_reason,
            }
            self._answer = reply.answer
            if reply.code is None:
                self._ended = "no_answer" if reply.answer is None else "answered"
                return
            if len(self._blocks) == self._options.blocks_max:
                self._ended = "rounds_used_up"
                return
            await self._run(reply.code)

    async def _asked(self) -> Completion:
        try:
            return await self._model.answer(self._transcript)
        except BadRecord as problem:
            message = f"{problem.reason}: {problem.message}"
            raise BadRecord(message, reason="model_failed", retry=problem.retry) from problem

    async def _run(self, code: str) -> None:
        try:
            ran = await self._interpreter.run(code)
        except ExecboxError as error:
            raise _unknown(self._patience.problem_of(error)) from error
        self._patience.answered()
        self._blocks.append({"code": code, **ran.as_json()})
        self._transcript.append({"role": "user", "content": self._told(ran)})

    def _told(self, ran: BlockRun) -> str:
        text = told(ran, chars_max=self._options.shown_chars_max)
        return text + _LAST if len(self._blocks) == self._options.blocks_max else text

    def outcome(self, expected: object) -> Value:
        """What the record gets."""
        verdict = None
        if expected is not None and self._answer is not None:
            verdict = "correct" if same_answer(self._answer, expected) else "incorrect"
        return {
            "ended": self._ended,
            "final_answer": self._answer,
            "verdict": verdict,
            **self._made_by,
            "blocks": self._blocks,
            "transcript": self._transcript,
        }


def _interpreter(service: InterpretService, options: InterpretOptions) -> Interpreter:
    shared = {
        name: value
        for name, value in options.limits.model_dump().items()
        if name in wire.SessionLimits.model_fields
    }
    if options.run_as == "session":
        session_limits = wire.SessionLimits.model_validate(shared)
        return SessionInterpreter(service, session_limits, options.idle_time_s)
    limits = wire.ProgramLimits.model_validate(options.limits.model_dump())
    return ProgramInterpreter(service, limits, options.isolation)


def _unknown(problem: BadRecord) -> BadRecord:
    """Where a failure is not the record's, the answer it would have given is unknown."""
    if not problem.retry:
        return problem
    return BadRecord(f"{problem.reason}: {problem.message}", reason="unknown", retry=True)


def _tally(value: Value) -> Mapping[str, int]:
    blocks = value.get("blocks")
    found: Sequence[object] = blocks if isinstance(blocks, list) else ()
    counts = Counter(f"block {each['status']}" for each in found if isinstance(each, dict))
    if value.get("verdict") is not None:
        counts[f"answer {value['verdict']}"] += 1
    return counts
