"""The records of a JSONL file: reading it line by line, and a name for each that no other has.

What one line may hold is in ``json_lines``; appending results and resuming is in ``resume``. A
line that cannot be used is a ``BadLine`` with a reason, never an exception, so that a run goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value, parse_line

__all__ = ["LINE_BYTES_MAX", "BadLine", "Record", "digest_of", "read_records"]

LINE_BYTES_MAX = 32 * 1024 * 1024
"""Longest line read: twice the longest request body, so nothing longer could be used anyway."""

_EXCERPT_CHARS = 200
_SKIP_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of a file. ``number`` counts from 1; ``id`` is unique within the file."""

    source: str
    number: int
    id: str
    value: Value
    end_bytes: int
    """Where the line ends in the file, which is how far reading has come."""
    part: int = 0
    """Which part of the line this is, where a step takes a line apart; below 2**20."""

    @property
    def rank(self) -> int:
        """Its place among the results."""
        return self.number << 20 | self.part

    @property
    def index(self) -> int:
        """The line counted from 0: what CodeI/O calls ``itemid``."""
        return self.number - 1

    @property
    def where(self) -> str:
        """``file:line``, for messages."""
        return f"{self.source}:{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that holds no usable record; ``message`` begins with ``file:line``."""

    source: str
    number: int
    reason: str
    message: str
    excerpt: str
    end_bytes: int

    @property
    def rank(self) -> int:
        """Its place among the failures."""
        return self.number << 20


def read_records(path: Path, *, non_finite: bool = False) -> Iterator[Record | BadLine]:
    """Every line of ``path`` in order, empty lines left out; memory holds one line at a time.

    A record's id is its own ``id`` (text or integer), else ``itemid.ioid.io_pred`` where it has
    these, else its zero-based line. Where an id comes again, the second time it is ``ID~2`` and
    so on, leaving out names that earlier lines have. ``non_finite`` lets NaN and Infinity in, as
    floats. Raises ``DatasetError`` where the file cannot be read at all.
    """
    seen: dict[int, int] = {}
    try:
        with path.open("rb") as file:
            for number, line, end_bytes in _lines(file):
                parsed = _parsed(path, number, line, end_bytes, non_finite=non_finite)
                if isinstance(parsed, BadLine):
                    yield parsed
                elif parsed is not None:
                    yield _named(path, number, parsed, end_bytes, seen)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error


def digest_of(identifier: str) -> int:
    """64 bits that stand for an id, because millions of ids have to fit into memory."""
    data = identifier.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | int, int]]:
    """Number, text (or its length where that is over the limit) and end of every line."""
    number, end_bytes = 0, 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        end_bytes += len(line)
        if len(line) > LINE_BYTES_MAX and not line.endswith(b"\n"):
            rest_bytes = _skip_rest(file)
            end_bytes += rest_bytes
            yield number, len(line) + rest_bytes, end_bytes
        else:
            yield number, line, end_bytes


def _skip_rest(file: BinaryIO) -> int:
    skipped_bytes = 0
    while part := file.readline(_SKIP_BYTES):
        skipped_bytes += len(part)
        if part.endswith(b"\n"):
            break
    return skipped_bytes


def _parsed(
    path: Path, number: int, line: bytes | int, end_bytes: int, *, non_finite: bool
) -> Value | BadLine | None:
    if isinstance(line, int):
        problem = BadRecord(
            f"the line is {line} bytes long, at most {LINE_BYTES_MAX} are read",
            reason="line_too_long",
        )
        excerpt = ""
    else:
        if number == 1:
            line = line.removeprefix(_BOM)
        if not line.strip():
            return None
        try:
            return parse_line(line, non_finite=non_finite)
        except BadRecord as error:
            problem = error
            excerpt = line[: 4 * _EXCERPT_CHARS].decode("utf-8", "replace")[:_EXCERPT_CHARS].strip()
    return BadLine(
        source=str(path),
        number=number,
        reason=problem.reason,
        message=f"{path}:{number}: {problem.message}",
        excerpt=excerpt,
        end_bytes=end_bytes,
    )


def _named(path: Path, number: int, value: Value, end_bytes: int, seen: dict[int, int]) -> Record:
    name = _unique_name(_identifier(value, number), seen)
    return Record(source=str(path), number=number, id=name, value=value, end_bytes=end_bytes)


def _unique_name(identifier: str, seen: dict[int, int]) -> str:
    """A name that no line has yet, and add it to ``seen``: by digest the last number given out."""
    digest = digest_of(identifier)
    name, count = identifier, seen.get(digest, 0)
    # An id of a line's own may look like one that is given out here, such as a~2.
    while digest_of(name) in seen:
        count += 1
        name = f"{identifier}~{count}"
    seen[digest] = max(count, 1)
    seen.setdefault(digest_of(name), 1)
    return name


def _identifier(value: Value, number: int) -> str:
    own = value.get("id")
    if isinstance(own, str) or (isinstance(own, int) and not isinstance(own, bool)):
        return str(own)
    names = [value.get(name) for name in ("itemid", "ioid", "io_pred")]
    if all(isinstance(name, str | int) for name in names):
        return ".".join(map(str, names))
    return str(number - 1)
