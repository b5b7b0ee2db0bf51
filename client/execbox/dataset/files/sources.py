"""What a step reads: a file, standard input or a pipe, plain, gzip or Parquet; others are refused.

Bytes only: lines and records are in ``records``.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.parquet import MAGIC, ParquetLines

__all__ = [
    "STANDARD_STREAM",
    "Source",
    "can_be_read_again",
    "digest_of_file",
    "open_seekable",
    "open_source",
    "reading_errors",
    "unpacked_bytes",
]

STANDARD_STREAM = Path("-")
"""The path that means standard input where something is read, standard output where written."""

_HEAD_BYTES = 512
_COPY_BYTES = 1024 * 1024
_GZIP = b"\x1f\x8b"
_UNPACK = "unpack it first: {tool} {name}"
_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (MAGIC, "a Parquet file within gzip", _UNPACK.format(tool="gunzip", name="{name}")),
    (b"ARROW1", "an Arrow file", "write its table as JSONL first"),
    (b"\xff\xff\xff\xff", "an Arrow stream", "write its table as JSONL first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK.format(tool="zstd -d", name="{name}")),
    (b"BZh", "compressed with bzip2", _UNPACK.format(tool="bunzip2", name="{name}")),
    (b"\xfd7zXZ\x00", "compressed with xz", _UNPACK.format(tool="unxz", name="{name}")),
    (b"PK\x03\x04", "a ZIP archive", _UNPACK.format(tool="unzip", name="{name}")),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK.format(tool="7z x", name="{name}")),
    (b"SQLite format 3\x00", "an SQLite database", "write its table as JSONL first"),
    (b"\x89HDF", "an HDF5 file", "write its records as JSONL first"),
    (b"\xff\xfe", "text in UTF-16", "make it UTF-8 first: iconv -f UTF-16 -t UTF-8 {name}"),
    (b"\xfe\xff", "text in UTF-16", "make it UTF-8 first: iconv -f UTF-16 -t UTF-8 {name}"),
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the data it stands for",
        "fetch the data first: git lfs pull",
    ),
    (b"<!doctype html", "a page of HTML, not data", "look at what the download really gave"),
    (b"<html", "a page of HTML, not data", "look at what the download really gave"),
)
_TAR_AT, _TAR = 257, b"ustar"


@dataclass(frozen=True, slots=True)
class Source:
    """Open input. ``file`` gives the bytes unpacked, ``name`` is for messages."""

    name: str
    file: BinaryIO
    total_bytes: int
    """Its size as stored; 0 where that is not known, as with a pipe."""
    _stored: _Stored | ParquetLines
    is_plain: bool
    """Whether ``file`` gives the bytes as they are stored."""

    @property
    def read_bytes(self) -> int:
        """How much of it has been read, counted as stored."""
        return self._stored.read_bytes


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """``path``, or standard input for ``-``, opened for reading from its beginning, once.

    Raises ``DatasetError`` for what cannot be read or is a format that is not read. What goes
    wrong later is up to ``reading_errors``.
    """
    name = "standard input" if path == STANDARD_STREAM else str(path)
    with ExitStack() as stack:
        with reading_errors(name):
            raw = stack.enter_context(_opened(path))
            status = os.fstat(raw.fileno())
            is_file = stat.S_ISREG(status.st_mode)
            size_bytes = status.st_size if is_file else 0
            stored: _Stored | ParquetLines = (given := _Stored(raw))
            is_plain = not given.head.startswith((_GZIP, MAGIC))
            if given.head.startswith(MAGIC):
                whole = _seekable(raw, given, stack, is_file=is_file)
                stored = ParquetLines(whole, name, total_bytes=size_bytes)
            else:
                _refuse_foreign(given.head, name)
            file: BinaryIO = io.BufferedReader(stored)
            if given.head.startswith(_GZIP):
                file = _unpacked(file, name)
        yield Source(name, file, size_bytes, stored, is_plain)


def unpacked_bytes(data: bytes, name: str) -> bytes:
    """All of a file that has been read already, as ``open_source`` gives it."""
    if data.startswith(MAGIC):
        return io.BufferedReader(ParquetLines(io.BytesIO(data), name)).read()
    _refuse_foreign(data[:_HEAD_BYTES], name)
    if data.startswith(_GZIP):
        with reading_errors(name):
            data = gzip.decompress(data)
        _refuse_foreign(data[:_HEAD_BYTES], name)
    return data


@contextmanager
def reading_errors(name: str) -> Iterator[None]:
    """What the file system refuses, and damaged gzip, as one error that names the file."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(
            f"{name}: the gzip data is damaged or cut off ({error}); fetch or pack the file again"
        ) from error
    except OSError as error:
        raise DatasetError(f"{name}: cannot be read: {error.strerror or error}") from error


