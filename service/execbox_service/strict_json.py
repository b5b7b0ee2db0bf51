"""Strict JSON (RFC 8259) from bytes and back, for request bodies and for what sandboxes report.

No HTTP, no schema and no comparison: those live in ``http/``, ``execbox.wire`` and ``judge/``.

``json.loads`` alone is not enough. It takes the last of two equal keys, accepts NaN and lone
surrogates, turns 1e400 into infinity, and answers nesting with a RecursionError whose depth
depends on the caller's stack. Bodies come from strangers, so the depth is measured by a scan of
the bytes that cannot recurse, before anything that can.
"""

from __future__ import annotations

import gc
import json
import math
import operator
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import lru_cache
from itertools import accumulate
from typing import Any, NoReturn, TypeAlias

from execbox.wire import JSON_DEPTH_MAX

__all__ = ["JSON", "Reason", "StrictJSONError", "decode", "encode", "nesting_depth", "shortened"]

JSON: TypeAlias = Any
"""None, bool, int, float, str, and lists and string-keyed dicts of these."""

_INTEGER_DIGITS_MAX = 4300
_SHOWN_CHARS_MAX = 60
_GC_PAUSE_BODY_BYTES = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_BRACKETS_AND_QUOTES = b'"[]{}'
_ALL_BUT_BRACKETS_AND_QUOTES = bytes(set(range(256)) - set(_BRACKETS_AND_QUOTES))
_BRACES_TO_BRACKETS = bytes.maketrans(b"{}", b"[]")
_BRACKETS_TO_BITS = bytes.maketrans(b"[]", b"10")
_SURROGATE_ESCAPE = re.compile(
    r"\\u[dD](?:(?P<pair>[89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|[89a-fA-F][0-9a-fA-F]{2})"
)


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
    NOT_JSON = "not_json"


class StrictJSONError(ValueError):
    """A document or value that is not strict JSON; ``message`` is short and safe to show."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def shortened(text: str, *, chars_max: int = _SHOWN_CHARS_MAX) -> str:
    """``text`` as a quoted JSON string of ASCII, cut so that no message repeats anything long."""
    cut = text if len(text) <= chars_max else text[: chars_max - 3] + "..."
    return json.dumps(cut)


def decode(body: bytes, *, depth_max: int = JSON_DEPTH_MAX) -> JSON:
    """The one value ``body`` holds; raises StrictJSONError and nothing else, whatever the bytes.

    NUL characters written as escapes are legal data; schemas refuse them where they must not be.
    """
    text = _text(body)
    _refuse_deep_nesting(body, depth_max=depth_max)
    try:
        with _garbage_collection_paused(len(body)):
            value = _decoder().decode(text)
    except StrictJSONError:
        raise
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise StrictJSONError(Reason.SYNTAX, f"not valid JSON: {error.msg} at {where}") from error
    except ValueError as error:
        # The only other ValueError is the interpreter's own cap on the digits of an integer.
        raise StrictJSONError(
            Reason.INTEGER_TOO_LONG,
            f"an integer has more than {_INTEGER_DIGITS_MAX} digits; send it as a string",
        ) from error
    except RecursionError as error:
        # Out of stack although the document is shallow: the caller stood near the limit itself.
        raise _too_deep(depth_max) from error
    _refuse_lone_surrogates(text)
    return value


def encode(value: JSON) -> bytes:
    """Compact UTF-8 JSON; raises StrictJSONError where ``value`` has no strict form."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise StrictJSONError(
            Reason.LONE_SURROGATE, "a string holds half of a surrogate pair"
        ) from error
    except RecursionError as error:
        raise StrictJSONError(Reason.TOO_DEEP, "nested too deep to encode") from error
    except (TypeError, ValueError) as error:
        raise StrictJSONError(
            Reason.NOT_JSON, f"no strict JSON form: {str(error)[:_SHOWN_CHARS_MAX]}"
        ) from error


