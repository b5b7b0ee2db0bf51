"""Reading large JSON in steps: Python's own decoder gets windows of the text."""

from __future__ import annotations

import json
import re
from typing import Final, TypeVar

from execbox import strict_json
from execbox.strict_json import JSON, Reason, StrictJSONError, reading
from execbox.wire import JSON_DEPTH_MAX
from execbox_service.json_steps.freeing import free_in_steps

__all__ = ["LARGE_BYTES", "MEMBERS_MAX", "decode_any", "decode_in_steps"]

LARGE_BYTES: Final = 256 * 1024
"""From here on one go would take too long."""
MEMBERS_MAX: Final = 500_000
"""Of one object. While a larger one grows, the interpreter copies it in one step that takes more
than 50 ms (1.8 million members: 120 ms, measured)."""
_WINDOW_CHARS_MAX: Final = 64 * 1024
_WINDOW_CHARS_MIN: Final = 1024
_MIRRORED: Final = str.maketrans("[{", "]}")
_LEAD = re.compile(r"[\[{]{1,8}")
_SPACE = re.compile(r"[ \t\n\r]*")
_FIRST_MEMBER = re.compile(r'"[^"\\]{0,200}"[ \t\n\r]{0,9}:[ \t\n\r]{0,9}([\[{]{0,8})')
# Whole escapes only, and both halves of a pair together, so that any number of these is a string.
# Each is written out: where a part of a possessive group fails within a repeat or a lookahead,
# Python before 3.11.5 keeps what that took (github.com/python/cpython/issues/106052).
_HEX = "[0-9a-fA-F]"
_STRING_PART = re.compile(
    r'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]'
    rf"|\\u[0-9a-cefA-CEF]{_HEX}{_HEX}{_HEX}|\\u[dD][0-7c-fC-F]{_HEX}{_HEX}"
    rf"|\\u[dD][89abAB]{_HEX}{_HEX}\\u[dD][c-fC-F]{_HEX}{_HEX})++"
)
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_AFTER_ELEMENT = frozenset(",] \t\n\r")
_AFTER_MEMBER = frozenset(",} \t\n\r")
_LITERAL_CHARS_MAX: Final = 5000


_Container = TypeVar("_Container", list[JSON], dict[str, JSON])


def decode_in_steps(
    body: bytes, *, depth_max: int = JSON_DEPTH_MAX, non_finite: bool = False
) -> JSON:
    """As ``strict_json.decode``; raises StrictJSONError and nothing else, whatever the bytes."""
    text = reading.text_of(body)
    reader = _Reader(text, depth_max=depth_max, non_finite=non_finite)
    try:
        return reader.document()
    except (ValueError, RecursionError) as error:
        # The exception holds on to what was read, and is dropped by the event loop.
        free_in_steps(*reader.unfinished)
        if isinstance(error, StrictJSONError):
            raise
        raise reading.refusal_of(error, depth_max=depth_max) from error


def decode_any(body: bytes, *, depth_max: int = JSON_DEPTH_MAX, non_finite: bool = False) -> JSON:
    """In one go where it is small, which is quicker, and else in steps."""
    read = decode_in_steps if len(body) >= LARGE_BYTES else strict_json.decode
    return read(body, depth_max=depth_max, non_finite=non_finite)


