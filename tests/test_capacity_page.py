"""docs/capacity.md names bounds, their defaults and the tests that reach them: all of it is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from execbox_service.settings import ENV_PREFIX, Settings

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "capacity.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("| ") and line.count(" | ") == 4 and not line.startswith("| bound")
]
EXISTING = "".join(path.read_text("utf-8") for path in ROOT.glob("tests/**/test_*.py"))
SETTINGS = [row for row in ROWS if f"`{ENV_PREFIX}" in row[1]]


def test_bounds_are_listed() -> None:
    """The tables are there, and this reads them."""
    assert len(ROWS) > 35
    assert len(SETTINGS) > 25


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_bound_names_a_test_that_exists(row: list[str]) -> None:
    """At least one, which is there once, whatever its file is called now."""
    names = re.findall(r"`(test_\w+)`", row[4])
    assert names
    for name in names:
        assert len(re.findall(rf"def {name}\(", EXISTING)) == 1, name


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row[0])
def test_bound_has_its_settings_default(row: list[str]) -> None:
    """In the order of the settings; a row may name more settings than it gives defaults of."""
    names = re.findall(rf"`{ENV_PREFIX}(\w+)`", row[1])
    given = [text.strip() for text in row[2].split(",")]
    if "memory_mb` of the request" in row[1]:
        given = given[1:]
    defaults = [Settings.model_fields[name.lower()].default for name in names]
    assert given == ["none" if each is None else str(each) for each in defaults]