def nesting_depth(body: bytes) -> int:
    """How deep arrays and objects nest in ``body``, in linear time and without recursion.

    Exact for valid JSON. For anything else at least the depth a parser reaches before it stops.
    """
    brackets = _brackets_outside_strings(body)
    if not brackets:
        return 0
    padding = -len(brackets) % 8
    # An int made of the brackets as binary digits packs eight of them into a byte in C, and a
    # byte's effect on the depth is then one table look-up: 16 MiB take a tenth of a second where
    # a loop over characters takes seconds.
    bits = int(brackets.translate(_BRACKETS_TO_BITS) + b"0" * padding, base=2)
    packed = bits.to_bytes((len(brackets) + padding) // 8, "big")
    changes, peaks = _depth_tables()
    depths_before = accumulate(map(changes.__getitem__, packed), initial=0)
    deepest: int = max(map(operator.add, depths_before, map(peaks.__getitem__, packed)))
    return deepest


@lru_cache(maxsize=1)
def _depth_tables() -> tuple[list[int], list[int]]:
    """For each byte of eight bracket bits: its net change of depth, and its highest depth."""
    changes: list[int] = []
    peaks: list[int] = []
    for byte in range(256):
        depths = list(
            accumulate((1 if byte >> bit & 1 else -1 for bit in range(7, -1, -1)), initial=0)
        )
        changes.append(depths[-1])
        peaks.append(max(depths))
    return changes, peaks


def _brackets_outside_strings(body: bytes) -> bytes:
    if b"\\" in body:
        # A run of backslashes is left with one or none, so what remains escapes its quote.
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    skeleton = body.translate(_BRACES_TO_BRACKETS, _ALL_BUT_BRACKETS_AND_QUOTES)
    # Two quotes with no bracket between them open and close, or close and open: either way the
    # pair changes nothing, and most strings vanish here without being split.
    skeleton = skeleton.replace(b'""', b"")
    return b"".join(skeleton.split(b'"')[::2])


def _text(body: bytes) -> str:
    if not body:
        raise StrictJSONError(Reason.EMPTY, "the body is empty; send a JSON document")
    if body.startswith(_BOM):
        raise StrictJSONError(
            Reason.ENCODING, "begins with a byte order mark; send UTF-8 without one"
        )
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StrictJSONError(
            Reason.ENCODING, f"not valid UTF-8: {error.reason} at byte {error.start}"
        ) from error


def _refuse_deep_nesting(body: bytes, *, depth_max: int) -> None:
    if body.count(b"[") + body.count(b"{") > depth_max and nesting_depth(body) > depth_max:
        raise _too_deep(depth_max)


def _too_deep(depth_max: int) -> StrictJSONError:
    return StrictJSONError(
        Reason.TOO_DEEP,
        f"arrays and objects nest deeper than {depth_max} levels; flatten the document",
    )


@lru_cache(maxsize=1)
def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object, parse_float=_finite, parse_constant=_refuse_constant
    )


def _object(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise StrictJSONError(
                    Reason.DUPLICATE_KEY,
                    f"the key {shortened(key)} appears twice in one object; send each key once",
                )
            seen.add(key)
    return members


def _finite(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise StrictJSONError(
            Reason.NOT_FINITE,
            f"the number {shortened(literal)} is beyond the range of a double",
        )
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise StrictJSONError(Reason.NOT_FINITE, f"{name} is not JSON; there is no such number in it")


def _refuse_lone_surrogates(text: str) -> None:
    if "\\ud" not in text and "\\uD" not in text:
        return
    # Same length, so that positions stay: an escaped backslash does not begin an escape.
    escapes = text.replace("\\\\", "  ")
    for match in _SURROGATE_ESCAPE.finditer(escapes):
        if match["pair"] is None:
            line = text.count("\n", 0, match.start()) + 1
            column = match.start() - text.rfind("\n", 0, match.start())
            raise StrictJSONError(
                Reason.LONE_SURROGATE,
                f"half of a surrogate pair at line {line}, column {column}: not a character",
            )


@contextmanager
def _garbage_collection_paused(body_bytes: int) -> Iterator[None]:
    """Decoding makes no garbage cycles, and the collector's passes over millions of fresh
    containers cost up to seven times the decoding itself."""
    if body_bytes < _GC_PAUSE_BODY_BYTES or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
