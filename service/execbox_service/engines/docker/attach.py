"""The attach stream of a container: taking the daemon's multiplexing apart, and nothing else.

What remains after that is a ``FrameStream`` as any other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from execbox_service.engines.frame_stream import FrameStream
from execbox_service.runner_frames import ProtocolViolation

# Docker Engine API, "Attach to a container": stream (1 byte), three zeros, length (4 bytes).
_MULTIPLEX = struct.Struct("!BxxxI")
_STDOUT, _STDERR = 1, 2


class AttachedStream(FrameStream):
    """Frames in both directions over one hijacked connection whose HTTP part is done."""

    def __init__(self) -> None:
        super().__init__()
        self._raw = bytearray()
        self._part_bytes_left = 0
        self._part_stream = 0

    def _frame_bytes(self, data: bytes) -> Iterator[memoryview]:
        view = memoryview(data)
        while view:
            if self._part_bytes_left:
                part = view[: self._part_bytes_left]
                self._part_bytes_left -= len(part)
                view = view[len(part) :]
                if self._part_stream == _STDOUT:
                    yield part
                else:
                    self.keep_stderr(part)
                continue
            missing = _MULTIPLEX.size - len(self._raw)
            self._raw += view[:missing]
            view = view[missing:]
            if len(self._raw) == _MULTIPLEX.size:
                self._part_stream, self._part_bytes_left = _MULTIPLEX.unpack(self._raw)
                self._raw.clear()
                if self._part_stream not in (_STDOUT, _STDERR):
                    raise ProtocolViolation(f"stream {self._part_stream} of the attach connection")
