"""The programs beside the product: each says how it is used, as the documentation says it is."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md", "Makefile", "scripts/**/*.sh", ".ci/*")
    for path in ROOT.glob(pattern)
)
NAMED: Final = re.compile(
    r"(?:\bpython|\$\(PYTHON_BIN\)) -m ((?:acceptance|benchmarks|examples)[\w.]*)([^`\n]*)"
)
RUN_BY_OTHERS: Final = {
    # In a container, by a program beside them.
    *("benchmarks.inside", "benchmarks.stages_inside"),
    # In an environment that has other projects' clients, by ``acceptance.contracts``.
    *("acceptance.contract_clients", "acceptance.checkout_clients"),
    # In one that has trainers, by ``acceptance.trainers``.
    "acceptance.trainer_client",
    # By its file, with a command to run as its arguments.
    "examples.scripted_model",
}
"""Not started as ``python -m``."""


def name_of(path: Path) -> str:
    """What comes after ``python -m``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")


PROGRAMS: Final = sorted(
    {
        name_of(path)
        for folder in ("acceptance", "benchmarks", "examples")
        for path in (*(ROOT / folder).glob("*.py"), *(ROOT / folder).glob("*/__main__.py"))
        if '\nif __name__ == "__main__":' in path.read_text("utf-8")
    }
    - RUN_BY_OTHERS
)
DOCUMENTED: Final = [
    pytest.param(found[1], found[2], id=f"{page.relative_to(ROOT)}: {found[1]}{found[2]}")
    for page in PAGES
    for found in NAMED.finditer(page.read_text("utf-8"))
]


def help_of(program: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a program prints when it is asked how it is used; it ends well, and does nothing."""
    is_package = (ROOT / program.replace(".", "/")).is_dir()
    module = f"{program}.__main__" if is_package else program
    with pytest.raises(SystemExit) as ended:
        sys.exit(importlib.import_module(module).main(["--help"]))
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_asked_for_help_says_how_it_is_started(
    program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the name that starts it, which is not the file's."""
    assert re.match(rf"usage: python -m {re.escape(program)}\s", help_of(program, capsys))


@pytest.mark.parametrize(("program", "rest"), DOCUMENTED)
def test_documented_program_exists_and_has_the_options_that_are_named(
    program: str, rest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In commands, and in the remarks behind them."""
    assert program in PROGRAMS
    options = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", rest))
    assert options <= set(re.findall(r"--[a-z][a-z-]*", help_of(program, capsys)))


def test_programs_and_pages_that_name_them_are_found() -> None:
    """The tests above rest on it."""
    assert {"acceptance.soak", "benchmarks", "examples.demo"} <= set(PROGRAMS)
    assert len(DOCUMENTED) > 10
