"""Values to texts, strictly: what JSON cannot carry is refused with its path. Reads nothing."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache

from execbox.strict_json.faults import DIGITS_MAX, Reason, StrictJSONError, path_text, shortened
from execbox.strict_json.nesting import JSON_DEPTH_MAX

__all__ = ["encode"]

_SHOWN_STEPS_MAX = 12


def encode(value: object, *, non_finite: bool = False) -> bytes:
    """Compact UTF-8 JSON of ``value``. Tuples become arrays, as everywhere in execbox.

    Raises StrictJSONError naming the path of what JSON cannot carry: NaN and infinities, lone
    surrogates, keys that are not strings, other types, integers over ``DIGITS_MAX`` digits,
    nesting deeper than ``JSON_DEPTH_MAX``. ``non_finite`` writes NaN and infinities as the words
    that Python's json module has for them.
    """
    if _is_changed_by_json(value):
        raise _fault(value)
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=non_finite, separators=(",", ":"))
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise _fault(value) from error


def _is_changed_by_json(value: object) -> bool:
    """Whether ``json.dumps`` would write something else, or more than may be written.

    It makes strings of keys that are none, nests as deep as the stack allows, and writes integers
    of any length where a program has lifted the interpreter's cap on digits.
    """
    counts_digits = 0 < sys.get_int_max_str_digits() <= DIGITS_MAX
    level: list[object] = [[value]]
    for _ in range(JSON_DEPTH_MAX + 1):
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                if not all(map(_is_text, item)):
                    return True
                inner.extend(item.values())
            elif isinstance(item, list | tuple):
                inner.extend(item)
        if not counts_digits and any(map(_is_too_long, inner)):
            return True
        level = [item for item in inner if isinstance(item, dict | list | tuple)]
        if not level:
            return False
    return True


def _is_too_long(item: object) -> bool:
    return isinstance(item, int) and abs(item) >= _first_too_long()


def _is_text(key: object) -> bool:
    return isinstance(key, str)


def _fault(value: object) -> StrictJSONError:
    """What is wrong in ``value`` and where: looked for only once something is known to be."""
    # A stack of our own: values nested deeper than Python's recursion limit are refused, not fatal.
    pending: list[tuple[tuple[str | int, ...], object]] = [((), value)]
    while pending:
        path, item = pending.pop()
        problem = _problem(item, len(path))
        if problem is not None:
            # The first steps of a deep path say as much as all of it would.
            where = path_text(path[:_SHOWN_STEPS_MAX])
            return StrictJSONError(f"{where}: {problem[1]}", reason=problem[0])
        pending.extend(((*path, step), member) for step, member in _members(item))
    return StrictJSONError("the value has no JSON form")


def _problem(item: object, depth: int) -> tuple[Reason, str] | None:
    """Why this one value cannot be written, not looking at its members; None if it can."""
    if item is None or isinstance(item, bool):
        return None
    if isinstance(item, str):
        half = _half_character(item)
        if half is None:
            return None
        return Reason.LONE_SURROGATE, f"a string with {half} cannot be sent"
    if isinstance(item, int):
        if not _is_too_long(item):
            return None
        problem = f"an integer of more than {DIGITS_MAX} digits cannot be sent"
        return Reason.INTEGER_TOO_LONG, problem
    if isinstance(item, float):
        finite = math.isfinite(item)
        return None if finite else (Reason.NOT_FINITE, f"{float(item)!r} has no JSON form")
    if not isinstance(item, dict | list | tuple):
        return Reason.NOT_JSON, f"a {_type_name(item)} has no JSON form{_remedy(item)}"
    if depth >= JSON_DEPTH_MAX:
        levels = f"arrays and objects are nested deeper than {JSON_DEPTH_MAX}"
        return Reason.TOO_DEEP, f"{levels} (or contain themselves)"
    return _keys_problem(item) if isinstance(item, dict) else None


def _type_name(item: object) -> str:
    module, name = type(item).__module__.partition(".")[0], type(item).__name__
    return name if module == "builtins" else f"{module}.{name}"


def _remedy(item: object) -> str:
    """How to make JSON of it, where that is known; numpy's bool looks like Python's."""
    if callable(getattr(item, "tolist", None)):
        return "; call .tolist() on it first"
    if isinstance(item, set | frozenset):
        return "; make it a list first"
    if isinstance(item, bytes | bytearray):
        return "; decode it to a string first"
    return ""


def _half_character(text: str) -> str | None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"the lone surrogate U+{ord(text[error.start]):04X}"
    return None


def _keys_problem(keys: Iterable[object]) -> tuple[Reason, str] | None:
    for key in keys:
        if not isinstance(key, str):
            shown = shortened(repr(key))[1:-1]
            return (
                Reason.NOT_JSON,
                f"key {shown} is not a string; JSON objects have only string keys",
            )
        if (half := _half_character(key)) is not None:
            return Reason.LONE_SURROGATE, f"a key is a string with {half}"
    return None


def _members(item: object) -> Iterator[tuple[str | int, object]]:
    if isinstance(item, dict):
        yield from item.items()
    elif isinstance(item, list | tuple):
        yield from enumerate(item)


@lru_cache(maxsize=1)
def _first_too_long() -> int:
    limit: int = 10**DIGITS_MAX
    return limit
