"""Commands and settings as the documentation shows them exist, and nothing is taken for granted.

Each command goes through the parser of the program that it starts; nothing is run.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from execbox.cli.entry import main
from execbox_service.settings import ENV_PREFIX, Settings
from tests import image_table, settings_table

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
    for page in (
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs" / "start").glob("*.md")),
    )
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


# Every command through its parser

DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)
ASSIGNMENT = re.compile(r"[A-Z_]+=")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
PARSE_ONLY = """
import argparse, runpy, sys
parse_args = argparse.ArgumentParser.parse_args
def parse_and_end(*args, **kwargs):
    parse_args(*args, **kwargs)
    sys.exit(0)
argparse.ArgumentParser.parse_args = parse_and_end
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""Starts a module as ``python -m`` does, and ends it when its arguments have been understood."""


@dataclass(frozen=True)
class Command:
    """One command of a document."""

    page: str
    words: tuple[str, ...]
    comment: str
    whole: bool
    """False within text, where a command is named and its arguments are left out."""

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def commands_of(page: Path) -> Iterator[Command]:
    """The commands of ours, without what the shell makes of them."""
    text = page.read_text("utf-8")
    # All fences one after the other: what ends a block of a different language begins none.
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for block in (content for language, content in blocks if language in ("", "sh", "bash")):
        for line in block.replace("\\\n", " ").splitlines():
            yield from command_in(line, page=page, whole=True)
    for code in re.findall(r"`((?:execbox|python -m|make) [^`]+)`", text):
        yield from command_in(code, page=page, whole=False)


def command_in(line: str, *, page: Path, whole: bool) -> Iterator[Command]:
    """The command of a line; none where it is not one of ours."""
    code, _, comment = line.removeprefix("$ ").partition(" #")
    try:
        # Brackets around what may be left out; those of JSON stay.
        words = shlex.split(code if "{" in code else re.sub(r"\[|\]", "", code))
    except ValueError:
        return  # The first line of a text in quotation marks, which is data.
    while words and ASSIGNMENT.match(words[0]):
        words.pop(0)
    for place, word in enumerate(words):
        if re.match(r"\d?[>|&<]|…|\.\.\.", word):
            words = words[:place]
            break
    if words and words[0].removeprefix(".venv/bin/") in ("execbox", "python", "make"):
        program = words[0].removeprefix(".venv/bin/")
        yield Command(page.name, (program, *words[1:]), comment, whole)


COMMANDS = [command for page in DOCUMENTS for command in commands_of(page)]


def of(program: str) -> list[Command]:
    """The commands of one program."""
    return [command for command in COMMANDS if command.words[0] == program]


def test_commands_are_found() -> None:
    """The next tests rest on it."""
    assert [len(of(program)) >= 5 for program in ("execbox", "python", "make")] == [True] * 3


@pytest.mark.parametrize("command", [c for c in of("execbox") if c.whole], ids=str)
def test_documented_execbox_command_is_understood(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the parser of the command itself; what it would do is left out."""
    parse_args = argparse.ArgumentParser.parse_args

    def parse_and_end(parser: argparse.ArgumentParser, argv: list[str]) -> None:
        parse_args(parser, argv)
        raise SystemExit(0)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_end)
    with pytest.raises(SystemExit) as ended:
        main(command.words[1:])
    assert ended.value.code == 0


@pytest.mark.parametrize("command", [c for c in of("execbox") if not c.whole], ids=str)
def test_documented_execbox_command_has_the_flags_that_are_named(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within text, where the other arguments are left out."""
    names = [word for word in command.words[1:3] if re.fullmatch(r"[a-z][a-z-]*", word)]
    with pytest.raises(SystemExit) as ended:
        main([*names[: 2 if names[:1] in (["score"], ["image"]) else 1], "--help"])
    assert ended.value.code == 0
    help_text = capsys.readouterr().out
    for word in command.words[1:]:
        if word.startswith("-"):
            assert word in help_text


@pytest.mark.parametrize("command", [c for c in of("python") if c.words[1] != "-m"], ids=str)
def test_documented_program_is_on_the_page_that_runs_it(command: Command) -> None:
    """Saved under its name from a block before it."""
    page = (ROOT / "docs" / "start" / command.page).read_text("utf-8")
    assert f"Save this as `{command.words[1]}`" in page


@pytest.mark.parametrize("command", [c for c in of("python") if c.words[1] == "-m"], ids=str)
def test_documented_module_is_there_and_understands_its_arguments(command: Command) -> None:
    """Flags that the comment behind a command names, too."""
    module, *arguments = command.words[2:]
    spec = importlib.util.find_spec(module)
    assert spec is not None
    if spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{module}.__main__")
        assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text("utf-8")
    for flag in FLAG.findall(command.comment):
        assert f'"{flag}"' in source
    if "ArgumentParser(" not in source:
        assert arguments == [] or all(f'"{word}"' in source for word in arguments)
        return
    run = subprocess.run(
        [sys.executable, "-c", PARSE_ONLY, module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("command", of("make"), ids=str)
def test_documented_target_of_make_is_there(command: Command) -> None:
    """Variables given to it are ones that the Makefile reads."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = [word for word in command.words[1:] if "=" not in word]
    for word in command.words[1:]:
        if "=" in word:
            assert f"({word.split('=')[0]})" in makefile
    assert targets
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE)


# Settings

VARIABLE = re.compile(rf"{ENV_PREFIX}[A-Z0-9_]*[A-Z0-9](?![A-Z0-9_…])")
READ_BESIDE_SETTINGS = (
    *sorted((ROOT / "scripts").glob("*.sh")),
    ROOT / "Makefile",
    ROOT / "docker-compose.yml",
    ROOT / "client" / "execbox" / "config.py",
    *sorted((ROOT / "tests").rglob("*.py")),
)


def test_documented_variables_are_read_somewhere() -> None:
    """A setting by a wrong name is silently none."""
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    for path in READ_BESIDE_SETTINGS:
        if path != Path(__file__):
            known.update(VARIABLE.findall(path.read_text("utf-8")))
    documented = {
        (name, page.name)
        for page in DOCUMENTS
        for name in VARIABLE.findall(page.read_text("utf-8"))
    }
    assert {(name, page) for name, page in documented if name not in known} == set()
    assert len(documented) > 50


def test_table_of_settings_is_that_of_the_code() -> None:
    """Name, values, default and description of each."""
    page = settings_table.PAGE.read_text("utf-8")
    assert page == settings_table.written(page), (
        "docs/operations.md has a different table of settings than Settings: "
        "run `python -m tests.settings_table --write`"
    )


def test_table_of_packages_is_that_of_the_lock() -> None:
    """What is asked for, and what comes with it, each in the version that is installed."""
    page = image_table.PAGE.read_text("utf-8")
    assert page == image_table.written(page), (
        "docs/image.md has different packages than the lock: "
        "run `python -m tests.image_table --write`"
    )
    assert sum(map(len, image_table.groups().values())) > 25
