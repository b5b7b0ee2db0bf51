"""Frames between the service and the supervisor, and packets between supervisor and zygotes.

Frame: total length (4 bytes, big endian, of what follows), kind (1 byte), header length (4 bytes),
a JSON header, then raw bytes. Lengths are checked before anything is read. The service has its own
half of this in ``execbox_service/runner_frames.py``; a test holds the two against each other.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import zlib
from array import array
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

PROTOCOL = 1
"""Which frames there are and what they hold. A change that a service of the version before would
misread adds one; a service refuses a runner of any other."""
FRAME_BYTES_MAX = 64 * 1024 * 1024
"""More than two full request bodies; a longer frame means that the stream is broken."""
_PREFIX = struct.Struct("!IBI")
_AFTER_LENGTH_BYTES = _PREFIX.size - 4
_PACKET_BYTES_MAX = 16 * 1024
_PACKET_FDS_MAX = 8
_ANCILLARY_BYTES = socket.CMSG_SPACE(_PACKET_FDS_MAX * array("i").itemsize)
_CLOSE_ON_EXEC = socket.MSG_CMSG_CLOEXEC
NONCE_BYTES, LENGTH_BYTES = 8, 4
"""Before a session's cell and before its report, so that neither is taken for a different one's."""
SESSION_READY = b"\x01"
"""What a session's process writes once, when it is confined and waits for its first cell."""
_to_json = json.JSONEncoder(separators=(",", ":")).encode


class Kind(IntEnum):
    """What a frame says. Below 16: from the service. From 16: from the supervisor."""

    JOB = 1
    """What the following calls use. Body: the job payload, a program's source, a compiled program;
    all opaque to the supervisor."""
    EXECUTE = 2
    """Run one call. Body: the call payload, opaque to the supervisor."""
    SESSION = 3
    """Start the session whose settings the job's payload holds."""
    CELL = 4
    """Run one cell in it. Body: its code, as the session's process reads it."""
    PUT = 5
    """Write a file of the session. Body: its bytes."""
    FETCH = 6
    """Send files of the session."""
    CELL_MORE = 7
    """Send the next piece of what the cell that runs writes."""
    CELL_INTERRUPT = 8
    """Interrupt the cell that runs, whatever its limits."""
    READY = 16
    """The supervisor can take a job; the header describes what it found about itself."""
    RESULT = 17
    """One execution's measurements. Body: result frame, stdout, stderr, in this order."""
    FAULT = 18
    """The supervisor cannot go on; it ends after this."""
    CELL_RESULT = 20
    """What one cell gave, and whether the session lives on. Body: as of RESULT."""
    FILES = 21
    """Files that were asked for, or whether one was written. Body: see ``program_files``."""
    REFUSED = 19
    """A call was not begun, because what an earlier one left could not be removed. It ends, too."""
    CELL_OUTPUT = 22
    """A piece of what the cell that runs has written. Body: stdout, stderr."""


RUN_MAGIC = b"\0run"
RUN = struct.Struct("!BBII")
"""How a zygote is asked to fork a job. Not as JSON, because the job's process reads it, in a fresh
fork, where each page that is touched is copied. Behind ``RUN_MAGIC``: the profile, by its place in
``PROFILES``; which descriptors come behind the three streams, as bits of ``GIVEN``; the user id;
the kernel's limit on CPU time in seconds. Behind them, where they are not as most jobs', the
surroundings as JSON. The descriptors: function, call, the three streams, and what is given."""
PROFILES = ("default", "processes")
GIVEN = ("stdin_fd", "executable_fd")


class StreamClosed(Exception):
    """The other end is gone, or sent what is no frame."""


def read_frame(fd: int) -> tuple[int, dict[str, Any], bytes]:
    """Read one whole frame from a blocking descriptor: kind, header, body."""
    total, kind, header_bytes = _PREFIX.unpack(_read_exactly(fd, _PREFIX.size))
    if not _AFTER_LENGTH_BYTES + header_bytes <= total <= FRAME_BYTES_MAX:
        raise StreamClosed(f"frame of {total} bytes with a header of {header_bytes}")
    rest = _read_exactly(fd, total - _AFTER_LENGTH_BYTES)
    return kind, json.loads(rest[:header_bytes]), rest[header_bytes:]


def write_frame(
    fd: int,
    kind: Kind,
    header: dict[str, Any],
    *parts: bytes | bytearray,
    checked: bool = False,
) -> None:
    """Write one whole frame to a blocking descriptor; ``checked``: with a checksum of its parts."""
    if checked:
        header = header | {"crc32": _crc32(parts)}
    text = _to_json(header).encode()
    total = _AFTER_LENGTH_BYTES + len(text) + sum(map(len, parts))
    data = memoryview(b"".join((_PREFIX.pack(total, kind, len(text)), text, *parts)))
    while data:
        data = data[os.write(fd, data) :]


def send_packet(sock: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one packet to the process at the other end, with descriptors if there are any."""
    send_bytes(sock, _to_json(message).encode(), fds)


def send_bytes(sock: socket.socket, data: bytes, fds: Sequence[int]) -> None:
    """The same, as it is."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
    sock.sendmsg([data], rights)


def receive_packet(sock: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Wait for one packet; the descriptors that came with it are close-on-exec."""
    data, fds = receive_bytes(sock)
    return json.loads(data), fds


def receive_bytes(sock: socket.socket) -> tuple[bytes, list[int]]:
    """The same, as it was sent."""
    data, ancillary, _flags, _address = sock.recvmsg(
        _PACKET_BYTES_MAX, _ANCILLARY_BYTES, _CLOSE_ON_EXEC
    )
    if not data:
        raise StreamClosed("the other end of the packet socket is gone")
    # Nothing else than descriptors is asked for, so nothing else comes.
    return data, list(array("i", ancillary[0][2])) if ancillary else []


def _crc32(parts: tuple[bytes | bytearray, ...]) -> int:
    found = 0
    for part in parts:
        found = zlib.crc32(part, found)
    return found


def _read_exactly(fd: int, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = os.read(fd, min(count, 1 << 20))
        if not part:
            raise StreamClosed("end of stream")
        parts.append(part)
        count -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
