"""Files that docstrings, comments and pages name are there: what was moved is named anew."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
NAMED: Final = re.compile(r"`{1,2}((?:[\w.*-]+/)*[\w*-]+\.(?:py|sh|c))(?:::\w+)?`{1,2}")
"""A path or a name in backticks that ends as programs' do."""
WRITTEN_IN: Final = {".py", ".md", ".sh", ".toml", ".yml"}
NOT_OURS: Final = {
    "solution.py",
    "input_generator.py",
    "codeio_utils.py",
    "assemble_codeio_demo.py",
}
"""What users' files, and files of other projects, are called."""
SAVED: Final = re.compile(r"[Ss]ave this as `([\w-]+\.py)`")
"""What a page has its reader write."""
MADE: Final = {"__pycache__", "build", "dist", "results"}


@cache
def files() -> list[PurePosixPath]:
    """Everything that is not made here or by tools."""
    found = []
    for folder, below, names in os.walk(ROOT):
        below[:] = [
            name for name in below if name == ".ci" or (name not in MADE and name[0] != ".")
        ]
        found += [PurePosixPath(folder, name).relative_to(ROOT) for name in names]
    return found


def is_there(named: str, *, among: list[PurePosixPath]) -> bool:
    """Whether a file's path ends in what was named; a ``*`` stands for any part of a name."""
    return any(path.match(named) for path in among)


def test_files_that_texts_name_are_there() -> None:
    """By their name, or by as much of their path as is said."""
    missing = []
    for path in files():
        if path.suffix not in WRITTEN_IN or path == PurePosixPath("tests/test_named_files.py"):
            continue
        text = (ROOT / path).read_text("utf-8")
        theirs = NOT_OURS.union(SAVED.findall(text))
        missing += [
            f"{path}: {named}"
            for named in NAMED.findall(text)
            if PurePosixPath(named).name not in theirs and not is_there(named, among=files())
        ]
    assert not missing, "\n".join(missing)


def test_names_are_found_in_texts_and_missed_where_they_are_wrong() -> None:
    """The test above would see a name that is left over from a move."""
    text = "in ``http/auth.py``, in `auth.py` and in ``tests/x_*.py``; not in auth.py or ``a.b``"
    assert NAMED.findall(text) == ["http/auth.py", "auth.py", "tests/x_*.py"]
    there = [PurePosixPath("service/execbox_service/api/auth.py")]
    assert is_there("auth.py", among=there)
    assert is_there("api/auth.py", among=there)
    assert not is_there("http/auth.py", among=there)
