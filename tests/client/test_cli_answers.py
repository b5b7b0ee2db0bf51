"""`--json`, `--quiet` and exit codes on every command, and the page that documents them."""

from __future__ import annotations

import io
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from execbox import wire
from execbox.cli import entry, main
from execbox.cli.command_parser import leaves_of
from execbox.cli.doctor import Finding
from execbox.cli.outcomes import ExitCode
from execbox.dataset.scoring.leetcode_o import LeetCodeScore
from execbox.dataset.scoring.score import Score
from execbox.dataset.steps.dry_run import Estimate
from execbox.dataset.steps.pipeline import PipelineResult
from execbox.dataset.steps.progress import Summary
from execbox.report.numbers import numbers_of
from execbox.report.reading import read_report
from tests.client.cli_harness import USAGE, response

if TYPE_CHECKING:
    from tests.client.conftest import ScriptedServer

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
WITHOUT_ANSWER = {"serve", "mcp", "completion"}
"""Commands that serve until they are told to end, or print a script."""
INFO = {
    "id": "s",
    "engine": "e",
    "image": "i",
    "profile": "default",
    "cells": 0,
    "limits": {"wall_time_s": 1.0},
    "running": False,
    "ends_in_s": 1,
}


def rows(heading: str) -> list[list[str]]:
    """The cells of the page's table whose first line has these words."""
    after = PAGE.read_text("utf-8").split(f"| {heading} |\n")[1]
    lines = after.split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def words(cell: str) -> list[str]:
    """What is in backticks outside parentheses, but for paths."""
    found = re.findall(r"`([^`]+)`", re.sub(r"\([^)]*\)", "", cell))
    return [word for word in found if "/" not in word]


def test_table_of_exit_codes_is_that_of_the_code() -> None:
    """Every code with its name, in order, and no other."""
    table = rows("code | name | who | what it says")
    assert [(int(row[0]), row[1].strip("`")) for row in table] == [
        (code.value, code.name) for code in ExitCode
    ]
    only_exec = {row[1].strip("`") for row in table if row[2] == "`exec`"}
    assert only_exec == {"NO_END", "RAN_OUT_OF_MEMORY", "RAN_OUT_OF_TIME", "NO_RUN"}


COMMANDS = dict(leaves_of(entry._parser()))


@pytest.mark.parametrize("command", COMMANDS)
def test_exit_codes_in_a_command_s_help_are_of_the_table(command: str) -> None:
    """A number that a help names and the table does not would be a second truth."""
    _, _, told = COMMANDS[command].format_help().partition("exit codes")
    assert told
    known = {row[0] for row in rows("code | name | who | what it says")}
    known.add("128")  # And the signal's number, of `exec`.
    assert set(re.findall(r"(?:^\s*|[:;] )(\d+) ", told, re.MULTILINE)) <= known


def test_every_command_with_an_answer_has_json_and_quiet() -> None:
    """Under these names, and each is in both tables of the page."""
    found = {
        name: {"--json", "--quiet", "-q"} & parser._option_string_actions.keys()
        for name, parser in COMMANDS.items()
    }
    answering = {name for name, options in found.items() if options}
    assert {name for name, options in found.items() if len(options) == 3} == answering
    assert found.keys() - answering == WITHOUT_ANSWER
    shaped = {word for row in rows("command | the line has") for word in words(row[0])}
    modes = {"exec --cases", *(f"{name} --dry-run" for name in ("infer", "interpret", "pipeline"))}
    assert shaped - modes == answering
    quiet = {word for row in rows("command | prints with `--quiet`") for word in words(row[0])}
    assert quiet - {"score"} == {name for name in answering if not name.startswith("score ")}


STEP = [*[field.name for field in fields(Summary)], "output", "errors"]
SHAPES = {
    "run": list(wire.ExecuteResponse.model_fields),
    "exec": list(wire.RunResponse.model_fields),
    "generate": STEP,
    "verify": STEP,
    "assemble": STEP,
    "pipeline": [field.name for field in fields(PipelineResult)],
    "score cruxeval": [field.name for field in fields(Score)],
    "score predictions": [field.name for field in fields(Score)],
    "score leetcode-o": [field.name for field in fields(LeetCodeScore)],
    "report": list(numbers_of(read_report([]))),
    "infer --dry-run": [
        *[field.name for field in fields(Estimate)],
        *("dry_run", "prompt_tokens_about", "answer_tokens_max"),
    ],
    "doctor": ["ok", "findings"],
    "image build": ["ok", "image"],
}


