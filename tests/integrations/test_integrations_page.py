"""docs/integrations.md: each program runs as it stands and prints what the page says."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live_service import LiveService

pytestmark = pytest.mark.docker

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "integrations.md").read_text("utf-8")
SECTIONS = {
    title: text
    for title, text in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    if "execbox.integrations" in text
}
PROGRAM = re.compile(r"^```python\n(.*?)^```\n\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_page_has_a_program_for_every_integration() -> None:
    """A new module gets a section, with a program and what it prints."""
    spec = importlib.util.find_spec("execbox.integrations")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (folder,) = spec.submodule_search_locations
    modules = {path.stem for path in Path(folder).glob("[a-z]*.py")}
    shown = {title for title, text in SECTIONS.items() if PROGRAM.search(text)}
    assert shown == {name for name in modules if not name.startswith("verl_")}
    for name in modules - shown:
        assert f"execbox.integrations.{name}" in SECTIONS["verl"]


@pytest.mark.parametrize("title", SECTIONS)
def test_program_of_the_page_prints_what_the_page_says(
    title: str, service: LiveService, tmp_path: Path
) -> None:
    """As a user's own, against a service on real containers."""
    needed = {*re.findall(r"^(?:from|import) (\w+)", SECTIONS[title], re.MULTILINE)}
    needed |= {title} - {"azr", "trl", "verl"}
    missing = sorted(name for name in needed if importlib.util.find_spec(name) is None)
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")
    for program, printed in PROGRAM.findall(SECTIONS[title]):
        run = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"EXECBOX_URL": service.url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        # What other packages warn of is theirs.
        assert (run.returncode, run.stdout) == (0, printed), run.stderr
