"""Verdicts of two passes over the same calls, held against each other; reads one page of docs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from execbox.wire import Execution

_HEADING = "### Functions that are not deterministic"
_ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)

Key = tuple[int, int]
"""A function's number in the corpus, and the number of its call."""


@dataclass(frozen=True)
class Verdict:
    """What an execution was worth: everything about it but its measurements."""

    status: str
    output: str
    """JSON text, or the text of what is none."""
    error: str | None
    limit: str | None

    def __str__(self) -> str:
        parts = [self.status, self.limit, self.error or self.output]
        return " ".join(part for part in parts if part)[:120]


def verdict_of(execution: Execution) -> Verdict:
    """The verdict in an execution."""
    error = execution.error
    return Verdict(
        status=execution.status.value,
        output=execution.output_text or execution.model_dump_json(include={"output"}),
        error=None if error is None else f"{error.type}: {error.message}",
        limit=execution.limit,
    )


@dataclass(frozen=True)
class Difference:
    """One call that two passes do not agree on; None where a pass has no answer."""

    key: Key
    quiet: Verdict | None
    busy: Verdict | None

    @property
    def is_missing(self) -> bool:
        return self.quiet is None or self.busy is None


def differences(quiet: Mapping[Key, Verdict], busy: Mapping[Key, Verdict]) -> list[Difference]:
    """Every call that is not the same in both, in order."""
    return [
        Difference(key, quiet.get(key), busy.get(key))
        for key in sorted(quiet.keys() | busy.keys())
        if quiet.get(key) != busy.get(key)
    ]


def unexcused(
    found: Sequence[Difference], *, not_deterministic: frozenset[int]
) -> list[Difference]:
    """Differences that are not the function's: an answer missing, or a deterministic function."""
    return [one for one in found if one.is_missing or one.key[0] not in not_deterministic]


def not_deterministic_functions(page: Path) -> frozenset[int]:
    """The functions that docs/determinism.md lists as not deterministic, by their numbers.

    Raises ValueError if the page has no such list.
    """
    section = page.read_text(encoding="utf-8").partition(_HEADING)[2].partition("\n### ")[0]
    numbers = frozenset(map(int, _ROW.findall(section)))
    if not numbers:
        raise ValueError(f"{page} has no table under {_HEADING!r}")
    return numbers
