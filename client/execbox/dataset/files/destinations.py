"""Where a run's output goes: a file that can be continued, or a stream that cannot.

A stream is standard output, a pipe or a device such as ``/dev/null``: it is written to and never
replaced. Writing the lines of a file, and its neighbours, is in ``resume``.
"""

from __future__ import annotations

import heapq
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

from execbox.dataset.files.append_log import as_dataset_error
from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value, encode_line
from execbox.dataset.files.records import BadLine, Record
from execbox.dataset.files.resume import failure_entry
from execbox.dataset.files.sources import STANDARD_STREAM

__all__ = ["StreamedRun", "is_standard_output", "is_stream", "open_stream"]


def is_stream(output: Path) -> bool:
    """Whether ``output`` can only be written to from beginning to end, once.

    Raises ``DatasetError`` for what results must not be written to at all.
    """
    if output == STANDARD_STREAM:
        return True
    with as_dataset_error(output):
        try:
            mode = output.stat().st_mode
        except FileNotFoundError:
            return False
    if stat.S_ISDIR(mode):
        raise DatasetError(f"{output}: is a directory; name a file in it")
    if stat.S_ISBLK(mode):
        raise DatasetError(f"{output}: is a disk, which results would overwrite; name a file")
    if stat.S_ISSOCK(mode):
        raise DatasetError(f"{output}: is a socket; name a file, a pipe or -")
    return not stat.S_ISREG(mode) or is_standard_output(output)


def is_standard_output(output: Path) -> bool:
    """Whether ``output`` is ``-``, or what standard output goes to, such as ``/dev/stdout``."""
    if output == STANDARD_STREAM:
        return True
    try:
        return os.path.samestat(output.stat(), os.fstat(1))
    except OSError:
        return False


def open_stream(output: Path) -> io.FileIO:
    """A stream opened for writing; a named pipe waits until a process reads it."""
    with as_dataset_error(output):
        if is_standard_output(output):
            return io.FileIO(1, "wb", closefd=False)
        return io.FileIO(os.open(output, os.O_WRONLY), "wb")


class StreamedRun:
    """One run's results to a stream, in the order of the input; nothing of it can be continued.

    Results wait in memory until those before them are there. A context manager. A reader that
    goes away raises ``BrokenPipeError``, everything else refused ``DatasetError``.
    """

    def __init__(self, output: Path, *, on_failure: Callable[[Value], None]) -> None:
        self._output = output
        self._on_failure = on_failure
        self._stream = open_stream(output)
        self._waiting: list[tuple[int, bytes]] = []

    @property
    def waiting_count(self) -> int:
        """Results that wait for those before them."""
        return len(self._waiting)

    def has_result(self, _: Record) -> bool:
        """No: what went into a stream is gone."""
        return False

    def has_failed(self, _: Record) -> bool:
        """No: there is no error file."""
        return False

    def add_result(self, record: Record, value: Value) -> None:
        """Keep a result until its turn. ``BadRecord``: it has no JSON form, nothing happened."""
        line = encode_line({"id": record.id} | value | {"id": record.id})
        heapq.heappush(self._waiting, (record.rank, line))

    def add_failure(self, origin: Record | BadLine, problem: BadRecord) -> None:
        """Tell why a record, or a line that is none, has no result."""
        self._on_failure(failure_entry(origin, problem))

    def settle(self, *, before_rank: int | None) -> None:
        """Write what waits of ranks below this one, or everything: nothing can come before it."""
        while self._waiting and (before_rank is None or self._waiting[0][0] < before_rank):
            self._write(heapq.heappop(self._waiting)[1])

    def finish(self) -> None:
        """All is done."""
        self.settle(before_rank=None)

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> StreamedRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: bytes) -> None:
        with as_dataset_error(self._output):
            while line:
                line = line[self._stream.write(line) or 0 :]
