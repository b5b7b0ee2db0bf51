"""Writing large JSON in steps: Python's own encoder gets slices of the values."""

from __future__ import annotations

import heapq
import json
import json.encoder
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from operator import itemgetter
from typing import Any, Final

from execbox.strict_json import JSON
from execbox_service.json_steps.sizes import LIGHT_MAX, is_light

__all__ = ["ascii_text", "encode_in_steps", "small_ascii_text", "text_head"]

_BATCH_MAX: Final = 1000
_SORTED_MAX: Final = 20_000
_make_writer: Any = json.encoder.__dict__["c_make_encoder"]


def text_head(value: JSON, chars_max: int, *, ensure_ascii: bool = True) -> str:
    """The beginning of the text that ``json.dumps`` makes, at least so many characters where there
    are as many; little more than that is made."""
    pieces: list[str] = []
    size_chars = 0
    for piece in encode_in_steps(value, ensure_ascii=ensure_ascii, spaced=True):
        pieces.append(piece)
        size_chars += len(piece)
        if size_chars >= chars_max:
            break
    return "".join(pieces)


def encode_in_steps(
    value: JSON, *, ensure_ascii: bool = True, sort_keys: bool = False, spaced: bool = False
) -> Iterator[str]:
    """Pieces of compact JSON text that are ``value`` together; no piece takes long to make.
    ``spaced`` puts a space after each comma and colon, as ``json.dumps`` does.

    ``value`` is decoded JSON, so it has a strict form. Infinities and NaN come out as the words
    that Python's encoder writes.
    """
    encoder = _encoder(ensure_ascii, sort_keys, spaced)
    if is_light((value,)):
        return iter((encoder.encode(value),))
    return _pieces(value, encoder)


def ascii_text(value: JSON) -> bytes:
    """``value`` as compact ASCII JSON, made in steps: nothing depends on an encoding."""
    return b"".join([piece.encode("ascii") for piece in encode_in_steps(value)])


def small_ascii_text(value: JSON) -> bytes:
    """``ascii_text`` of what is known to be light: nothing of it is looked at."""
    return _COMPACT.encode(value).encode("ascii")


class _Encoder(json.JSONEncoder):
    """Writes as ``json.dumps`` does. Python's own makes its writer in C anew for each value, which
    takes longer than to write a small one."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        # Decoded JSON contains nothing that contains itself: no marks are kept of what is in work.
        ascii_only, any_text = json.encoder.encode_basestring_ascii, json.encoder.encode_basestring
        strings = ascii_only if self.ensure_ascii else any_text
        separators = (self.key_separator, self.item_separator)
        rules = (self.sort_keys, self.skipkeys, self.allow_nan)
        self._write = _make_writer(None, self.default, strings, None, *separators, *rules)

    def encode(self, o: Any) -> str:
        return "".join(self._write(o, 0))


_COMPACT: Final = _Encoder(separators=(",", ":"))


@cache
def _encoder(ensure_ascii: bool, sort_keys: bool, spaced: bool) -> json.JSONEncoder:
    separators = (", ", ": ") if spaced else (",", ":")
    return _Encoder(ensure_ascii=ensure_ascii, sort_keys=sort_keys, separators=separators)


def _pieces(value: JSON, encoder: json.JSONEncoder) -> Iterator[str]:
    if is_light((value,)):
        yield encoder.encode(value)
    elif isinstance(value, str):
        yield '"'
        for start in range(0, len(value), LIGHT_MAX):
            yield encoder.encode(value[start : start + LIGHT_MAX])[1:-1]
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
        opening = encoder.item_separator
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
                yield encoder.key_separator
                yield from _pieces(member, encoder)
                opening = encoder.item_separator
        opening = encoder.item_separator
    yield "}"


def _sorted_in_steps(items: Iterable[tuple[str, JSON]]) -> Iterator[tuple[str, JSON]]:
    left = iter(items)
    runs = iter(lambda: sorted(islice(left, _SORTED_MAX), key=itemgetter(0)), [])
    return heapq.merge(*runs, key=itemgetter(0))
