"""examples/notebooks/: each runs from its first cell to its last, on a real service, and shows what
it says.

They are committed without outputs: those hold times and digests that differ from run to run, and
would be stale unnoticed. What a reader is to see is held here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live_service import LiveService, live_service

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "examples" / "notebooks"
SHOWN = {
    "dataset": (
        "3 without a result",
        "the same under different:\nhash_seed, ",
        "corrected",
    ),
    "revision": ("Look again.", "2 correct, 1 incorrect", "3 of 4 (75.0%)"),
    "session": ("55", "IndexError", "25"),
}
"""What is among the outputs, by notebook."""
PICTURE_COUNTS = {"dataset": 4, "revision": 1, "session": 0}


@pytest.fixture(scope="module")
def service() -> Iterator[LiveService]:
    """On the engine that needs no daemon."""
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap")
    for needed in ("nbclient", "ipykernel", "matplotlib"):
        pytest.importorskip(needed)
    with live_service({"engine": "bubblewrap", "slot_count": "2"}) as running:
        yield running


def outputs(notebook: Path) -> Iterator[tuple[str, str]]:
    """Kind and content of all that the cells show, in order."""
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            data: dict[str, Any] = output.get("data", {"text/plain": output.get("text", "")})
            for kind, content in data.items():
                yield kind, "".join(content)


def test_every_notebook_is_run() -> None:
    """By the next test."""
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_notebook_is_committed_without_outputs(name: str) -> None:
    """And without the numbers of a run."""
    notebook = NOTEBOOKS / f"{name}.ipynb"
    assert list(outputs(notebook)) == []
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    assert {cell.get("execution_count") for cell in cells} == {None}


@pytest.mark.parametrize("name", SHOWN)
def test_notebook_runs_and_shows_what_it_says(
    service: LiveService, tmp_path: Path, name: str
) -> None:
    """In a copy of the examples, as a reader would open it."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(NOTEBOOKS / f"{name}.ipynb", folder)
    shutil.copy(ROOT / "examples" / "functions.jsonl", tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        [Path(sys.executable).with_name("jupyter-execute"), "--inplace", f"{name}.ipynb"],
        cwd=folder,
        env=os.environ | {"EXECBOX_URL": service.url, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    shown = list(outputs(folder / f"{name}.ipynb"))
    # What a command prints comes in pieces.
    texts = "".join(content for kind, content in shown if kind.startswith("text/"))
    assert [text for text in SHOWN[name] if text not in texts] == [], texts
    assert sum(kind == "image/png" for kind, _ in shown) == PICTURE_COUNTS[name]
