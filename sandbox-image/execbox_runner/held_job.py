"""What the service has sent of a job, held where its processes find it and cannot change it.

The function or program, as memory files and as a source file. Runs nothing, and reads none of it.
"""

from __future__ import annotations

import os
from typing import Any

from . import program_files
from .execution import Inputs
from .memory_files import sealed_memory


def has_source(header: dict[str, Any]) -> bool:
    """Whether a job is a program that is run from its source."""
    return "program_bytes" in header


class HeldJob:
    """The job that the next executions are of; none before the first."""

    def __init__(self) -> None:
        self.header: dict[str, Any] = {}
        self._function_fd = -1
        self._executable_fd: int | None = None
        self.source_name: str | None = None
        """The file that a program is run from, beside what its cases are given."""

    def replace(self, header: dict[str, Any], body: bytes) -> None:
        """Hold a job in the place of the one before it, whose processes have all ended."""
        self._let_go()
        self.header = header
        view = memoryview(body)
        executable_start = len(body) - header.get("executable_bytes", 0)
        source_start = executable_start - header.get("program_bytes", 0)
        self._function_fd = sealed_memory("function", view[:source_start])
        if "executable_bytes" in header:
            program = view[executable_start:]
            self._executable_fd = sealed_memory("program", program, executable=True)
        if has_source(header):
            self.source_name = header.get("program_name", program_files.NAME)
            program_files.write_source(view[source_start:executable_start], name=self.source_name)

    def inputs(self, header: dict[str, Any], body: bytes) -> Inputs:
        """Of one execution: the call, and behind it what the job reads on stdin, if it has any."""
        stdin_bytes = header.get("stdin_bytes")
        call_bytes = len(body) - (stdin_bytes or 0)
        view = memoryview(body)
        return Inputs(
            self._function_fd,
            sealed_memory("call", view[:call_bytes]),
            stdin_fd=None if stdin_bytes is None else sealed_memory("stdin", view[call_bytes:]),
            executable_fd=self._executable_fd,
        )

    @property
    def is_checked(self) -> bool:
        """Whether the service wants a checksum with what it is sent. One of a version before there
        were any does not ask, and would refuse it."""
        return bool(self.header.get("checked"))

    @property
    def memory_bytes(self) -> int:
        """Of the memory files."""
        fds = (self._function_fd, self._executable_fd)
        return sum(os.fstat(fd).st_size for fd in fds if fd is not None and fd >= 0)

    def _let_go(self) -> None:
        if self._function_fd >= 0:
            os.close(self._function_fd)
        if self._executable_fd is not None:
            os.close(self._executable_fd)
            self._executable_fd = None
        if self.source_name is not None:
            program_files.remove_source(self.source_name)
            self.source_name = None
