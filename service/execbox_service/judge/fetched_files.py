"""Taking apart what a sandbox sends of files: pure, and believing nothing that does not add up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from execbox.wire import FileLeftOut

__all__ = ["FetchedFiles", "fetched_files"]

_HEADER_LENGTH_BYTES = 4
_PATH_CHARS_MAX = 4096
_REASON_CHARS_MAX = 500
_UNREADABLE = FileLeftOut(path="", reason="the files could not be read in time")


@dataclass(frozen=True)
class FetchedFiles:
    """Files by their paths, and which are not sent, and why."""

    contents: dict[str, bytes] = field(default_factory=dict)
    left_out: list[FileLeftOut] = field(default_factory=list)


def fetched_files(data: bytes) -> FetchedFiles:
    """What a sandbox sent: cut short, and then no file, where reading took too long.

    The names are the user's, and the form is only as good as the container.
    """
    try:
        start = _HEADER_LENGTH_BYTES + int.from_bytes(data[:_HEADER_LENGTH_BYTES])
        told = json.loads(data[_HEADER_LENGTH_BYTES:start])
        sizes = [(str(path), int(size)) for path, size in told["sizes"].items()]
        left_out = [(str(path), str(reason)) for path, reason in told["left_out"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return FetchedFiles(left_out=[_UNREADABLE])
    total = sum(size for _path, size in sizes)
    if any(size < 0 for _path, size in sizes) or len(data) != start + total:
        return FetchedFiles(left_out=[_UNREADABLE])
    contents = {}
    for path, size in sizes:
        contents[path] = data[start : start + size]
        start += size
    return FetchedFiles(
        contents,
        [
            FileLeftOut(path=path[:_PATH_CHARS_MAX], reason=reason[:_REASON_CHARS_MAX])
            for path, reason in left_out
        ],
    )
