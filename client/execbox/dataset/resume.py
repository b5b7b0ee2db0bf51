"""The files of one run: results appended so that a killed run loses and repeats nothing.

What is read is in ``records``, what is done with it in ``step``. Three files per run::

    OUT               one result per line, each with an ``id``
    OUT.errors.jsonl  one line per record that has no result, with ``reason`` and ``message``
    OUT.run.json      step and settings, so that a run is not continued with others; also the lock

Every result is handed to the operating system as soon as it exists (one ``write``), so killing
the process loses only work under way; every ``SYNC_S`` seconds and at the end it is forced to
disk (``fsync``), so a power failure loses at most that much. A torn last line is cut off when the
run is continued. Results are appended as they finish; when all are there, the file is put into
the order of the input once (to a file beside it, then renamed), so that an interrupted and
continued run ends with the same bytes as an undisturbed one.
"""

from __future__ import annotations

import json
import os
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from execbox.dataset.records import (
    BadLine,
    BadRecord,
    DatasetError,
    Record,
    Value,
    decode_line,
    digest_of,
    encode_line,
)

__all__ = ["SYNC_S", "AppendLog", "RunFiles", "errors_path", "run_path"]

SYNC_S = 5.0
"""Seconds between two times that results are forced to disk."""

_COPY_BYTES = 1024 * 1024
_LAST = 2**62


def errors_path(output: Path) -> Path:
    """Where the records without a result are listed."""
    return output.with_name(output.name + ".errors.jsonl")


def run_path(output: Path) -> Path:
    """Where step and settings of the run are noted."""
    return output.with_name(output.name + ".run.json")


class AppendLog:
    """A JSONL file that lines are appended to, and that can be put into order at the end.

    Each line has an ordinal (its place in the file, from 0) and a rank (its place in the end).
    Raises ``DatasetError`` for everything the file system refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._starts = array("q")
        self._ranks = array("q")
        self._synced_s = time.monotonic()
        with _as_dataset_error(path):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self._end_bytes = 0

    def __len__(self) -> int:
        return len(self._starts)

    def recover(self) -> Iterator[tuple[int, Value]]:
        """Ordinal and value of every complete line; afterwards a torn last line has been cut off.

        Raises ``DatasetError`` for a damaged line with others after it: nothing of ours writes so.
        """
        with _as_dataset_error(self._path), self._path.open("rb") as file:
            for line in file:
                try:
                    value = decode_line(line)
                    if not line.endswith(b"\n"):
                        break
                except BadRecord as error:
                    if file.read(1):
                        raise DatasetError(
                            f"{self._path}:{len(self) + 1}: {error.message}; this file was damaged "
                            "or not written by this command: move it away, or start with --restart"
                        ) from error
                    break
                ordinal = len(self)
                self._note(len(line), rank=_LAST)
                yield ordinal, value
            os.ftruncate(self._fd, self._end_bytes)

    def append(self, line: bytes, *, rank: int) -> int:
        """Write one encoded line at the end; its ordinal."""
        ordinal = len(self)
        with _as_dataset_error(self._path):
            written = 0
            while written < len(line):
                written += os.pwrite(self._fd, line[written:], self._end_bytes + written)
            self._note(len(line), rank=rank)
            if time.monotonic() - self._synced_s >= SYNC_S:
                self.sync()
        return ordinal

    def set_rank(self, ordinal: int, *, rank: int) -> None:
        """Say where a recovered line belongs; lines nobody spoke for stay behind all others."""
        self._ranks[ordinal] = rank

    def sync(self) -> None:
        """Force everything to disk."""
        os.fsync(self._fd)
        self._synced_s = time.monotonic()

    def arrange(self) -> None:
        """Put the lines into the order of their ranks, equal ranks as they are; all or nothing."""
        order = sorted(range(len(self)), key=self._ranks.__getitem__)
        with _as_dataset_error(self._path):
            if order != list(range(len(self))):
                self._rewrite(order)
            self.sync()

    def close(self) -> None:
        os.close(self._fd)

    def _note(self, length_bytes: int, *, rank: int) -> None:
        self._starts.append(self._end_bytes)
        self._ranks.append(rank)
        self._end_bytes += length_bytes

    def _rewrite(self, order: Sequence[int]) -> None:
        beside = self._path.with_name(self._path.name + ".sorting")
        ends = [*self._starts[1:], self._end_bytes]
        with beside.open("wb") as file:
            for ordinal in order:
                for part in self._line(self._starts[ordinal], ends[ordinal]):
                    file.write(part)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        _sync_directory(self._path.parent)
        old, self._fd = self._fd, os.open(self._path, os.O_RDWR)
        os.close(old)

    def _line(self, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            part = os.pread(self._fd, min(_COPY_BYTES, end - start), start)
            start += len(part)
            yield part


class RunFiles:
    """What one run has written so far, and the way to add to it. A context manager.

    ``on_result`` and ``on_failure`` are called, before anything else happens, for what earlier
    runs left in the files. ``restart`` discards that instead. Raises ``DatasetError`` where the
    output belongs to another step or other settings, or another run is writing it.
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
    ) -> None:
        self._output = output
        with _as_dataset_error(output):
            output.parent.mkdir(parents=True, exist_ok=True)
        self._result_ordinals: dict[int, int] = {}
        self._failed: dict[int, int] = {}
        with ExitStack() as stack:
            lock_fd = _locked(run_path(output))
            stack.callback(os.close, lock_fd)
            _claim(lock_fd, output, step=step, settings=settings, restart=restart)
            self._results = AppendLog(output)
            stack.callback(self._results.close)
            for ordinal, value in self._results.recover():
                self._recovered(ordinal, value)
                on_result(value)
            self._failures = self._kept_failures(on_failure)
            stack.callback(self._failures.close)
            self._closing = stack.pop_all()

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
        self._failures.append(encode_line(entry), rank=origin.rank)

    def finish(self) -> None:
        """All is done: bring both files into the order of the input."""
        self._results.arrange()
        self._failures.arrange()

    def close(self) -> None:
        """Let go of the files; an empty error file is removed."""
        try:
            with _as_dataset_error(self._output):
                self._results.sync()
                self._failures.sync()
                if not len(self._failures):
                    errors_path(self._output).unlink()
        finally:
            self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recovered(self, ordinal: int, value: Value) -> None:
        identifier = value.get("id")
        if not isinstance(identifier, str):
            raise DatasetError(
                f'{self._output}:{ordinal + 1}: has no "id", so it was not written by this '
                "command: move the file away, or start with --restart"
            )
        first = self._result_ordinals.setdefault(digest_of(identifier), ordinal)
        if first != ordinal:
            raise DatasetError(
                f"{self._output}:{ordinal + 1}: the id {identifier!r} is on line {first + 1} "
                "already: remove one of them, or start with --restart"
            )

    def _kept_failures(self, on_failure: Callable[[Value], None]) -> AppendLog:
        """The error file with only those lines that this run will not find out again."""
        path = errors_path(self._output)
        old = AppendLog(path)
        try:
            kept = [
                value
                for _, value in old.recover()
                if value.get("retry") is False and isinstance(value.get("id"), str)
            ]
        finally:
            old.close()
        beside = path.with_name(path.name + ".sorting")
        with _as_dataset_error(path):
            beside.write_bytes(b"".join(map(encode_line, kept)))
            beside.replace(path)
        failures = AppendLog(path)
        for ordinal, value in failures.recover():
            self._failed[digest_of(str(value["id"]))] = ordinal
            on_failure(value)
        return failures


