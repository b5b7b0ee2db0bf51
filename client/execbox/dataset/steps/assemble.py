"""``assemble``: from the verified files of all rounds to training records.

Two sets, as in the paper: CodeI/O (the first answer) and CodeI/O++ (first answer and feedback,
second answer and feedback, and so on); two forms: CodeI/O's fields, or chat ``messages``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value
from execbox.dataset.files.lookup import Lookup
from execbox.dataset.files.records import Record
from execbox.dataset.files.sources import can_be_read_again
from execbox.dataset.steps.step import Step, kept, part_of, per_record
from execbox.dataset.steps.turns import question_of, turn_of, turns_of

__all__ = [
    "AssembleOptions",
    "open_assemble_step",
    "training_record",
]

DataSet: TypeAlias = Literal["codeio", "codeio++"]
Form: TypeAlias = Literal["fields", "messages"]
Keep: TypeAlias = Literal["all", "correct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleOptions:
    """Which records are made.

    ``keep`` all is the paper's choice: what is wrong in the end stays, with its feedback saying
    so. ``correct`` keeps only records whose last answer is right.
    """

    dataset: DataSet = "codeio++"
    form: Form = "fields"
    keep: Keep = "all"


@asynccontextmanager
async def open_assemble_step(
    rounds: Sequence[Path], options: AssembleOptions | None = None
) -> AsyncIterator[Step]:
    """The step over the verified file of round 1, with those of the later rounds opened around it.

    ``rounds`` are the verified files of rounds 1, 2, and so on; what is in none but the first was
    right at once, or has no second answer.
    """
    if not rounds:
        raise DatasetError("assemble needs the verified file of at least the first round")
    with ExitStack() as stack:
        later = [stack.enter_context(Lookup(path, by_id=True)) for path in rounds[1:]]
        first = None
        if any(each.names_originals for each in later) and can_be_read_again(rounds[0]):
            first = stack.enter_context(Lookup(rounds[0]))
        revisions = [_Revisions(each, first) for each in later]
        yield _assemble_step(revisions, options or AssembleOptions(), rounds=rounds)


def _assemble_step(
    later: Sequence[_Revisions], options: AssembleOptions, *, rounds: Sequence[Path]
) -> Step:
    """The step over the first round; its results are counted by how they ended.

    ``correct``: right at once; ``corrected``: right in a later round; ``wrong``: answered in
    every round it could be and never right; ``not_revised``: wrong, and not answered again.
    """

    def parts(record: Record) -> Sequence[Record]:
        if options.dataset == "codeio":
            newest = record.value
        else:
            found = [revisions.of(record) for revisions in later]
            newest = next((value for value in reversed(found) if value), record.value)
        value = training_record(newest, options, rounds_count=len(later) + 1)
        if options.keep == "correct" and value["outcome"] not in ("correct", "corrected"):
            return ()
        return (part_of(record, 0, suffix="", value=value),)

    return Step(
        name="assemble",
        settings={
            "dataset": options.dataset,
            "form": options.form,
            "keep": options.keep,
            "rounds": [str(path) for path in rounds],
        },
        work=per_record(kept),
        parts=parts,
        reason_of=lambda value: str(value.get("outcome")),
        # A later round may have answers now that it lacked when a record was assembled.
        begins_anew=True,
    )


class _Revisions:
    """A later round's verified file: which of its records goes on from one of the first round.

    They have the same id. Records of CodeI/O's scripts have none of their own, and several
    answers to one question then cannot be told apart by it; ``original_id`` tells them apart.
    """

    def __init__(self, later: Lookup, first: Lookup | None) -> None:
        self._later = later
        self._first = first

    def of(self, record: Record) -> Value | None:
        if "id" not in record.value and self._later.names_originals:
            found = self._later.made_of(record.index)
            if found is not None and _asks_the_same(found, record.value):
                return found
        found = self._later.named(record.id)
        return None if found is None or self._is_of_another(found, record) else found

    def _is_of_another(self, found: Value, record: Record) -> bool:
        """Whether it names a different line of the first round, which asks the same."""
        original = found.get("original_id")
        if self._first is None or "id" in found or not isinstance(original, int):
            return False
        try:
            line = self._first.at(original)
        except BadRecord:
            return False  # It counts the lines of some other file.
        return original != record.index and _asks_the_same(line, found)


def _asks_the_same(one: Value, other: Value) -> bool:
    return all(one.get(name) == other.get(name) for name in ("itemid", "ioid", "io_pred"))


def training_record(newest: Value, options: AssembleOptions, *, rounds_count: int) -> Value:
    """One record, made of a verified record that carries its earlier turns.

    ``fields``: ``prompt``, ``turn_1``, ``feedback_1``, ``turn_2``, ``feedback_2``, further turns
    alike; what there is not is null, and CodeI/O ends with ``turn_1``. ``messages``: the
    conversation, ending with the last answer, as TRL and LLaMA-Factory want it. Both have
    ``outcome``, and ``itemid``, ``ioid``, ``io_pred`` where they are known.
    """
    turns = [*turns_of(newest), turn_of(newest)]
    question = question_of(newest, earlier_count=len(turns) - 1)
    if options.dataset == "codeio":
        turns = turns[:1]
    value: Value = {name: newest[name] for name in ("itemid", "ioid", "io_pred") if name in newest}
    if options.form == "messages":
        value["messages"] = _conversation(question, turns)
    else:
        value["prompt"] = question[-1].get("content")
        value |= _fields(turns, options, rounds_count=rounds_count)
    value["outcome"] = _outcome(turns, rounds_count=rounds_count, options=options)
    return value


def _conversation(question: Sequence[Value], turns: Sequence[Value]) -> list[Value]:
    messages = list(question)
    for place, turn in enumerate(turns):
        if place:
            messages.append({"role": "user", "content": turns[place - 1]["feedback"]})
        messages.append({"role": "assistant", "content": turn["response"]})
    return messages


def _fields(
    turns: Sequence[Value], options: AssembleOptions, *, rounds_count: int
) -> dict[str, object]:
    if options.dataset == "codeio":
        return {"turn_1": turns[0]["response"]}
    fields: dict[str, object] = {}
    for number in range(1, max(2, rounds_count, len(turns)) + 1):
        turn = turns[number - 1] if number <= len(turns) else None
        fields[f"turn_{number}"] = turn and turn["response"]
        fields[f"feedback_{number}"] = turn and turn["feedback"]
    return fields


def _outcome(turns: Sequence[Value], *, rounds_count: int, options: AssembleOptions) -> str:
    if turns[-1]["verdict"] == "correct":
        return "correct" if len(turns) == 1 else "corrected"
    if options.dataset == "codeio++" and len(turns) < rounds_count:
        return "not_revised"
    return "wrong"
