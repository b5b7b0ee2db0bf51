"""Files that commands read whole: ``-``, gzip, and formats that are refused by name."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from execbox.cli import main
from tests.client.cli_harness import USAGE, response

if TYPE_CHECKING:
    from tests.client.conftest import ScriptedServer

ONE_CASE = b'{"stdin": "1"}\n'


def cases_sent(
    server: ScriptedServer, source: str, cases: str, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    run = {"status": "ok", "stdout": "", "stderr": "", "usage": USAGE}
    server.reply(200, response() | {"runs": [run]})
    return main(["exec", source, "--cases", cases]), capsys.readouterr().err


def test_inputs_and_cases_are_read_packed(
    connected: ScriptedServer, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever their name is."""
    inputs, cases = tmp_path / "inputs.jsonl", tmp_path / "cases"
    inputs.write_bytes(gzip.compress(b'{"n": 1}\n[2]\n'))
    cases.write_bytes(gzip.compress(ONE_CASE))
    connected.reply(200, response({}, {}))
    assert main(["run", source, "--inputs", str(inputs)]) == 0
    assert connected.received[0].json["calls"] == [{"kwargs": {"n": 1}}, {"args": [2]}]
    assert cases_sent(connected, source, str(cases), capsys)[0] == 0
    assert connected.received[1].json["cases"] == [{"stdin": "1"}]


def test_packed_cases_are_read_from_standard_input(
    connected: ScriptedServer,
    source: str,
    stdin: Callable[[bytes], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As `gzip -c FILE |` gives them."""
    stdin(gzip.compress(ONE_CASE))
    assert cases_sent(connected, source, "-", capsys)[0] == 0
    assert connected.received[0].json["cases"] == [{"stdin": "1"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"stdin": "1"}]\n', "is one JSON array.*jq -c '.\\[\\]'"),
        (b'[\n  {"stdin": "1"}\n]\n', "is one JSON array"),
        (b'{\n  "stdin": "1"\n}\n', "is one JSON object.*jq -c '.'"),
        (gzip.compress(b'[{"stdin": "1"}]\n'), "is one JSON array"),
        (b"BZh91AY&SY", "is compressed with bzip2.*bunzip2"),
        (gzip.compress(ONE_CASE * 99)[:-9], "damaged or cut off"),
    ],
    ids=["array", "array over lines", "object", "packed array", "bzip2", "gzip cut off"],
)
def test_cases_of_other_formats_are_refused_by_name(
    source: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    message: str,
) -> None:
    """Before anything is sent, with the command that helps."""
    cases = tmp_path / "cases.jsonl"
    cases.write_bytes(content)
    assert main(["exec", source, "--cases", str(cases)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"execbox: {cases}: ")
    assert re.search(message, shown)


def test_inputs_array_over_lines_is_refused_and_one_on_a_line_is_a_call(
    connected: ScriptedServer, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line that is an array holds positional arguments."""
    inputs = tmp_path / "inputs.jsonl"
    inputs.write_text('[\n  {"n": 1}\n]\n')
    assert main(["run", source, "--inputs", str(inputs)]) == 2
    assert "is one JSON array" in capsys.readouterr().err
    inputs.write_text('[{"n": 1}, {"n": 2}]\n')
    connected.reply(200, response({}))
    assert main(["run", source, "--inputs", str(inputs)]) == 0
    assert connected.received[0].json["calls"] == [{"args": [{"n": 1}, {"n": 2}]}]


@pytest.mark.parametrize(
    "line",
    [
        "verify - --feedback-templates - -o v.jsonl",
        "prompts - --templates - -o p.jsonl",
        "revise - --request - -o r.jsonl",
        "interpret - --instructions - -o a.jsonl",
        "pipeline - --request - --directory d",
        "exec - --file a=-",
        "repl --file a=-",
    ],
)
def test_standard_input_cannot_be_two_files(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second would be read as empty."""
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    assert "- is standard input" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("revise v.jsonl --request - -o out.jsonl", b"Again: $feedback"),
        ("prompts f.jsonl --templates - -o out.jsonl", b'{"system": "Again:"}'),
    ],
)
def test_wording_is_read_from_standard_input(
    line: str, given: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every file is."""
    monkeypatch.chdir(tmp_path)
    function = {"problem_description": "p", "io_requirements": "r", "refcode": "c"}
    record = function | {"funcname": "f", "ios": [{"input": {"n": 1}, "output": 2}]}
    Path("f.jsonl").write_text(json.dumps(record) + "\n")
    asked = [{"role": "user", "content": "?"}]
    wrong = {"messages": asked, "output": "a", "verdict": "incorrect", "feedback": "no"}
    Path("v.jsonl").write_text(json.dumps(record | wrong) + "\n")
    reading = tmp_path / "stdin"
    reading.write_bytes(given)
    command = [sys.executable, "-m", "execbox", *line.split()]
    with reading.open("rb") as stdin:
        done = subprocess.run(command, stdin=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Again:" in Path("out.jsonl").read_text()
