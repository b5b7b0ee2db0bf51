"""``Step``: what is done with every record of a file, as data; running one is in ``file_run``.

``generate``, ``infer`` or a step of one's own are the same kind of thing::

    async def shout(record: Record) -> Value:
        return record.value | {"text": text_field(record.value, "text").upper()}

    step = Step(name="shout", settings={}, work=per_record(shout), reason_of=lambda _: "done")
    summary = run_step(step, source=Path("in.jsonl"), output=Path("out.jsonl"))
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from execbox.dataset.files.json_lines import BadRecord, Value
from execbox.dataset.files.records import Record
from execbox.dataset.files.run_note import IsOther

__all__ = ["OpenStep", "Step", "Work", "Worked", "kept", "part_of", "per_record", "whole"]

Worked: TypeAlias = Value | BadRecord
"""What one record gave: its result, or why it has none."""
Work: TypeAlias = Callable[[Sequence[Record]], Awaitable[Sequence[Worked]]]
"""From up to ``chunk_count`` records to one ``Worked`` each, in the same order."""


def whole(record: Record) -> Sequence[Record]:
    """The ``parts`` of a step that takes every line as it is."""
    return (record,)


def nothing_to_tally(_: Value) -> Mapping[str, int]:
    """The ``tally`` of a step whose records are not made of anything."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is done with every record, and how many at once.

    ``work`` returns ``BadRecord`` for records that cannot have a result; what it raises ends the
    run, to be continued later. A result gets the id of its record. ``parts`` makes of each line
    the records worked on, none, one or several (``part_of``); it is cheap, always gives the same,
    and may raise ``BadRecord``. ``reason_of`` names what a result is counted under. ``settings``
    are JSON: whatever makes the results what they are, and nothing secret. ``tally`` counts what a
    result, or the ``detail`` of a ``BadRecord``, is made of. With ``non_finite`` the input may hold
    NaN and Infinity. With ``numbers_lines`` results hold numbers of the input's lines, so the
    input must not be the output of a run of which something is left to do. With ``begins_anew``
    every run makes all results again, in place of those there: for a step that costs nothing and
    looks into further files, of which a result of an earlier run may have seen less. ``made_of``
    are digests of further files that results are made of, by what those are; ``is_other`` says of
    one that may change whether it is a different one than what an earlier run noted of it.
    """

    name: str
    settings: Mapping[str, object]
    work: Work
    reason_of: Callable[[Value], str]
    parts: Callable[[Record], Sequence[Record]] = whole
    tally: Callable[[Value], Mapping[str, int]] = nothing_to_tally
    concurrency: int = 8
    chunk_count: int = 1
    non_finite: bool = False
    numbers_lines: bool = False
    begins_anew: bool = False
    made_of: Mapping[str, object] = field(default_factory=dict)
    is_other: Mapping[str, IsOther] = field(default_factory=dict)


OpenStep: TypeAlias = AbstractAsyncContextManager[Step]
"""A step that needs something opened around its run, such as a client or a file."""


def part_of(record: Record, part: int, *, suffix: str, value: Value) -> Record:
    """The ``part``-th part of a record, with an id of its own."""
    return replace(record, part=part, id=record.id + suffix, value=value)


def per_record(function: Callable[[Record], Awaitable[Value]]) -> Work:
    """Work made of a function for one record, which may raise ``BadRecord``."""

    async def work(records: Sequence[Record]) -> Sequence[Worked]:
        worked: list[Worked] = []
        for record in records:
            try:
                worked.append(await function(record))
            except BadRecord as problem:
                worked.append(problem)
        return worked

    return work


async def kept(record: Record) -> Value:
    """The work of a step that only takes lines apart: each part is its own result."""
    return record.value
