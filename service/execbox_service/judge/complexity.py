"""The object-size rule on decoded JSON: what can be held against a job that lies about its objects.

The job measures the decoded value, too, under its own Python; here sizes in bytes are checked
against a lower bound that every Python keeps to, and counts exactly.
"""

from __future__ import annotations

import sys

from execbox.wire import Complexity, ComplexityLimits, Violation
from execbox_service.runner_frames import ReportedViolation

_VIOLATIONS_MAX = 20


def combine(
    reported: list[ReportedViolation],
    *,
    input_value: object | None,
    output: object,
    limits: ComplexityLimits,
) -> Complexity:
    """What the job reported, and what the decoded values show that it did not."""
    found = [
        Violation(path=item.path, rule=item.rule, measured=item.measured, limit=item.limit)
        for item in reported
    ]
    seen = {(violation.path.split("[")[0].split(".")[0], violation.rule) for violation in found}
    checked = [("output", output)]
    if input_value is not None:
        checked.insert(0, ("input", input_value))
    for name, value in checked:
        shown = recheck(name, value, limits)
        found.extend(violation for violation in shown if (name, violation.rule) not in seen)
    return Complexity(ok=not found, violations=found[:_VIOLATIONS_MAX])


def recheck(path: str, value: object, limits: ComplexityLimits) -> list[Violation]:
    """Breaches that the decoded value itself proves, at most 20."""
    found: list[Violation] = []
    scalars: set[tuple[type, object]] = set()
    pending = [(path, value)]
    while pending and len(found) < _VIOLATIONS_MAX:
        where, item = pending.pop()
        if isinstance(item, str):
            if len(item) >= limits.string_chars:
                found.append(_violation(where, "string_chars", len(item), limits.string_chars))
            scalars.add((str, item))
        elif isinstance(item, dict | list):
            if len(item) >= limits.container_items:
                found.append(
                    _violation(where, "container_items", len(item), limits.container_items)
                )
                continue
            members = item.items() if isinstance(item, dict) else enumerate(item)
            pending.extend((f"{where}[{_shown(key)}]", member) for key, member in members)
        else:
            # pympler rounds up to whole words, so it never says less.
            size_bytes = sys.getsizeof(item)
            if size_bytes >= limits.other_bytes:
                found.append(_violation(where, "other_bytes", size_bytes, limits.other_bytes))
            scalars.add((type(item), item))
    least_bytes = sum(sys.getsizeof(item) for _kind, item in scalars)
    if least_bytes >= limits.total_bytes:
        found.append(_violation(path, "total_bytes", least_bytes, limits.total_bytes))
    return found


def _shown(key: object) -> str:
    return repr(key[:40]) if isinstance(key, str) else str(key)


def _violation(path: str, rule: str, measured: int, limit: int) -> Violation:
    return Violation.model_validate(
        {"path": path[:500], "rule": rule, "measured": measured, "limit": limit}
    )
