"""Progress and tables by rich on a terminal, and plain lines everywhere else."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from execbox.cli.progress_display import shown_progress
from execbox.cli.tables import Column, show_counts, show_table
from execbox.cli.terminal import Terminal, open_terminal
from execbox.dataset.steps.progress import Progress, Snapshot
from tests.client.cli_harness import command

COLOR = re.compile(r"\x1b\[[0-9;]*[1-9][0-9;]*m")
"""Any styling but the one that ends it."""


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def terminal(*, no_color: bool = False, is_dumb: bool = False) -> Terminal:
    return open_terminal(Screen(), Screen(), no_color=no_color, is_dumb=is_dumb)


def snapshot(step: str = "infer") -> Snapshot:
    progress = Progress(step, total_bytes=200, clock=lambda: 0.0)
    progress.read_bytes = 50
    for _ in range(3):
        progress.result("stop")
    progress.failure("rate\x1b[2Jlimited", retry=True)
    return progress.snapshot()


def shown(seen: Terminal, *snapshots: Snapshot) -> str:
    """What a terminal gets of a run."""
    now_s = 0.0
    with shown_progress(seen, clock=lambda: now_s) as display:
        for each in snapshots:
            now_s += 1
            display(each)
    assert isinstance(seen.err, Screen)
    return seen.err.getvalue()


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def test_progress_is_a_bar_with_counts_that_is_wiped_away() -> None:
    """In colour; what a record says is shown, not obeyed; the cursor is never left hidden."""
    text = shown(terminal(), *[snapshot()] * 5)
    assert "infer" in text
    assert "\u2501" in text
    assert "25%" in text
    assert "stop 3 | without result: rate\\x1b[2Jlimited 1" in text
    assert COLOR.search(text)
    assert "\x1b[2J" not in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert text.endswith("\x1b[2K")


def test_progress_of_several_runs_is_one_bar_at_a_time() -> None:
    """A pipeline shows the step that it is at."""
    text = shown(terminal(), snapshot("prompts"), snapshot("verify"))
    last = text.split("\x1b[2K")[-2]
    assert "verify" in last
    assert "prompts" not in last


def test_no_color_is_honoured_by_bar_and_table() -> None:
    """They are drawn, and no colour is sent."""
    seen = terminal(no_color=True)
    assert "\u2501" in shown(seen, snapshot())
    show_counts(seen, {"ok": 3, "timeout": 1})
    show_table(seen, [Column("round", is_number=True)], [["1"]])
    assert isinstance(seen.out, Screen)
    assert isinstance(seen.err, Screen)
    colors = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-7]|9[0-7]|38|48)[;m]")
    assert not colors.search(seen.out.getvalue() + seen.err.getvalue())


def test_dumb_terminal_gets_plain_lines() -> None:
    """It cannot rewrite, so progress is as in a log."""
    seen = terminal(is_dumb=True)
    assert shown(seen, *[snapshot()] * 25) == (
        "infer:  25% read | 4 done | 0.0/s | 0 s | stop 3 | "
        "without result: rate\\x1b[2Jlimited 1\n" * 2
    )


def test_counts_on_a_terminal_have_shares_and_bars() -> None:
    """The largest first; a reason cannot drive the terminal."""
    seen = terminal(no_color=True)
    show_counts(seen, {"a\x1b[2J": 1, "ok": 3})
    assert isinstance(seen.out, Screen)
    first, second = re.sub(r"\x1b\[[0-9;]*m", "", seen.out.getvalue()).splitlines()
    assert first.split()[:3] == ["ok", "3", "75.0%"]
    assert second.split()[:3] == ["a\\x1b[2J", "1", "25.0%"]
    assert first.count("\u2501") > second.count("\u2501") > 0


@pytest.mark.parametrize(
    ("out", "rich"), [(io.StringIO, True), (Screen, False)], ids=["pipe", "without rich"]
)
def test_tables_are_plain_columns_in_a_pipe_and_without_rich(
    out: type[io.StringIO], *, rich: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that programs can read them, and the base install suffices."""
    if not rich:
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    stream = out()
    seen = open_terminal(stream, io.StringIO(), no_color=True)
    show_counts(seen, {"timeout": 1, "ok": 3})
    show_counts(seen, {"ok": 3}, shares=True)
    columns = [Column("round", is_number=True), Column("right so far")]
    show_table(seen, columns, [["1", "2 of 3"], ["2", "-"]])
    assert stream.getvalue() == (
        "  ok              3\n  timeout         1\n  ok         3  100.0%\n"
        "round  right so far\n    1  2 of 3\n    2  -\n"
    )


def revise_records(folder: Path, count: int = 40) -> list[str]:
    lines = '{"messages": [], "output": "a", "verdict": "incorrect", "feedback": "f"}\n' * count
    (folder / "v.jsonl").write_text(lines)
    return ["revise", str(folder / "v.jsonl"), "-o", str(folder / "p.jsonl")]


def test_command_on_a_real_terminal_draws_and_wipes(tmp_path: Path) -> None:
    """Through a pseudo-terminal; what stays is the summary."""
    ours, theirs = pty.openpty()
    argv, environment = command(*revise_records(tmp_path), TERM="xterm", COLUMNS="120")
    with subprocess.Popen(argv, env=environment, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        text = ""
        try:
            while part := os.read(ours, 65536):
                text += part.decode()
        except OSError:  # How Linux says that the other side is closed.
            pass
    os.close(ours)
    assert process.returncode == 0
    assert "\u2501" in text
    last = text.split("\x1b[2K")[-1]
    assert re.search(r"revise: .*40 results in ", last)


def test_command_without_a_terminal_writes_nothing_but_plain_lines(tmp_path: Path) -> None:
    """Whatever the environment asks rich for."""
    asking = {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1"}
    argv, environment = command(*revise_records(tmp_path), TERM="xterm", **asking)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stdout.splitlines()[0].startswith("revise: 40 results in ")
    assert done.stderr == ""
