"""The whole chain with a real service and a scripted model, as the command runs it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from execbox.cli import main
from execbox.dataset.files.resume import errors_path
from tests.dataset.files import answered, function, read_lines, write_lines
from tests.dataset.model_server import ModelServer, Reply, model_server

_REPOSITORY = Path(__file__).parents[2]
_KINDS = 8
_GARBAGE = Reply(body=b"<html>busy</html>")


def behaviour(place: int) -> int:
    """How the question at ``place`` is answered; every way meets both kinds of question."""
    return (place + place // 2) % _KINDS


class Model:
    """Answers by the place of a question among the prompts: right, wrong, malformed, and worse."""

    def __init__(self, prompts: Path) -> None:
        self._prompts = prompts
        self._known: dict[str, tuple[int, dict[str, Any]]] = {}

    def __call__(self, messages: list[dict[str, Any]], before: int) -> Reply:
        if not self._known:
            for place, prompt in enumerate(read_lines(self._prompts)):
                self._known[prompt["messages"][0]["content"]] = (place, prompt)
        place, prompt = self._known[messages[0]["content"]]
        revised = len(messages) > 1
        match behaviour(place):
            case 1 if not revised:
                return Reply(self._answer(prompt, right=False))
            case 2:
                return Reply(self._answer(prompt, right=False))
            case 3 if not revised:
                return Reply("I cannot tell what comes out.")
            case 4:
                return Reply(self._answer(prompt, right=True), delay_s=0.2)
            case 5 if before == 0:
                return Reply(status=429, headers={"Retry-After": "0.05"})
            case 6 if before == 0:
                return Reply(status=500)
            case 7 if before == 0:
                return _GARBAGE
        return Reply(self._answer(prompt, right=True))

    @staticmethod
    def _answer(prompt: dict[str, Any], *, right: bool) -> str:
        kind = {"i": "input", "o": "output"}[prompt["io_pred"]]
        value = prompt["io"][kind] if right else {"no_such_name": 1}
        return f"Step by step.\n```json\n{json.dumps({kind: value})}\n```"


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    """Six of the examples, among them one that is dropped, without their pairs."""
    examples = {
        line["meta"]["name"]: line for line in read_lines(_REPOSITORY / "examples/functions.jsonl")
    }
    names = ["roman_sum", "edit_script", "stack_machine", "game_of_life", "bank_ledger"]
    chosen = [examples[name] for name in [*names, "first_come_tags"]]
    return write_lines(tmp_path / "functions.jsonl", chosen)


def connect(monkeypatch: pytest.MonkeyPatch, service_url: str, server: ModelServer) -> None:
    monkeypatch.setenv("EXECBOX_URL", service_url)
    monkeypatch.setenv("EXECBOX_MODEL_URL", server.url)
    monkeypatch.setenv("EXECBOX_MODEL", "scripted")


@pytest.mark.docker
def test_one_command_makes_training_records_of_functions(
    service_url: str,
    functions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Generate, ask, verify, revise, verify again, assemble; the table says what each round was."""
    folder = tmp_path / "out"
    with model_server(Model(folder / "prompts-1.jsonl")) as server:
        connect(monkeypatch, service_url, server)
        command = ["pipeline", str(functions), "--directory", str(folder), "--count", "4"]
        assert main(command) == 0
        shown = " ".join(capsys.readouterr().out.split())
        asked = len(server.requests)
        assert main(command) == 0
        assert len(server.requests) == asked
    # 5 functions, 3 pairs each, asked both ways: 30 questions.
    kinds = [behaviour(place) for place in range(30)]
    wrong = sum(kind in (1, 2, 3) for kind in kinds)
    never = kinds.count(2)
    assert f" 1 30 {30 - wrong} 0 {wrong} 0 " in shown
    assert f" 2 {wrong} 0 {wrong - never} {never} 0 " in shown
    assert f"{30 - never} of 30" in shown

    records = read_lines(folder / "train.jsonl")
    outcomes = ["corrected" if k in (1, 3) else "wrong" if k == 2 else "correct" for k in kinds]
    assert [record["outcome"] for record in records] == outcomes
    malformed, wrong_output = kinds.index(3), 1
    assert records[malformed]["turn_1"] == "I cannot tell what comes out."
    assert records[malformed]["feedback_1"]
    assert records[malformed]["turn_2"].startswith("Step by step.")
    assert "correct" in records[malformed]["feedback_2"].lower()
    # The feedback on a wrong output names what was predicted, and not what is right.
    prompt = read_lines(folder / "prompts-1.jsonl")[wrong_output]
    assert (prompt["io_pred"], kinds[wrong_output]) == ("o", 1)
    assert "no_such_name" in records[wrong_output]["feedback_1"]
    assert json.dumps(prompt["io"]["output"]) not in records[wrong_output]["feedback_1"]
    dropped = read_lines(folder / "pairs.jsonl.errors.jsonl")
    assert [entry["reason"] for entry in dropped] == ["non_deterministic"]


