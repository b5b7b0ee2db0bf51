"""`execbox run`: what the caller did wrong, and what the service failed at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from execbox.cli import main
from tests.client.cli_harness import usage_error

if TYPE_CHECKING:
    from tests.client.conftest import ScriptedServer


def test_run_stdin_given_twice_exits_2(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command has one standard input, and a call one stdin."""
    call = ["--args", "[]"]
    error = usage_error(["run", source, *call, "--stdin", "a", "--stdin-file", "b"], capsys)
    assert "not allowed with argument --stdin" in error
    assert main(["run", "-", *call, "--stdin-file", "-"]) == 2
    assert "standard input can be one of FILE, --inputs and --stdin-file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--input", "[1]"], "argument --input: must be a JSON object"),
        (["--args", "{}"], "argument --args: must be a JSON array"),
        (["--input", '{"n": 1, "n": 2}'], 'argument --input: not strict JSON: the key "n"'),
        (["--input", "{}", "--isolation", "none"], "argument --isolation: invalid choice"),
        (["--expression", "\x00"], "argument --expression:"),
    ],
)
def test_run_argument_that_cannot_be_is_a_usage_error(
    argv: list[str], message: str, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option is named, and nothing is sent."""
    assert message in usage_error(["run", source, *argv], capsys)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "no calls given; use --input"),
        (
            ["--input", "{}", "--memory-mb", "1"],
            "--memory-mb must be a whole number from 16 to 4096, not '1'",
        ),
        (
            ["--input", "{}", "--cpu-time-s", "nan"],
            "--cpu-time-s must be a number from 0.01 to 60, not 'nan'",
        ),
        (["--memory-mb", "many"], "--memory-mb must be a whole number from 16 to 4096"),
        (["--memory-mb", "512.5"], "--memory-mb must be a whole number from 16 to 4096"),
        (["--output-bytes", "0"], "--output-bytes must be a whole number from 1 to 16 MiB, not"),
        (["--input", "{}", "--runs", "11"], "--runs must be a whole number from 2 to 10, not"),
        (["--input", "{}", "--entry-point", "a b"], "entry_point: must be the name of a function"),
        (["--input", "{}", "--url", "ftp://x"], "base_url (EXECBOX_URL) 'ftp://x'"),
        (["--input", '{"n": NaN}'], "kwargs.n: nan has no JSON form; to give it to the function"),
        (["--inputs", "{dir}/wide.jsonl"], "wide.jsonl: is UTF-16, as PowerShell's > writes it"),
        (["--inputs", "{dir}/latin.jsonl"], "latin.jsonl, line 2: is not UTF-8"),
        (["--inputs", "{dir}/none.jsonl"], "none.jsonl: cannot be read: No such file"),
        (["--inputs", "{dir}"], "cannot be read: Is a directory"),
        (["--inputs", "{dir}/broken.jsonl"], "broken.jsonl, line 2: not strict JSON: "),
        (["--inputs", "{dir}/scalar.jsonl"], "scalar.jsonl, line 1: must be a JSON object or arr"),
    ],
)
def test_run_callers_mistake_is_one_line_on_stderr_and_exits_2(
    argv: list[str],
    message: str,
    source: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The message says what is wrong; nothing is sent, nothing printed as a result."""
    (tmp_path / "broken.jsonl").write_text('{"n": 1}\n{"n": \n')
    (tmp_path / "scalar.jsonl").write_text("3\n")
    (tmp_path / "wide.jsonl").write_text('{"n": 1}\n', "utf-16")
    (tmp_path / "latin.jsonl").write_bytes(b'{"n": 1}\n{"n": "\xe9"}\n')
    assert main(["run", source, *[arg.replace("{dir}", str(tmp_path)) for arg in argv]]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("execbox: ")
    assert message in shown.err
    assert shown.err.count("\n") == 1


def test_run_file_that_is_not_there_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    """The missing file is named."""
    assert main(["run", "/no/such/file.py", "--input", "{}"]) == 2
    assert "/no/such/file.py: cannot be read: No such file" in capsys.readouterr().err


def test_run_file_that_is_no_text_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes Python could not read either are the caller's mistake."""
    path = tmp_path / "binary.py"
    path.write_bytes(b"\x80\x81\xff")
    assert main(["run", str(path), "--input", "{}"]) == 2
    assert "not readable as Python source" in capsys.readouterr().err


def test_run_file_and_inputs_both_stdin_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard input can be read only once."""
    assert main(["run", "-", "--inputs", "-"]) == 2
    assert "cannot both be standard input" in capsys.readouterr().err


def test_run_request_refused_by_the_service_exits_2(
    connected: ScriptedServer, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service's own message is what the user reads."""
    connected.fail(422, "profile_not_permitted", retryable=False)
    assert main(["run", source, "--input", "{}"]) == 2
    assert capsys.readouterr().err == "execbox: profile_not_permitted happened\n"


def test_run_service_failure_exits_3(
    connected: ScriptedServer, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No result is told apart from a bad result."""
    connected.fail(503, "engine_down", retryable=False)
    assert main(["run", source, "--input", "{}"]) == 3
    assert capsys.readouterr().err == "execbox: engine_down happened\n"


def test_run_service_not_there_exits_3(
    source: str, dead_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The URL that was tried is in the message."""
    assert main(["run", source, "--input", "{}", "--url", dead_url]) == 3
    assert f"execbox: could not connect to {dead_url}: " in capsys.readouterr().err