class _Reader:
    """One document. The window follows what fits into it: it shrinks where values are larger, so
    that no text is read over and over, and grows again where they are not."""

    def __init__(self, text: str, *, depth_max: int, non_finite: bool) -> None:
        self._text = text
        self._depth_max = depth_max
        self._scan = reading.decoder_for(non_finite=non_finite).raw_decode
        self._window_chars = _WINDOW_CHARS_MAX
        self.unfinished: list[JSON] = []
        """The arrays and objects that are being read, each within the one before it."""

    def document(self) -> JSON:
        value, end = self._value(self._after_space(0), depth=0)
        end = self._after_space(end)
        if end != len(self._text):
            raise json.JSONDecodeError("Extra data", self._text, end)
        return value

    def _value(self, at: int, *, depth: int) -> tuple[JSON, int]:
        """The value that begins at ``at``, and where it ends."""
        first = self._text[at : at + 1]
        if first == '"':
            return self._string(at)
        if first not in ("[", "{"):
            return self._literal(at)
        window = self._window(at)
        self._refuse_too_deep(window, depth=depth)
        try:
            value, end = self._scan(window, 0)
        except json.JSONDecodeError:
            # Not complete in this window, or wrong: what is wrong is found member by member.
            self._window_chars = max(self._window_chars // 2, _WINDOW_CHARS_MIN)
            members = self._array if first == "[" else self._object
            return members(at, depth=depth + 1)
        self._fits(at, at + end)
        return value, at + end

    def _literal(self, at: int) -> tuple[JSON, int]:
        window = self._text[at : at + _LITERAL_CHARS_MAX]
        try:
            value, end = self._scan(window, 0)
        except json.JSONDecodeError as error:
            raise json.JSONDecodeError(error.msg, self._text, at) from None
        if end == _LITERAL_CHARS_MAX:
            raise reading.too_many_digits()
        return value, at + end

    def _string(self, at: int) -> tuple[str, int]:
        parts: list[str] = []
        begin = end = at + 1
        while True:
            part = _STRING_PART.match(self._text, end, end + _WINDOW_CHARS_MAX)
            begin, end = end, part.end() if part is not None else end
            if begin == end:
                break
            parts.append(self._scan('"' + self._text[begin:end] + '"', 0)[0])
        if self._text[end : end + 1] == '"':
            return "".join(parts), end + 1
        # Wrong: the decoder says in which way, counting from here.
        reading.refuse_lone_surrogates(self._text, end, end + 2 * len(r"\uffff"))
        try:
            self._scan('"' + self._text[end : end + 2 * len(r"\uffff")], 0)
        except json.JSONDecodeError as error:
            if not error.msg.startswith("Unterminated"):
                place = end + error.pos - 1
                raise json.JSONDecodeError(error.msg, self._text, place) from None
        raise json.JSONDecodeError("Unterminated string starting at", self._text, at)

    # Arrays

    def _array(self, at: int, *, depth: int) -> tuple[list[JSON], int]:
        values: list[JSON] = []
        self.unfinished.append(values)
        at = self._after_space(at + 1)
        if self._text.startswith("]", at):
            return self._finished(values), at + 1
        while True:
            at = self._after_space(self._elements(values, at, depth=depth))
            if self._text.startswith("]", at):
                return self._finished(values), at + 1
            at = self._after_comma(at)

    def _elements(self, values: list[JSON], at: int, *, depth: int) -> int:
        """Take as many elements as the window holds, at least one; say where the last one ends."""
        window = self._window(at)
        if window[:1] not in ('"', ""):
            self._refuse_too_deep(window, depth=depth)
        cut = _cut_of_elements(window)
        batch, end = self._scanned("[" + window[:cut] + "]") if cut > 0 else (None, 0)
        if isinstance(batch, list) and batch and end == cut + 2:
            values += batch
            self._fits(at, at + cut)
            return at + cut
        end = self._one_by_one(values, window)
        if end:
            self._fits(at, at + end)
            return at + end
        value, end = self._value(at, depth=depth)
        values.append(value)
        return end

    def _one_by_one(self, values: list[JSON], window: str) -> int:
        """Take the elements that are complete in the window; say where the last one ends in it."""
        begin = taken = 0
        while begin < len(window):
            value, end = self._scanned(window, begin)
            if not begin < end < len(window) or window[end] not in _AFTER_ELEMENT:
                # Incomplete, or it may be: a number goes on in the next window.
                break
            values.append(value)
            taken = end
            if window[end] != ",":
                break
            begin = _SPACE.match(window, end + 1).end()  # type: ignore[union-attr]
        return taken

    def _scanned(self, window: str, begin: int = 0) -> tuple[JSON, int]:
        """A value of the window and where it ends; an end of 0 where there is no whole one."""
        try:
            value, end = self._scan(window, begin)
        except json.JSONDecodeError:
            return None, 0
        return value, end

    # Objects

    def _object(self, at: int, *, depth: int) -> tuple[dict[str, JSON], int]:
        members: dict[str, JSON] = {}
        self.unfinished.append(members)
        at = self._after_space(at + 1)
        if self._text.startswith("}", at):
            return self._finished(members), at + 1
        while True:
            if not self._text.startswith('"', at):
                raise json.JSONDecodeError(
                    "Expecting property name enclosed in double quotes", self._text, at
                )
            at = self._after_space(self._members(members, at, depth=depth))
            if self._text.startswith("}", at):
                return self._finished(members), at + 1
            at = self._after_comma(at)

    def _members(self, members: dict[str, JSON], at: int, *, depth: int) -> int:
        """Take as many members as the window holds, at least one; say where the last one ends."""
        window = self._window(at)
        cut = _cut_of_members(window)
        if cut > 0:
            self._refuse_too_deep(window[:cut], depth=depth)
            batch, end = self._scanned("{" + window[:cut] + "}")
            if isinstance(batch, dict) and batch and end == cut + 2:
                _add(members, batch)
                self._fits(at, at + cut)
                return at + cut
        end = self._members_one_by_one(members, window, depth=depth)
        if end:
            self._fits(at, at + end)
            return at + end
        key, at = self._string(at)
        at = self._after_space(at)
        if not self._text.startswith(":", at):
            raise json.JSONDecodeError("Expecting ':' delimiter", self._text, at)
        value, at = self._value(self._after_space(at + 1), depth=depth)
        _add(members, {key: value})
        return at

    def _members_one_by_one(self, members: dict[str, JSON], window: str, *, depth: int) -> int:
        """Take the members that are complete in the window; say where the last one ends in it."""
        self._refuse_too_deep(window, depth=depth)
        begin = taken = 0
        while window.startswith('"', begin):
            key, end = self._scanned(window, begin)
            colon = _COLON.match(window, end) if end else None
            if colon is None:
                break
            value, end = self._scanned(window, colon.end())
            if not colon.end() < end < len(window) or window[end] not in _AFTER_MEMBER:
                break
            _add(members, {key: value})
            taken = end
            if window[end] != ",":
                break
            begin = _SPACE.match(window, end + 1).end()  # type: ignore[union-attr]
        return taken

    # What all have in common

    def _finished(self, value: _Container) -> _Container:
        self.unfinished.pop()
        return value

    def _window(self, at: int) -> str:
        return self._text[at : at + self._window_chars]

    def _fits(self, begin: int, end: int) -> None:
        """A part has been read with one look: look at more the next time."""
        reading.refuse_lone_surrogates(self._text, begin, end)
        self._window_chars = min(self._window_chars * 2, _WINDOW_CHARS_MAX)

    def _refuse_too_deep(self, window: str, *, depth: int) -> None:
        reading.refuse_deep_nesting(window.encode(), depth_max=self._depth_max - depth)

    def _after_space(self, at: int) -> int:
        while True:
            end = _SPACE.match(self._text, at, at + _WINDOW_CHARS_MAX).end()  # type: ignore[union-attr]
            if end < at + _WINDOW_CHARS_MAX:
                return end
            at = end

    def _after_comma(self, at: int) -> int:
        if not self._text.startswith(",", at):
            raise json.JSONDecodeError("Expecting ',' delimiter", self._text, at)
        return self._after_space(at + 1)


def _cut_of_elements(window: str) -> int:
    """Where, by the look of the first element, the window's last whole one may end; 0 for none."""
    lead = _LEAD.match(window)
    if lead is not None:
        return _end_before(window, ",", closing=lead[0].translate(_MIRRORED)[::-1])
    return _end_before(window, ",", closing='"' if window.startswith('"') else "")


def _cut_of_members(window: str) -> int:
    """The same for an object's members, written compactly or with a space after each comma."""
    first = _FIRST_MEMBER.match(window)
    if first is None:
        return 0
    closing = first[1].translate(_MIRRORED)[::-1]
    return _end_before(window, ',"', closing=closing) or _end_before(window, ', "', closing=closing)


def _end_before(window: str, separator: str, *, closing: str) -> int:
    place = window.rfind(closing + separator)
    return place + len(closing) if place > 0 else 0


def _add(members: dict[str, JSON], batch: dict[str, JSON]) -> None:
    if not members.keys().isdisjoint(batch):
        raise reading.duplicate_key(next(key for key in batch if key in members))
    if len(members) + len(batch) > MEMBERS_MAX:
        raise StrictJSONError(
            f"an object has more than {MEMBERS_MAX} members; write it as an array of pairs",
            reason=Reason.TOO_MANY_MEMBERS,
        )
    members |= batch
