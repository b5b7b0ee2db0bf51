"""`execbox exec`: what is sent, what is shown, and which exit code says what."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import execbox
from execbox.cli import main
from execbox.cli.terminal import open_terminal

if TYPE_CHECKING:
    from tests.client.conftest import ScriptedServer

SOURCE = "print('hi')\n"
CLIENT_ROOT = Path(execbox.__file__).parent.parent
USAGE = {"cpu_time_s": 0.25, "wall_time_s": 0.5, "peak_memory_bytes": 10 * 1024 * 1024}


def response(*runs: Mapping[str, object]) -> dict[str, object]:
    """A run response; each run is ok unless its fields say otherwise."""
    return {
        "runs": [{"status": "ok", "exit_code": 0, "usage": USAGE, **run} for run in runs],
        "isolation": "container",
        "engine": "fake",
        "image": "sha256:0",
        "queue_time_s": 0.0,
    }


def fetched(content: bytes) -> dict[str, object]:
    return {"base64": base64.b64encode(content).decode(), "size_bytes": len(content)}


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "program.py"
    path.write_text(SOURCE)
    return str(path)


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is said about a mistake of the caller's; nothing is on standard output."""
    assert main(["exec", *argv]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("execbox: ")
    return shown.err.removeprefix("execbox: ")


# What is sent


def test_exec_sends_only_what_was_given(connected: ScriptedServer, source: str) -> None:
    """The service's defaults are the service's."""
    connected.reply(200, response({}))
    assert main(["exec", source]) == 0
    assert connected.received[0].path == "/v1/run"
    assert connected.received[0].json == {"program": {"code": SOURCE}}


def test_exec_options_reach_the_request(
    connected: ScriptedServer, source: str, tmp_path: Path
) -> None:
    """Every option has its field, wherever it stands, and arguments are taken as they are."""
    (tmp_path / "in").write_bytes(b"\xff\n")
    (tmp_path / "data").write_bytes(b"x=1")
    (tmp_path / "out").write_bytes(b"a\r\nb")
    connected.reply(200, response({"verdict": "correct"}))
    options = [
        *(
            "--stdin-file",
            str(tmp_path / "in"),
            source,
            "--file",
            f"d/data.txt={tmp_path / 'data'}",
        ),
        *("--fetch", "*.svg", "--into", str(tmp_path / "new"), "--expected", str(tmp_path / "out")),
        *("--comparator", "tokens", "--cpu-time-s", "1.5", "--wall-time-s", "3"),
        *("--memory-mb", "64", "--stdout-bytes", "0", "--job-time-s", "30", "--files-bytes", "9"),
        *("--compile-time-s", "2.5"),
        *("--isolation", "process", "--profile", "processes"),
        *("--", "--json", "-", "--", "a b", ""),
    ]
    assert main(["exec", *options]) == 0
    assert connected.received[0].json == {
        "program": {
            "code": SOURCE,
            "arguments": ["--json", "-", "--", "a b", ""],
            "stdin": {"base64": "/wo="},
            "files": {"d/data.txt": {"base64": "eD0x"}},
            "fetch": ["*.svg"],
        },
        "expected": {"stdout": "a\r\nb", "comparator": "tokens"},
        "limits": {
            "cpu_time_s": 1.5,
            "wall_time_s": 3.0,
            "memory_mb": 64,
            "stdout_bytes": 0,
            "job_time_s": 30.0,
            "files_bytes": 9,
            "compile_time_s": 2.5,
        },
        "isolation": "process",
        "profile": "processes",
    }


def test_exec_program_from_stdin_is_sent(
    connected: ScriptedServer, stdin: Callable[[bytes], None]
) -> None:
    """`-` reads the source from standard input."""
    stdin(SOURCE.encode())
    connected.reply(200, response({}))
    assert main(["exec", "-", "--stdin", "4"]) == 0
    assert connected.received[0].json["program"] == {"code": SOURCE, "stdin": "4"}


@pytest.mark.parametrize(
    ("name", "options", "language"),
    [
        ("a.py", [], None),
        ("a", [], None),
        ("a.sh", [], "bash"),
        ("a.bash", [], "bash"),
        ("a.cpp", [], "cpp"),
        ("a.cc", [], "cpp"),
        ("a.cxx", [], "cpp"),
        ("a.txt", ["--language", "cpp"], "cpp"),
        ("a.sh", ["--language", "python"], "python"),
    ],
)
def test_exec_language_is_that_of_the_name_or_as_it_is_given(
    connected: ScriptedServer, tmp_path: Path, name: str, options: list[str], language: str | None
) -> None:
    """What is left to the service is Python."""
    (tmp_path / name).write_text("source\n")
    connected.reply(200, response({}))
    assert main(["exec", str(tmp_path / name), *options]) == 0
    assert connected.received[0].json["program"].get("language") == language


# What is shown


def test_exec_writes_what_the_program_wrote_byte_for_byte(
    connected: ScriptedServer, source: str
) -> None:
    """Bytes that are no text, control characters, no newline at the end; and nothing of ours."""
    written = b"\x1b[1m\xff\x00 no newline"
    connected.reply(
        200,
        response(
            {
                "stdout": "not these",
                "stdout_base64": base64.b64encode(written).decode(),
                "stderr": "war\u0000ning ü\r\n",
            }
        ),
    )
    run = subprocess.run(
        [sys.executable, "-m", "execbox", "exec", source],
        env=os.environ | {"PYTHONPATH": str(CLIENT_ROOT), "LC_ALL": "C"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (run.returncode, run.stdout) == (0, written)
    assert run.stderr == "war\0ning ü\r\n".encode()


def test_terminal_shows_bytes_that_it_would_obey_as_escapes() -> None:
    """Unread code must not move the cursor of who runs it."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    terminal = open_terminal(screen, screen, no_color=True)
    terminal.write_bytes(b"a\x1b[2J\xff\n", screen)
    assert screen.getvalue() == "a\\x1b[2J\ufffd\n"


@pytest.mark.parametrize(
    ("run", "code", "said"),
    [
        ({}, 0, ""),
        ({"status": "exit_nonzero", "exit_code": 3}, 3, ""),
        ({"status": "exit_nonzero", "exit_code": 255}, 255, ""),
        ({"status": "invalid_code", "exit_code": 1}, 1, "ended as invalid_code\n"),
        (
            {"status": "compile_error", "exit_code": 1, "error": {"type": "E", "message": "why"}},
            1,
            "ended as compile_error (why)\n",
        ),
        (
            {"status": "compile_error", "exit_code": None, "error": {"type": "E", "message": "w"}},
            122,
            "ended as compile_error (w)\n",
        ),
        (
            {"status": "no_result", "exit_code": None, "signal": "SIGSEGV"},
            139,
            "ended as no_result (SIGSEGV)\n",
        ),
        ({"status": "no_result", "exit_code": 0}, 122, "ended as no_result\n"),
        ({"status": "output_too_large", "exit_code": 0}, 122, "ended as output_too_large\n"),
        ({"status": "not_run", "exit_code": None}, 122, "ended as not_run\n"),
        (
            {"status": "memory_exceeded", "exit_code": None, "signal": "SIGKILL"},
            123,
            "ended as memory_exceeded (SIGKILL)\n",
        ),
        (
            {"status": "timeout", "exit_code": None, "signal": "SIGKILL", "limit": "cpu_time"},
            124,
            "ended as timeout (cpu_time, SIGKILL)\n",
        ),
        (
            {"truncated": {"stdout": True}},
            0,
            "stdout is cut off at the limit; see --stdout-bytes\n",
        ),
    ],
)
def test_exec_exit_code_says_how_the_program_ended(
    connected: ScriptedServer,
    source: str,
    capsys: pytest.CaptureFixture[str],
    run: Mapping[str, object],
    code: int,
    said: str,
) -> None:
    """The program's own where it has one; what the code does not say is on standard error."""
    connected.reply(200, response(run))
    assert main(["exec", source]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (f"execbox: {source}: {said}" if said else "")


def test_exec_that_prints_something_else_than_expected_is_1(
    connected: ScriptedServer, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it printed is shown all the same."""
    (tmp_path / "out").write_text("ho\n")
    connected.reply(200, response({"stdout": "hi\n", "verdict": "incorrect"}))
    assert main(["exec", source, "--expected", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr()
    assert shown.out == "hi\n"
    assert shown.err == f"execbox: {source}: did not print what is in {tmp_path / 'out'}\n"


def test_exec_without_a_service_is_125(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Our failure has a code that is not a program's usual one."""
    monkeypatch.setenv("EXECBOX_URL", "http://127.0.0.1:9")
    assert main(["exec", source]) == 125
    assert "127.0.0.1:9" in capsys.readouterr().err


def test_exec_json_prints_the_response_and_says_only_whether_it_passed(
    connected: ScriptedServer, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its exit code is never the program's."""
    connected.reply(200, response({"status": "exit_nonzero", "exit_code": 7, "stdout": "é"}))
    assert main(["exec", source, "--json"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isascii()
    assert json.loads(line)["runs"][0]["exit_code"] == 7


# Bad input


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["-", "--stdin-file", "-"], "- is standard input, which can be only one of the files"),
        (["{f}", "--into", "x"], "--into needs --fetch"),
        (["{f}", "--fetch", "*"], "--fetch needs --into"),
        (["{f}", "--force"], "--force is about files in the directory of --into"),
        (["{f}", "--fetch", "*", "--into", "{f}"], "is there already and is no directory"),
        (["{f}", "--fetch", "*", "--into", "x", "--json"], "--into is for one run"),
        (["{f}", "--comparator", "exact"], "--comparator needs --expected or --cases"),
        (["{f}", "--stop-at-first-failure"], "--stop-at-first-failure is about --cases"),
        (["{f}", "--file", "a={f}", "--file", "a={f}"], "--file gives 'a' twice"),
        (["{f}", "--file", "../a={f}"], "files stay in the working directory"),
        (["{f}", "--file", "/a={f}"], "is absolute"),
        (["{f}", "--file", "program.py={f}"], "is reserved"),
        (["{d}/none.py"], "none.py: cannot be read: No such file or directory"),
        (["{d}"], "cannot be read: Is a directory"),
        (["{f}", "--stdin-file", "{d}/none"], "none: cannot be read: No such file or directory"),
        (["{f}", "--file", "a={d}"], "cannot be read: Is a directory"),
        (["{f}", "--expected", "{d}/latin"], "latin: is not UTF-8: invalid continuation byte at"),
        (["{d}/latin"], "latin: not readable as Python source"),
        (["{f}", "--memory-mb", "1"], "--memory-mb must be a whole number from 16 to 4096"),
        (["{f}", "--files-bytes", "-1"], "--files-bytes must be a whole number from 0 to 16 MiB"),
    ],
)
def test_exec_mistake_is_said_and_nothing_is_sent(
    connected: ScriptedServer,
    source: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    said: str,
) -> None:
    """With the value, before any request."""
    (tmp_path / "latin").write_bytes("é\n".encode("latin-1"))
    words = [word.replace("{f}", source).replace("{d}", str(tmp_path)) for word in argv]
    assert said in refused(words, capsys)
    assert connected.received == []


# Cases


def test_exec_cases_gives_one_line_for_each(
    connected: ScriptedServer, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In order, with the number of the case's own line."""
    cases = tmp_path / "cases.jsonl"
    cases.write_text(
        '{"stdin": "1\\n", "expected": "2\\n"}\n\n'
        '{"arguments": ["-v"], "files": {"a": "b"}, "expected": {"stdout": "x"}}\n{}\n'
    )
    connected.reply(
        200,
        response({"verdict": "correct"}, {"verdict": "incorrect", "stdout": "é"}, {}),
    )
    assert main(["exec", source, "--cases", str(cases), "--comparator", "trimmed"]) == 1
    assert connected.received[0].json["cases"] == [
        {"stdin": "1\n", "expected": {"stdout": "2\n", "comparator": "trimmed"}},
        {"arguments": ["-v"], "files": {"a": "b"}, "expected": {"stdout": "x"}},
        {},
    ]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["line"], line["verdict"], line["stdout"]) for line in lines] == [
        (1, "correct", ""),
        (3, "incorrect", "é"),
        (4, None, ""),
    ]


def test_exec_many_cases_are_sent_in_portions_and_a_failure_ends_them_all(
    connected: ScriptedServer, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every case has a line, also those of portions that were not sent."""
    cases = tmp_path / "cases.jsonl"
    cases.write_text('{"expected": ""}\n' * 2001)
    ok = {"verdict": "correct"}
    failed = {"status": "exit_nonzero", "exit_code": 1, "verdict": "exit_nonzero"}
    connected.reply(200, response(*[ok] * 1000)).reply(200, response(*[ok] * 999, failed))
    assert main(["exec", source, "--cases", str(cases), "--stop-at-first-failure"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["line"] for line in lines] == list(range(1, 2002))
    assert (lines[-1]["status"], lines[-1]["verdict"]) == ("not_run", "not_run")
    assert [len(request.json["cases"]) for request in connected.received] == [1000, 1000]


def test_exec_cases_whose_service_fails_say_from_which_line_on(
    connected: ScriptedServer,
    source: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was answered before is there."""
    cases = tmp_path / "cases.jsonl"
    cases.write_text("{}\n" * 1001)
    connected.reply(200, response(*[{}] * 1000))
    connected.reply(500, {"error": {"code": "internal", "message": "no", "retryable": False}})
    assert main(["exec", source, "--cases", str(cases)]) == 3
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1000
    assert shown.err.startswith("execbox: no answer for the cases from line 1001 on: ")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not strict JSON"),
        ('{"stdin": NaN}', "not strict JSON"),
        ("[1]", "must be a JSON object"),
        ('{"stdin": 1}', "stdin"),
        ('{"input": "x"}', "input"),
        ('{"files": {"/etc/passwd": "x"}}', "is absolute"),
        ('{"expected": {"stdout": "x", "comparator": "fuzzy"}}', "comparator"),
    ],
)
def test_exec_bad_case_is_named_with_its_line(
    connected: ScriptedServer,
    source: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    line: str,
    said: str,
) -> None:
    """And no case is run."""
    cases = tmp_path / "cases.jsonl"
    cases.write_text(f"{{}}\n{line}\n")
    message = refused([source, "--cases", str(cases)], capsys)
    assert message.startswith(f"{cases}, line 2: ")
    assert said in message
    assert connected.received == []


def test_exec_empty_cases_are_said_to_be(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No cases are no success."""
    cases = tmp_path / "cases.jsonl"
    cases.write_text("\n\n")
    assert "holds no cases" in refused([source, "--cases", str(cases)], capsys)


# Files that come back


def fetch(connected: ScriptedServer, source: str, into: Path, name: str, *options: str) -> int:
    """Run a program that leaves one file of this name."""
    connected.reply(200, response({"files": {name: fetched(b"new")}}))
    return main(["exec", source, "--fetch", "**", "--into", str(into), *options])


def test_exec_fetched_files_are_written_into_the_directory(
    connected: ScriptedServer, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With their folders; what was left out is told."""
    connected.reply(
        200,
        response(
            {
                "files": {"a.bin": fetched(b"\xff\x00"), "d/e/f.txt": fetched(b"")},
                "files_left_out": [{"path": "link", "reason": "is a link"}],
            }
        ),
    )
    into = tmp_path / "new" / "out"
    assert main(["exec", source, "--fetch", "**", "--into", str(into)]) == 0
    assert (into / "a.bin").read_bytes() == b"\xff\x00"
    assert (into / "d" / "e" / "f.txt").read_bytes() == b""
    assert capsys.readouterr().err == "execbox: not fetched: link: is a link\n"


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../../x", "a//x", ".", "..", "a/.", "", "a\x00b"]
)
def test_exec_fetched_name_outside_of_the_directory_is_refused(
    connected: ScriptedServer,
    source: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    """Whatever a service says the file's name is."""
    into = tmp_path / "deep" / "out"
    assert fetch(connected, source, into, name, "--force") == 2
    assert "is no path below the directory" in capsys.readouterr().err
    assert [str(path) for path in tmp_path.rglob("x")] == []


def test_exec_fetched_file_follows_no_link(
    connected: ScriptedServer, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither of a folder nor of the file itself, which is replaced where that was asked for."""
    into, outside = tmp_path / "out", tmp_path / "outside"
    into.mkdir()
    outside.mkdir()
    (outside / "kept").write_text("old")
    (into / "folder").symlink_to(outside)
    (into / "file").symlink_to(outside / "kept")
    assert fetch(connected, source, into, "folder/x", "--force") == 2
    assert "is no folder" in capsys.readouterr().err
    assert fetch(connected, source, into, "file") == 2
    assert fetch(connected, source, into, "file", "--force") == 0
    assert (into / "file").read_text() == "new"
    assert not (into / "file").is_symlink()
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("kept", "old")]


def test_exec_fetched_file_replaces_one_only_with_force(
    connected: ScriptedServer, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And none is written where one of them must not be."""
    (tmp_path / "b").write_text("old")
    files = {"a": fetched(b"new"), "b": fetched(b"new")}
    connected.reply(200, response({"files": files, "stdout": "printed"}))
    argv = ["exec", source, "--fetch", "*", "--into", str(tmp_path)]
    assert main(argv) == 2
    shown = capsys.readouterr()
    assert shown.out == "printed"
    assert "is there already; --force replaces it" in shown.err
    assert (tmp_path / "b").read_text() == "old"
    assert not (tmp_path / "a").exists()
    connected.reply(200, response({"files": files}))
    assert main([*argv, "--force"]) == 0
    assert [(tmp_path / name).read_text() for name in "ab"] == ["new", "new"]


def test_exec_fetched_file_replaces_no_folder_and_no_pipe(
    connected: ScriptedServer, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even with --force."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert fetch(connected, source, tmp_path, "folder", "--force") == 2
    assert "is a folder" in capsys.readouterr().err
    assert fetch(connected, source, tmp_path, "pipe", "--force") == 2
    assert "is no regular file" in capsys.readouterr().err
