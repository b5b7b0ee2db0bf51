"""Large values of a text read at once, and short stand-ins for them in the text. Pure.

Looking for the answer costs so much for each token, which no value of a megabyte could pay. So what
is strict JSON and large is read by the decoder that is written in C; the rules of ``extraction``
then decide over a text in which it is a few characters. What is not strict JSON stays as it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from execbox.strict_json import StrictJSONError, nesting_depth
from execbox.strict_json.reading import decoder_for, refuse_lone_surrogates
from execbox.wire import JSON_DEPTH_MAX
from execbox_service.answers.marked_values import NOTHING

__all__ = ["LARGE_CHARS", "Shortened", "TooDeep", "shortened", "without_marks"]

JSON: TypeAlias = Any

LARGE_CHARS: Final = 4096
"""A shorter value is left where it is: reading it token by token is a few milliseconds."""

_MARK = "\ue000large value "
# Where a value begins that may be the answer or a part of it, and not every bracket of prose. What
# stands before is asked afterwards: `re` looks for one of three characters many times as fast.
_START = re.compile(r'[\[{"](?:(?<=\A.)|(?<=[\n:>`].)|(?<=: .)|(?<=boxed\{.))')
_MARKED = re.compile(rf"{_MARK}\d++")
_READ_TIMES_MAX = 4
"""So often on average may a character be read: what fails may have been nearly at the end."""
_ATTEMPT_CHARS = 1024
"""What beginning to read costs, in characters read."""
_CUT_TOKEN_CHARS = 12
_WRAPPER_KEYS_MAX = 8
_WRAPPERS = frozenset({"input", "output", "answer", "final_answer", "final answer"})


class TooDeep(Exception):
    """A value nests deeper than any value may."""


@dataclass(frozen=True, slots=True)
class _Large:
    value: JSON
    depth: int


@dataclass(frozen=True, slots=True)
class Shortened:
    """A text with stand-ins, and what each of them stands for."""

    text: str
    values: dict[str, _Large] = field(default_factory=dict)

    def restored(self, value: JSON, *, depth: int = 0) -> JSON:
        """``value``, which was found in the text, with what its stand-ins stand for. Raises
        TooDeep."""
        if not self.values:
            return value
        marks = value if isinstance(value, dict | list) and len(value) == 1 else (value,)
        for mark in marks:
            large = self.values.get(mark) if isinstance(mark, str) else None
            if large is not None and _stand_in(large.value, mark) == value:
                if depth + large.depth > JSON_DEPTH_MAX:
                    raise TooDeep
                return large.value
        if isinstance(value, dict):
            return {
                self.restored(key): self.restored(each, depth=depth + 1)
                for key, each in value.items()
            }
        if isinstance(value, list):
            return [self.restored(each, depth=depth + 1) for each in value]
        return value


def without_marks(reason: str) -> str:
    """A sentence that quotes the text, as it is shown."""
    return _MARKED.sub("\u2026", reason)


def shortened(text: str) -> Shortened:
    """``text`` with stand-ins for its large values, in time linear in its length."""
    if len(text) < LARGE_CHARS or _MARK in text:
        return Shortened(text)
    pieces: list[str] = []
    values: dict[str, _Large] = {}
    position = kept_from = 0
    left_chars = _READ_TIMES_MAX * len(text)
    while left_chars > 0 and (match := _START.search(text, position)) is not None:
        start = match.start()
        large, end, read_chars = _read(text, start)
        left_chars -= read_chars
        position = end
        if large is not None:
            mark = f"{_MARK}{len(values)}"
            values[mark] = large
            pieces += (text[kept_from:start], json.dumps(_stand_in(large.value, mark)))
            kept_from = end
    pieces.append(text[kept_from:])
    return Shortened("".join(pieces), values)


def _read(text: str, start: int) -> tuple[_Large | None, int, int]:
    """The value at ``start`` if it is one and large; where to go on; how much that has cost."""
    window = text[start : start + LARGE_CHARS]
    value, reached = _decoded(window, 0)
    if value is not NOTHING or reached < len(window) - _CUT_TOKEN_CHARS:
        # A string may be the end of one and the beginning of the next: go on inside of it.
        is_container = value is not NOTHING and not isinstance(value, str)
        return None, start + (reached if is_container else 1), reached + _ATTEMPT_CHARS
    value, reached = _decoded(text, start)
    cost = reached - start + reached // 4 + _ATTEMPT_CHARS
    if value is NOTHING or _is_wrapper(value):
        return None, start + 1, cost
    try:
        refuse_lone_surrogates(text, start, reached)
        depth = nesting_depth(text[start:reached].encode())
    except (StrictJSONError, UnicodeEncodeError):
        return None, start + 1, cost
    return _Large(value, depth), reached, cost


def _decoded(text: str, start: int) -> tuple[JSON, int]:
    """The value that begins there, and its end; or ``NOTHING``, and how far it was read."""
    try:
        value, end = decoder_for(non_finite=False).raw_decode(text, start)
    except json.JSONDecodeError as error:
        # Of a string that does not end, the place is where it begins.
        return NOTHING, len(text) if error.msg.startswith("Unterminated") else error.pos
    except (StrictJSONError, ValueError, RecursionError):
        # It says nothing of how far it came.
        return NOTHING, len(text)
    return value, end


def _is_wrapper(value: JSON) -> bool:
    """Whether it is an object whose keys decide what it is: its values are looked at instead."""
    return isinstance(value, dict) and (
        len(value) <= _WRAPPER_KEYS_MAX or not _WRAPPERS.isdisjoint(map(str.lower, value))
    )


def _stand_in(value: JSON, mark: str) -> JSON:
    """Of the same type, since what an answer may be depends on that."""
    if isinstance(value, dict):
        return {mark: 0}
    return [mark] if isinstance(value, list) else mark
