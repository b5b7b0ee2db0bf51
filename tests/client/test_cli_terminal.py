"""How text reaches a terminal: escaping, colours and what a locale lacks."""

from __future__ import annotations

import io

import pytest

from execbox import wire
from execbox.cli import report
from execbox.cli.terminal import Terminal, open_terminal, visible
from tests.client.cli_harness import response


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢 \t\n", "plain é 漢 \t\n"),
        ("\x1b[0m", "\\x1b[0m"),
        ("\x7f\x85", "\\x7f\\x85"),
        ("\ud800", "\\ud800"),
        ("\u2028\u202e", "\\u2028\\u202e"),
    ],
)
def test_visible_text_loses_nothing_but_its_power(text: str, shown: str) -> None:
    """Ordinary text is unchanged; what a terminal obeys becomes an escape."""
    assert visible(text) == shown


class TerminalStream(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("out", "no_color", "colored"),
    [
        (TerminalStream(), False, True),
        (TerminalStream(), True, False),
        (io.StringIO(), False, False),
    ],
    ids=["terminal", "terminal_without_color", "pipe"],
)
def test_open_terminal_colors_only_a_terminal_that_wants_them(
    out: io.StringIO, *, no_color: bool, colored: bool
) -> None:
    """A pipe is plain, and so is a terminal under NO_COLOR."""
    terminal = open_terminal(out, io.StringIO(), no_color=no_color)
    terminal.labelled("call 1", " x", style="good")
    assert out.getvalue() == ("\x1b[32mcall 1\x1b[0m x\n" if colored else "call 1 x\n")


def test_show_response_locale_that_lacks_a_character_escapes_it() -> None:
    """A result is never lost to the encoding of the terminal."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    terminal: Terminal = open_terminal(out, io.StringIO(), no_color=True)
    answer = wire.ExecuteResponse.model_validate(response({"output": "é"}))
    report.show_response(answer, terminal)
    out.flush()
    assert b'output: "\\xe9"\n' in raw.getvalue()
