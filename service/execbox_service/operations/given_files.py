"""What the files that a program's cases are given take of a sandbox, and whether it has that. Pure.

Of their paths, whatever holds for every service is checked in ``execbox.wire``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from execbox.wire import Content, ErrorCode, content_bytes, folders_of
from execbox_service.failures import CallerMistake
from execbox_service.settings import Settings

__all__ = ["GivenFiles", "Taken", "check_room"]

_PAGE_BYTES: Final = 4096
_ENTRY_COUNT_OF_OURS: Final = 2
"""The working directory and the program's source."""


@dataclass(frozen=True)
class Taken:
    """Of the memory file system that a sandbox's working directory is."""

    size_bytes: int
    """Of all files."""
    pages_bytes: int
    """Of the pages that they take: no two files share one."""
    entry_count: int
    """Files and folders."""


class GivenFiles:
    """A program's files, which a case can add to and replace."""

    def __init__(self, files: Mapping[str, Content]) -> None:
        self._sizes = _sizes_bytes(files)
        self._folders = folders_of(files)
        sizes = self._sizes.values()
        self.taken = Taken(sum(sizes), _in_pages(sizes), len(files) + len(self._folders))

    def taken_with(self, added: Mapping[str, Content]) -> Taken:
        """By these and the program's, in time that depends on these alone: there may be a thousand
        of each, and a thousand cases."""
        sizes = _sizes_bytes(added)
        replaced = [self._sizes[path] for path in sizes if path in self._sizes]
        folders = folders_of(added, known=self._folders)
        own = self.taken
        return Taken(
            own.size_bytes - sum(replaced) + sum(sizes.values()),
            own.pages_bytes - _in_pages(replaced) + _in_pages(sizes.values()),
            own.entry_count - len(replaced) + len(sizes) + len(folders),
        )


def check_room(field: str, taken: Taken, *, source_bytes: int, settings: Settings) -> None:
    """Raises CallerMistake where a sandbox of this service cannot hold the files.

    Else that would come out where they are written, before the program runs, as a failure of ours.
    """
    entries_max = settings.tmp_inode_count - _ENTRY_COUNT_OF_OURS
    if taken.entry_count > entries_max:
        raise _too_many(
            f"{field}: a case would be given {taken.entry_count} files and folders, and this "
            f"service's sandboxes have room for {entries_max}; give fewer",
            field=field,
            value=taken.entry_count,
            maximum=entries_max,
        )
    bytes_max = settings.tmp_mb * 1024 * 1024 - _in_pages([source_bytes])
    if taken.pages_bytes > bytes_max:
        raise _too_many(
            f"{field}: a case would be given files that take {taken.pages_bytes} bytes, in pages "
            f"of {_PAGE_BYTES}, and this service's sandboxes have room for {bytes_max} beside the "
            "program; give fewer or smaller ones",
            field=field,
            value=taken.pages_bytes,
            maximum=bytes_max,
        )


def _too_many(message: str, *, field: str, value: int, maximum: int) -> CallerMistake:
    detail = {"field": field, "value": value, "maximum": maximum}
    return CallerMistake(ErrorCode.INVALID_REQUEST, message, detail=detail)


def _sizes_bytes(files: Mapping[str, Content]) -> dict[str, int]:
    return {path: len(content_bytes(content)) for path, content in files.items()}


def _in_pages(sizes_bytes: Iterable[int]) -> int:
    return sum(-(-size // _PAGE_BYTES) * _PAGE_BYTES for size in sizes_bytes)
