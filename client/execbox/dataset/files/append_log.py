"""``AppendLog``: one JSONL file that only grows, survives being killed, and is sorted in the end.

Which lines there are, and what a run is, is in ``resume``.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value, decode_line

__all__ = [
    "REMEDIES",
    "SYNC_S",
    "AppendLog",
    "as_dataset_error",
    "new_beside",
    "replacing",
    "write_whole",
]

SYNC_S = 5.0
"""Seconds between two times that results are forced to disk."""

_COPY_BYTES = 1024 * 1024
_LAST = 2**62
_GOES_ON = "every complete result is kept, and the same command goes on from there"
REMEDIES: Final[Mapping[int, str]] = {
    errno.ENOSPC: f"make room there (putting results into order takes as much again); {_GOES_ON}",
    errno.EDQUOT: f"make room within the quota, or have it raised; {_GOES_ON}",
    errno.EROFS: "give a different --output",
    errno.EACCES: "have the permission changed, or give a different --output",
    errno.EIO: f"the storage below it fails; {_GOES_ON}",
}
"""What helps with the files of a run, by what the file system said."""


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
        with as_dataset_error(path, remedies=REMEDIES):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self._end_bytes = 0

    def __len__(self) -> int:
        return len(self._starts)

    def recover(self) -> Iterator[tuple[int, Value]]:
        """Ordinal and value of every complete line; afterwards a torn last line has been cut off.

        Raises ``DatasetError`` for a damaged line with others after it: nothing of ours writes so.
        """
        with as_dataset_error(self._path), self._path.open("rb") as file:
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
        with as_dataset_error(self._path, remedies=REMEDIES):
            write_whole(self._fd, line, at_bytes=self._end_bytes)
            self._note(len(line), rank=rank)
            if time.monotonic() - self._synced_s >= SYNC_S:
                self.sync()
        return ordinal

    def set_rank(self, ordinal: int, *, rank: int) -> None:
        """Say where a recovered line belongs; lines without a place stay behind all others."""
        self._ranks[ordinal] = rank

    def sync(self) -> None:
        """Force everything to disk."""
        os.fsync(self._fd)
        self._synced_s = time.monotonic()

    def arrange(self) -> None:
        """Put the lines into the order of their ranks, equal ranks as they are; all or nothing."""
        order = sorted(range(len(self)), key=self._ranks.__getitem__)
        with as_dataset_error(self._path, remedies=REMEDIES):
            if order != list(range(len(self))):
                self._rewrite(order)
            self.sync()

    def move_to(self, path: Path) -> None:
        """Take the place, and the permissions, of another file."""
        with as_dataset_error(path, remedies=REMEDIES):
            if path.exists():
                shutil.copymode(path, self._path)
            self._path.replace(path)
            self._path = path
            _sync_directory(path.parent)

    def close(self) -> None:
        os.close(self._fd)

    def _note(self, length_bytes: int, *, rank: int) -> None:
        self._starts.append(self._end_bytes)
        self._ranks.append(rank)
        self._end_bytes += length_bytes

    def _rewrite(self, order: Sequence[int]) -> None:
        ends = [*self._starts[1:], self._end_bytes]
        with replacing(self._path) as file:
            for ordinal in order:
                for part in self._line(self._starts[ordinal], ends[ordinal]):
                    file.write(part)
        old, self._fd = self._fd, os.open(self._path, os.O_RDWR)
        os.close(old)

    def _line(self, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            part = os.pread(self._fd, min(_COPY_BYTES, end - start), start)
            start += len(part)
            yield part


def write_whole(fd: int, data: bytes, *, at_bytes: int) -> None:
    """Write ``data`` at the end of a file, which is ``at_bytes``: all of it, or nothing, so that
    another process that reads the file meanwhile finds complete lines."""
    written = 0
    try:
        while written < len(data):
            written += os.pwrite(fd, data[written:], at_bytes + written)
    except OSError:
        with suppress(OSError):
            os.ftruncate(fd, at_bytes)
        raise


def new_beside(path: Path) -> Path:
    """Where ``replacing`` writes: a name that only execbox gives a file, since a file of this
    name is taken for what a killed run left, and removed."""
    return path.with_name(f".{path.name}.execbox-new")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place, and the permissions, of ``path``: whole, or not at all."""
    beside = new_beside(path)
    # Whatever has this name is not written through, should it be a link.
    beside.unlink(missing_ok=True)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(fd, "wb") as file:
            if path.exists():
                shutil.copymode(path, beside)
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        # On a full disk it would hold the room that the next attempt needs.
        with suppress(OSError):
            beside.unlink()
        raise
    _sync_directory(path.parent)


@contextmanager
def as_dataset_error(path: Path, *, remedies: Mapping[int, str] | None = None) -> Iterator[None]:
    """What the file system refuses is one error that names the file, and what helps where
    ``remedies`` has it, by its number.

    A reader that has gone away is no error of a file: ``BrokenPipeError`` stays what it is.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        remedy = (remedies or {}).get(error.errno or 0)
        said = f"{path}: {error.strerror or error}"
        raise DatasetError(f"{said}: {remedy}" if remedy else said) from error


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
