"""What is done under a job's own identity, because the supervisor may not act for its user.

Each in a child that a zygote forks: removing what a job left, reading its files, writing one. What
such a child does is in ``residue`` and ``program_files``.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from typing import Any

from .memory_files import sealed_memory
from .program_files import FetchRequest, put_bytes, request_bytes
from .protocol import send_packet
from .zygote_link import answer_of, ended

_DEADLINE_S = 10.0


def clean(control: socket.socket, uid: int) -> bool:
    """Remove what the user owns; whether the child said that it has. Raises ZygoteLost."""
    return _ended_well(control, {"op": "clean", "uid": uid})


def put(control: socket.socket, uid: int, *, path: str, content: bytes) -> bool:
    """Write a file of the user's; whether it could be written. Raises ZygoteLost."""
    file_fd = sealed_memory("file", put_bytes(path, content))
    try:
        return _ended_well(control, {"op": "put", "uid": uid}, file_fd)
    finally:
        os.close(file_fd)


def fetch(control: socket.socket, uid: int, request: FetchRequest) -> bytes:
    """The files that match. Raises ZygoteLost.

    Cut short, and so no whole answer, where reading them takes too long.
    """
    request_fd = sealed_memory("fetch", request_bytes(request))
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    send_packet(control, {"op": "fetch", "uid": uid}, [request_fd, write_fd])
    os.close(request_fd)
    os.close(write_fd)
    pid = answer_of(control)[0]["pid"]
    data = bytearray()
    deadline_s = time.monotonic() + _DEADLINE_S
    with contextlib.closing(os.fdopen(read_fd, "rb", buffering=0)) as pipe:
        while True:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not select.select([pipe], [], [], left_s)[0]:
                os.kill(pid, signal.SIGKILL)
                break
            part = os.read(read_fd, 1 << 20)
            if not part:
                break
            data += part
    answer_of(control)
    return bytes(data)


def _ended_well(control: socket.socket, request: dict[str, Any], *fds: int) -> bool:
    send_packet(control, request, list(fds))
    pid = answer_of(control)[0]["pid"]
    if not select.select([control], [], [], _DEADLINE_S)[0]:
        os.kill(pid, signal.SIGKILL)
    return ended(control).exit_code == 0
