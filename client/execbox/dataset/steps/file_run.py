"""Running one step over one file: bounded concurrency, results and failures to their files.

What is done with a record is the step's, what a killed run leaves behind is in ``resume``. Killed
at any byte and run again, a run goes on where it was.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from execbox.dataset.files.destinations import StreamedRun, is_stream
from execbox.dataset.files.done import refuse_unfinished
from execbox.dataset.files.input_start import InputStart
from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value
from execbox.dataset.files.records import BadLine, Record, records_of
from execbox.dataset.files.resume import RunFiles
from execbox.dataset.files.sources import STANDARD_STREAM, Source, open_source
from execbox.dataset.steps.progress import Listener, Progress, Summary, unheard
from execbox.dataset.steps.step import OpenStep, Step, Worked

__all__ = ["FailureListener", "run_step", "run_step_async", "untold"]

_TICK_S = 1.0
_WAITING_MAX = 1000
"""Results kept back for one before them, at which no more work is begun."""
_SKIPPED_BETWEEN_PAUSES = 1000


FailureListener: TypeAlias = Callable[[Value], None]
"""Is told of each failure that is in no error file, as a line of one would say it."""


def untold(_: Value) -> None:
    """The listener of a caller that wants the counts of failures and no more."""


def run_step(
    step: Step | OpenStep,
    *,
    source: Path,
    output: Path,
    restart: bool = False,
    listener: Listener = unheard,
    on_failure: FailureListener = untold,
) -> Summary:
    """Do ``step`` for every record of ``source`` that has no result in ``output`` yet.

    ``-`` is standard input and output, ``.gz`` is read and written. An output that is no file (a
    pipe, a device) is written in the order of the input; nothing of it can be continued, and its
    failures are told to ``on_failure`` alone, each as a line of an error file would have it.
    Opens and closes what the step needs. Returns when every record has a result or a line in the
    error file. Raises ``DatasetError`` for files that cannot be used, and whatever opening the
    step and ``step.work`` raise; either way all results so far are in ``output``. Where an event
    loop runs already, such as in a notebook, ``await run_step_async(...)`` instead.
    """
    if _in_event_loop():
        raise DatasetError(
            "an event loop runs here already, as in a notebook, so run_step cannot start one: "
            "write `await run_step_async(...)` with the same arguments"
        )
    return asyncio.run(
        run_step_async(
            step,
            source=source,
            output=output,
            restart=restart,
            listener=listener,
            on_failure=on_failure,
        )
    )


async def run_step_async(
    step: Step | OpenStep,
    *,
    source: Path,
    output: Path,
    restart: bool = False,
    listener: Listener = unheard,
    on_failure: FailureListener = untold,
) -> Summary:
    """As ``run_step``, in a running event loop."""
    async with nullcontext(step) if isinstance(step, Step) else step as opened:
        _refuse_same_file(source, output)
        if opened.numbers_lines:
            refuse_unfinished(source)
        with open_source(source) as given:
            progress = Progress(opened.name, total_bytes=given.total_bytes)
            lines = records_of(given.file, name=given.name, non_finite=opened.non_finite)
            if is_stream(output):
                files: StreamedRun | RunFiles = StreamedRun(output, on_failure=on_failure)
            else:
                # Before the output is touched: it may be another input's.
                first = next(lines, None)
                lines = lines if first is None else chain((first,), lines)
                start = InputStart(source=source, first=first, non_finite=opened.non_finite)
                files = _run_files(opened, output, progress, start=start, restart=restart)
            with files:
                await _Run(opened, files, progress, listener).through(lines, of=given)
                files.finish()
            listener(progress.snapshot())
            return progress.summary()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run_files(
    step: Step, output: Path, progress: Progress, *, start: InputStart, restart: bool
) -> RunFiles:
    """The files of this run, with what earlier ones left in them counted."""
    return RunFiles(
        output,
        step=step.name,
        settings=step.settings,
        restart=restart,
        begins_anew=step.begins_anew,
        made_of=step.made_of,
        is_other=step.is_other,
        start=start,
        on_result=lambda value: _count_result(step, progress, value, resumed=True),
        on_failure=lambda entry: _count_failure(
            step,
            progress,
            BadRecord("", reason=str(entry.get("reason")), detail=_detail(entry)),
            resumed=True,
        ),
    )


class _Run:
    def __init__(
        self, step: Step, files: RunFiles | StreamedRun, progress: Progress, listener: Listener
    ) -> None:
        self._step = step
        self._files = files
        self._progress = progress
        self._listener = listener
        self._under_way: dict[asyncio.Task[Sequence[Worked]], Sequence[Record]] = {}

    async def through(self, lines: Iterator[Record | BadLine], *, of: Source) -> None:
        skipped = 0
        try:
            for chunk in self._chunks(lines, of):
                if not chunk:
                    skipped += 1
                    if skipped % _SKIPPED_BETWEEN_PAUSES == 0:
                        await asyncio.sleep(0)
                    continue
                while self._must_wait():
                    await self._collect()
                task = asyncio.ensure_future(self._step.work(chunk))
                self._under_way[task] = chunk
            while self._under_way:
                await self._collect()
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _must_wait(self) -> bool:
        if self._files.waiting_count > _WAITING_MAX and self._under_way:
            return True
        return len(self._under_way) >= self._step.concurrency

    def _chunks(
        self, lines: Iterator[Record | BadLine], source: Source
    ) -> Iterator[Sequence[Record]]:
        """Records to work on; an empty chunk for each line with nothing to do."""
        chunk: list[Record] = []
        for line in lines:
            self._progress.read_bytes = source.read_bytes
            self._progress.line_count += 1
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
        under_way = [records[0].rank for records in self._under_way.values()]
        self._files.settle(before_rank=min(under_way, default=None))
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


def _refuse_same_file(source: Path, output: Path) -> None:
    with suppress(OSError):  # What cannot be looked at is refused where it is opened.
        status = os.fstat(0) if source == STANDARD_STREAM else source.stat()
        written = os.fstat(1) if output == STANDARD_STREAM else output.stat()
        if stat.S_ISREG(status.st_mode) and os.path.samestat(status, written):
            raise DatasetError(f"{source}: is the input and the output at once")
