"""Why a document or a value is no strict JSON, and how messages show texts and paths."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import TypeAlias

__all__ = ["DIGITS_MAX", "Path", "Reason", "StrictJSONError", "path_text", "shortened"]

Path: TypeAlias = Sequence[str | int]
"""The way from a document to a value in it: keys of objects and places in arrays."""
DIGITS_MAX = 4300
"""Most digits of an integer, in requests and responses; the interpreter's own default limit."""

_SHOWN_CHARS_MAX = 60


class Reason(StrEnum):
    """Why a document is refused; stable, so that callers can tell the cases apart."""

    EMPTY = "empty"
    ENCODING = "encoding"
    TOO_DEEP = "too_deep"
    SYNTAX = "syntax"
    DUPLICATE_KEY = "duplicate_key"
    NOT_FINITE = "not_finite"
    INTEGER_TOO_LONG = "integer_too_long"
    LONE_SURROGATE = "lone_surrogate"
    TOO_MANY_MEMBERS = "too_many_members"
    """Of one object."""
    NOT_JSON = "not_json"
    """A Python value that has no JSON form."""


class StrictJSONError(ValueError):
    """A document or value that is not strict JSON; ``message`` is short and safe to show."""

    # The reason has a default because unpickling an exception calls it with the message only.
    def __init__(self, message: str, *, reason: Reason = Reason.NOT_JSON) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def shortened(text: str, *, chars_max: int = _SHOWN_CHARS_MAX) -> str:
    """``text`` as a quoted JSON string of ASCII, cut so that no message repeats anything long."""
    cut = text if len(text) <= chars_max else text[: chars_max - 3] + "..."
    return json.dumps(cut)


def path_text(path: Path, *, whole: str = "the value") -> str:
    """A path as people write it, such as ``calls[0].kwargs["x y"]``; ``whole`` is the empty one."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.isidentifier() and len(step) <= _SHOWN_CHARS_MAX:
            text += f".{step}" if text else step
        else:
            text += f"[{shortened(step)}]"
    return text or whole
