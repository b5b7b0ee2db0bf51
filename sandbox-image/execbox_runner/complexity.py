"""The object-size rule of CodeI/O (arXiv 2502.07316), measured inside the job on decoded JSON.

Sizes are what pympler's ``asizeof`` says of such values; nothing of pympler is run, because what is
measured has JSON types only, and user code can get at every library. The service checks what it
can again, because a job can lie.
"""

from __future__ import annotations

import sys
from builtins import dict, enumerate, id, len, list, str, sum, type
from typing import Any

_VIOLATIONS_MAX = 20
_WORD_BYTES = 8
_getsizeof = sys.getsizeof


def violations(path: str, value: Any, limits: dict[str, int]) -> list[dict[str, Any]]:
    """Every breach of the rule in a JSON value, at most 20, each with its path, rule and figures.

    ``value`` is of exact JSON types, as a decoder makes them.
    """
    found: list[dict[str, Any]] = []
    total = total_bytes(value)
    if total >= limits["total_bytes"]:
        found.append(_violation(path, "total_bytes", total, limits))
    pending = [(path, value)]
    while pending and len(found) < _VIOLATIONS_MAX:
        where, item = pending.pop()
        kind = type(item)
        if kind is str:
            if len(item) >= limits["string_chars"]:
                found.append(_violation(where, "string_chars", len(item), limits))
        elif kind is dict or kind is list:
            if len(item) >= limits["container_items"]:
                found.append(_violation(where, "container_items", len(item), limits))
            else:
                pending.extend(_members(where, item))
        else:
            size = _own_bytes(item)
            if size >= limits["other_bytes"]:
                found.append(_violation(where, "other_bytes", size, limits))
    return found


def total_bytes(value: Any) -> int:
    """What a JSON value holds with everything in it, each object once."""
    sizes: dict[int, int] = {}
    pending = [value]
    while pending:
        item = pending.pop()
        if id(item) in sizes:
            continue
        sizes[id(item)] = _own_bytes(item)
        kind = type(item)
        if kind is dict:
            pending.extend(item)
            pending.extend(item.values())
        elif kind is list:
            pending.extend(item)
    return sum(sizes.values())


def _own_bytes(value: Any) -> int:
    return -(-_getsizeof(value) // _WORD_BYTES) * _WORD_BYTES


def _members(path: str, value: Any) -> list[tuple[str, Any]]:
    if type(value) is dict:
        inside = []
        for key, item in value.items():
            inside.append((f"{path}.key", key))
            inside.append((f"{path}[{str.__repr__(key[:40])}]", item))
    else:
        inside = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    return inside[::-1]


def _violation(path: str, rule: str, measured: int, limits: dict[str, int]) -> dict[str, Any]:
    return {"path": path[:500], "rule": rule, "measured": measured, "limit": limits[rule]}
