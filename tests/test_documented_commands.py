"""Commands as the documentation shows them: what they take for granted has been said before."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ACTIVATION = ". .venv/bin/activate"
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ )?(?:python|execbox) ", re.MULTILINE)
MADE_PAGES = {"security-results.md"}
"""Written by a program, and read after a page that says it."""


def before_the_first_command(page: Path) -> str | None:
    """The page up to its first command in a block; None where it shows none."""
    text = page.read_text("utf-8")
    for fence in FENCE.finditer(text):
        command = COMMAND.search(fence[0])
        if command is not None:
            return text[: fence.start() + command.start()]
    return None


PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if page.name not in MADE_PAGES and before_the_first_command(page) is not None
]


def test_pages_with_commands_are_found() -> None:
    """The next test rests on it."""
    assert {"README.md", "corpus.md", "dataset.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_page_puts_commands_on_the_path_before_it_uses_them(page: Path) -> None:
    """A plain Debian has no ``python``, and make puts nothing on the path."""
    assert ACTIVATION in (before_the_first_command(page) or "")


def test_compose_file_says_how_to_make_a_key_and_its_hash() -> None:
    """Its first lines, as they are pasted: every variable is set before it is used."""
    header = (ROOT / "docker-compose.yml").read_text("utf-8").split("\n\n")[0]
    exports = re.findall(r"^#   (export \w*KEY.*)$", header, re.MULTILINE)
    script = "\n".join([*exports, 'echo "$KEY" "$EXECBOX_API_KEY_HASHES"'])
    run = subprocess.run(
        ["sh", "-eu", "-c", script],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert run.returncode == 0, run.stderr
    key, hashes = run.stdout.split()
    assert len(key) == 64
    assert hashes == f"me:{hashlib.sha256(key.encode()).hexdigest()}"