@pytest.mark.parametrize("command", SHAPES)
def test_documented_line_of_json_has_the_fields_of_the_code(command: str) -> None:
    """Whoever reads it by the page finds every field."""
    (row,) = [row for row in rows("command | the line has") if command in words(row[0])]
    assert sorted(words(row[1])) == sorted(SHAPES[command])


def test_doctor_as_json_has_the_documented_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """As it is printed."""
    main(["doctor", "--json", "--url", "http://127.0.0.1:9"])
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert list(found) == SHAPES["doctor"]
    assert set(found["findings"][0]) == {field.name for field in fields(Finding)}


def test_doctor_quiet_shows_only_what_is_missing(
    capsys: pytest.CaptureFixture[str], dead_url: str
) -> None:
    """And nothing where all is there; the exit code says which."""
    assert main(["doctor", "--quiet", "--url", dead_url]) == 1
    shown = capsys.readouterr()
    assert [line.split()[0] for line in shown.out.splitlines()] == ["MISSING", "start"]
    assert shown.err == ""


def test_run_quiet_prints_a_line_for_each_call(
    connected: ScriptedServer, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The value as JSON, or how it ended; text of the code is escaped as elsewhere."""
    error = {"type": "ValueError", "message": "a\nb\x1b", "line": 2}
    connected.reply(
        200,
        response(
            {"output": {"a": "1"}},
            {"output": None, "output_text": "NaN", "output_flags": ["non_finite"]},
            {"status": "exception", "error": error},
            {"status": "timeout", "limit": "cpu_time"},
        ),
    )
    assert main(["run", source, *["--input", "{}"] * 4, "--quiet"]) == 1
    assert capsys.readouterr() == (
        '{"a": "1"}\nNaN\nexception: ValueError: a b\\x1b\ntimeout (cpu_time limit reached)\n',
        "",
    )


def test_exec_quiet_leaves_standard_error_to_the_program(
    connected: ScriptedServer, source: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """That it ran out of time, its exit code says."""
    run = {"status": "timeout", "limit": "cpu_time", "stdout": "a\n", "stderr": "b\n"}
    for _ in range(2):
        connected.reply(200, response() | {"runs": [run | {"usage": USAGE}]})
    assert main(["exec", source]) == 124
    assert b"execbox: " in capsysbinary.readouterr().err
    assert main(["exec", source, "--quiet"]) == 124
    assert capsysbinary.readouterr() == (b"a\n", b"b\n")


def cell(number: int, **members: object) -> dict[str, object]:
    return {"status": "ok", "usage": USAGE, "cell": number, **members}


def repl(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, *options: str
) -> tuple[int, ScriptedServer]:
    """Two cells, the first with a value, the second printing."""
    monkeypatch.setattr("sys.stdin", io.StringIO("1 + 1\nprint('x')\n"))
    server.reply(200, INFO)
    streamed = "--json" not in options
    for number, members in ((1, {"value": {"repr": "2"}}), (2, {"stdout": "x\n"})):
        answer = json.dumps(cell(number, **members)).encode() + b"\n"
        piece = json.dumps({"stdout": members.get("stdout", "")}).encode() + b"\n"
        server.reply(200, piece + answer if streamed else answer)
    server.reply(204, b"")
    return main(["repl", *options]), server


def test_repl_quiet_shows_what_cells_print(
    connected: ScriptedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a script would; without it, values are shown too."""
    assert repl(connected, monkeypatch)[0] == 0
    assert capsys.readouterr().out == "2\nx\n"
    assert repl(connected, monkeypatch, "--quiet")[0] == 0
    assert capsys.readouterr().out == "x\n"


def test_repl_as_json_prints_a_line_for_each_cell(
    connected: ScriptedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole answer, and nothing else."""
    assert repl(connected, monkeypatch, "--json")[0] == 0
    shown = capsys.readouterr()
    found = [wire.CellResponse.model_validate_json(line) for line in shown.out.splitlines()]
    assert [(each.cell, each.stdout) for each in found] == [(1, ""), (2, "x\n")]
    assert shown.err == ""