def can_be_read_again(path: Path) -> bool:
    """Whether reading it twice gives the same: it is a file, and no pipe."""
    return path != STANDARD_STREAM and path.is_file()


def digest_of_file(path: Path) -> str | None:
    """A digest of what it holds unpacked; None for what can be read only once."""
    if not can_be_read_again(path):
        return None
    digest = hashlib.sha256()
    with open_source(path) as source, reading_errors(source.name):
        while part := source.file.read(_COPY_BYTES):
            digest.update(part)
    return "sha256:" + digest.hexdigest()


@contextmanager
def open_seekable(path: Path) -> Iterator[BinaryIO]:
    """``path`` unpacked and with random access: the file itself, or a temporary copy of it."""
    with ExitStack() as stack:
        source = stack.enter_context(open_source(path))
        with reading_errors(source.name):
            if can_be_read_again(path) and source.is_plain:
                file: BinaryIO = stack.enter_context(path.open("rb"))
            else:
                file = stack.enter_context(_copy_of(source.file))
        yield file


def _opened(path: Path) -> io.FileIO:
    if path == STANDARD_STREAM:
        return io.FileIO(0, "rb", closefd=False)
    return io.FileIO(path, "rb")


class _Stored(io.RawIOBase):
    """A raw file whose first bytes have been looked at, and that counts what is read of it."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self.head = self._left = _head_of(raw)
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._left:
            part, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
            buffer[: len(part)] = part
            count = len(part)
        else:
            count = self._raw.readinto(buffer) or 0
        self.read_bytes += count
        return count


def _head_of(raw: io.FileIO) -> bytes:
    head = b""
    # A pipe may give less at a time than is asked for.
    while len(head) < _HEAD_BYTES and (part := raw.read(_HEAD_BYTES - len(head))):
        head += part
    return head


@contextmanager
def _copy_of(file: BinaryIO) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        yield copy


def _seekable(raw: io.FileIO, stored: _Stored, stack: ExitStack, *, is_file: bool) -> BinaryIO:
    """The file from its beginning, with random access; of a pipe, a temporary copy."""
    if is_file:
        raw.seek(0)
        return raw
    return stack.enter_context(_copy_of(io.BufferedReader(stored)))


def _unpacked(file: BinaryIO, name: str) -> BinaryIO:
    unpacked = gzip.GzipFile(fileobj=file, mode="rb")
    # Before anything is read of it for good: what is packed may be a foreign format too.
    _refuse_foreign(unpacked.peek(_HEAD_BYTES), name)
    return unpacked  # type: ignore[return-value]


def _refuse_foreign(head: bytes, name: str) -> None:
    for magic, what, remedy in _FOREIGN:
        if head.startswith(magic) or head.lstrip().lower().startswith(magic):
            raise DatasetError(
                f"{name}: is {what}, and JSONL is needed (one JSON object a line; gzip and "
                f"Parquet are read as they are); {remedy.format(name=name)}"
            )
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        raise DatasetError(
            f"{name}: is a tar archive, and JSONL is needed; unpack it first: tar xf {name}"
        )
