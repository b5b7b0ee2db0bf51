"""Finding single records of a JSONL file by line or by id, without holding the file in memory.

Reading a file from end to end is in ``records``.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

from execbox.dataset.files.json_lines import BadRecord, Value, parse_line
from execbox.dataset.files.records import BadLine, Record, digest_of, records_of
from execbox.dataset.files.sources import open_seekable

__all__ = ["Lookup"]

_CACHED = 256


class Lookup:
    """An index over one file, made by reading it once: 8 bytes a line, about 100 an id.

    A context manager. ``on_record`` is told of every record on the way. Raises ``DatasetError``
    where the file cannot be read; the file must not change while it is used.
    """

    def __init__(
        self,
        path: Path,
        *,
        by_id: bool = False,
        on_record: Callable[[Record], None] | None = None,
    ) -> None:
        self._path = path
        self._starts = array("q")
        self._lines_by_id: dict[int, int] = {}
        self._lines_by_original: dict[int, int] = {}
        self._bad_lines: dict[int, str] = {}
        with ExitStack() as stack:
            self._file = stack.enter_context(open_seekable(path))
            self._read_through(by_id=by_id, on_record=on_record)
            self._closing = stack.pop_all()
        self._cached = lru_cache(maxsize=_CACHED)(self._read)

    def __len__(self) -> int:
        """How many lines there are, down to the last that is not empty."""
        return len(self._starts)

    def at(self, index: int) -> Value:
        """The record on line ``index``, counted from 0. ``BadRecord`` where there is none."""
        if not 0 <= index < len(self._starts) or self._starts[index] < 0:
            why = self._bad_lines.get(index, f"it has {len(self._starts)} lines")
            raise BadRecord(
                f"refers to function {index}, and {self._path} has no record on line {index + 1} "
                f"({why})",
                reason="unknown_function",
                retry=True,
            )
        return self._cached(index)

    def named(self, record_id: str) -> Value | None:
        """The record with this id, None if there is none; needs ``by_id``."""
        index = self._lines_by_id.get(digest_of(record_id))
        return None if index is None else self._read(index)

    @property
    def names_originals(self) -> bool:
        """Whether records say with ``original_id`` which line they are made of; needs ``by_id``."""
        return bool(self._lines_by_original)

    def made_of(self, index: int) -> Value | None:
        """The record made of this line of an earlier file, as CodeI/O's scripts note it."""
        line = self._lines_by_original.get(index)
        return None if line is None else self._read(line)

    def close(self) -> None:
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read_through(self, *, by_id: bool, on_record: Callable[[Record], None] | None) -> None:
        begin = 0
        for line in records_of(self._file, name=str(self._path), non_finite=True):
            # Empty lines are not told of; they are no records, but they are counted as lines.
            while len(self._starts) < line.number - 1:
                self._starts.append(-1)
            if isinstance(line, BadLine):
                self._bad_lines[line.number - 1] = line.message
            self._starts.append(begin if isinstance(line, Record) else -1)
            if on_record is not None and isinstance(line, Record):
                on_record(line)
            if by_id and isinstance(line, Record):
                self._lines_by_id[digest_of(line.id)] = line.number - 1
                original = line.value.get("original_id")
                if isinstance(original, int) and "id" not in line.value:
                    self._lines_by_original[original] = line.number - 1
            begin = line.end_bytes

    def _read(self, index: int) -> Value:
        self._file.seek(self._starts[index])
        line = self._file.readline()
        # Empty lines before the record belong to what ``begin`` pointed at.
        while not line.strip():
            line = self._file.readline()
        return parse_line(line.removeprefix(b"\xef\xbb\xbf"), non_finite=True)
