"""Texts to values, strictly: what is refused, and with which reason. Nothing is written here."""

from __future__ import annotations

import gc
import json
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NoReturn, TypeAlias

from execbox.strict_json.faults import DIGITS_MAX, Reason, StrictJSONError, shortened
from execbox.strict_json.nesting import JSON_DEPTH_MAX, nesting_depth

__all__ = [
    "DOCUMENT_DEPTH_MAX",
    "JSON",
    "decode",
    "decoder_for",
    "duplicate_key",
    "refusal_of",
    "refuse_deep_nesting",
    "refuse_lone_surrogates",
    "text_of",
    "too_many_digits",
]

JSON: TypeAlias = Any
"""None, bool, int, float, str, and lists and string-keyed dicts of these."""

DOCUMENT_DEPTH_MAX = 2 * JSON_DEPTH_MAX
"""Deepest nesting of an answer or a record, which hold values of ``JSON_DEPTH_MAX`` themselves."""

_GC_PAUSE_BODY_BYTES = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_SURROGATE_ESCAPE = re.compile(
    r"\\u[dD](?:(?P<pair>[89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|[89a-fA-F][0-9a-fA-F]{2})"
)


def decode(
    text: bytes | str,
    *,
    depth_max: int = JSON_DEPTH_MAX,
    non_finite: bool = False,
    lone_surrogates: bool = False,
) -> JSON:
    """The one value that ``text`` holds; raises StrictJSONError and nothing else, whatever it is.

    NUL characters written as escapes are legal data; schemas refuse them where they must not be.
    ``non_finite`` lets the words NaN and Infinity in, as floats; ``lone_surrogates`` half
    characters, which files that others wrote have.
    """
    if isinstance(text, str):
        body = _body_of(text)
    else:
        body = text
        text = text_of(body)
    refuse_deep_nesting(body, depth_max=depth_max)
    decoder = decoder_for(non_finite=non_finite)
    try:
        if len(body) < _GC_PAUSE_BODY_BYTES:
            value = decoder.decode(text)
        else:
            with _garbage_collection_paused():
                value = decoder.decode(text)
    except StrictJSONError:
        raise
    except (ValueError, RecursionError) as error:
        raise refusal_of(error, depth_max=depth_max) from error
    # Most texts have no escape that could be half of a pair.
    if "\\u" in text and not lone_surrogates:
        refuse_lone_surrogates(text)
    return value


def refusal_of(error: ValueError | RecursionError, *, depth_max: int) -> StrictJSONError:
    """What to raise for what Python's decoder raised; itself where it is one of ours."""
    if isinstance(error, StrictJSONError):
        return error
    if isinstance(error, json.JSONDecodeError):
        where = f"line {error.lineno}, column {error.colno}"
        message = f"not valid JSON: {error.msg} at {where}"
        return StrictJSONError(message, reason=Reason.SYNTAX)
    if isinstance(error, ValueError):
        # The only other ValueError is the interpreter's own cap on the digits of an integer.
        return too_many_digits()
    # Out of stack although the document is shallow: the caller stood near the limit.
    return _too_deep(depth_max)


def text_of(body: bytes) -> str:
    """``body`` as text; raises StrictJSONError where it is empty or no plain UTF-8."""
    if not body or body.startswith(_BOM):
        raise _no_document(body)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StrictJSONError(
            f"not valid UTF-8: {error.reason} at byte {error.start}", reason=Reason.ENCODING
        ) from error


def _body_of(text: str) -> bytes:
    body = _utf8(text)
    if not body or body.startswith(_BOM):
        raise _no_document(body)
    return body


def _no_document(body: bytes) -> StrictJSONError:
    if not body:
        return StrictJSONError("it is empty; a JSON document is needed", reason=Reason.EMPTY)
    return StrictJSONError(
        "begins with a byte order mark; UTF-8 without one is needed", reason=Reason.ENCODING
    )


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise StrictJSONError(
            f"half of a surrogate pair at character {error.start}: not a character",
            reason=Reason.LONE_SURROGATE,
        ) from error


def refuse_deep_nesting(body: bytes, *, depth_max: int) -> None:
    """Raises StrictJSONError where arrays and objects nest deeper than that."""
    if body.count(b"[") + body.count(b"{") > depth_max and nesting_depth(body) > depth_max:
        raise _too_deep(depth_max)


def _too_deep(depth_max: int) -> StrictJSONError:
    return StrictJSONError(
        f"arrays and objects nest deeper than {depth_max} levels; flatten the document",
        reason=Reason.TOO_DEEP,
    )


def too_many_digits() -> StrictJSONError:
    """What to raise for a number that is too long to read."""
    return StrictJSONError(
        f"a number has more than {DIGITS_MAX} digits; write it as a string",
        reason=Reason.INTEGER_TOO_LONG,
    )


def decoder_for(*, non_finite: bool) -> json.JSONDecoder:
    """Python's own decoder, with hooks for what it is too lenient about."""
    # A program may have lifted the interpreter's cap on digits; then they are counted here.
    return _decoder(non_finite, 0 < sys.get_int_max_str_digits() <= DIGITS_MAX)


@lru_cache(maxsize=4)
def _decoder(non_finite: bool, interpreter_counts_digits: bool) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object,
        parse_float=_finite,
        parse_int=int if interpreter_counts_digits else _bounded_int,
        parse_constant=float if non_finite else _refuse_constant,
    )


def _object(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise duplicate_key(key)
            seen.add(key)
    return members


def duplicate_key(key: str) -> StrictJSONError:
    """What to raise for an object that has a key twice."""
    return StrictJSONError(
        f"the key {shortened(key)} appears twice in one object; give each key once",
        reason=Reason.DUPLICATE_KEY,
    )


def _bounded_int(literal: str) -> int:
    if len(literal.removeprefix("-")) > DIGITS_MAX:
        raise too_many_digits()
    return int(literal)


def _finite(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise StrictJSONError(
            f"the number {shortened(literal)} is beyond the range of a double",
            reason=Reason.NOT_FINITE,
        )
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise StrictJSONError(
        f"{name} is not JSON; there is no such number in it", reason=Reason.NOT_FINITE
    )


def refuse_lone_surrogates(text: str, begin: int = 0, end: int | None = None) -> None:
    """Raises StrictJSONError where that part of the text writes half of a pair by itself."""
    end = len(text) if end is None else end
    if text.find("\\ud", begin, end) < 0 and text.find("\\uD", begin, end) < 0:
        return
    # Same length, so that positions stay: an escaped backslash does not begin an escape.
    escapes = text[begin:end].replace("\\\\", "  ")
    for match in _SURROGATE_ESCAPE.finditer(escapes):
        if match["pair"] is None:
            place = begin + match.start()
            line = text.count("\n", 0, place) + 1
            column = place - text.rfind("\n", 0, place)
            raise StrictJSONError(
                f"half of a surrogate pair at line {line}, column {column}: not a character",
                reason=Reason.LONE_SURROGATE,
            )


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Decoding makes no garbage cycles, and the collector's passes over millions of fresh
    containers cost up to seven times the decoding itself."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
