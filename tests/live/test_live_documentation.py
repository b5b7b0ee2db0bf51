"""The examples of README.md and docs/, run as they stand against a service on real containers."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live_service import LiveService, live_service

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[2]
README_URL = "http://127.0.0.1:8080"
NUMBER = re.compile(r"\d+\.\d+")


@pytest.fixture(scope="module")
def service_of_examples(_no_settings_from_outside: None) -> Iterator[LiveService]:
    """As `make serve` starts it, but for the port."""
    with live_service({}) as running:
        yield running


def blocks(page: str, language: str) -> list[str]:
    """The contents of a page's blocks in one language; "" are those that name none."""
    # The fences one after the other: every other one ends a block.
    text = (ROOT / page).read_text("utf-8")
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [content for named, content in fences if named == language]


def the_block(page: str, language: str, *, starts: str) -> str:
    """The one block that begins so."""
    (found,) = (block for block in blocks(page, language) if block.startswith(starts))
    return found


def run_python(source: str, *, service: LiveService, folder: Path) -> str:
    """What a program prints, as a user's own."""
    run = subprocess.run(
        [sys.executable, "-c", source.replace(README_URL, service.url)],
        env=os.environ | {"EXECBOX_URL": service.url},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_readme_request_is_answered_as_the_readme_says(service_of_examples: LiveService) -> None:
    """The fields that are shown, but for figures and where the traceback is left out."""
    words = shlex.split(the_block("README.md", "", starts="curl"))
    url = words[2].replace(README_URL, service_of_examples.url)
    name, value = words[words.index("-H") + 1].split(": ")
    body = words[words.index("-d") + 1]
    answer = httpx.post(url, content=body, headers={name: value}, timeout=60)
    assert answer.status_code == 200
    shown = json.loads(the_block("README.md", "json", starts='{"executions"'))
    for execution, as_shown in zip(answer.json()["executions"], shown["executions"], strict=True):
        assert (execution["status"], execution["output"]) == (
            as_shown["status"],
            as_shown["output"],
        )
        for key in ("type", "message", "line"):
            if "error" in as_shown:
                assert execution["error"][key] == as_shown["error"][key]
        assert set(as_shown.get("usage", {})) <= set(execution["usage"])
    assert set(shown) <= set(answer.json())


def test_readme_program_prints_what_the_readme_says(
    service_of_examples: LiveService, tmp_path: Path
) -> None:
    """The order of the set differs from run to run, which is what the example is about."""
    source = the_block("README.md", "python", starts="from execbox import Checks")
    printed = run_python(source, service=service_of_examples, folder=tmp_path)
    shown = the_block("README.md", "", starts="ok [")
    assert [set(re.findall(r"\w+", line)) for line in printed.splitlines()] == [
        set(re.findall(r"\w+", line)) for line in shown.splitlines()
    ]


def test_readme_command_prints_what_the_readme_says(
    service_of_examples: LiveService, tmp_path: Path
) -> None:
    """Its file is the function whose line the traceback quotes; figures differ."""
    shown = the_block("README.md", "", starts="$ execbox run leap.py")
    command, expected = shown.removeprefix("$ ").split("\n", 1)
    (line,) = re.findall(r"^ +(return year .*)$", expected, re.MULTILINE)
    (tmp_path / "leap.py").write_text(f"def main_solution(year):\n    {line}\n", "utf-8")
    run = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        env=os.environ | {"EXECBOX_URL": service_of_examples.url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert NUMBER.sub("N", run.stdout) == NUMBER.sub("N", expected)


def test_verify_page_program_prints_what_the_page_says(
    service_of_examples: LiveService, tmp_path: Path
) -> None:
    """Verdicts and feedback, word for word."""
    source = the_block("docs/verify.md", "python", starts="from execbox import Client")
    printed = run_python(source, service=service_of_examples, folder=tmp_path)
    assert printed == the_block("docs/verify.md", "", starts="a correct")


def test_programs_page_program_prints_what_the_page_says(
    service_of_examples: LiveService, tmp_path: Path
) -> None:
    """Statuses, exit codes and verdicts, word for word."""
    source = the_block("docs/programs.md", "python", starts="from execbox import Client")
    printed = run_python(source, service=service_of_examples, folder=tmp_path)
    assert printed == the_block("docs/programs.md", "", starts="ok 0 correct")


def test_programs_page_commands_print_what_the_page_says(
    service_of_examples: LiveService, tmp_path: Path
) -> None:
    """Pasted into a shell, but for the line that puts the commands on the path."""
    activation, commands = the_block("docs/programs.md", "", starts=". .venv").split("\n", 1)
    assert activation.startswith(". .venv/bin/activate ")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        ["sh", "-eu", "-c", commands],
        env=os.environ | {"EXECBOX_URL": service_of_examples.url, "PATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == the_block("docs/programs.md", "", starts="42 a b")


def test_exec_of_a_program_that_takes_too_long_or_too_much_says_which(
    service_of_examples: LiveService, tmp_path: Path
) -> None:
    """By its exit code; what it wrote before is there, as bytes."""
    (tmp_path / "loops.py").write_text(
        "import sys\nsys.stdout.buffer.write(b'\\xff')\nsys.stdout.flush()\nwhile True: pass\n"
    )
    (tmp_path / "grows.py").write_text("x = [bytearray(2**20) for _ in range(4096)]\n")
    (tmp_path / "crashes.py").write_text("import os\nos.abort()\n")
    ended = []
    for name in ("loops", "grows", "crashes"):
        options = ["--cpu-time-s", "0.5", "--memory-mb", "64", "--isolation", "process"]
        run = subprocess.run(
            [sys.executable, "-m", "execbox", "exec", f"{name}.py", *options],
            env=os.environ | {"EXECBOX_URL": service_of_examples.url},
            cwd=tmp_path,
            capture_output=True,
            check=False,
            timeout=120,
        )
        ended.append((run.returncode, run.stdout))
    assert ended == [(124, b"\xff"), (123, b""), (134, b"")]


def test_sessions_page_program_prints_what_the_page_says(
    service_of_examples: LiveService, tmp_path: Path
) -> None:
    """What lasts from cell to cell, word for word."""
    source = the_block(
        "docs/sessions.md", "python", starts="from execbox import Client\nfrom execbox.wire"
    )
    printed = run_python(source, service=service_of_examples, folder=tmp_path)
    assert printed == the_block("docs/sessions.md", "", starts="ok '3")


@pytest.mark.parametrize(
    ("path", "printed"),
    [
        ("run_code", "Success 0 42"),
        ("test_program", "[1, 0]"),
        ("execute", "completed ''"),
        ("run/long-batch", "True True"),
    ],
)
def test_integrations_page_program_prints_what_the_page_says(
    service_of_examples: LiveService, tmp_path: Path, path: str, printed: str
) -> None:
    """What a contract's client sends and reads, word for word."""
    (source,) = (
        block
        for block in blocks("docs/integrations.md", "python")
        if f"{README_URL}/{path}" in block
    )
    found = run_python(source, service=service_of_examples, folder=tmp_path)
    assert found.strip() == the_block("docs/integrations.md", "", starts=printed).strip()


def test_sessions_page_program_that_looks_on_prints_what_the_page_says(
    service_of_examples: LiveService, tmp_path: Path
) -> None:
    """Each piece as it comes, and the whole at the end."""
    source = the_block(
        "docs/sessions.md", "python", starts="from execbox import Client\n\nwith Client"
    )
    printed = run_python(source, service=service_of_examples, folder=tmp_path)
    assert printed == the_block("docs/sessions.md", "", starts="'step 0")


def test_verify_page_batch_is_answered_line_for_line(
    service_of_examples: LiveService, tmp_path: Path
) -> None:
    """Through the loop that the page shows for the client."""
    lines = the_block("docs/verify.md", "", starts='{"id": "1", "op": "verify"')
    loop = the_block("docs/verify.md", "python", starts="with Client() as client:")
    source = (
        "import json\nfrom execbox import Client\n"
        f"lines = map(json.loads, {lines.splitlines()!r})\n"
        "def keep(id, answer):\n    print(id, type(answer).__name__)\n"
        f"{loop.replace('...  #', 'print(result.id, result.error.code)  #')}"
    )
    printed = run_python(source, service=service_of_examples, folder=tmp_path)
    answers = dict(line.split(" ") for line in printed.splitlines())
    assert (answers["1"], answers["2"]) == ("VerifyAnswer", "ExecuteAnswer")
    shown = the_block("docs/verify.md", "", starts='{"id":"2"')
    assert set(answers) == set(re.findall(r'"id":"(\d)"', shown))


def test_dataset_page_program_verifies_the_pairs_of_a_file(
    service_of_examples: LiveService, tmp_path: Path
) -> None:
    """Prompts, a model that is a Python function, and verdicts, as the page puts them together."""
    record = {
        "problem_description": "Double a number.",
        "io_requirements": "Input: n, an integer. Output: an integer.",
        "refcode": "def main_solution(n):\n    return 2 * n\n",
        "funcname": "main_solution",
        "ios": [{"input": {"n": 21}, "output": 42}],
        "meta": {},
    }
    (tmp_path / "pairs.jsonl").write_text(json.dumps(record) + "\n", "utf-8")
    source = the_block("docs/dataset.md", "python", starts="from pathlib import Path")
    printed = run_python(source, service=service_of_examples, folder=tmp_path)
    assert "correct" in printed
    verified = (tmp_path / "verified.jsonl").read_text("utf-8").splitlines()
    verdicts = {record["id"]: record["verdict"] for record in map(json.loads, verified)}
    assert sorted(verdicts.values()) == ["correct", "exception"]
