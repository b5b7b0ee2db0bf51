"""How much there is to a value, or to what a JSON text says, without reading or writing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from execbox.strict_json import JSON
from execbox.wire import JSON_DEPTH_MAX

__all__ = ["LIGHT_MAX", "is_light", "light_left", "read_bytes_max"]

_ARRAY_BYTES, _OBJECT_BYTES, _STRING_BYTES = 90, 210, 60
_SLOT_BYTES, _NUMBER_BYTES = 9, 28
_ROUGHLY_BYTES_MAX: Final = 32 * 1024 * 1024
"""Up to here it does not matter that more is counted than there is."""
_PART_BYTES: Final = 256 * 1024
_BEYOND_TWO_BYTES = (b"\xf0", b"\xf1", b"\xf2", b"\xf3", b"\xf4")


def read_bytes_max(text: bytes) -> int:
    """The most memory that the value of a JSON text takes once it is read, as far as counting a
    few characters tells: up to forty times its length, where it is all brackets.

    Tens of milliseconds for the largest texts, and so for a thread beside the event loop.
    """
    signs = _signs_of(text) if len(text) <= _PART_BYTES else _together(map(_signs_of, _parts(text)))
    quickly = _read_bytes(text, signs)
    if quickly <= _ROUGHLY_BYTES_MAX:
        return quickly
    # What stands in strings is no structure.
    outside = _together(_outside_strings(text))
    return _read_bytes(text, (max(signs[0], outside[0]), *outside[1:]))


def _parts(text: bytes) -> Iterator[bytes]:
    """The text in parts that take C a millisecond or two each; no escape lies in two of them."""
    start = 0
    while start < len(text):
        part = text[start : start + _PART_BYTES]
        backslashes = len(part) - len(part.rstrip(b"\\"))
        if backslashes % 2 and len(part) > 1:
            part = part[:-1]
        yield part
        start += len(part)


_Signs: TypeAlias = tuple[int, int, int, int, int]
"""What tells of a value: how many bytes a character of the text takes once it is read, and how
often commas, arrays, objects and quotes stand in it."""


def _signs_of(part: bytes) -> _Signs:
    if part.isascii():
        width = 4 if b"\\u" in part else 1
    else:
        wide = b"\\u" in part or any(sign in part for sign in _BEYOND_TWO_BYTES)
        width = 4 if wide else 2
    count = part.count
    return width, count(b","), count(b"["), count(b"{"), count(b'"')


def _together(parts: Iterable[_Signs]) -> _Signs:
    widths, commas, arrays, objects, quotes = zip(*parts, strict=True)
    return max(widths), sum(commas), sum(arrays), sum(objects), sum(quotes)


def _outside_strings(text: bytes) -> Iterator[_Signs]:
    """Of each part of the text, without what stands in strings but for their quotes."""
    in_string = False
    for part in _parts(text):
        # Escapes first, so that a quote is always an end.
        unescaped = part.replace(b"\\\\", b"").replace(b'\\"', b"")
        pieces = unescaped.split(b'"')
        width, commas, arrays, objects, _ = _signs_of(b"".join(pieces[in_string::2]))
        yield width, commas, arrays, objects, len(pieces) - 1
        in_string ^= len(pieces) % 2 == 0


def _read_bytes(text: bytes, signs: _Signs) -> int:
    width, commas, arrays, objects, quotes = signs
    # Numbers of one and two digits are made once for all, so each that is not has two more.
    size_bytes = len(text)
    numbers = (size_bytes - 2 * commas) // 2
    if numbers > commas:
        numbers = commas
    elif numbers < 0:
        numbers = 0
    return (
        width * size_bytes
        + _ARRAY_BYTES * arrays
        + _OBJECT_BYTES * objects
        + _STRING_BYTES * (quotes // 2)
        + _SLOT_BYTES * commas
        + _NUMBER_BYTES * numbers
    )


LIGHT_MAX: Final = 20_000
_LIGHT_LOOKS: Final = range(JSON_DEPTH_MAX + 8)
_FEW_BITS: Final = 1000
"""An integer with no more is written as quickly as any; the time for others grows with the square:
4,300 digits take as long as some thousands of short ones (measured)."""


def is_light(values: Sequence[JSON]) -> bool:
    """Whether these together are written, read or freed in a millisecond or two: what they hold is
    counted, level by level, and no further than it takes to tell."""
    return light_left(values) >= 0


def light_left(values: Sequence[JSON]) -> int:
    """How much more these could hold and still be light together; below zero, they are not."""
    left = LIGHT_MAX - len(values)
    level: Sequence[JSON] = values
    for _ in _LIGHT_LOOKS:
        inner: list[JSON] = []
        for value in level:
            kind = type(value)
            if kind is str:
                left -= len(value)
            elif kind is dict:
                left -= 3 * len(value)
                if left < 0:
                    return -1
                left -= sum(map(len, value))
                inner += value.values()
            elif kind is list:
                left -= 2 * len(value)
                if left < 0:
                    return -1
                inner += value
            elif kind is int and (bit_count := value.bit_length()) > _FEW_BITS:
                left -= bit_count * bit_count >> 15
        if left < 0:
            return -1
        if not inner:
            return left
        level = inner
    return -1
