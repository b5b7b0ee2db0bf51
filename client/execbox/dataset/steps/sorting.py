"""Sorting one published pair by what running it again showed; the running is in ``certify``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from execbox import wire
from execbox.dataset.files.json_lines import Value

__all__ = [
    "CORRECTED",
    "MISSING_PACKAGE",
    "Group",
    "Sorted",
    "failed_pair",
    "is_close",
    "is_finite",
    "same_json",
    "sort_pair",
]

Group: TypeAlias = Literal["kept", "corrected", "dropped"]

CORRECTED = {
    "rounding": "the same but for how numbers are written or rounded",
    "mutated_argument": "the input was recorded after the function had changed it",
    "state_between_calls": "all inputs run in one process give it, a fresh process does not",
    "not_reproduced": "deterministic, and not what was published",
}
"""Why a pair's output was replaced by the true one."""
MISSING_PACKAGE = "ModuleNotFoundError"
"""The exception that says that the image lacks what the function imports."""
_ROUNDING = 1e-9
_SHOWN_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """Where one pair belongs and why. ``output`` is the true one; None where it was dropped."""

    group: Group
    reason: str
    output: object = None
    cause: str | None = None
    message: str | None = None

    @property
    def counted_as(self) -> str:
        """The word under which a summary counts it."""
        if self.group == "kept":
            return "kept"
        cause = f" ({self.cause})" if self.cause is not None else ""
        return f"{self.group}: {self.reason}{cause}"


def sort_pair(published: object, execution: wire.Execution) -> Sorted:
    """Sort a pair by a fresh execution of its input, checked and complete.

    What cannot be ground truth at all is dropped before anything is compared. ``corrected`` is
    either ``rounding``, ``mutated_argument`` or, until more is known, ``not_reproduced``.
    """
    dropped = _dropped(execution)
    if dropped is not None:
        return dropped
    output = execution.output
    if same_json(published, output):
        return Sorted(group="kept", reason="same", output=output)
    if is_close(published, output):
        reason = "rounding"
    elif "mutates_input" in execution.output_flags:
        reason = "mutated_argument"
    else:
        reason = "not_reproduced"
    return Sorted(group="corrected", reason=reason, output=output)


def _dropped(execution: wire.Execution) -> Sorted | None:
    if execution.status is not wire.Status.OK:
        return _failed(execution)
    check = execution.determinism
    if check is not None and not check.deterministic:
        return Sorted(
            group="dropped",
            reason=wire.RejectReason.NON_DETERMINISTIC,
            cause=check.cause,
            message=_hints(check.hints),
        )
    if execution.output_text is not None:
        text = execution.output_text[:_SHOWN_CHARS]
        return Sorted(group="dropped", reason=wire.RejectReason.NON_FINITE, message=text)
    if execution.output is None:
        return Sorted(group="dropped", reason=wire.RejectReason.NONE_OUTPUT)
    if execution.complexity is not None and not execution.complexity.ok:
        first = execution.complexity.violations[0]
        return Sorted(
            group="dropped",
            reason=wire.RejectReason.INPUT_COMPLEXITY
            if first.path.startswith("input")
            else wire.RejectReason.OUTPUT_COMPLEXITY,
            message=f"{first.path}: {first.rule} is {first.measured}, must be below {first.limit}",
        )
    return None


def _failed(execution: wire.Execution) -> Sorted:
    error = execution.error
    message = None if error is None else f"{error.type}: {error.message}"[:_SHOWN_CHARS]
    if execution.limit is not None:
        message = f"the {execution.limit} limit was reached"
    missing = error is not None and error.type == MISSING_PACKAGE
    reason = "missing_package" if missing else execution.status.value
    return Sorted(group="dropped", reason=reason, message=message)


def _hints(hints: Sequence[wire.Hint]) -> str | None:
    shown = [f"line {hint.line} reads {hint.name}" for hint in hints[:3]]
    return "; ".join(shown) or None


def same_json(left: object, right: object) -> bool:
    """Whether two values are the same JSON text, members of objects in any order."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def is_close(left: object, right: object) -> bool:
    """Whether two values differ in nothing but the last digits, or the type, of their numbers."""
    pending = [(left, right)]
    while pending:
        one, other = pending.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            pending.extend((member, other[name]) for name, member in one.items())
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            pending.extend(zip(one, other, strict=True))
        elif not _close_scalars(one, other):
            return False
    return True


def _close_scalars(one: object, other: object) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    if isinstance(one, int | float) and isinstance(other, int | float):
        try:
            return math.isclose(one, other, rel_tol=_ROUNDING, abs_tol=1e-12)
        except OverflowError:
            return False
    return one == other


def failed_pair(pair: Value | object) -> str | None:
    """What is wrong with a member of ``ios``, None if it can be run."""
    if not isinstance(pair, dict) or not {"input", "output"} <= pair.keys():
        return 'must be an object with "input" and "output"'
    if not isinstance(pair["input"], dict):
        return '"input" must be an object of keyword arguments'
    return None


def is_finite(value: object) -> bool:
    """Whether a value is JSON, without NaN and infinities."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
