"""The table of hostile requests names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "security-api.md"
ATTACKS = ROOT.parent / "shared" / "attacks" / "api.md"


def rows() -> dict[str, list[str]]:
    """By class of request, the tests that its row names."""
    lines = [line for line in TABLE.read_text("utf-8").splitlines() if re.match(r"\| [FG]\d", line)]
    return {
        line.split("|")[1].strip(): re.findall(r"`(\S+\.py::test_\w+)`", line) for line in lines
    }


@pytest.mark.parametrize(
    ("name", "test"), [(name, test) for name, tests in rows().items() for test in tests]
)
def test_table_names_a_test_that_exists_and_says_its_class(name: str, test: str) -> None:
    """Whoever looks for a class finds it, from either side."""
    path, function = test.split("::")
    text = (ROOT / "tests" / path).read_text("utf-8")
    assert re.search(rf"^(?:async )?def {function}\(", text, re.MULTILINE)
    assert name in text


def test_table_has_tests_for_every_class() -> None:
    """None is only written down."""
    assert len(rows()) >= 18
    assert all(rows().values())


@pytest.mark.attacks
@pytest.mark.skipif(not ATTACKS.exists(), reason=f"needs {ATTACKS}")
def test_table_has_every_class_of_the_list() -> None:
    """What is asked for and what is tested are the same classes."""
    asked = re.findall(r"^\| (F\d+) \|", ATTACKS.read_text("utf-8"), re.MULTILINE)
    assert sorted(name for name in rows() if name.startswith("F")) == sorted(asked)
