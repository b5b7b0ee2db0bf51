"""Turning what user code raised into a short, bounded report. Runs user code only through str().

Only frames of the user's own sources are shown, and of code that these made while they ran, so
nothing of ours reaches a model as feedback.
"""

from __future__ import annotations

import linecache
from builtins import BaseException, SyntaxError, int, isinstance, len, list, str, type
from collections import deque
from typing import Any

SOURCE_NAME = "solution.py"
EXPRESSION_NAME = "<expression>"
GENERATOR_NAME = "input_generator.py"
CELL_BEGINS = "<cell "
"""Of the name of a session's cell, which has its number behind it."""
_SOURCES = (SOURCE_NAME, EXPRESSION_NAME, GENERATOR_NAME)
_MESSAGE_CHARS_MAX = 4000
_FRAMES_HEAD, _FRAMES_TAIL = 10, 10
_LINE_CHARS_MAX = 200
_LINE_MAX = 2**31
_WRITABLE = ("/tmp/", "/dev/shm/")
_OF_LIBRARIES = ("<frozen ", "<__array_function__ ")
_COMPILED = (".pyx", ".pxd", ".pxi")
"""Names without a path that are a library's all the same: of the import system, numpy, Cython."""
_get_line = linecache.getline
# The slots themselves, because a subclass or metaclass may hide them behind its own.
_traceback_of: Any = BaseException.__dict__["__traceback__"].__get__
_name_of: Any = type.__dict__["__name__"].__get__


def describe(error: BaseException) -> dict[str, Any]:
    """Type, message, traceback and line of what was raised."""
    kind = type_name(error)
    message = message_of(error)
    frames = _user_frames(error)
    lines = ["Traceback (most recent call last):", *frames.render(), _last_line(kind, message)]
    return {
        "type": kind,
        "message": message,
        "traceback": "\n".join(lines),
        "line": frames.source_line,
    }


def in_short(error: BaseException, *, message: str, line: int | None) -> dict[str, Any]:
    """Type, message and line only: of what has been shown already."""
    text = _clean(message[:_MESSAGE_CHARS_MAX])
    return {"type": type_name(error), "message": text, "traceback": None, "line": line}


def describe_syntax_error(error: BaseException, name: str) -> dict[str, Any]:
    """The same for source that does not compile: no frames, but the place in what is so named."""
    kind = type_name(error)
    message = message_of(error)
    line = text = None
    if isinstance(error, SyntaxError):
        message = str(error.msg)[:_MESSAGE_CHARS_MAX]
        number = error.lineno
        line = number if type(number) is int and 0 < number < _LINE_MAX else None
        text = error.text if isinstance(error.text, str) else None
        # The compiler's later steps look for the line in a file, which there is not.
        text = text or (_line_of(name, line) if line is not None else None)
    lines = [f'  File "{name}", line {line}'] if line is not None else []
    if text and text.strip():
        lines.append(f"    {_clean(text.strip()[:_LINE_CHARS_MAX])}")
    lines.append(_last_line(kind, message))
    return {
        "type": kind,
        "message": message,
        "traceback": "\n".join(lines),
        "line": None if name in (EXPRESSION_NAME, GENERATOR_NAME) else line,
    }


def type_name(error: BaseException) -> str:
    """The real type's name, whatever the class says about itself."""
    name: str = _name_of(type(error))
    return _clean(name[:200])


def message_of(error: BaseException) -> str:
    """The text of an exception; one that cannot be had is said to be so."""
    try:
        text = str(error)
        if type(text) is not str:
            text = str.__str__(text)
    except BaseException as failure:  # noqa: BLE001 - user code runs in str(); whatever it does is data
        return f"<no message: str() of the exception raised {type_name(failure)}>"
    return _clean(text[:_MESSAGE_CHARS_MAX])


def _clean(text: str) -> str:
    # Lone surrogates cannot be sent as UTF-8; an escape keeps them readable.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _last_line(kind: str, message: str) -> str:
    return f"{kind}: {message}" if message else kind


def _user_frames(error: BaseException) -> _Frames:
    frames = _Frames()
    step = _traceback_of(error)
    while step is not None:
        code = step.tb_frame.f_code
        if _is_users(code.co_filename):
            frames.add((code.co_filename, step.tb_lineno, code.co_name))
        step = step.tb_next
    return frames


def _is_users(name: str) -> bool:
    """Whether a file name is of the user's sources, or of code that they had compiled.

    What ``exec`` runs has whatever name it was given, ``<string>`` where none was; what is
    installed has a whole path.
    """
    if type(name) is not str:
        return False
    if name in _SOURCES:
        return True
    if name.startswith("/"):
        return name.startswith(_WRITABLE)
    return not name.startswith(_OF_LIBRARIES) and not name.endswith(_COMPILED)


def _line_of(name: str, number: int) -> str:
    """A line of source without its indentation, empty where it cannot be had."""
    try:
        return _get_line(name, number).strip()[:_LINE_CHARS_MAX]
    except BaseException:  # noqa: BLE001 - the name may be anything, and the loader the user's
        return ""


class _Frames:
    """Both ends of a traceback: an endless recursion has a thousand frames and more."""

    def __init__(self) -> None:
        self._head: list[tuple[str, int, str]] = []
        self._tail: deque[tuple[str, int, str]] = deque(maxlen=_FRAMES_TAIL)
        self._count = 0
        self.source_line: int | None = None
        """Of the innermost frame in the function's own source."""

    def add(self, frame: tuple[str, int, str]) -> None:
        self._count += 1
        name, number, _function = frame
        if name == SOURCE_NAME or name.startswith(CELL_BEGINS):
            self.source_line = number if 0 < number < _LINE_MAX else None
        if len(self._head) < _FRAMES_HEAD:
            self._head.append(frame)
        else:
            self._tail.append(frame)

    def render(self) -> list[str]:
        omitted = self._count - len(self._head) - len(self._tail)
        lines = [text for frame in self._head for text in _render_frame(*frame)]
        if omitted:
            lines.append(f"  [{omitted} frames omitted]")
        return lines + [text for frame in self._tail for text in _render_frame(*frame)]


def _render_frame(name: str, number: int, function: str) -> list[str]:
    lines = [f'  File "{_in_one_line(name)}", line {number}, in {_in_one_line(function)}']
    source = _line_of(name, number)
    if source:
        lines.append(f"    {_clean(source)}")
    return lines


def _in_one_line(name: str) -> str:
    return _clean("".join(char if char.isprintable() else "?" for char in name[:200]))
