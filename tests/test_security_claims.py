"""SECURITY.md names the tests that hold its claims: all of them exist, and no claim is without."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "SECURITY.md").read_text("utf-8")
TESTS = ROOT / "tests"
SECTION = TEXT.partition("## Which test holds which claim\n")[2].partition("\n## ")[0]


def names_in(path: Path) -> set[str]:
    """The names of the tests that a file defines, in classes or not."""
    tree = ast.parse(path.read_text("utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


EXISTING = {path: names_in(path) for path in TESTS.rglob("test_*.py")}
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in SECTION.splitlines()
    if line.startswith("| ") and not line.startswith(("| claim", "|--"))
]
NAMED = sorted(set(re.findall(r"`(test_\w+)`", TEXT)))
FILES = sorted(set(re.findall(r"`([\w/]+/test_\w+\.py)`", SECTION)))


def test_claims_are_listed() -> None:
    """The section is there, and this reads it."""
    assert len(ROWS) > 25
    assert len(NAMED) > 50


@pytest.mark.parametrize("name", NAMED)
def test_claim_names_a_test_that_exists(name: str) -> None:
    """By its name, in one file only, so that whoever looks for it finds it."""
    found = [path.name for path, names in EXISTING.items() if name in names]
    assert len(found) == 1, found


@pytest.mark.parametrize("name", FILES)
def test_claim_names_a_file_that_has_the_tests_after_it(name: str) -> None:
    """A file is followed by tests of its own."""
    path = TESTS / name
    assert path in EXISTING
    listed = re.findall(rf"`{re.escape(name)}`: ((?:`test_\w+`(?:, )?)+)", SECTION)
    assert listed
    assert all(set(re.findall(r"test_\w+", part)) <= EXISTING[path] for part in listed)


@pytest.mark.parametrize(
    "row", [row for row in ROWS if not re.fullmatch(r"\*\*\d [^*]+\*\*", row[0])]
)
def test_claim_is_held_by_something(row: list[str]) -> None:
    """Every row that makes a claim names at least one test, or the page that does."""
    assert re.search(r"`test_\w+`|\.md\)", row[1]), row[0]


def test_claim_about_a_document_leads_somewhere() -> None:
    """Pages this one refers to exist."""
    pages = set(re.findall(r"\((docs/[\w/.-]+\.md)\)", TEXT))
    assert {page for page in pages if not (ROOT / page).exists()} == set()
