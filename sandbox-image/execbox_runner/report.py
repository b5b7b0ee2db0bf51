"""The one frame in which a job says what became of it; the supervisor forwards it unread."""

from __future__ import annotations

import os
import struct
from builtins import len, list, memoryview
from dataclasses import dataclass
from typing import Any

from . import values
from .confine import RESULT_FD

_FRAME_PREFIX = struct.Struct("!4sI")
_FRAME_MAGIC = b"xbx1"
_os_write = os.write
_pack = _FRAME_PREFIX.pack


@dataclass
class Report:
    """What the job says of itself; the supervisor and the service believe only its form."""

    status: str
    output: bytes = b""
    flags: tuple[str, ...] = ()
    error: dict[str, Any] | None = None
    violations: list[dict[str, Any]] | None = None


def send(report: Report) -> None:
    """Write the frame; nothing of this process may write another."""
    data = memoryview(head_of(report) + report.output)
    while data:
        data = data[_os_write(RESULT_FD, data) :]


def head_of(report: Report) -> bytes:
    """The frame but for its output."""
    header = values.to_json(
        {
            "status": report.status,
            "flags": list(report.flags),
            "error": report.error,
            "violations": report.violations,
            "output_bytes": len(report.output),
        }
    )
    return _pack(_FRAME_MAGIC, len(header)) + header
