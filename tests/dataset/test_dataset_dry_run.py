"""`--dry-run`: what a run would send is what it then sends, and nothing is sent or written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from execbox.cli import main
from execbox.dataset.files.resume import errors_path
from tests.dataset.files import function, read_lines, write_lines
from tests.dataset.model_server import Reply, model_server
from tests.dataset.verifying import Doubling


def asked(argv: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The estimate of a command, as JSON."""
    capsys.readouterr()
    assert main([*argv, "--dry-run", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def questions(folder: Path, count: int = 5) -> Path:
    lines: list[object] = [
        {"messages": [{"role": "user", "content": f"what is \u00e9 {n}?"}]} for n in range(count)
    ]
    return write_lines(folder / "p.jsonl", [*lines, b"{", {"messages": []}])


def chars(requests: list[dict[str, Any]]) -> int:
    return sum(len(each["content"]) for request in requests for each in request["messages"])


def test_infer_says_what_it_then_sends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Requests and characters, samples included; before the run nothing arrives or is written."""
    source = questions(tmp_path)
    with model_server(lambda *_: Reply("a")) as server:
        argv = ["infer", str(source), "-o", str(tmp_path / "a.jsonl"), "--samples", "3"]
        argv += ["--model-url", server.url, "--model", "m", "--max-tokens", "100"]
        found = asked(argv, capsys)
        assert server.requests == []
        assert list(tmp_path.iterdir()) == [source]
        assert main(argv) == 1
        counts = (found["request_count_min"], found["request_count_max"], len(server.requests))
        assert counts == (15, 15, 15)
        assert found["prompt_chars"] == chars(server.requests)
        assert found["prompt_tokens_about"] == -(-found["prompt_chars"] // 4)
        assert found["unusable_count"] == len(read_lines(errors_path(tmp_path / "a.jsonl")))
        assert found["answer_tokens_max"] == 1500
        assert found["dry_run"] is True


def test_infer_counts_what_is_left_of_an_earlier_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure that is tried again counts, a torn line counts; `--restart` counts everything."""
    source, output = questions(tmp_path), tmp_path / "a.jsonl"
    sick = {"what is \u00e9 1?", "what is \u00e9 3?"}

    def answer(messages: list[dict[str, Any]], _: int) -> Reply:
        return Reply(status=400, body=b"no") if messages[-1]["content"] in sick else Reply("a")

    with model_server(answer) as server:
        argv = ["infer", str(source), "-o", str(output), "--model-url", server.url, "--model", "m"]
        assert main(argv) == 1
        found = asked(argv, capsys)
        assert (len(read_lines(output)), found["request_count_max"]) == (3, 2)
        before = output.read_bytes()
        output.write_bytes(before[:-9])
        assert asked(argv, capsys)["request_count_max"] == found["request_count_max"] + 1
        assert output.read_bytes() == before[:-9]
        assert asked([*argv, "--restart"], capsys)["request_count_max"] == 5
        capsys.readouterr()
        assert main([*argv, "--dry-run", "--temperature", "1"]) == 2
        assert "was begun with other settings" in capsys.readouterr().err


def test_interpret_says_between_which_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question takes a request, and one more for each block that it may run."""
    monkeypatch.setenv("EXECBOX_URL", "http://127.0.0.1:9")
    lines = [{"question": "abc"}, {"question": "abc"}, {"none": 1}]
    source = write_lines(tmp_path / "q.jsonl", lines)
    (tmp_path / "words").write_text("1234")
    argv = ["interpret", str(source), "-o", str(tmp_path / "a.jsonl"), "--blocks", "4"]
    argv += ["--model-callable", "json:dumps", "--instructions", str(tmp_path / "words")]
    found = asked(argv, capsys)
    assert (found["request_count_min"], found["request_count_max"]) == (2, 10)
    assert (found["prompt_chars"], found["unusable_count"]) == (14, 1)
    assert found["answer_tokens_max"] is None


def test_pipeline_stays_within_what_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least the first round, at most every question in every round."""
    monkeypatch.setattr("execbox.cli.pipeline.async_client_of", lambda _: Doubling())
    source = write_lines(tmp_path / "f.jsonl", [function(n) for n in range(3)])
    with model_server(lambda *_: Reply("a")) as server:
        argv = ["pipeline", str(source), "--directory", str(tmp_path / "out"), "--rounds", "2"]
        argv += ["--no-certify", "--model-url", server.url, "--model", "m"]
        found = asked(argv, capsys)
        assert server.requests == []
        assert not (tmp_path / "out").exists()
        assert found["request_count_min"] == found["question_count"] == 12
        assert main([*argv, "-q"]) == 0
        first = [each for each in server.requests if len(each["messages"]) == 1]
        assert found["prompt_chars"] == chars(first)
        assert found["request_count_min"] <= len(server.requests) <= found["request_count_max"]
        assert asked(argv, capsys)["request_count_max"] == 24 - len(server.requests)


def test_pipeline_before_its_pairs_are_made_says_at_most(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pairs may be dropped, and how long the questions are is not known."""
    lines = [function(n) for n in range(3)]
    argv = ["pipeline", str(tmp_path / "f.jsonl"), "--directory", str(tmp_path / "out")]
    argv += ["--rounds", "2", "--model-callable", "json:dumps"]
    write_lines(tmp_path / "f.jsonl", lines)
    certified = asked(argv, capsys)
    assert (certified["request_count_min"], certified["request_count_max"]) == (0, 24)
    for line in lines:
        del line["ios"]
    write_lines(tmp_path / "f.jsonl", lines)
    made = asked([*argv, "--count", "2", "--kinds", "input"], capsys)
    assert (made["request_count_min"], made["request_count_max"]) == (0, 12)
    assert made["prompt_chars"] is None
    write_lines(tmp_path / "f.jsonl", [*lines, b"{", b"[1]"])
    with_bad = asked([*argv, "--count", "2", "--kinds", "input"], capsys)
    assert with_bad == made | {"unusable_count": 2}


def test_estimate_is_a_few_lines_for_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it is to be quiet, for it is the answer."""
    source = questions(tmp_path, count=2000)
    argv = ["infer", str(source), "-o", "-", "--model-callable", "json:dumps", "--dry-run", "-q"]
    assert main(argv) == 0
    assert capsys.readouterr().out.splitlines() == [
        "infer: 2,000 requests would be sent; none was",
        "  questions                 2,000",
        "  answered already              0",
        "  unusable                      2",
        "  characters               28,890  of prompts",
        "  tokens of prompts         7,223  or so, at 4 characters each",
        "  answers: as long as the model likes; --max-tokens bounds them",
    ]
