"""The records of a JSONL file: reading it line by line, and a name for each that no other has.

What one line may hold is in ``json_lines``; appending results and resuming is in ``resume``. A
line that cannot be used is a ``BadLine`` with a reason, never an exception, so that a run goes on.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeAlias

from execbox.dataset.files.json_lines import (
    BadRecord,
    DatasetError,
    Value,
    decode_line,
    parse_line,
)
from execbox.dataset.files.sources import open_source, reading_errors

__all__ = [
    "LINE_BYTES_MAX",
    "BadLine",
    "Record",
    "digest_of",
    "digest_of_json",
    "document_kind",
    "no_lines",
    "own_id",
    "problem_of",
    "read_records",
    "records_of",
]

LINE_BYTES_MAX = 32 * 1024 * 1024
"""Longest line read: twice the longest request body, so nothing longer could be used anyway."""

_Line: TypeAlias = tuple[int, bytes | int, int]
"""Number, text (or its length where that is over the limit) and end of a line."""

_PROMPT_SAMPLE = re.compile(r"(?<=\.[io])#[0-9]+(?:~[0-9]+)?\Z")
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

    ``path`` may be ``-`` and may be gzip. Raises ``DatasetError`` where it cannot be read at all;
    otherwise as ``records_of``.
    """
    with open_source(path) as source:
        yield from records_of(source.file, name=source.name, non_finite=non_finite)


def records_of(
    file: BinaryIO, *, name: str, non_finite: bool = False
) -> Iterator[Record | BadLine]:
    """Every line of an open file, called ``name`` in messages.

    A record's id is its own ``id`` (text or integer), else ``itemid.ioid.io_pred`` where it has
    these, else its zero-based line. Where an id comes again, the second time it is ``ID~2`` and
    so on, leaving out names that earlier lines have. ``non_finite`` lets NaN and Infinity in, as
    floats. Raises ``DatasetError`` where reading fails on the way, and where the whole file is one
    JSON document, so that no line of it could be a record.
    """
    seen: dict[int, int] = {}
    lines = _lines(file)
    with reading_errors(name):
        for number, line, end_bytes in _no_document(lines, name):
            parsed = _parsed(name, number, line, end_bytes, non_finite=non_finite)
            if isinstance(parsed, BadLine):
                yield parsed
            elif parsed is not None:
                yield _named(name, number, parsed, end_bytes, seen)


def digest_of(identifier: str) -> int:
    """64 bits that stand for an id, because millions of ids have to fit into memory."""
    data = identifier.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())


def digest_of_json(value: object) -> str:
    """A digest that stands for a JSON value, whatever its objects' order and what it was read
    from."""
    text = json.dumps(value, sort_keys=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _lines(file: BinaryIO) -> Iterator[_Line]:
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


def _no_document(lines: Iterator[_Line], name: str) -> Iterator[_Line]:
    """The same lines; raises ``DatasetError`` where the first says that they are one document."""
    first = next((line for line in lines if _text_of(line)), None)
    if first is None:
        return
    begin = _text_of(first)
    if begin[:1] in (b"[", b"{"):
        second = next((line for line in lines if _text_of(line)), None)
        what = document_kind(begin, alone=second is None)
        if what is not None:
            raise no_lines(what, name)
        lines = chain((first,) if second is None else (first, second), lines)
    else:
        lines = chain((first,), lines)
    yield from lines


def _text_of(line: _Line) -> bytes:
    text = line[1]
    return b"too long" if isinstance(text, int) else text.removeprefix(_BOM).strip()


def no_lines(what: str, name: str) -> DatasetError:
    """That a file is one JSON document, and how to make lines of it."""
    return DatasetError(
        f"{name}: is one JSON {what}, and JSONL is needed, one JSON object a line; make it so "
        f"first: jq -c '{'.[]' if what == 'array' else '.'}' {name}"
    )


def document_kind(begin: bytes, *, alone: bool) -> str | None:
    """``array`` or ``object``, if a file with this first line cannot be lines of records.

    ``alone`` says that no other line is there; both leave empty lines out.
    """
    if not (begin.startswith(b"[") or begin == b"{"):
        return None
    if begin == b"{":
        # An object with a member a line, as people and most tools write it.
        return None if alone else "object"
    try:
        decode_line(begin)
    except BadRecord as problem:
        # A whole array on a line of its own, with others after it, is a bad line among them.
        return None if problem.reason == "not_an_object" and not alone else "array"
    return None


def _skip_rest(file: BinaryIO) -> int:
    skipped_bytes = 0
    while part := file.readline(_SKIP_BYTES):
        skipped_bytes += len(part)
        if part.endswith(b"\n"):
            break
    return skipped_bytes


def _parsed(
    name: str, number: int, line: bytes | int, end_bytes: int, *, non_finite: bool
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
        source=name,
        number=number,
        reason=problem.reason,
        message=f"{name}:{number}: {problem.message}",
        excerpt=excerpt,
        end_bytes=end_bytes,
    )


def _named(name: str, number: int, value: Value, end_bytes: int, seen: dict[int, int]) -> Record:
    own = own_id(value)
    identifier = _unique_name(str(number - 1) if own is None else own, seen)
    return Record(source=name, number=number, id=identifier, value=value, end_bytes=end_bytes)


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


def problem_of(record: Record) -> str:
    """The id of the question that a record answers, which its samples have in common.

    ``infer`` numbers several answers to one question ``ID#1``, ``ID#2``... and says in ``sample``
    which one it is. Behind the name of a prompt, ``ITEM.PAIR.o``, a number is a sample's without
    it, too; any other ``#`` is a part of the id.
    """
    sample = record.value.get("sample")
    if sample is None:
        return _PROMPT_SAMPLE.sub("", record.id)
    if not isinstance(sample, int) or isinstance(sample, bool):
        return record.id
    # Behind the number, one for an id that comes again.
    return re.sub(rf"#{sample}(?:~[0-9]+)?\Z", "", record.id)


def own_id(value: Value) -> str | None:
    """The name that a record gives itself: its ``id``, else ``itemid.ioid.io_pred``, else None."""
    own = value.get("id")
    if isinstance(own, str) or (isinstance(own, int) and not isinstance(own, bool)):
        return str(own)
    names = [value.get(name) for name in ("itemid", "ioid", "io_pred")]
    if all(isinstance(name, str | int) for name in names):
        return ".".join(map(str, names))
    return None
