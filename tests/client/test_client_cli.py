from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import execbox
from execbox import Client, wire
from execbox.cli import main, report
from execbox.cli.terminal import Terminal, open_terminal, visible

if TYPE_CHECKING:
    from tests.client.conftest import ScriptedServer

SOURCE = "def main_solution(n):\n    return n\n"
USAGE = {"cpu_time_s": 0.25, "wall_time_s": 0.5, "peak_memory_bytes": 10 * 1024 * 1024}
CLIENT_ROOT = Path(execbox.__file__).parent.parent


def response(*executions: Mapping[str, object]) -> dict[str, object]:
    """An execute response; each execution is ok unless its fields say otherwise."""
    return {
        "executions": [{"status": "ok", "output": None, "usage": USAGE, **e} for e in executions],
        "isolation": "container",
        "engine": "fake",
        "image": "sha256:0",
        "queue_time_s": 0.0,
        "a_field_of_the_future": True,
    }


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "f.py"
    path.write_text(SOURCE)
    return str(path)


def usage_error(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_run_all_ok_shows_output_and_exits_0(
    connected: ScriptedServer, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A good result is readable, plain in a pipe, and says nothing on stderr."""
    connected.reply(
        200, response({"output": {"a": [1, "é"]}, "stdout": "hello\nworld\n", "exit_code": 0})
    )
    assert main(["run", source, "--input", '{"n": 21}']) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out == (
        "call 1: ok   cpu 0.250 s, wall 0.500 s, peak 10.0 MiB\n"
        '  output: {"a": [1, "é"]}\n'
        "  stdout:\n"
        "    | hello\n"
        "    | world\n"
    )


def test_run_calls_of_every_kind_are_sent_in_order(
    connected: ScriptedServer, source: str, tmp_path: Path
) -> None:
    """The order on the command line is the order of the calls; those of files come last."""
    inputs = tmp_path / "inputs.jsonl"
    inputs.write_text('{"n": 5}\n\n[6]\n')
    connected.reply(200, response(*[{}] * 5))
    argv = ["--args", "[1]", "--input", '{"n": 2}', "--inputs", str(inputs), "--expression", "f(3)"]
    assert main(["run", source, *argv]) == 0
    assert connected.received[0].json == {
        "function": {"code": SOURCE},
        "calls": [
            {"args": [1]},
            {"kwargs": {"n": 2}},
            {"expression": "f(3)"},
            {"kwargs": {"n": 5}},
            {"args": [6]},
        ],
    }


def test_run_options_reach_the_request(connected: ScriptedServer, source: str) -> None:
    """Every option has its field, and only what was given is sent."""
    connected.reply(200, response({}))
    options = (
        "--entry-point f --prelude codeio --cpu-time-s 1.5 --wall-time-s 3 --memory-mb 64 "
        "--output-bytes 10 --stdout-bytes 0 --job-time-s 30 --runs 3 --complexity codeio "
        "--isolation process --profile processes --convert codeio"
    )
    assert main(["run", source, "--input", "{}", *options.split()]) == 0
    body = connected.received[0].json
    assert body["function"] == {"code": SOURCE, "entry_point": "f", "prelude": "codeio"}
    assert body["limits"] == {
        "cpu_time_s": 1.5,
        "wall_time_s": 3.0,
        "memory_mb": 64,
        "output_bytes": 10,
        "stdout_bytes": 0,
        "job_time_s": 30.0,
    }
    assert body["checks"] == {"determinism": {"runs": 3}, "complexity": "codeio"}
    chosen = [body[name] for name in ("isolation", "profile", "convert")]
    assert chosen == ["process", "processes", "codeio"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--stdin", "3 4\n"], "3 4\n"),
        (["--stdin", ""], ""),
        (["--stdin-file", "{dir}/text"], "ä\r\nb"),
        (["--stdin-file", "{dir}/bytes"], {"base64": "/wA="}),
        (["--stdin-file", "-"], "of the command\n"),
    ],
)
def test_run_stdin_is_given_to_every_call(
    connected: ScriptedServer,
    source: str,
    tmp_path: Path,
    stdin: Callable[[bytes], None],
    options: list[str],
    expected: object,
) -> None:
    """A text or a file's content, unchanged; what is no UTF-8 goes as base64."""
    (tmp_path / "text").write_bytes("ä\r\nb".encode())
    (tmp_path / "bytes").write_bytes(b"\xff\x00")
    stdin(b"of the command\n")
    connected.reply(200, response({}, {}))
    options = [option.format(dir=tmp_path) for option in options]
    assert main(["run", source, "--args", "[1]", "--expression", "f()", *options]) == 0
    assert connected.received[0].json["calls"] == [
        {"args": [1], "stdin": expected},
        {"expression": "f()", "stdin": expected},
    ]


def test_run_stdin_given_twice_exits_2(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command has one standard input, and a call one stdin."""
    call = ["--args", "[]"]
    error = usage_error(["run", source, *call, "--stdin", "a", "--stdin-file", "b"], capsys)
    assert "not allowed with argument --stdin" in error
    assert main(["run", "-", *call, "--stdin-file", "-"]) == 2
    assert "standard input can be one of FILE, --inputs and --stdin-file" in capsys.readouterr().err


def test_run_file_from_stdin_is_sent(
    connected: ScriptedServer, stdin: Callable[[bytes], None]
) -> None:
    """`-` reads the source from standard input."""
    stdin(SOURCE.encode())
    connected.reply(200, response({}))
    assert main(["run", "-", "--input", '{"n": 1}']) == 0
    assert connected.received[0].json["function"]["code"] == SOURCE


def test_run_inputs_from_stdin_are_sent(
    connected: ScriptedServer, source: str, stdin: Callable[[bytes], None]
) -> None:
    """`--inputs -` reads the calls from standard input."""
    stdin(b'{"n": 1}\n[2]\n')
    connected.reply(200, response({}, {}))
    assert main(["run", source, "--inputs", "-"]) == 0
    assert connected.received[0].json["calls"] == [{"kwargs": {"n": 1}}, {"args": [2]}]


def test_run_source_with_declared_encoding_is_read_as_python_reads_it(
    connected: ScriptedServer, tmp_path: Path
) -> None:
    """A coding line and a byte order mark mean what they mean to Python."""
    latin, marked = tmp_path / "latin.py", tmp_path / "marked.py"
    latin.write_bytes("# coding: latin-1\nx = 'é'\n".encode("latin-1"))
    marked.write_bytes(b"\xef\xbb\xbfx = 1\r\n")
    connected.reply(200, response({})).reply(200, response({}))
    assert main(["run", str(latin), "--args", "[]"]) == 0
    assert main(["run", str(marked), "--args", "[]"]) == 0
    codes = [request.json["function"]["code"] for request in connected.received]
    assert codes == ["# coding: latin-1\nx = 'é'\n", "x = 1\n"]


@pytest.mark.parametrize(
    ("execution", "lines"),
    [
        (
            {
                "status": "exception",
                "error": {
                    "type": "ValueError",
                    "message": "bad",
                    "traceback": "Traceback:\n  line 2, in f\nValueError: bad\n",
                    "line": 2,
                },
            },
            ["call 1: exception ", "  Traceback:", "    line 2, in f", "  ValueError: bad"],
        ),
        (
            {
                "status": "exception",
                "error": {
                    "type": "PermissionError",
                    "message": "[Errno 1] Operation not permitted",
                    "line": 2,
                },
            },
            [
                "call 1: exception ",
                "  PermissionError: [Errno 1] Operation not permitted (line 2)",
                "  note: the default profile permits neither a further process nor a socket; ",
            ],
        ),
        (
            {
                "status": "invalid_code",
                "error": {"type": "SyntaxError", "message": "oops", "line": 3},
            },
            ["call 1: invalid_code ", "  SyntaxError: oops (line 3)"],
        ),
        (
            {"status": "timeout", "limit": "cpu_time", "signal": "SIGKILL"},
            ["call 1: timeout (cpu_time limit reached, SIGKILL) "],
        ),
        ({"status": "no_result", "exit_code": 3}, ["call 1: no_result (exit code 3) "]),
        ({"status": "not_run", "usage": None}, ["call 1: not_run"]),
        (
            {
                "determinism": {
                    "deterministic": False,
                    "cause": "entropy",
                    "outputs": [1, 2],
                    "runs": 3,
                }
            },
            ["  deterministic: no, because of entropy; results seen:", "    1", "    2"],
        ),
        (
            {
                "complexity": {
                    "ok": False,
                    "violations": [
                        {
                            "path": 'output["a"]',
                            "rule": "container_items",
                            "measured": 30,
                            "limit": 20,
                        }
                    ],
                }
            },
            ["  size: over the limits", '    output["a"]: container_items is 30, must be below 20'],
        ),
    ],
    ids=lambda value: value.get("status", "checks") if isinstance(value, dict) else "",
)
def test_run_execution_not_all_right_is_explained_and_exits_1(
    execution: dict[str, object],
    lines: list[str],
    connected: ScriptedServer,
    source: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the code did is shown with its reason; it is a result, so stderr stays empty."""
    connected.reply(200, response(execution))
    assert main(["run", source, "--input", "{}"]) == 1
    shown = capsys.readouterr()
    assert shown.err == ""
    for line in lines:
        assert any(found.startswith(line) for found in shown.out.splitlines()), (line, shown.out)


def test_run_several_calls_end_with_counts(
    connected: ScriptedServer, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line counts the statuses, the most frequent first."""
    connected.reply(200, response({}, {"status": "timeout"}, {}))
    assert main(["run", source, *["--input", "{}"] * 3]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "3 calls: 2 ok, 1 timeout"


def test_run_passed_checks_and_flags_are_shown_and_exit_0(
    connected: ScriptedServer, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checks that passed, flags and truncation are said, and are no failure."""
    execution = {
        "output_flags": ["mutates_input", "non_finite"],
        "output_text": "[NaN]",
        "stdout": "x",
        "truncated": {"stdout": True, "stderr": False},
        "determinism": {"deterministic": True, "runs": 2},
        "complexity": {"ok": True},
    }
    connected.reply(200, response(execution))
    assert main(["run", source, "--input", "{}", "--runs", "2"]) == 0
    out = capsys.readouterr().out
    assert "output: [NaN] (not finite: no JSON form)" in out
    assert "note: the function changed its arguments" in out
    assert "stdout: (the rest was over stdout_bytes)" in out
    assert "deterministic: yes, same in 2 runs" in out
    assert "size: within the limits" in out


def test_run_json_prints_the_response_as_one_line(
    connected: ScriptedServer, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line is the response's own JSON, big integers and odd characters included."""
    output = [10**200, "é\u2028\x1b[31m"]
    connected.reply(200, response({"output": output}))
    assert main(["run", source, "--input", "{}", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isascii()
    answer = wire.ExecuteResponse.model_validate(json.loads(line))
    assert answer.executions[0].output == output


def test_run_control_characters_in_results_are_shown_not_obeyed(
    connected: ScriptedServer, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unread code cannot drive the terminal it is shown on."""
    error = {"type": "E\x1b]0;x\x07", "message": "\u202egnp", "traceback": "a\rb\x9b2J"}
    connected.reply(200, response({"status": "exception", "stdout": "\x1b[2J\x00", "error": error}))
    assert main(["run", source, "--input", "{}"]) == 1
    out = capsys.readouterr().out
    assert "    | \\x1b[2J\\x00\n" in out
    assert "a\\x0db\\x9b2J" in out
    assert not any(character in out for character in "\x1b\x00\x07\r\x9b\u202e")


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


def test_run_inputs_with_a_byte_order_mark_and_line_separators_are_read(
    connected: ScriptedServer, source: str, tmp_path: Path
) -> None:
    """Editors of Windows write the mark; U+2028 and U+0085 are characters of a string."""
    inputs = tmp_path / "inputs.jsonl"
    inputs.write_bytes(b'\xef\xbb\xbf{"n": "a\xe2\x80\xa8b\xc2\x85c"}\r\n[2]\r\n')
    connected.reply(200, response({}, {}))
    assert main(["run", source, "--inputs", str(inputs)]) == 0
    sent = connected.received[0].json["calls"]
    assert sent == [{"kwargs": {"n": "a\u2028b\x85c"}}, {"args": [2]}]


def test_run_non_finite_sends_the_words_of_pythons_json(
    connected: ScriptedServer, source: str
) -> None:
    """And says in the request that they are meant."""
    connected.reply(200, response({}, {}))
    argv = ["--args", "[NaN]", "--input", '{"n": -Infinity}', "--non-finite"]
    assert main(["run", source, *argv]) == 0
    body = connected.received[0].body
    assert b'"non_finite":true' in body
    assert b'{"args":[NaN]},{"kwargs":{"n":-Infinity}}' in body


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


def test_main_interrupted_exits_130_in_silence(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C is a wish, not an error."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "execute", interrupted)
    assert main(["run", source, "--input", "{}"]) == 130
    assert capsys.readouterr() == ("", "")


def test_main_bug_of_ours_is_one_line_and_exits_70(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even then no traceback, but the place, so that it can be reported."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(Client, "execute", broken)
    assert main(["run", source, "--input", "{}"]) == 70
    err = capsys.readouterr().err
    assert err.startswith("execbox: this is a bug in execbox: ZeroDivisionError: oh (")
    assert err.count("\n") == 1


@pytest.mark.parametrize("argv", [[], ["no-such-command"], ["run"]])
def test_main_without_what_it_needs_is_a_usage_error(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Usage errors are argparse's: exit code 2 and the usage on stderr."""
    assert "usage: execbox" in usage_error(argv, capsys)


@pytest.mark.parametrize("argv", [["--help"], ["run", "--help"], ["serve", "-h"], ["doctor", "-h"]])
def test_main_help_has_examples(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every help text shows how the command is used, within 100 columns."""
    with pytest.raises(SystemExit) as caught:
        main(argv)
    out = capsys.readouterr().out
    assert caught.value.code == 0
    assert "examples:\n  " in out
    assert max(map(len, out.splitlines())) <= 100


def serving(monkeypatch: pytest.MonkeyPatch, service: Any) -> None:
    monkeypatch.setitem(sys.modules, "execbox_service.main", service)


def test_serve_options_are_handed_to_the_service_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what was given overrides; the service's exit code is the command's."""
    seen: list[dict[str, str]] = []

    def serve(overrides: dict[str, str]) -> int:
        seen.append(overrides)
        return 7

    serving(monkeypatch, SimpleNamespace(serve=serve))
    argv = ["--host", "::1", "--port", "9000", "--engine", "docker", "--pool-size", "0"]
    assert main(["serve", *argv]) == 7
    assert main(["serve"]) == 7
    given = {"host": "::1", "port": "9000", "engine": "docker", "pool_size": "0"}
    assert seen == [given, {}]


def test_serve_without_the_extra_prints_the_install_line_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line can be copied as it is."""
    serving(monkeypatch, None)  # What makes Python's import fail.
    assert main(["serve"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "    pip install 'execbox[service]'\n" in shown.err


def test_serve_engine_package_missing_prints_the_install_line_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Packages the service loads late are no different from those it loads first."""

    def serve(_: dict[str, str]) -> int:
        raise ModuleNotFoundError("No module named 'docker'")

    serving(monkeypatch, SimpleNamespace(serve=serve))
    assert main(["serve"]) == 1
    err = capsys.readouterr().err
    assert "No module named 'docker'" in err
    assert "    pip install 'execbox[service]'\n" in err


@pytest.mark.parametrize("argv", [["--port", "65536"], ["--port", "x"], ["--pool-size", "-1"]])
def test_serve_impossible_number_is_a_usage_error(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The option is named."""
    assert f"argument {argv[0]}: " in usage_error(["serve", *argv], capsys)


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


def command(*argv: str, **environment: str) -> tuple[list[str], dict[str, str]]:
    inherited = {name: value for name, value in os.environ.items() if name == "PATH"}
    path = {"PYTHONPATH": str(CLIENT_ROOT)}
    return [sys.executable, "-m", "execbox", *argv], inherited | path | environment


def test_command_in_a_process_of_its_own_runs_a_file(server: ScriptedServer, source: str) -> None:
    """The whole way from the command line to the answer, in a bare environment."""
    server.reply(200, response({"output": 42}))
    argv, environment = command("run", source, "--input", '{"n": 42}', EXECBOX_URL=server.url)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "output: 42\n" in done.stdout


@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize(("argument", "code"), [("--version", 0), ("--wrong", 2)])
def test_command_without_a_standard_stream_ends_as_with_it(
    closing: str, argument: str, code: int
) -> None:
    """What is written to a stream that is closed goes nowhere."""
    argv, environment = command(argument)
    shell = ["sh", "-c", f'exec "$@" {closing}', "sh", *argv]
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)


def test_command_with_a_closed_pipe_ends_in_silence(server: ScriptedServer, source: str) -> None:
    """`execbox run ... | head -0` prints no complaint."""
    server.reply(200, response({"output": 42}))
    argv, environment = command("run", source, "--input", "{}", EXECBOX_URL=server.url)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        argv, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
