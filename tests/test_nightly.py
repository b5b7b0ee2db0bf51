"""The nightly command: what it would run is there, and takes the options that it is given."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]
_SCRIPT = _ROOT / "scripts" / "nightly.sh"


def _nightly(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_SCRIPT, *arguments], capture_output=True, text=True, check=False, cwd=_ROOT
    )


def _steps() -> dict[str, list[str]]:
    lines = _nightly("--list").stdout.splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines}


@pytest.mark.parametrize("step", ["pythons", "hosts", "soak", "chaos", "attacks", "contracts"])
def test_nightly_names_each_kind_of_long_run(step: str) -> None:
    """What CI leaves out for its time is run by it."""
    assert step in _steps()


def test_nightly_names_no_step_twice() -> None:
    """Of two with one name only the later command would run, twice."""
    names = [line.split()[0] for line in _nightly("--list").stdout.splitlines()]
    assert len(names) == len(set(names))


def test_nightly_steps_exist_and_take_their_options() -> None:
    """A program that was renamed, or an option that was, is found by day."""
    for name, command in _steps().items():
        if "-m" not in command:
            assert (_ROOT / command[0]).is_file(), name
            continue
        told = subprocess.run(
            [sys.executable, "-m", command[2], "--help"],
            capture_output=True,
            text=True,
            check=False,
            cwd=_ROOT,
        )
        assert told.returncode == 0, (name, told.stderr)
        for option in (word for word in command[3:] if word.startswith("--")):
            assert re.search(rf"{option}\b", told.stdout), (name, option)


def test_nightly_refuses_a_step_that_it_has_not_and_names_those_it_has() -> None:
    """A typing error must not pass for a night in which nothing failed."""
    done = _nightly("soack")
    assert done.returncode == 2
    assert "there is no step soack" in done.stderr
    assert "soak" in done.stderr
