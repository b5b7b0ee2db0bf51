"""Strict JSON both ways: Python values to request bodies, and texts to values. No HTTP here.

What RFC 8259 cannot carry is refused with the path of the value, never sent as something else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from functools import cache

from execbox.errors import InvalidRequest
from execbox.wire import JSON_DEPTH_MAX, ErrorCode

__all__ = ["DIGITS_MAX", "decode", "encode", "path_text"]

DIGITS_MAX = 4300
"""Most digits of an integer, in requests and responses; the interpreter's own default limit."""

_Path = tuple[str | int, ...]


def encode(value: object) -> bytes:
    """UTF-8 JSON text of ``value``. Tuples become arrays, as everywhere in execbox.

    Raises ``InvalidRequest`` (a ``ValueError``) naming the path of what JSON cannot carry: NaN and
    infinities, lone surrogates, keys that are not strings, other types, integers over
    ``DIGITS_MAX`` digits, nesting deeper than ``JSON_DEPTH_MAX``.
    """
    _check(value)
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8")


def decode(text: str | bytes, *, non_finite: bool = False) -> object:
    """The value of a strict JSON text; raises ``ValueError`` saying what is wrong with it.

    Refused are NaN and Infinity (unless ``non_finite``: then they are floats), numbers beyond the
    range of a double, a key given twice, and integers over ``DIGITS_MAX`` digits.
    """
    try:
        return json.loads(
            text.decode("utf-8") if isinstance(text, bytes) else text,
            parse_constant=float if non_finite else _no_constant,
            parse_float=_finite_float,
            parse_int=_bounded_int,
            object_pairs_hook=_unique_keys,
        )
    except RecursionError as error:
        raise ValueError("arrays and objects are nested too deeply") from error


def path_text(path: Sequence[str | int]) -> str:
    """A path as people write it, such as ``calls[0].kwargs["x y"]``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.isidentifier():
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step)}]"
    return text or "the value"


def _check(value: object) -> None:
    # A stack of our own: values nested deeper than Python's recursion limit are refused, not fatal.
    pending: list[tuple[_Path, object]] = [((), value)]
    while pending:
        path, item = pending.pop()
        problem = _problem(item, len(path))
        if problem is not None:
            # The last steps of a deep path say as much as all of it would.
            raise InvalidRequest(
                f"{path_text(path[:12])}: {problem}", code=ErrorCode.UNSENDABLE_VALUE
            )
        pending.extend(((*path, step), member) for step, member in _members(item))


def _problem(item: object, depth: int) -> str | None:
    """Why this one value cannot be sent, not looking at its members; None if it can."""
    if item is None or isinstance(item, bool):
        return None
    if isinstance(item, str):
        return _text_problem(item)
    if isinstance(item, int):
        if abs(int(item)) >= _first_too_long():
            return f"an integer of more than {DIGITS_MAX} digits cannot be sent"
        return None
    if isinstance(item, float):
        return None if math.isfinite(item) else f"{float(item)!r} has no JSON form"
    if not isinstance(item, dict | list | tuple):
        return f"a {type(item).__name__} has no JSON form"
    if depth >= JSON_DEPTH_MAX:
        return f"arrays and objects are nested deeper than {JSON_DEPTH_MAX} (or contain themselves)"
    return _keys_problem(item) if isinstance(item, dict) else None


def _text_problem(text: str) -> str | None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"a string with the lone surrogate U+{ord(text[error.start]):04X} cannot be sent"
    return None


def _keys_problem(item: dict[object, object]) -> str | None:
    for key in item:
        if not isinstance(key, str):
            return f"key {key!r} is not a string; JSON objects have only string keys"
        if (problem := _text_problem(key)) is not None:
            return f"a key is {problem}"
    return None


def _members(item: object) -> Iterator[tuple[str | int, object]]:
    if isinstance(item, dict):
        yield from item.items()
    elif isinstance(item, list | tuple):
        yield from enumerate(item)


@cache
def _first_too_long() -> int:
    limit: int = 10**DIGITS_MAX
    return limit


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is beyond the range of a double")
    return number


def _bounded_int(text: str) -> int:
    if len(text.lstrip("-")) > DIGITS_MAX:
        raise ValueError(f"an integer has more than {DIGITS_MAX} digits")
    return int(text)


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {json.dumps(key)} is given twice")
            seen.add(key)
    return members
