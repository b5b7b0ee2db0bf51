"""What the run of all attacks says while it goes on."""

from __future__ import annotations

import pytest
from acceptance.attack_report import Row
from acceptance.attacks import told


@pytest.mark.parametrize(
    ("statuses", "faults", "line"),
    [
        (("ok",), (), "A1 [process] ok: ok"),
        (("timeout", "ok"), ("P5: late",), "A1 [process] ok: P5: late"),
        ((), ("P1: no answer but X",), "A1 [process] no answer: P1: no answer but X"),
    ],
    ids=["passed", "late", "not answered"],
)
def test_told_row_of_any_outcome_is_one_line(
    statuses: tuple[str, ...], faults: tuple[str, ...], line: str
) -> None:
    """An attack without an answer is a fault in the table, and ends no run."""
    row = Row("A1", "group", "title", "process", statuses=statuses, faults=faults, tries=1)
    assert told(row) == line
