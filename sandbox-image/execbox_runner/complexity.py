"""The object-size rule of CodeI/O (arXiv 2502.07316), measured on live objects inside the job.

Sizes are pympler's ``asizeof``. The service checks what it can of the decoded JSON again, because
a job can lie about its own objects.
"""

from __future__ import annotations

from builtins import dict, enumerate, issubclass, len, list, set, str, tuple, type
from typing import Any

_VIOLATIONS_MAX = 20


def violations(path: str, value: Any, limits: dict[str, int]) -> list[dict[str, Any]]:
    """Every breach of the rule in a value, at most 20, each with its path, rule and figures."""
    from pympler.asizeof import asizeof

    found: list[dict[str, Any]] = []
    total = asizeof(value)
    if total >= limits["total_bytes"]:
        found.append(_violation(path, "total_bytes", total, limits))
    pending = [(path, value)]
    while pending and len(found) < _VIOLATIONS_MAX:
        where, item = pending.pop()
        if issubclass(type(item), str):
            if len(item) >= limits["string_chars"]:
                found.append(_violation(where, "string_chars", len(item), limits))
        elif issubclass(type(item), (dict, list, tuple, set)):
            if len(item) >= limits["container_items"]:
                found.append(_violation(where, "container_items", len(item), limits))
            else:
                pending.extend(_members(where, item))
        else:
            size = asizeof(item)
            if size >= limits["other_bytes"]:
                found.append(_violation(where, "other_bytes", size, limits))
    return found


def _members(path: str, value: Any) -> list[tuple[str, Any]]:
    if issubclass(type(value), dict):
        inside = []
        for key, item in dict.items(value):
            inside.append((f"{path}.key", key))
            inside.append((f"{path}[{_shown(key)}]", item))
    else:
        inside = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    return inside[::-1]


def _shown(key: Any) -> str:
    return str.__repr__(key[:40]) if issubclass(type(key), str) else "?"


def _violation(path: str, rule: str, measured: int, limits: dict[str, int]) -> dict[str, Any]:
    return {"path": path[:500], "rule": rule, "measured": measured, "limit": limits[rule]}
