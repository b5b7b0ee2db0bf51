"""`execbox completion`, in real shells."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from execbox.cli import main
from execbox.cli.completion import SHELLS
from tests.client.cli_harness import usage_error

REQUIRED = "EXECBOX_REQUIRE_SHELLS" in os.environ
"""Read here, for a test's environment has no settings of ours."""


@pytest.fixture
def scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder with a script for each shell, and files to complete."""
    for shell in SHELLS:
        assert main(["completion", shell]) == 0
        (tmp_path / f"execbox.{shell}").write_text(capsys.readouterr().out)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "pairs.jsonl").touch()
    (tmp_path / "here" / "deep").mkdir()
    return tmp_path


def needed(shell: str) -> str:
    path = shutil.which(shell)
    if path is None and not REQUIRED:
        pytest.skip(f"{shell} is not installed")
    assert path is not None
    return path


CASES = [
    ("execbox gen", {"generate"}),
    ("execbox score ", {"cruxeval", "leetcode-o", "predictions"}),
    ("execbox image b", {"build"}),
    ("execbox run --entr", {"--entry-point"}),
    ("execbox generate --convert ", {"codeio", "none"}),
    ("execbox score cruxeval --mode ", {"input", "output"}),
    ("execbox completion ", {"bash", "zsh", "fish"}),
]


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_bash_completes_commands_options_and_choices(
    scripts: Path, line: str, expected: set[str]
) -> None:
    """By the function that the script registers, as bash calls it."""
    words = line.split(" ")
    program = (
        f"source {scripts / 'execbox.bash'}\n"
        'COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))\n'
        "function=$(complete -p execbox | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n"
        "$function execbox\n"
        "printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    done = subprocess.run(
        [needed("bash"), "--norc", "-c", program, "bash", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=scripts / "here",
    )
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_fish_completes_commands_options_and_choices(
    scripts: Path, line: str, expected: set[str]
) -> None:
    """As fish itself tells what Tab would offer."""
    program = f"source {scripts / 'execbox.fish'}; complete -C '{line}'"
    done = subprocess.run(
        [needed("fish"), "--no-config", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=scripts / "here",
        env=os.environ | {"HOME": str(scripts)},
    )
    offered = {each.split("\t")[0] for each in done.stdout.splitlines()}
    assert expected <= offered
    assert not offered - expected - {"deep/", "pairs.jsonl"}


def plain(shown: str) -> str:
    """The text without what styles it and moves the cursor."""
    return re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x08", "", shown))


def exchanged(terminal: int, pieces: Sequence[str], *, until: str) -> str:
    """All that is shown; after each piece but the last, ``ready`` has to be."""
    os.set_blocking(terminal, False)
    shown, deadline_s = "", time.monotonic() + 30
    for number, piece in enumerate(pieces, start=1):
        os.write(terminal, piece.encode())
        wanted = until if number == len(pieces) else "ready"
        begin = len(shown)
        while wanted not in plain(shown[begin:]):
            assert time.monotonic() < deadline_s, shown
            try:
                shown += os.read(terminal, 65536).decode(errors="replace")
            except BlockingIOError:
                time.sleep(0.02)
    return shown


def typed(argv: list[str], *pieces: str, until: str, folder: Path) -> str:
    """What a shell on a real terminal shows when this has been typed, up to ``until``."""
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "xterm", "PS1": "$ "}
    with subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment
    ) as process:
        os.close(theirs)
        try:
            shown = exchanged(ours, pieces, until=until)
        finally:
            process.kill()
    os.close(ours)
    return shown


def test_bash_completes_at_tab(scripts: Path) -> None:
    """Typed into an interactive bash: an option, its value's choices and a file."""
    typed(
        [needed("bash"), "--norc", "-i"],
        f"source {scripts / 'execbox.bash'}; echo rea''dy\n",
        "execbox cert\tpai\t--compl\tn\t",
        until="execbox certify pairs.jsonl --complexity none",
        folder=scripts / "here",
    )


def test_zsh_completes_at_tab(scripts: Path) -> None:
    """Typed into an interactive zsh, with the script where zsh looks for it."""
    functions = scripts / "functions"
    functions.mkdir()
    shutil.copy(scripts / "execbox.zsh", functions / "_execbox")
    typed(
        [needed("zsh"), "-f", "-i"],
        f"PROMPT='$ '; fpath=({functions} $fpath); autoload -Uz compinit; compinit -D -u; "
        "echo rea''dy\n",
        "execbox cert\tpai\t--compl\tn\t",
        until="execbox certify pairs.jsonl --complexity none",
        folder=scripts / "here",
    )


def test_completion_without_shtab_prints_the_install_line_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line can be copied as it is."""
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "    pip install 'execbox[cli]'\n" in shown.err


def test_completion_for_a_shell_that_is_not_known_is_a_usage_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the one that was meant."""
    error = usage_error(["completion", "bahs"], capsys)
    assert "invalid choice: 'bahs'" in error
    assert "did you mean bash?" in error
