"""What was said of checks, a line of JSON for each group as it is answered, so that a run that was
cut off goes on from there. What the lines come to is counted in ``measuring``."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from acceptance.unknowns.checks import Check, Said
from acceptance.unknowns.measuring import Answered, Tally, counted

__all__ = ["AnswerLog", "OtherRun"]

_NAME: Final = "unknowns.jsonl"


class OtherRun(Exception):
    """The folder has a run with different checks; the message says what to do."""


class AnswerLog:
    """The answers of one run, by adapter and fault. Raises ``OtherRun``, and OSError."""

    def __init__(self, folder: Path, *, checks: Sequence[Check], anew: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / _NAME
        self._lock = threading.Lock()
        self._checks = checks
        self._rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        if anew:
            self._path.unlink(missing_ok=True)
        rows = list(_whole_lines(self._path))
        if not rows:
            self._write({"check_count": len(checks)})
            return
        head = rows.pop(0)
        if head.get("check_count") != len(checks):
            raise OtherRun(
                f"{self._path} has answers of a run with --checks {head.get('check_count')}, and "
                f"this is one with {len(checks)}; give --anew to begin again, or an --output"
            )
        for row in rows:
            self._keep(row)

    @property
    def cells(self) -> list[tuple[str, str]]:
        """Adapter and fault of each that has answers."""
        return list(self._rows)

    def left(self, adapter: str, fault: str, *, of: Sequence[Check]) -> list[Check]:
        """Those that have no answer yet."""
        rows = self._rows.get((adapter, fault), [])
        answered = {number for row in rows for number in row.get("checks", ())}
        return [check for check in of if check.number not in answered]

    def add(self, adapter: str, fault: str, *, answered: Answered) -> None:
        """One group's; from any thread."""
        row = {
            "adapter": adapter,
            "fault": fault,
            "checks": [check.number for check in answered.checks],
            "said": list(answered.said),
        }
        self._write(row if answered.raised is None else row | {"raised": answered.raised})

    def asked_for(self, adapter: str, fault: str, *, took_s: float, strike_count: int) -> None:
        """How long it took, and how often the fault struck meanwhile; once for each time that a
        cell is gone on with. From any thread."""
        spent = {"took_s": round(took_s, 1), "strike_count": strike_count}
        self._write({"adapter": adapter, "fault": fault} | spent)

    def tally(self, adapter: str, fault: str) -> Tally:
        """What it comes to so far."""
        rows = self._rows[adapter, fault]
        tally = counted(self._answered(row) for row in rows if "checks" in row)
        tally.took_s = sum(row.get("took_s", 0.0) for row in rows)
        tally.strike_count = sum(row.get("strike_count", 0) for row in rows)
        return tally

    def _answered(self, row: Mapping[str, Any]) -> Answered:
        checks = [self._checks[number] for number in row["checks"]]
        return Answered(checks, [Said(each) for each in row["said"]], row.get("raised"))

    def _write(self, row: Mapping[str, Any]) -> None:
        with self._lock:
            with self._path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            self._keep(row)

    def _keep(self, row: Mapping[str, Any]) -> None:
        if "adapter" in row:
            self._rows.setdefault((row["adapter"], row["fault"]), []).append(row)


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Without a last one that was cut off, which is cut off the file, too."""
    content = path.read_bytes() if path.exists() else b""
    whole, newline, rest = content.rpartition(b"\n")
    if rest:
        with path.open("r+b") as log:
            log.truncate(len(whole) + len(newline))
    for line in whole.splitlines():
        yield json.loads(line)
