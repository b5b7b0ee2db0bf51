"""What a cell writes, sent to the service while the cell runs, one piece for each time it asks.

What nobody has taken stays in the streams that ``session_watch`` reads, where it has a cap: a
reader that is slow holds up neither the cell nor anybody's memory.
"""

from __future__ import annotations

import math
import time

from .execution import Stream
from .protocol import Kind, StreamClosed, read_frame, write_frame

_PAUSE_S = 0.05
"""Between two pieces, so that a flood of single characters does not become as many frames."""
_SOON_BYTES = 32 * 1024
"""With so much waiting, the next piece does not wait for the pause."""
_PIECE_BYTES = 64 * 1024


class LiveOutput:
    """One cell's output on its way. The service asks for the first piece with the cell itself."""

    def __init__(
        self, service_in: int, service_out: int, *, seq: int, checked: bool = False
    ) -> None:
        self._in = service_in
        self._out = service_out
        self._seq = seq
        self._checked = checked
        self._asked = True
        self._sent = [0, 0]
        self._next_s = 0.0

    def send_due(self, stdout: Stream, stderr: Stream) -> float:
        """Send what waits, if it is asked for and time; seconds until it will be time."""
        unsent_bytes = len(stdout.data) + len(stderr.data) - sum(self._sent)
        if not self._asked or not unsent_bytes:
            return math.inf
        now_s = time.monotonic()
        if now_s < self._next_s and unsent_bytes < _SOON_BYTES:
            return self._next_s - now_s
        parts = [
            bytes(stream.data[begin : begin + _PIECE_BYTES])
            for stream, begin in zip((stdout, stderr), self._sent, strict=True)
        ]
        sizes = [len(part) for part in parts]
        header = {"seq": self._seq, "sizes": sizes}
        write_frame(self._out, Kind.CELL_OUTPUT, header, *parts, checked=self._checked)
        self._sent = [sent + size for sent, size in zip(self._sent, sizes, strict=True)]
        self._asked = False
        self._next_s = now_s + _PAUSE_S
        return math.inf

    def hear(self) -> bool:
        """Take one frame of the service; true if it wants the cell interrupted."""
        kind, header, _body = read_frame(self._in)
        if kind not in (Kind.CELL_MORE, Kind.CELL_INTERRUPT):
            raise StreamClosed(f"a frame of kind {kind} while a cell runs")
        if header["seq"] != self._seq:
            return False
        self._asked = self._asked or kind == Kind.CELL_MORE
        return kind == Kind.CELL_INTERRUPT
