"""The files of one run: results appended so that a killed run loses and repeats nothing.

What is read is in ``records``, what is done with it in ``step``. Three files per run::

    OUT               one result per line, each with an ``id``
    OUT.errors.jsonl  one line per record that has no result, with ``reason`` and ``message``
    OUT.run.json      step and settings, so that a run is not continued with others, and whether it
                      came to its end; also the lock

Where OUT is a link, all three are beside the file it leads to. Where it ends in ``.gz`` or
``.parquet``, results are in ``OUT.partial`` until all of them are there, and are packed into OUT
then.

Every result is handed to the operating system as soon as it exists (one ``write``), so killing
the process loses only work under way; every 5 seconds and at the end it is forced to
disk (``fsync``), so a power failure loses at most that much. A torn last line is cut off when the
run is continued. Results are appended as they finish; when all are there, the file is put into
the order of the input once (to a file beside it, then renamed), so that an interrupted and
continued run ends with the same bytes as an undisturbed one.

A run that begins anew appends to OUT.partial, too, and replaces OUT when all is done; where OUT
holds something, so it does with the other two files, so that a run that is refused changes none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from execbox.dataset.files.append_log import (
    REMEDIES,
    AppendLog,
    as_dataset_error,
    new_beside,
    replacing,
    write_whole,
)
from execbox.dataset.files.input_start import InputStart
from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value, encode_line
from execbox.dataset.files.records import BadLine, Record, digest_of, read_records
from execbox.dataset.files.results_file import ResultsFile, packing_of, target_of
from execbox.dataset.files.run_lock import locked, note_of
from execbox.dataset.files.run_note import INPUT, UNFINISHED, IsOther, RunNote, other_input

__all__ = [
    "RunFiles",
    "errors_path",
    "failure_entry",
    "refuse_other_input",
    "run_path",
    "stays_failed",
]

_OF_THE_RECORD = frozenset(
    {
        *("invalid_record", "missing_field", "invalid_field", "not_json", "non_finite"),
        *("no_pairs", "invalid_pair", "missing_section", "truncated_answer", "unverified"),
    }
)
_OF_FURTHER_FILES = frozenset(
    {
        *("missing_function", "unknown_function", "unknown_pair", "dropped_pair"),
        *("ambiguous_pair", "no_generations"),
    }
)
_FOUND_AGAIN = _OF_THE_RECORD | _OF_FURTHER_FILES
"""Reasons that are found without asking anybody, and that somebody may have put right since."""


def errors_path(output: Path) -> Path:
    """Where the records without a result are listed."""
    return _beside(output, ".errors.jsonl")


def run_path(output: Path) -> Path:
    """Where step and settings of the run are noted."""
    return _beside(output, ".run.json")


def failure_entry(origin: Record | BadLine, problem: BadRecord) -> Value:
    """Why a record, or a line that is none, has no result, as a line of the error file."""
    entry: Value = {
        "id": origin.id if isinstance(origin, Record) else None,
        "file": origin.source,
        "line": origin.number,
        "reason": problem.reason,
        "message": problem.message,
        "retry": problem.retry,
    }
    if isinstance(origin, BadLine):
        entry["text"] = origin.excerpt
    if problem.detail is not None:
        entry["detail"] = problem.detail
    return entry


def stays_failed(entry: Value) -> bool:
    """Whether a line of the error file names a record that the next run passes over."""
    if entry.get("retry") is not False or not isinstance(entry.get("id"), str):
        return False
    # With a detail it is the account of what a service said, which may give such a reason too.
    return entry.get("reason") not in _FOUND_AGAIN or "detail" in entry


def refuse_other_input(output: Path, noted: object, start: InputStart) -> None:
    """Raise ``DatasetError`` where results are of an input that had another first record.

    One that was refused for what it was may have been put right since.
    """
    if not isinstance(noted, dict) or not start.lacks(noted):
        return
    path = errors_path(output)
    for line in read_records(path) if path.is_file() else ():
        entry = line.value if isinstance(line, Record) else {}
        if entry.get("line") == noted.get("line") and entry.get("reason") in _OF_THE_RECORD:
            return
    raise other_input(output, start.source, line=noted.get("line"))


class RunFiles:
    """What one run has written so far, and the way to add to it. A context manager.

    ``on_result`` and ``on_failure`` are called, before anything else happens, for what earlier
    runs left in the files. ``restart`` discards that instead. With ``begins_anew`` it is made
    again instead and stays until then. ``made_of`` are digests of further files that results are
    made of, of which ``is_other`` compares some. ``start`` is where the input begins. Raises
    ``DatasetError`` where the output belongs to another step, other settings, other such files or
    another input, or another run is writing it.
    """

    def __init__(
        self,
        output: Path,
        *,
        step: str,
        settings: Mapping[str, object],
        restart: bool,
        on_result: Callable[[Value], None],
        on_failure: Callable[[Value], None],
        begins_anew: bool = False,
        made_of: Mapping[str, object] | None = None,
        is_other: Mapping[str, IsOther] | None = None,
        start: InputStart | None = None,
    ) -> None:
        self._output = output
        with as_dataset_error(output, remedies=REMEDIES):
            target_of(output).parent.mkdir(parents=True, exist_ok=True)
            self._results_path = ResultsFile(
                target_of(output), packing=packing_of(output), replaces=begins_anew
            )
        for path in (errors_path(output), run_path(output)):
            _refuse_no_file(path, output)
        self._result_ordinals: dict[int, int] = {}
        self._failed: dict[int, int] = {}
        self._replaced: dict[int, int] = {}
        with ExitStack() as stack:
            lock_fd = locked(run_path(output))
            stack.callback(os.close, lock_fd)
            mine = RunNote(
                step=step,
                settings=settings,
                made_of=_noted_of(made_of, start),
                is_other=is_other or {},
            )
            self._note = _claim(
                lock_fd,
                self._results_path,
                mine=mine,
                start=start,
                restart=restart,
                begins_anew=begins_anew,
            )
            self._lock_fd = lock_fd
            self._failures_path = errors_path(output)
            if begins_anew:
                self._failures_path = new_beside(errors_path(output))
                self._replaced = self._begun_anew()
            self._results = AppendLog(self._results_path.unpacked())
            stack.callback(self._results.close)
            for ordinal, value in self._results.recover():
                self._note_id(self._result_ordinals, ordinal, value)
                on_result(value)
            self._failures = self._kept_failures(on_failure)
            stack.callback(self._failures.close)
            self._closing = stack.pop_all()

    @property
    def waiting_count(self) -> int:
        """Results not written yet: none, each is written as soon as it is there."""
        return 0

    def settle(self, *, before_rank: int | None) -> None:
        """Nothing: the order is made once, in the end."""

    def has_result(self, record: Record) -> bool:
        """Whether a result with this record's id is there; if so it takes this record's place."""
        ordinal = self._result_ordinals.get(digest_of(record.id))
        if ordinal is None:
            return False
        self._results.set_rank(ordinal, rank=record.rank)
        return True

    def has_failed(self, record: Record) -> bool:
        """Whether an earlier run found that this record can have no result."""
        ordinal = self._failed.get(digest_of(record.id))
        if ordinal is None:
            return False
        self._failures.set_rank(ordinal, rank=record.rank)
        return True

    def add_result(self, record: Record, value: Value) -> None:
        """Append the result of one record. ``BadRecord``: it has no JSON form, nothing happened."""
        named = {"id": record.id} | value | {"id": record.id}
        ordinal = self._results.append(encode_line(named), rank=record.rank)
        self._result_ordinals[digest_of(record.id)] = ordinal

    def add_failure(self, origin: Record | BadLine, problem: BadRecord) -> None:
        """Note in the error file why a record, or a line that is none, has no result."""
        entry = failure_entry(origin, problem)
        self._failures.append(encode_line(entry), rank=origin.rank)

    def finish(self) -> None:
        """All is done: bring both files into the order of the input.

        Raises ``DatasetError`` where a run that began anew would lose records by it.
        """
        self._refuse_to_lose()
        self._results.arrange()
        self._failures.arrange()
        self._results_path.pack()
        if self._failures_path != errors_path(self._output):
            # An empty one is removed by ``close``.
            self._failures.move_to(errors_path(self._output))
            self._failures_path = errors_path(self._output)
        text = self._note.text.encode()
        with as_dataset_error(run_path(self._output), remedies=REMEDIES):
            if os.pread(self._lock_fd, len(text), 0) != text:
                write_whole(self._lock_fd, text, at_bytes=0)
            os.ftruncate(self._lock_fd, len(text))

    def close(self) -> None:
        """Let go of the files; an empty error file is removed."""
        try:
            with as_dataset_error(self._output, remedies=REMEDIES):
                self._results.sync()
                self._failures.sync()
                is_left = self._failures_path != errors_path(self._output)
                if is_left or not len(self._failures):
                    self._failures_path.unlink()
        finally:
            self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begun_anew(self) -> dict[int, int]:
        """Ids, as digests, and ordinals of what this run is to replace, which it leaves as it is;
        what a run that was killed has left beside it is discarded."""
        held: dict[int, int] = {}
        path = self._results_path.replaced()
        if path is not None:
            log = AppendLog(path)
            try:
                for ordinal, value in log.recover():
                    self._note_id(held, ordinal, value)
            finally:
                log.close()
        with as_dataset_error(self._output, remedies=REMEDIES):
            self._results_path.discard_replaced()
            self._failures_path.unlink(missing_ok=True)
        return held

    def _refuse_to_lose(self) -> None:
        lost = [
            line for digest, line in self._replaced.items() if digest not in self._result_ordinals
        ]
        if lost:
            with as_dataset_error(self._output, remedies=REMEDIES):
                self._results_path.discard_beside()
            raise DatasetError(
                f"{self._output}: {len(lost)} of its records, the first on line {min(lost) + 1}, "
                "do not come of this input, and would be lost; nothing of it was changed: give "
                "another --output, or discard it with --restart"
            )

    def _note_id(self, ordinals: dict[int, int], ordinal: int, value: Value) -> None:
        identifier = value.get("id")
        if not isinstance(identifier, str):
            raise DatasetError(
                f'{self._output}:{ordinal + 1}: has no "id", so it was not written by this '
                "command: move the file away, or start with --restart"
            )
        first = ordinals.setdefault(digest_of(identifier), ordinal)
        if first != ordinal:
            raise DatasetError(
                f"{self._output}:{ordinal + 1}: the id {identifier!r} is on line {first + 1} "
                "already: remove one of them, or start with --restart"
            )

    def _kept_failures(self, on_failure: Callable[[Value], None]) -> AppendLog:
        """The error file with only those lines that this run will not find out again."""
        path = self._failures_path
        old = AppendLog(path)
        try:
            kept = [value for _, value in old.recover() if stays_failed(value)]
        finally:
            old.close()
        with as_dataset_error(path, remedies=REMEDIES), replacing(path) as file:
            file.writelines(map(encode_line, kept))
        failures = AppendLog(path)
        for ordinal, value in failures.recover():
            self._failed[digest_of(str(value["id"]))] = ordinal
            on_failure(value)
        return failures


def _beside(output: Path, suffix: str) -> Path:
    target = target_of(output)
    return target_of(target.with_name(target.name + suffix))


def _refuse_no_file(path: Path, output: Path) -> None:
    with as_dataset_error(path, remedies=REMEDIES):
        if path.exists() and not path.is_file():
            raise DatasetError(
                f"{path}: is no regular file, and {output} needs one of this name beside it; give "
                "a different --output"
            )


def _noted_of(
    made_of: Mapping[str, object] | None, start: InputStart | None
) -> Mapping[str, object]:
    note = None if start is None else start.note
    return {**(made_of or {}), **({} if note is None else {INPUT: note})}


def _claim(
    lock_fd: int,
    results: ResultsFile,
    *,
    mine: RunNote,
    start: InputStart | None,
    restart: bool,
    begins_anew: bool,
) -> RunNote:
    """Start a new run in the files, or make sure that this one continues what is there; what is
    noted of it.

    With ``begins_anew`` the note stays as long as what it is of: it is true of that until then.
    """
    theirs, _ = note_of(lock_fd)
    output = results.output
    # Failures found with a different file may be none with this one.
    is_same = theirs is not None and mine.is_same_run(theirs) and mine.other_file(theirs) is None
    with as_dataset_error(output, remedies=REMEDIES):
        if not restart and results.hold_something():
            mine.refuse_other(output, theirs)
            if start is not None and theirs is not None:
                refuse_other_input(output, theirs.made_of.get(INPUT), start)
            mine = mine.going_on(theirs)
        if restart or not is_same:
            results.discard()
            errors_path(output).unlink(missing_ok=True)
        if begins_anew and results.hold_something():
            return mine
        text = f"{mine.text}{UNFINISHED}".encode()
        write_whole(lock_fd, text, at_bytes=0)
        os.ftruncate(lock_fd, len(text))
        os.fsync(lock_fd)
    return mine
