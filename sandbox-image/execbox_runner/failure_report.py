"""Turning what user code raised into a short, bounded report. Runs user code only through str().

Only frames of the user's own sources are shown, so nothing of ours reaches a model as feedback.
"""

from __future__ import annotations

import linecache
from builtins import BaseException, SyntaxError, int, isinstance, len, list, str, type
from collections import deque
from typing import Any

SOURCE_NAME = "solution.py"
EXPRESSION_NAME = "<expression>"
GENERATOR_NAME = "input_generator.py"
_SOURCES = (SOURCE_NAME, EXPRESSION_NAME, GENERATOR_NAME)
_MESSAGE_CHARS_MAX = 4000
_FRAMES_HEAD, _FRAMES_TAIL = 10, 10
_LINE_CHARS_MAX = 200
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
        "line": frames.last_source_line(),
    }


def describe_syntax_error(error: BaseException, name: str) -> dict[str, Any]:
    """The same for source that does not compile: no frames, but the place in what is so named."""
    kind = type_name(error)
    message = message_of(error)
    line = text = None
    if isinstance(error, SyntaxError):
        message = str(error.msg)[:_MESSAGE_CHARS_MAX]
        line = error.lineno if isinstance(error.lineno, int) else None
        text = error.text if isinstance(error.text, str) else None
    lines = [f'  File "{name}", line {line}'] if line is not None else []
    if text and text.strip():
        lines.append(f"    {_clean(text.strip()[:_LINE_CHARS_MAX])}")
    lines.append(_last_line(kind, message))
    return {
        "type": kind,
        "message": message,
        "traceback": "\n".join(lines),
        "line": line if name == SOURCE_NAME else None,
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
        if code.co_filename in _SOURCES:
            frames.add((code.co_filename, step.tb_lineno, code.co_name))
        step = step.tb_next
    return frames


class _Frames:
    """Both ends of a traceback: an endless recursion has a thousand frames and more."""

    def __init__(self) -> None:
        self._head: list[tuple[str, int, str]] = []
        self._tail: deque[tuple[str, int, str]] = deque(maxlen=_FRAMES_TAIL)
        self._count = 0

    def add(self, frame: tuple[str, int, str]) -> None:
        self._count += 1
        if len(self._head) < _FRAMES_HEAD:
            self._head.append(frame)
        else:
            self._tail.append(frame)

    def last_source_line(self) -> int | None:
        for name, number, _function in [*self._head, *self._tail][::-1]:
            if name == SOURCE_NAME:
                return number
        return None

    def render(self) -> list[str]:
        omitted = self._count - len(self._head) - len(self._tail)
        lines = [text for frame in self._head for text in _render_frame(*frame)]
        if omitted:
            lines.append(f"  [{omitted} frames omitted]")
        return lines + [text for frame in self._tail for text in _render_frame(*frame)]


def _render_frame(name: str, number: int, function: str) -> list[str]:
    lines = [_clean(f'  File "{name}", line {number}, in {function[:200]}')]
    source = _get_line(name, number).strip()[:_LINE_CHARS_MAX]
    if source:
        lines.append(f"    {_clean(source)}")
    return lines