def _locked(path: Path) -> int:
    with _as_dataset_error(path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        import fcntl
    except ImportError:  # Not POSIX: nothing keeps two runs apart there.
        return fd
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise DatasetError(
            f"{path}: another run is writing this output; wait for it, or give another --output"
        ) from error
    return fd


def _claim(
    lock_fd: int, output: Path, *, step: str, settings: Mapping[str, object], restart: bool
) -> None:
    """Start a new run in the files, or make sure that this one continues what is there."""
    mine = json.dumps({"step": step, "settings": settings}, indent=2, sort_keys=True) + "\n"
    theirs = os.pread(lock_fd, _COPY_BYTES, 0).decode("utf-8", "replace")
    if theirs == mine and not restart:
        return
    with _as_dataset_error(output):
        if not restart and output.exists() and output.stat().st_size > 0:
            raise DatasetError(_not_ours(output, theirs, mine))
        for stale in (output, errors_path(output)):
            with suppress(FileNotFoundError):
                stale.unlink()
        os.ftruncate(lock_fd, 0)
        os.pwrite(lock_fd, mine.encode(), 0)
        os.fsync(lock_fd)


def _not_ours(output: Path, theirs: str, mine: str) -> str:
    remedy = "give another --output, or discard it with --restart"
    try:
        old, new = json.loads(theirs), json.loads(mine)
        old_settings, new_settings = old["settings"], new["settings"]
    except (ValueError, KeyError, TypeError):
        return f"{output}: exists and was not written by this command; {remedy}"
    if old["step"] != new["step"]:
        return f"{output}: was written by {old['step']!r}, not by {new['step']!r}; {remedy}"
    names = [
        f"{name} was {old_settings.get(name)!r} and is {new_settings.get(name)!r} now"
        for name in sorted({*old_settings, *new_settings})
        if old_settings.get(name) != new_settings.get(name)
    ]
    return f"{output}: was begun with other settings ({'; '.join(names)[:1000]}); {remedy}"


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _as_dataset_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error
