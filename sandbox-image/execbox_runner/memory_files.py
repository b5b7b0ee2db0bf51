"""Memory files that carry data to jobs, and that no job can change."""

from __future__ import annotations

import contextlib
import fcntl
import os

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


_MFD_EXEC = 0x10


def sealed_memory(name: str, data: bytes | memoryview, *, executable: bool = False) -> int:
    """A memory file that nobody can change any more: jobs inherit it, one after another."""
    fd = _memory(name, executable=executable)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _memory(name: str, *, executable: bool) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    if executable:
        # Where the machine's default is that none can be started, it has to be asked for; kernels
        # before 6.3 have no such default, and do not know the flag.
        with contextlib.suppress(OSError):
            return os.memfd_create(name, flags | _MFD_EXEC)
    return os.memfd_create(name, flags)
