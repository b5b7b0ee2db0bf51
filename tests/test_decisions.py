"""The index of decisions names each page, by its own title."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "decisions"
ROW = re.compile(r"^\| (\d{4}-\d\d-\d\d) \| \[(\d{4})\]\((\S+)\) \| (.+) \|$", re.MULTILINE)


def test_index_lists_every_decision_with_its_title_in_order_of_date() -> None:
    """A page that is not in the index is not found by anybody."""
    rows = ROW.findall((FOLDER / "README.md").read_text("utf-8"))
    pages = {}
    for path in FOLDER.glob("[0-9]*.md"):
        title = path.read_text("utf-8").split("\n", 1)[0].removeprefix("# ")
        pages[path.name] = (path.name[:4], title.removeprefix(path.name[:4] + " "))
    assert {name: (number, title) for _date, number, name, title in rows} == pages
    assert len(rows) == len(pages)
    assert [(date, number) for date, number, _name, _title in rows] == sorted(
        (date, number) for date, number, _name, _title in rows
    )


def test_decisions_have_numbers_of_their_own() -> None:
    """Two people may take the same one at the same time."""
    numbers = [path.name[:4] for path in FOLDER.glob("[0-9]*.md")]
    assert len(numbers) == len(set(numbers))
