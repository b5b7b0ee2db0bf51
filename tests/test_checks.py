"""The checks before a commit are those of ``make check``, and so those of CI."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def of_make() -> list[list[str]]:
    """The commands of `make check`, as make would give them to the shell."""
    printed = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    return [words(line) for line in printed.splitlines() if "setup-python" not in line]


def of_hooks() -> list[list[str]]:
    """The commands of the hooks; one in a shell of its own is taken out of it."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    commands = []
    for hook in (hook for repo in config["repos"] for hook in repo["hooks"]):
        entry = shlex.split(hook["entry"])
        commands.append(words(entry[2] if entry[:2] == ["sh", "-c"] else hook["entry"]))
    return commands


def words(command: str) -> list[str]:
    """A command without its setting of PATH."""
    return shlex.split(re.sub(r'^PATH="[^"]*" ', "", command.strip()))


def test_hooks_before_a_commit_are_the_checks_of_make() -> None:
    """What passes before a commit passes in CI."""
    assert of_hooks() == of_make()
    assert len(of_make()) == 4


def test_hooks_are_a_valid_configuration_of_pre_commit() -> None:
    """Read by pre-commit itself."""
    run = subprocess.run(
        [ROOT / ".venv" / "bin" / "pre-commit", "validate-config", ".pre-commit-config.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr
