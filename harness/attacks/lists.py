"""All attack programs there are: ours by class, and those of ../shared/attacks where present.

Running them is in ``attack.py``. Importing this runs none of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from execbox.wire import Execution, Limits
from harness.attacks import contamination, escape, forgery, network, resource
from harness.attacks.attack import Attack

CLASSES: dict[str, tuple[Attack, ...]] = {
    "resource": resource.ATTACKS,
    "escape": escape.ATTACKS,
    "contamination": contamination.ATTACKS,
    "forgery": forgery.ATTACKS,
    "network": network.ATTACKS,
}
"""Our own, by what they are after."""

_SHARED_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "attacks"
SHARED_PROGRAMS = tuple(
    path
    for path in (_SHARED_FOLDER / "attacks.jsonl", _SHARED_FOLDER / "attacks-2.jsonl")
    if path.exists()
)
"""The lists of the folder, none where it is absent."""
SHARED_LIMITS = Limits(
    cpu_time_s=2.0, wall_time_s=4.0, memory_mb=256, output_bytes=1_048_576, stdout_bytes=65_536
)
"""What the folder's README asks for, where a record does not say otherwise."""

_ERROR_TYPES = {"A16": ("OSError",), "A35": ("MemoryError",), "B27": ("PermissionError",)}


def shared_records() -> list[dict[str, Any]]:
    """The records of the folder, none where it is absent."""
    return [
        json.loads(line)
        for path in SHARED_PROGRAMS
        for line in path.read_text("utf-8").split("\n")
        if line
    ]


def limits_of(record: dict[str, Any]) -> Limits:
    """The limits that a record is to be run with."""
    return SHARED_LIMITS.model_copy(update=record.get("limits", {}))


def attack_of(record: dict[str, Any]) -> Attack:
    """A record as an attack; an expectation in words is checked by ``DESCRIBED``."""
    expected = record.get("expect_output") or {}
    return Attack(
        name=record["id"],
        code=record["code"],
        statuses=tuple(record["expect_status"]),
        output=expected.get("equals"),
        any_output="equals" not in expected,
        arguments=tuple(record["kwargs"].values()),
        repeat=record.get("repeat", 1),
        error_types=_ERROR_TYPES.get(record["id"], ()),
    )


def described_a33(ended: Execution) -> bool:
    return bool(ended.output == 10**200_000)


def described_a34(ended: Execution) -> bool:
    return ended.output_text == "[NaN,Infinity,-Infinity,-0.0,5e-324]" and (
        ended.output is None and ended.output_flags == ["non_finite"]
    )


def described_d05(ended: Execution) -> bool:
    return bool(ended.output == [{"b": 2}, [9], 7])


def described_d19(ended: Execution) -> bool:
    return ended.output is None and ended.output_text == "[NaN,NaN,NaN,Infinity]"


def described_d20(ended: Execution) -> bool:
    return bool(ended.output == ["\ud800", "e\u0301", "\u00e9", "\x00", "\u2028"])


def described_s60(ended: Execution) -> bool:
    return bool(ended.output == list(range(60_000)))


def described_s63(ended: Execution) -> bool:
    return ended.output in ([1], [2])


DESCRIBED: dict[str, Callable[[Execution], bool]] = {
    "A33": described_a33,
    "A34": described_a34,
    "D05": described_d05,
    "D19": described_d19,
    "D20": described_d20,
    "S60": described_s60,
    "S63": described_s63,
}
"""By id of a record, where its expected output is worded: whether this is it."""

SIGNALS: dict[str, frozenset[str | None]] = {
    "B08": frozenset({None, "SIGKILL"}),
    "A36": frozenset({"SIGSEGV"}),
    "B24": frozenset({None, "SIGSYS"}),
}
"""By id of a record, where its notes narrow what may have ended it."""
