"""Programs in bash and C++ over HTTP: through the client, a batch and ``execbox exec``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from execbox import Client, InvalidRequest
from execbox.wire import Program, ProgramLimits, RunAnswer
from tests.live_service import LiveService, live_service

pytestmark = pytest.mark.docker

DOUBLE = '#include <cstdio>\nint main() { int n; scanf("%d", &n); printf("%d\\n", 2 * n); }\n'


@pytest.fixture(scope="module")
def running(languages_image: str) -> Iterator[LiveService]:
    """A service on the image with more languages."""
    settings = {
        "image": languages_image,
        "pool_size": "1",
        "profiles_allowed": "default,processes",
        "isolation_allowed": "process,container",
        "compile_time_s_max": "20",
    }
    with live_service(settings) as service:
        yield service


def test_program_in_cpp_through_the_client(running: LiveService) -> None:
    """The language is all that differs from one in Python; the operator's maximum holds."""
    with Client(running.url) as client:
        response = client.run(DOUBLE, [{"stdin": "4", "expected": "8\n"}, "5"], language="cpp")
        assert [run.verdict for run in response.runs] == ["correct", None]
        assert response.runs[1].stdout == "10\n"
        assert response.compilation is not None
        program = Program(code="echo $1", language="bash", arguments=["x"])
        assert client.run(program).runs[0].stdout == "x\n"
        with pytest.raises(InvalidRequest, match="compile_time_s: 21"):
            client.run(DOUBLE, language="cpp", limits=ProgramLimits(compile_time_s=21))


def test_program_in_bash_as_a_line_of_a_batch(running: LiveService) -> None:
    """A line that asks for what cannot be has its error, and the others their answers."""
    lines = [
        {"id": "b", "op": "run", "program": {"code": "exit 3", "language": "bash"}},
        {"id": "c", "op": "run", "program": {"code": "int", "language": "cpp"}},
        {"id": "d", "op": "run", "program": {"code": "", "language": "cpp"}, "profile": "default"},
    ]
    with Client(running.url) as client:
        found = {result.id: result for result in client.batch(lines)}
    answers = [found[name].answer for name in "bc"]
    assert all(isinstance(answer, RunAnswer) for answer in answers)
    runs = [answer.runs[0] for answer in answers if isinstance(answer, RunAnswer)]
    assert [run.status for run in runs] == ["exit_nonzero", "compile_error"]
    assert found["d"].error is not None
    assert "leave it out" in found["d"].error.message


def test_exec_runs_a_source_by_its_name(running: LiveService, tmp_path: Path) -> None:
    """What it prints is printed, and its exit code is the command's; so with a compiler's text."""

    def ended(name: str, source: str, *options: str) -> tuple[int, str, str]:
        (tmp_path / name).write_text(source)
        command = [sys.executable, "-m", "execbox", "exec", "--url", running.url, name, *options]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, done.stdout, done.stderr

    assert ended("a.cpp", DOUBLE, "--stdin", "21") == (0, "42\n", "")
    assert ended("a.sh", 'echo "$1"; exit 5', "--", "x y") == (5, "x y\n", "")
    code, out, err = ended("b.cc", "int main() { return x; }\n")
    assert (code, out) == (1, "")
    assert "program.cpp:1:21: error" in err
    assert "execbox: b.cc: ended as compile_error\n" in err


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("cpp", DOUBLE, ("Success", 0, "Finished", 0)),
        ("cpp", "int main() { return 3; }", ("Failed", 0, "Finished", 3)),
        ("cpp", "int main( {", ("Failed", 1, "Finished", 1)),
        ("bash", "echo $(($(cat) * 2))", ("Success", None, "Finished", 0)),
        ("bash", "exit 4", ("Failed", None, "Finished", 4)),
    ],
)
def test_program_through_sandbox_fusions_contract(
    running: LiveService, language: str, code: str, expected: tuple[object, ...]
) -> None:
    """What the compiler said is apart from what the program did; both streams are texts."""
    body = {"code": code, "language": language, "stdin": "4", "compile_timeout": 9}
    told = running.post(json.dumps(body).encode(), path="/run_code").json
    compiled, ran = told["compile_result"], told["run_result"]
    found = (told["status"], compiled and compiled["return_code"], ran["status"])
    assert (*found, ran["return_code"]) == expected
    if told["status"] == "Success":
        assert ran["stdout"] == "8\n"
    if compiled and compiled["return_code"]:
        assert "error" in compiled["stderr"]
        assert isinstance(ran["stderr"], str)


def test_program_through_the_other_contracts(running: LiveService) -> None:
    """code-judge's ``cpp`` and NeMo-Skills' ``shell``."""
    submission = {"type": "cpp", "solution": DOUBLE, "input": "4", "expected_output": "8"}
    batch = {"submissions": [submission, submission | {"solution": "int"}]}
    told = running.post(json.dumps(batch).encode(), path="/run/long-batch").json["results"]
    assert [(each["success"], each["reason"]) for each in told] == [(True, ""), (False, "")]
    body = {"generated_code": "echo a; exit 2", "language": "shell", "timeout": 5}
    told = running.post(json.dumps(body).encode(), path="/execute").json
    assert (told["process_status"], told["stdout"]) == ("error", "a\n")