@pytest.mark.docker
def test_chain_killed_at_random_moments_ends_with_the_same_training_records(
    service_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step resumes, so the chain does."""
    pairs = write_lines(tmp_path / "pairs.jsonl", [function(100 * n) for n in range(10)])
    undisturbed, killed = tmp_path / "a", tmp_path / "b"
    moments = random.Random(5)
    with model_server(Model(undisturbed / "prompts-1.jsonl")) as server:
        connect(monkeypatch, service_url, server)
        command = [sys.executable, "-m", "execbox", "pipeline", str(pairs), "--directory"]
        options = ["--form", "messages", "--concurrency", "4", "--rounds", "3"]
        assert main([*command[3:], str(undisturbed), *options]) == 0
        for _ in range(3):
            process = subprocess.Popen(
                [*command, str(killed), *options], cwd=_REPOSITORY, stdout=subprocess.DEVNULL
            )
            time.sleep(0.8 + moments.random())
            process.kill()
            process.wait()
        assert main([*command[3:], str(killed), *options]) == 0
    assert (killed / "train.jsonl").read_bytes() == (undisturbed / "train.jsonl").read_bytes()
    for number in (1, 2, 3):
        name = f"verified-{number}.jsonl"
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.docker
@pytest.mark.corpus
def test_published_pairs_of_the_corpus_are_correct_predictions(
    service_url: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CodeI/O's own files go in; predicting what was published is correct but for the functions
    that are not deterministic or whose recorded inputs were changed by the call."""
    lines = read_lines(corpus / "codeio_functions.jsonl")
    functions = write_lines(tmp_path / "functions.jsonl", lines)
    gens = [
        {
            "itemid": itemid,
            "ioid": ioid,
            "io_pred": kind,
            "output": json.dumps({name: pair[name]}),
        }
        for itemid, line in enumerate(lines[:60])
        for ioid, pair in enumerate(line["ios"][:1])
        for kind, name in (("i", "input"), ("o", "output"))
    ]
    source, output = write_lines(tmp_path / "gens.jsonl", gens), tmp_path / "verified.jsonl"
    monkeypatch.setenv("EXECBOX_URL", service_url)
    command = ["verify", str(source), "-o", str(output), "--functions", str(functions)]
    main([*command, "--convert", "codeio"])
    verified = read_lines(output)
    assert len(verified) == len(gens)
    assert all(line["verdict"] == "correct" for line in verified if line["io_pred"] == "o")
    inputs = [line for line in verified if line["io_pred"] == "i"]
    assert sum(line["verdict"] == "correct" for line in inputs) >= 0.9 * len(inputs)


@pytest.mark.docker
def test_bad_answers_and_bad_lines_cost_milliseconds_and_only_themselves(
    service_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too long, too deep, given twice, unknown: a verdict or a line in the error file."""
    odd_answers = [
        '{"output": 1e400}',
        '{"output": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"output": ' + "9" * 5000 + "}",
        '{"output": 1, "output": 6}',
        '{"output": "' + "x" * 1_000_000 + '"}',
        "\ud800 \x00 {",
    ]
    good = answered(3, '{"output": 6}')
    bare = {"itemid": 99, "ioid": 0, "io_pred": "o", "output": "{}"}
    lines: list[object] = [good]
    lines += [good | {"id": f"odd{n}", "output": text} for n, text in enumerate(odd_answers)]
    lines += [
        good | {"id": "20 MB", "output": "x" * 20_000_000},
        b'{"id": "50 MB", "output": "' + b"x" * 50_000_000 + b'"}',
        b'{"id": "1e400", "io": 1e400}',
        b'{"id": "twice", "id": "twice"}',
        b'{"id": "digits", "io": ' + b"9" * 5000 + b"}",
        b'{"id": "deep", "io": ' + b"[" * 100_000,
        b"nonsense",
        bare,
        good | {"id": "last"},
    ]
    source, output = write_lines(tmp_path / "answers.jsonl", lines), tmp_path / "v.jsonl"
    functions = write_lines(tmp_path / "functions.jsonl", [function()])
    monkeypatch.setenv("EXECBOX_URL", service_url)
    begun_s = time.monotonic()
    assert main(["verify", str(source), "-o", str(output), "--functions", str(functions)]) == 1
    assert time.monotonic() - begun_s < 10
    verdicts = {line["id"]: line["verdict"] for line in read_lines(output)}
    assert verdicts.pop("3.0.o") == verdicts.pop("last") == "correct"
    assert set(verdicts) == {f"odd{n}" for n in range(len(odd_answers))}
    assert set(verdicts.values()) <= {"incorrect", "no_answer"}
    listed = [(entry["line"], entry["reason"]) for entry in read_lines(errors_path(output))]
    assert listed == [
        (8, "body_too_large"),
        (9, "line_too_long"),
        (10, "not_json"),
        (11, "not_json"),
        (12, "not_json"),
        (13, "too_deep"),
        (14, "not_json"),
        (15, "unknown_function"),
    ]
