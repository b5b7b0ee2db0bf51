"""Lines out of a stream of bytes that arrives in pieces, in bounded memory. Pure.

What a line means is decided in ``batch.py``; nothing here decodes or waits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["Line", "LineBuffer"]

_BLANK = b" \t\n\r\x0b\x0c"
_EMPTY_LINES = re.compile(rb"[ \t\n\r\x0b\x0c]*\n")
_HEAD_BYTES = 4096
"""Kept of a line that is too long: enough for its names, which usually come first."""


@dataclass(slots=True)
class Line:
    """One line without its end. ``number`` counts from 1, empty lines included."""

    number: int
    body: bytes
    too_long: bool = False
    """It had more than the most bytes a line may have, and all but its ``head`` was thrown away."""
    head: bytes = field(default=b"", compare=False)
    """Of a line that is too long: how it begins."""


class LineBuffer:
    """What has been received and not been taken: at most ``line_bytes_max`` and one piece more,
    as long as it is not fed while it is ``full``."""

    def __init__(self, line_bytes_max: int) -> None:
        self._line_bytes_max = line_bytes_max
        self._data = bytearray()
        self._searched_bytes = 0
        self._number = 0
        self._skipping = False
        self._skipped_head = b""
        self._closed = False

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    @property
    def line_number(self) -> int:
        """Of the line that is taken next."""
        return self._number + 1

    @property
    def full(self) -> bool:
        """Whether there is enough to take before more need be fed."""
        return len(self._data) > self._line_bytes_max

    @property
    def begun(self) -> bool:
        """Whether the newest line is not complete yet."""
        return self._in_skipped or (bool(self._data) and not self._data.endswith(b"\n"))

    @property
    def _in_skipped(self) -> bool:
        """Whether the end of the line that is thrown away is still to come."""
        return self._skipping and not self._data

    def feed(self, piece: bytes) -> None:
        if self._in_skipped:
            end = piece.find(b"\n")
            # The end itself is kept: it makes the line, and its one error, complete.
            piece = b"" if end < 0 else piece[end:]
        self._data += piece

    def close(self) -> None:
        """Nothing follows: what is left is a line even without an end."""
        self._closed = True

    def abandon(self) -> None:
        """As ``close``, but the line that has begun is thrown away."""
        end = self._data.rfind(b"\n") + 1
        del self._data[end:]
        self._skipping = self._skipping and not self._in_skipped
        self.close()

    def take(self) -> Line | None:
        """The next line that is complete and not empty; None if there is none (yet)."""
        while True:
            self._drop_empty_lines()
            end = self._data.find(b"\n", self._searched_bytes)
            if end < 0:
                return self._unfinished()
            body = self._head(end)
            del self._data[: end + 1]
            line = self._line(body)
            if line is not None:
                return line

    def _drop_empty_lines(self) -> None:
        """All there are, at once: there may be millions."""
        if self._skipping or self._searched_bytes:
            return
        if not self._data or self._data[0] not in _BLANK:
            # As nearly all lines begin: there is nothing to search for.
            return
        empty = _EMPTY_LINES.match(self._data)
        end = empty.end() if empty is not None else 0
        # A match keeps the buffer from changing its size.
        del empty
        self._number += self._data.count(b"\n", 0, end)
        del self._data[:end]

    def _head(self, size_bytes: int) -> bytes:
        # A slice of a bytearray is one: that would be a second copy.
        with memoryview(self._data) as view:
            return bytes(view[:size_bytes])

    def _unfinished(self) -> Line | None:
        self._searched_bytes = len(self._data)
        if len(self._data) > self._line_bytes_max:
            if not self._skipping:
                self._skipped_head = bytes(self._data[:_HEAD_BYTES])
            self._data.clear()
            self._searched_bytes = 0
            self._skipping = True
        if not self._closed or not (self._data or self._skipping):
            return None
        body = self._head(len(self._data))
        self._data.clear()
        return self._line(body)

    def _line(self, body: bytes) -> Line | None:
        """None for an empty one, which counts as well."""
        self._number += 1
        self._searched_bytes = 0
        if self._skipping or len(body) > self._line_bytes_max:
            head = self._skipped_head if self._skipping else body[:_HEAD_BYTES]
            self._skipping = False
            return Line(self._number, b"", too_long=True, head=head)
        body = body.removesuffix(b"\r")
        return Line(self._number, body) if body and not body.isspace() else None
