"""What sandboxes say that answer at once: ready, and each call's result as bytes. No sandbox.

Nothing is run, so that what is measured beside them is the service alone. Works with the frames of
whichever revision of the service is imported.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final

from execbox_service import runner_frames
from execbox_service.runner_frames import FrameKind, Ready, pack

__all__ = ["MEASURED", "READY", "InstantAnswer", "report_frame"]

_PREFIX: Final = struct.Struct("!IBI")
_MARK: Final = 1_000_000_007
"""Stands for the number of an answer, which has as many digits in nearly every one."""
_FACTS: Final[dict[str, Any]] = {
    "python": "3.11.2",
    "pid": 1,
    "capabilities": "00000000000000e0",
    "no_new_privileges": True,
    "seccomp": True,
    "memory_limit_bytes": 640 * 2**20,
    "process_count_max": 128,
    "interfaces": ["lo"],
    "open_file_count": 256,
    "core_bytes": 1,
}
# Revisions before 0.3.0 have no number of their protocol.
_SPOKEN: Final = {"protocol": number} if (number := getattr(runner_frames, "PROTOCOL", 0)) else {}
READY: Final = Ready.model_validate(_SPOKEN | _FACTS)
MEASURED: Final[dict[str, Any]] = {
    "pid": 1000,
    "exit_code": 0,
    "signal": None,
    "cpu_time_ns": 2_000_000,
    "wall_time_ns": 3_000_000,
    "peak_memory_bytes": 2**20,
    "killed": None,
    "oom_kill_count": 0,
    "throttled_ns": 0,
    "drained": True,
    "reusable": True,
    "result_overflowed": False,
    "stdout_truncated": False,
    "stderr_truncated": False,
}
"""Of a trivial execution."""


def report_frame(output: object = None, **fields: Any) -> bytes:
    """A job's frame, ``ok`` with this output unless ``fields`` say otherwise."""
    text = json.dumps(output).encode() if not isinstance(output, bytes) else output
    header = {"status": "ok", "flags": [], "error": None, "violations": None} | fields
    encoded = json.dumps(header | {"output_bytes": len(text)}).encode()
    return struct.pack("!4sI", b"xbx1", len(encoded)) + encoded + text


class InstantAnswer:
    """A result that is made once, and numbered for each call that it answers."""

    def __init__(self, output: object) -> None:
        frame = report_frame(output)
        header = {"seq": _MARK, "sizes": [len(frame), 0, 0]} | MEASURED
        before, _mark, self._after = pack(FrameKind.RESULT, header, frame).partition(
            str(_MARK).encode()
        )
        self._length, self._kind, self._header_bytes = _PREFIX.unpack_from(before)
        self._before = before[_PREFIX.size :]

    def numbered(self, seq: bytes) -> bytes:
        """The whole frame; ``seq`` is the call's number in digits."""
        longer = len(seq) - len(str(_MARK))
        prefix = _PREFIX.pack(self._length + longer, self._kind, self._header_bytes + longer)
        return b"".join((prefix, self._before, seq, self._after))
