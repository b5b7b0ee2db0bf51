"""Running one step over one file: bounded concurrency, results and failures to their files.

What a step does with a record is the step's own module; the files are in ``resume``. A step is
pure data plus one function, so ``generate``, ``infer`` or a step of one's own run the same way::

    async def shout(record: Record) -> Value:
        return record.value | {"text": text_field(record.value, "text").upper()}

    step = Step(name="shout", settings={}, work=per_record(shout), reason_of=lambda _: "done")
    summary = run_step(step, source=Path("in.jsonl"), output=Path("out.jsonl"))

Killed at any byte and run again, it goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from execbox.dataset.files.records import (
    BadLine,
    BadRecord,
    DatasetError,
    Record,
    Value,
    read_records,
)
from execbox.dataset.files.resume import RunFiles
from execbox.dataset.steps.progress import Listener, Progress, Summary, unheard

__all__ = ["Step", "Work", "Worked", "part_of", "per_record", "run_step", "run_step_async", "whole"]

Worked: TypeAlias = Value | BadRecord
"""What one record gave: its result, or why it has none."""
Work: TypeAlias = Callable[[Sequence[Record]], Awaitable[Sequence[Worked]]]
"""From up to ``chunk_count`` records to one ``Worked`` each, in the same order."""

_TICK_S = 1.0
_SKIPPED_BETWEEN_PAUSES = 1000


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
    NaN and Infinity.
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


def run_step(
    step: Step,
    *,
    source: Path,
    output: Path,
    restart: bool = False,
    listener: Listener = unheard,
) -> Summary:
    """Do ``step`` for every record of ``source`` that has no result in ``output`` yet.

    Returns when every record has a result or a line in the error file. Raises ``DatasetError``
    for files that cannot be used, and whatever ``step.work`` raises; either way all results so
    far are in ``output``. Not to be called where an event loop runs; see ``run_step_async``.
    """
    running = run_step_async(step, source=source, output=output, restart=restart, listener=listener)
    return asyncio.run(running)


async def run_step_async(
    step: Step,
    *,
    source: Path,
    output: Path,
    restart: bool = False,
    listener: Listener = unheard,
) -> Summary:
    """As ``run_step``, in a running event loop."""
    progress = Progress(step.name, total_bytes=_readable_bytes(source, output=output))
    with RunFiles(
        output,
        step=step.name,
        settings=step.settings,
        restart=restart,
        on_result=lambda value: _count_result(step, progress, value, resumed=True),
        on_failure=lambda entry: _count_failure(
            step,
            progress,
            BadRecord("", reason=str(entry.get("reason")), detail=_detail(entry)),
            resumed=True,
        ),
    ) as files:
        await _Run(step, files, progress, listener).through(source)
        files.finish()
    listener(progress.snapshot())
    return progress.summary()


class _Run:
    def __init__(self, step: Step, files: RunFiles, progress: Progress, listener: Listener) -> None:
        self._step = step
        self._files = files
        self._progress = progress
        self._listener = listener
        self._under_way: dict[asyncio.Task[Sequence[Worked]], Sequence[Record]] = {}

    async def through(self, source: Path) -> None:
        skipped = 0
        try:
            for chunk in self._chunks(source):
                if not chunk:
                    skipped += 1
                    if skipped % _SKIPPED_BETWEEN_PAUSES == 0:
                        await asyncio.sleep(0)
                    continue
                while len(self._under_way) >= self._step.concurrency:
                    await self._collect()
                task = asyncio.ensure_future(self._step.work(chunk))
                self._under_way[task] = chunk
            while self._under_way:
                await self._collect()
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _chunks(self, source: Path) -> Iterator[Sequence[Record]]:
        """Records to work on; an empty chunk for each line with nothing to do."""
        chunk: list[Record] = []
        for line in read_records(source, non_finite=self._step.non_finite):
            self._progress.read_bytes = line.end_bytes
            fresh = self._without_result(line)
            if not fresh:
                yield ()
            for record in fresh:
                chunk.append(record)
                if len(chunk) == self._step.chunk_count:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk

    def _without_result(self, line: Record | BadLine) -> Sequence[Record]:
        if isinstance(line, BadLine):
            self._failed(line, BadRecord(line.message, reason=line.reason))
            return ()
        files = self._files
        if files.has_failed(line):
            return ()
        try:
            parts = self._step.parts(line)
        except BadRecord as problem:
            self._failed(line, problem)
            return ()
        return [part for part in parts if not (files.has_result(part) or files.has_failed(part))]

    async def _collect(self) -> None:
        done, _ = await asyncio.wait(
            self._under_way, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED
        )
        failure: BaseException | None = None
        for task in done:
            records = self._under_way.pop(task)
            failure = task.exception() or failure
            if task.exception() is None:
                for record, worked in zip(records, task.result(), strict=True):
                    self._store(record, worked)
        self._listener(self._progress.snapshot())
        if failure is not None:
            raise failure

    def _store(self, record: Record, worked: Worked) -> None:
        try:
            if isinstance(worked, BadRecord):
                raise worked
            self._files.add_result(record, worked)
        except BadRecord as problem:
            self._failed(record, problem)
        else:
            _count_result(self._step, self._progress, worked)

    def _failed(self, origin: Record | BadLine, problem: BadRecord) -> None:
        if isinstance(origin, Record) and not problem.message.startswith(origin.where):
            problem = BadRecord(
                f"{origin.where}: {problem.message}",
                reason=problem.reason,
                retry=problem.retry,
                detail=problem.detail,
            )
        self._files.add_failure(origin, problem)
        _count_failure(self._step, self._progress, problem, resumed=False)


def _count_result(step: Step, progress: Progress, value: Value, *, resumed: bool = False) -> None:
    progress.result(step.reason_of(value), resumed=resumed)
    progress.tally(step.tally(value))


def _count_failure(step: Step, progress: Progress, problem: BadRecord, *, resumed: bool) -> None:
    progress.failure(problem.reason, retry=problem.retry, resumed=resumed)
    if problem.detail is not None:
        progress.tally(step.tally(problem.detail))


def _detail(entry: Value) -> Value | None:
    detail = entry.get("detail")
    return detail if isinstance(detail, dict) else None


def _readable_bytes(source: Path, *, output: Path) -> int:
    try:
        if output.exists() and source.samefile(output):
            raise DatasetError(f"{source}: is the input and the output at once")
        return source.stat().st_size
    except OSError as error:
        raise DatasetError(f"{source}: cannot be read: {error.strerror or error}") from error
