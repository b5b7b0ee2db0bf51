"""docs/start/: each page, followed word for word in an empty folder, prints what it shows.

A block of ``sh`` is pasted into a shell, a block of ``python`` is saved under the name that the
sentence before it gives, and a block without a language is what the commands before it print. Two
blocks are not run, the same on each page: ``make serve``, in whose place there is a service of this
module's own, and the line that puts the commands on the path, which they are on.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.live_service import LiveService, live_service

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(set((ROOT / "docs" / "start").glob("*.md")) - {ROOT / "docs/start/README.md"})
NOT_RUN = ["make serve\n", ". .venv/bin/activate\n"]
SERVICE_URL = "http://127.0.0.1:8080"
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED_AS = re.compile(r"Save this as `(\w+\.py)`")
FOLDER = "/home/me/execbox"
"""Where the pages say that their reader is."""
SECONDS = re.compile(r"\d+\.\d(?= s$)", re.MULTILINE)


@dataclass
class Step:
    """What a reader does at one place of a page, and what is shown there."""

    commands: str
    files: dict[str, str] = field(default_factory=dict)
    shown: str = ""


def steps_of(text: str) -> list[Step]:
    """The steps of a page in order; every block is part of one."""
    files: dict[str, str] = {}
    steps, after = [Step("")], 0
    for block in FENCED.finditer(text):
        language, content = block.groups()
        before, after = text[after : block.start()], block.end()
        if language == "sh":
            steps.append(Step(content, files))
            files = {}
        elif language == "python":
            files[SAVED_AS.findall(before)[-1]] = content
        else:
            assert (language, steps[-1].shown) == ("", ""), content
            steps[-1].shown = content
    assert files == {}
    return steps[1:]


def done(step: Step, *, folder: Path, service: LiveService) -> str:
    """What the step prints, seconds aside and as if it were done in ``FOLDER``."""
    for name, content in step.files.items():
        (folder / name).write_text(content, "utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        ["bash", "-u", "-c", step.commands.replace(SERVICE_URL, service.url)],
        env=os.environ | {"EXECBOX_URL": service.url, "PATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    # 1: some records have no result, which the page says.
    assert run.returncode in (0, 1), run.stderr
    assert "Traceback" not in run.stderr, run.stderr
    return SECONDS.sub("N", run.stdout.replace(str(folder.resolve()), FOLDER))


@pytest.fixture(scope="module")
def service_of_pages(_no_settings_from_outside: None) -> Iterator[LiveService]:
    """As `make serve` starts it, but for the port."""
    with live_service({}) as running:
        yield running


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.stem))
def test_start_page_followed_word_for_word_prints_what_it_shows(
    service_of_pages: LiveService, tmp_path: Path, page: Path
) -> None:
    """In a folder that has nothing but the examples."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    steps = steps_of(page.read_text("utf-8"))
    assert [step.commands for step in steps[:2]] == NOT_RUN
    for step in steps[2:]:
        printed = done(step, folder=tmp_path, service=service_of_pages)
        assert printed == SECONDS.sub("N", step.shown), step.commands
