"""The exit codes of every command and the one exception for its misuse; nothing is printed here."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["CommandError", "ExitCode"]


class ExitCode(IntEnum):
    """What a command's exit code says; documented in its help."""

    OK = 0
    NOT_OK = 1
    """It ran, and what it looked at is not all right: an execution not ok, something missing."""
    MISTAKE = 2
    """The caller's mistake: usage, a file, the request. Nothing was run."""
    SERVICE_FAILURE = 3
    """No result: the service failed, is overloaded, or could not be reached."""
    BUG = 70
    NO_END = 122
    """Of ``exec``, whose other codes are the program's own: it ended, and cannot be said how."""
    RAN_OUT_OF_MEMORY = 123
    """Of ``exec``."""
    RAN_OUT_OF_TIME = 124
    """Of ``exec``; as the command ``timeout`` has it."""
    NO_RUN = 125
    """Of ``exec``, in the place of ``SERVICE_FAILURE``; as ``docker run`` has it."""
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class CommandError(Exception):
    """The command cannot do what was asked; its text is the whole message for the user."""

    def __init__(self, message: str, *, exit_code: ExitCode = ExitCode.MISTAKE) -> None:
        super().__init__(message)
        self.exit_code = exit_code
