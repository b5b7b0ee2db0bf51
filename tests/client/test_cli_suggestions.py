"""Mistyped commands, options and choices: the command says what may have been meant."""

from __future__ import annotations

import pytest

from execbox.cli.command_parser import meant
from tests.client.cli_harness import usage_error


@pytest.mark.parametrize(
    ("line", "program", "message"),
    [
        ("rnu f.py", "execbox", "unknown command 'rnu'; did you mean run?"),
        ("zzz", "execbox", "unknown command 'zzz': choose from serve, run, exec, "),
        ("image bild", "execbox image", "unknown action 'bild'; did you mean build?"),
        ("score cruxevl", "execbox score", "unknown kind 'cruxevl'; did you mean cruxeval?"),
        ("--vrsion", "execbox", "unknown option --vrsion; did you mean --version?"),
        ("--url x run f.py", "execbox", "--url here: a command's options come after its name"),
        (
            "run f.py --inptu {}",
            "execbox run",
            "unknown option --inptu; did you mean --input or --inputs?\n",
        ),
        (
            "score cruxeval g --smples s --mode input",
            "execbox score cruxeval",
            "unknown option --smples; did you mean --samples?",
        ),
        ("run f.py --zzz", "execbox run", "unknown option --zzz; `execbox run --help` lists"),
        ("run f.py -x", "execbox run", "unknown option -x; `execbox run --help` lists"),
        ("run f.py other.py", "execbox run", "error: unexpected 'other.py'"),
        ("exec a.py --jsn -- --foo", "execbox exec", "unknown option --jsn; did you mean --json?"),
        (
            "generate f.jsonl -o x --prelude codeoi",
            "execbox generate",
            "argument --prelude: invalid choice: 'codeoi'",
        ),
        ("generate f.jsonl -o x --prelude codeoi", "execbox generate", "; did you mean codeio?"),
    ],
)
def test_mistyped_word_is_answered_with_the_one_that_was_meant(
    line: str, program: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command that it was given to, with its own usage, and exit code 2."""
    error = usage_error(line.split(), capsys)
    assert error.startswith(f"usage: {program} [")
    assert f"\n{program}: error: " in error
    assert message in error


@pytest.mark.parametrize(
    ("line", "first", "then"),
    [
        ("generate f --ouput x", "required: -o/--output", "unknown option --ouput; did you mean"),
        ("run f --input", "--input: expected one argument", None),
        ("exec p.py --stdin --verbose", "--stdin: expected one argument", "option --verbose"),
        ("prompts f -o x --pairs two --kindz i", "--pairs: invalid int value", "--kindz; did you"),
    ],
)
def test_mistake_that_hides_a_mistyped_option_names_both(
    line: str, first: str, then: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """What argparse finds first is often what the mistyped option was to give."""
    error = usage_error(line.split(), capsys)
    assert first in error
    assert ("unknown option" in error) == (then is not None)
    assert (then or "") in error


def test_options_of_a_command_that_is_unknown_are_not_complained_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They may be right ones of the command that was meant."""
    error = usage_error(["rnu", "f.py", "--input", "{}"], capsys)
    assert "did you mean run?" in error
    assert "--input" not in error


@pytest.mark.parametrize(
    ("word", "known", "text"),
    [
        ("verfy", ["verify", "revise"], "; did you mean verify?"),
        ("--stdinfile", ["--stdin", "--stdin-file"], "; did you mean --stdin-file or --stdin?"),
        ("q", ["verify"], ""),
        ("anything", [], ""),
    ],
)
def test_meant_names_the_most_similar_first(word: str, known: list[str], text: str) -> None:
    """At most two, and none where nothing is like it."""
    assert meant(word, known) == text
