"""Reading and writing large JSON in steps of milliseconds, for a thread beside the event loop.

The same values and the same refusals as ``strict_json``, which is quicker and is for small texts.
From what size on, and in which thread, is decided elsewhere.

Python's own decoder and encoder do a whole document in one call, and the interpreter serves no
other thread meanwhile: 16 MiB of ``[[],[],...`` kept the event loop waiting for 0.5 s (measured).
Here they get windows of the text, and slices of the values, that take them a millisecond or two.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import Final

from execbox import strict_json
from execbox.strict_json import JSON, reading
from execbox.wire import JSON_DEPTH_MAX

__all__ = [
    "LARGE_BYTES",
    "decode_any",
    "decode_in_steps",
    "encode_in_steps",
    "is_light",
    "read_bytes_max",
]

LARGE_BYTES: Final = 256 * 1024
"""From here on one go would take too long."""
_WINDOW_CHARS_MAX: Final = 64 * 1024
_WINDOW_CHARS_MIN: Final = 1024
_MIRRORED: Final = str.maketrans("[{", "]}")
_LEAD = re.compile(r"[\[{]{1,8}")
_SPACE = re.compile(r"[ \t\n\r]*")
_FIRST_MEMBER = re.compile(r'"[^"\\]{0,200}"[ \t\n\r]{0,9}:[ \t\n\r]{0,9}([\[{]{0,8})')
# Whole escapes only, and both halves of a pair together, so that any number of these is a string.
_STRING_PART = re.compile(
    r'(?:[^"\\\x00-\x1f]++|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}'
    r'|\\(?:["\\/bfnrt]|u(?![dD][89abAB])[0-9a-fA-F]{4}))++'
)
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_AFTER_ELEMENT = frozenset(",] \t\n\r")
_AFTER_MEMBER = frozenset(",} \t\n\r")
_LITERAL_CHARS_MAX: Final = 5000


def decode_in_steps(
    body: bytes, *, depth_max: int = JSON_DEPTH_MAX, non_finite: bool = False
) -> JSON:
    """As ``strict_json.decode``; raises StrictJSONError and nothing else, whatever the bytes."""
    text = reading.text_of(body)
    with reading.refusals(depth_max=depth_max):
        return _Reader(text, depth_max=depth_max, non_finite=non_finite).document()


def decode_any(body: bytes, *, non_finite: bool = False) -> JSON:
    """In one go where it is small, which is quicker, and else in steps."""
    read = decode_in_steps if len(body) >= LARGE_BYTES else strict_json.decode
    return read(body, non_finite=non_finite)


_ARRAY_BYTES, _OBJECT_BYTES, _STRING_BYTES = 90, 210, 60
_SLOT_BYTES, _NUMBER_BYTES = 9, 28
_ROUGHLY_BYTES_MAX: Final = 32 * 1024 * 1024
"""Up to here it does not matter that more is counted than there is."""
_BEYOND_TWO_BYTES = (b"\xf0", b"\xf1", b"\xf2", b"\xf3", b"\xf4", b"\\u")


def read_bytes_max(text: bytes) -> int:
    """The most memory that the value of a JSON text takes once it is read, as far as counting a
    few characters tells: up to forty times its length, where it is all brackets.

    Tens of milliseconds for the largest texts, and so for a thread beside the event loop.
    """
    quickly = _read_bytes(text, structure=text)
    if quickly <= _ROUGHLY_BYTES_MAX:
        return quickly
    # What stands in strings is no structure. Escapes first, so that a quote is always an end.
    unescaped = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return _read_bytes(text, structure=b'""'.join(unescaped.split(b'"')[::2]))


def _read_bytes(text: bytes, *, structure: bytes) -> int:
    width = 4 if any(sign in text for sign in _BEYOND_TWO_BYTES) else 1 if text.isascii() else 2
    commas = structure.count(b",")
    # Numbers of one and two digits are made once for all, so each that is not has two more.
    numbers = max(0, min(commas, (len(text) - 2 * commas) // 2))
    return (
        width * len(text)
        + _ARRAY_BYTES * structure.count(b"[")
        + _OBJECT_BYTES * structure.count(b"{")
        + _STRING_BYTES * (structure.count(b'"') // 2)
        + _SLOT_BYTES * commas
        + _NUMBER_BYTES * numbers
    )


class _Reader:
    """One document. The window follows what fits into it: it shrinks where values are larger, so
    that no text is read over and over, and grows again where they are not."""

    def __init__(self, text: str, *, depth_max: int, non_finite: bool) -> None:
        self._text = text
        self._depth_max = depth_max
        self._scan = reading.decoder_for(non_finite=non_finite).raw_decode
        self._window_chars = _WINDOW_CHARS_MAX

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
        at = self._after_space(at + 1)
        if self._text.startswith("]", at):
            return values, at + 1
        while True:
            at = self._after_space(self._elements(values, at, depth=depth))
            if self._text.startswith("]", at):
                return values, at + 1
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
        at = self._after_space(at + 1)
        if self._text.startswith("}", at):
            return members, at + 1
        while True:
            if not self._text.startswith('"', at):
                raise json.JSONDecodeError(
                    "Expecting property name enclosed in double quotes", self._text, at
                )
            at = self._after_space(self._members(members, at, depth=depth))
            if self._text.startswith("}", at):
                return members, at + 1
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
    members |= batch


# Writing

_BATCH_MAX: Final = 1000
_SORTED_MAX: Final = 20_000
_LIGHT_MAX: Final = 20_000
_LIGHT_LOOKS_MAX: Final = JSON_DEPTH_MAX + 8


def is_light(values: Sequence[JSON]) -> bool:
    """Whether these together are written, read or freed in a millisecond or two: what they hold is
    counted, level by level, and no further than it takes to tell."""
    size = 0
    level: Sequence[JSON] = values
    for _ in range(_LIGHT_LOOKS_MAX):
        size += len(level) + sum(len(value) for value in level if type(value) is str)
        lists = [value for value in level if type(value) is list]
        objects = [value for value in level if type(value) is dict]
        size += sum(map(len, lists)) + sum(map(len, objects))
        if size > _LIGHT_MAX:
            return False
        if not (lists or objects):
            return True
        keys = chain.from_iterable(objects)
        members = chain.from_iterable(map(dict.values, objects))
        level = list(chain(chain.from_iterable(lists), members, keys))
    return False


def encode_in_steps(
    value: JSON, *, ensure_ascii: bool = True, sort_keys: bool = False
) -> Iterator[str]:
    """Pieces of compact JSON text that are ``value`` together; no piece takes long to make.

    ``value`` is decoded JSON, so it has a strict form. Infinities and NaN come out as the words
    that Python's encoder writes.
    """
    encoder = json.JSONEncoder(
        ensure_ascii=ensure_ascii, sort_keys=sort_keys, separators=(",", ":")
    )
    return _pieces(value, encoder)


def _pieces(value: JSON, encoder: json.JSONEncoder) -> Iterator[str]:
    if is_light((value,)):
        yield encoder.encode(value)
    elif isinstance(value, str):
        yield '"'
        for start in range(0, len(value), _LIGHT_MAX):
            yield encoder.encode(value[start : start + _LIGHT_MAX])[1:-1]
        yield '"'
    elif isinstance(value, dict):
        yield from _members_in_pieces(value, encoder)
    else:
        yield from _elements_in_pieces(value, encoder)


def _elements_in_pieces(values: Sequence[JSON], encoder: json.JSONEncoder) -> Iterator[str]:
    opening, start, count = "[", 0, _BATCH_MAX
    while start < len(values):
        batch = values[start : start + count]
        if is_light(batch):
            yield opening + encoder.encode(batch)[1:-1]
            start += len(batch)
            count = min(2 * count, _BATCH_MAX)
        elif count == 1:
            yield opening
            yield from _pieces(batch[0], encoder)
            start += 1
        else:
            count = max(1, min(count, len(batch)) // 2)
            continue
        opening = ","
    yield "]"


def _members_in_pieces(members: dict[str, JSON], encoder: json.JSONEncoder) -> Iterator[str]:
    opening = "{"
    items = _sorted_in_steps(members.items()) if encoder.sort_keys else iter(members.items())
    while batch := dict(islice(items, _BATCH_MAX)):
        if is_light((batch,)):
            yield opening + encoder.encode(batch)[1:-1]
        else:
            for key, member in batch.items():
                yield opening
                yield from _pieces(key, encoder)
                yield ":"
                yield from _pieces(member, encoder)
                opening = ","
        opening = ","
    yield "}"


def _sorted_in_steps(items: Iterable[tuple[str, JSON]]) -> Iterator[tuple[str, JSON]]:
    left = iter(items)
    runs = iter(lambda: sorted(islice(left, _SORTED_MAX), key=itemgetter(0)), [])
    return heapq.merge(*runs, key=itemgetter(0))
