"""A program in a language besides Python: what a job process becomes, to compile it or to run it.

Entered in a job process that is confined already, in profile ``processes``. Runs nothing of the
program itself, and reports nothing unless it could not be started: an exit code says how it ended.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from typing import Any, NoReturn

from . import failure_report, report
from .confine import RESULT_FD

COMPILED_NAME = ".execbox-compiled"
"""Where a compiler puts the program, in its own working directory; the service fetches it."""
_COMPILERS = {
    "cpp": ["/usr/bin/g++", "-std=c++17", "-O2", "-pthread", "-o", COMPILED_NAME, "program.cpp"],
}
_INTERPRETERS = {"bash": ["/bin/bash", "program.sh"]}
_EXIT_CANNOT_BE_STARTED = 126
"""A shell's status for a program that is there and cannot be started."""


def run(program: dict[str, Any], case: dict[str, Any], *, executable_fd: int | None) -> NoReturn:
    """Become the compiler, the program or its interpreter. Never returns."""
    # What comes after must not be able to report in our name; a failure to start it still can.
    fcntl.fcntl(RESULT_FD, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    # An interpreter of Python ignores these, and what is started would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if not program.get("compile_only"):
        # A compiler that it ends takes that for a fault of its own; else it says what happened.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    arguments = case.get("arguments", program["arguments"])
    try:
        _become(program, [_bytes(argument) for argument in arguments], executable_fd)
    except OSError as failure:
        _tell(failure)
    os._exit(_EXIT_CANNOT_BE_STARTED)


def _become(program: dict[str, Any], arguments: list[bytes], executable_fd: int | None) -> None:
    language = program["language"]
    if program.get("compile_only"):
        command = _COMPILERS[language]
        os.execv(command[0], command)  # noqa: S606 - that is what a job is for
    if executable_fd is not None:
        os.execve(executable_fd, [b"./program", *arguments], os.environ)  # noqa: S606 - that is what a job is for
    command = _INTERPRETERS[language]
    os.execv(command[0], [*map(os.fsencode, command), *arguments])  # noqa: S606 - that is what a job is for


def _bytes(argument: str) -> bytes:
    try:
        return os.fsencode(argument)
    except UnicodeEncodeError:
        return argument.encode("utf-8", "surrogatepass")


def _tell(failure: OSError) -> None:
    message = f"the program cannot be started: {failure.strerror}"
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    told = failure_report.in_short(failure, message=message, line=None)
    report.send(report.Report("exception", error=told))
