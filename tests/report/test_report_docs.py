"""docs/dataset.md: the program about reports runs as it stands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from execbox.report import ChartName

_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "dataset.md").read_text("utf-8")
_SECTION = _PAGE.split("\n## report\n")[1].split("\n## ")[0]


def test_program_of_the_page_prints_the_turns_and_draws_them(
    tmp_path: Path, run_files: list[Path]
) -> None:
    """In a folder where a run has left its files, unpacked as a pipeline leaves them."""
    pytest.importorskip("matplotlib")
    (program,) = re.findall(r"^```python\n(.*?)^```$", _SECTION, re.MULTILINE | re.DOTALL)
    (tmp_path / "out").mkdir()
    for path in run_files:
        # Packed inside; what a file is called says nothing.
        shutil.copy(path, tmp_path / "out" / path.name.removesuffix(".gz"))
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (run.returncode, run.stdout) == (0, "1 8 of 12 right\n2 11 of 12 right\n"), run.stderr
    assert (tmp_path / "turns.pdf").read_bytes().startswith(b"%PDF")


def test_page_names_every_picture() -> None:
    """Those that ``figure_of`` takes."""
    assert all(f"`{name}`" in _SECTION for name in get_args(ChartName))
