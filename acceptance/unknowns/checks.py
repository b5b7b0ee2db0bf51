"""Checks whose right answer is known: a program each, right or wrong, and what may be said of it.

Pure: nothing is run or sent here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["PART_COUNT", "Check", "Said", "checks_of", "part_of"]


class Said(StrEnum):
    """What was said of a check, in whatever words."""

    ONE = "one"
    """The program is right."""
    ZERO = "zero"
    """It is wrong."""
    UNKNOWN = "unknown"
    """No verdict, and the caller is told so."""
    OTHER = "other"
    """Neither: the caller was blamed, or its program ended with an exception of no meaning."""


_RIGHT: Final = (
    "    return n * n + 1",
    "    import time\n    time.sleep(0.03)\n    return n * n + 1",
    "    total = 1\n    for _ in range(n):\n        total += n\n    return total",
    "    kept = bytearray(30_000_000)\n    return n * n + len(kept) // 30_000_000",
    (
        "    from pathlib import Path\n    Path('n').write_text(str(n * n + 1))\n"
        "    return int(Path('n').read_text())"
    ),
    "    import time\n    time.sleep(0.1)\n    return n * n + 1",
)
_WRONG: Final = (
    "    return n * n",
    "    return [][n]",
    "    import sys\n    sys.exit(0)",
    "    import time\n    time.sleep(0.03)\n    return None",
    "    import os\n    os._exit(0)",
    "    import signal\n    signal.raise_signal(signal.SIGKILL)",
)
PART_COUNT: Final = 4
"""Into so many parts the checks are shared out, one for each fault that a run is about."""
_TAKES_ALL_EVERY: Final = 60
_TAKES_ALL: Final = "    return len(bytearray(2_000_000_000)) and n"


@dataclass(frozen=True, slots=True)
class Check:
    """One function of ``n``, and the same as a program, a test and a cell."""

    number: int
    is_right: bool
    body: str

    @property
    def n(self) -> int:
        return 1000 + self.number

    @property
    def wanted(self) -> int:
        """What a right one gives."""
        return self.n * self.n + 1

    @property
    def function(self) -> str:
        """Source of ``f``."""
        return f"def f(n):\n{self.body}\n"

    @property
    def program(self) -> str:
        """Reads ``n`` from stdin and prints."""
        return f"{self.function}\nprint(f(int(input())))\n"

    @property
    def assertion(self) -> str:
        """Of ``f``."""
        return f"assert f({self.n}) == {self.wanted}"

    @property
    def cell(self) -> str:
        """Whose value is ``f``'s."""
        return f"{self.function}\nf({self.n})"


def checks_of(count: int) -> list[Check]:
    """So many, every second one right, each kind as often as the others; and now and then one that
    takes all of its container's memory."""
    found = []
    for number in range(count):
        is_right = number % 2 == 0
        kinds = _RIGHT if is_right else _WRONG
        body = kinds[number // 2 % len(kinds)]
        if number % _TAKES_ALL_EVERY == 1:
            body = _TAKES_ALL
        found.append(Check(number, is_right, body))
    return found


def part_of(checks: Sequence[Check], part: int) -> Sequence[Check]:
    """One of ``PART_COUNT`` equal parts, from 0; what is left over belongs to the last."""
    size = len(checks) // PART_COUNT
    end = len(checks) if part == PART_COUNT - 1 else (part + 1) * size
    return checks[part * size : end]
