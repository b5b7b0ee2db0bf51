"""`execbox run`: what is sent, and how answers are shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from execbox import wire
from execbox.cli import main
from tests.client.cli_harness import SOURCE, response

if TYPE_CHECKING:
    from tests.client.conftest import ScriptedServer


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


FULL = {"error": {"code": "queue_full", "message": "16 jobs wait", "retryable": True}}


@pytest.mark.parametrize("quiet", [False, True])
def test_run_says_what_it_waits_for_unless_it_is_quiet(
    connected: ScriptedServer,
    source: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    quiet: bool,
) -> None:
    """Once for a while, however often the service says that it is full."""
    monkeypatch.setattr("execbox.cli.services._SILENT_S", 0.0)
    for _ in range(2):
        connected.reply(429, FULL)
    connected.reply(200, response({"output": 1}))
    assert main(["run", source, "--input", '{"n": 21}', *["--quiet"] * quiet]) == 0
    assert len(connected.received) == 3
    said = (
        [] if quiet else ["execbox: waiting, and trying again until 600 s are over: 16 jobs wait"]
    )
    assert capsys.readouterr().err.splitlines() == said


def test_run_says_nothing_of_a_wait_of_a_moment(
    connected: ScriptedServer, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pause of a quarter of a second is not worth a word."""
    connected.reply(429, FULL)
    connected.reply(200, response({"output": 1}))
    assert main(["run", source, "--input", '{"n": 21}']) == 0
    assert capsys.readouterr().err == ""
