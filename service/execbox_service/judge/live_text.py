"""What a cell writes as text, from bytes that arrive in pieces, however they are divided. Pure.

All lines of one stream together are what ``outcome.stream_text`` makes of all its bytes together.
"""

from __future__ import annotations

import codecs

from execbox.wire import CellOutput, CellResponse

__all__ = ["LiveTexts"]


class _LiveText:
    """The text of one stream, no longer than the limit in UTF-8."""

    def __init__(self, *, limit_bytes: int) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._left_bytes = limit_bytes
        self._is_cut = False
        self.chars = 0
        """How much text there has been."""

    def feed(self, data: bytes) -> str:
        """The text that is complete now; a character may lie in two pieces."""
        if self._is_cut:
            return ""
        text = self._decoder.decode(data)
        encoded = text.encode()
        if len(encoded) > self._left_bytes:
            self._is_cut = True
            text = encoded[: self._left_bytes].decode("utf-8", "ignore")
        self._left_bytes -= len(encoded)
        self.chars += len(text)
        return text


class LiveTexts:
    """Both streams of one cell, as the lines of its streamed answer."""

    def __init__(self, *, limit_bytes: int) -> None:
        self._stdout = _LiveText(limit_bytes=limit_bytes)
        self._stderr = _LiveText(limit_bytes=limit_bytes)

    def lines(self, stdout: bytes, stderr: bytes) -> list[CellOutput]:
        """What is complete of these pieces; there may be nothing."""
        return _lines(self._stdout.feed(stdout), self._stderr.feed(stderr))

    def rest(self, cell: CellResponse) -> list[CellOutput]:
        """What the cell wrote and no line has had yet."""
        return _lines(cell.stdout[self._stdout.chars :], cell.stderr[self._stderr.chars :])


def _lines(stdout: str, stderr: str) -> list[CellOutput]:
    lines = [CellOutput(stdout=stdout), CellOutput(stderr=stderr)]
    return [line for line in lines if line.stdout or line.stderr]
