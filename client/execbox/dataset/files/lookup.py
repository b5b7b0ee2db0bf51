"""Finding single records of a JSONL file by line or by id, without holding the file in memory.

Reading a file from end to end is in ``records``.
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value, parse_line
from execbox.dataset.files.records import Record, digest_of, read_records

__all__ = ["Lookup"]

_CACHED = 256


class Lookup:
    """An index over one file, made by reading it once: 8 bytes a line, about 100 an id.

    A context manager. Raises ``DatasetError`` where the file cannot be read; the file must not
    change while it is used.
    """

    def __init__(self, path: Path, *, by_id: bool = False) -> None:
        self._path = path
        self._starts = array("q")
        self._lines_by_id: dict[int, int] = {}
        begin = 0
        for line in read_records(path):
            # Empty lines are not told of; they are no records, but they are counted as lines.
            while len(self._starts) < line.number - 1:
                self._starts.append(-1)
            self._starts.append(begin if isinstance(line, Record) else -1)
            if by_id and isinstance(line, Record):
                self._lines_by_id[digest_of(line.id)] = line.number - 1
            begin = line.end_bytes
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
        self._cached = lru_cache(maxsize=_CACHED)(self._read)

    def at(self, index: int) -> Value:
        """The record on line ``index``, counted from 0. ``BadRecord`` where there is none."""
        if not 0 <= index < len(self._starts) or self._starts[index] < 0:
            raise BadRecord(
                f"refers to function {index}, and {self._path} has no record on line {index + 1} "
                f"(it has {len(self._starts)} lines)",
                reason="unknown_function",
            )
        return self._cached(index)

    def named(self, record_id: str) -> Value | None:
        """The record with this id, None if there is none; needs ``by_id``."""
        index = self._lines_by_id.get(digest_of(record_id))
        return None if index is None else self._read(index)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, index: int) -> Value:
        self._file.seek(self._starts[index])
        line = self._file.readline()
        # Empty lines before the record belong to what ``begin`` pointed at.
        while not line.strip():
            line = self._file.readline()
        return parse_line(line.removeprefix(b"\xef\xbb\xbf"))
