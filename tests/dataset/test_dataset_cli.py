from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from execbox import wire
from execbox.cli import main
from execbox.cli.progress_display import LOG_S, line_of, shown_progress
from execbox.cli.terminal import Terminal
from execbox.dataset.steps.progress import Progress, Snapshot
from tests.dataset.files import answered, function, read_lines, write_lines
from tests.dataset.model_server import Reply, model_server
from tests.dataset.verifying import Doubling


def verified(number: int, verdict: str, **fields: object) -> dict[str, object]:
    return answered(number, f"answer {number}") | {"verdict": verdict, "feedback": "f"} | fields


def usage_error(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_summary_counts_results_and_failures_by_reason_and_exit_code_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is there, what is not and why, and where it is listed."""
    source = write_lines(tmp_path / "f.jsonl", [function(), b"{", function(ios=[])])
    output = tmp_path / "p.jsonl"
    assert main(["prompts", str(source), "-o", str(output), "--kinds", "output"]) == 1
    shown = capsys.readouterr().out
    assert f"prompts: 2 results in {output}, " in shown
    assert "  output         2\n" in shown
    assert f"2 without a result, listed in {output}.errors.jsonl\n" in shown
    assert "  no_pairs         1\n" in shown
    assert "  not_json         1\n" in shown


def test_json_prints_the_summary_as_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For scripts."""
    source = write_lines(tmp_path / "f.jsonl", [function()])
    output = tmp_path / "p.jsonl"
    assert main(["prompts", str(source), "-o", str(output), "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    summary = json.loads(line)
    assert summary["counts"] == {"input": 2, "output": 2}
    assert summary["errors"] == f"{output}.errors.jsonl"


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["prompts", "none.jsonl", "-o", "p.jsonl"], "none.jsonl: cannot be read"),
        (["prompts", "f.jsonl", "-o", "f.jsonl"], "is the input and the output at once"),
        (["prompts", "f.jsonl", "-o", "p.jsonl", "--pairs", "0"], "must be 1 or more, not 0"),
        (["prompts", "f.jsonl", "-o", "p.jsonl", "--templates", "none.json"], "none.json"),
        (["infer", "f.jsonl", "-o", "a.jsonl"], "EXECBOX_MODEL_URL"),
        (["infer", "f.jsonl", "-o", "a.jsonl", "--model-callable", "no.such:thing"], "no.such"),
        (["infer", "f.jsonl", "-o", "a.jsonl", "--model-callable", "json:decoder"], "no function"),
        (["infer", "f.jsonl", "-o", "a.jsonl", "--model-callable", "json"], "MODULE:FUNCTION"),
        (["infer", "f.jsonl", "-o", "a.jsonl", "--model-callable", "broken_model:f"], "NameError"),
        (["verify", "f.jsonl", "-o", "v.jsonl", "--memory-mb", "1"], "--memory-mb must be a whole"),
        (["verify", "f.jsonl", "-o", "v.jsonl", "--rel", "0.1"], "comparator tolerance"),
        (["verify", "f.jsonl", "-o", "v.jsonl", "--feedback-templates", "f.jsonl"], "f.jsonl"),
        (["revise", "f.jsonl", "-o", "r.jsonl", "--request", "none.txt"], "none.txt"),
        (["assemble", "f.jsonl", "none.jsonl", "-o", "t.jsonl"], "none.jsonl: cannot be read"),
        (["score", "predictions", "f.jsonl"], "verify it first"),
        (
            ["score", "cruxeval", "x", "--samples", "f.jsonl", "--mode", "input"],
            "x: cannot be read",
        ),
        (["pipeline", "none.jsonl", "--directory", "d"], "cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistake_is_one_line_that_says_what_and_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    problem: str,
) -> None:
    """No traceback, nothing written, nothing sent."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_model.py").write_text("nothing_has_this_name\n")
    write_lines(tmp_path / "f.jsonl", [function()])
    if argv[0] == "pipeline":
        monkeypatch.setenv("EXECBOX_MODEL_URL", "http://127.0.0.1:9/v1")
        monkeypatch.setenv("EXECBOX_MODEL", "m")
    assert main(argv) == 2
    shown = capsys.readouterr()
    assert problem in shown.err.replace("is not a function", "no function")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


@pytest.mark.parametrize(
    ("option", "problem"),
    [("temperature", "NAME=JSON"), ("a=x", "not strict JSON"), ("messages=[]", "neither model")],
)
def test_request_option_that_cannot_be_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], option: str, problem: str
) -> None:
    """Found by the parser."""
    assert problem in usage_error(["infer", "p", "-o", "a", "--option", option], capsys)


@pytest.mark.parametrize("ks", ["0", "a", "1,", "-1", "1.5"])
def test_k_that_is_no_number_is_a_usage_error(capsys: pytest.CaptureFixture[str], ks: str) -> None:
    """Found by the parser."""
    assert "numbers like 1,5,10" in usage_error(["score", "predictions", "v", f"--k={ks}"], capsys)


def test_infer_sends_sampling_and_key_and_counts_finish_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options become members of the request; the key comes from the environment only."""
    prompts = [{"messages": [{"role": "user", "content": str(n)}]} for n in range(3)]
    source = write_lines(tmp_path / "p.jsonl", prompts)
    with model_server(lambda *_: Reply("cut o", finish_reason="length")) as server:
        monkeypatch.setenv("EXECBOX_MODEL_API_KEY", "secret")
        argv = ["infer", str(source), "-o", str(tmp_path / "a.jsonl"), "--model-url", server.url]
        argv += ["--model", "m", "--temperature", "0.7", "--max-tokens", "5", "--samples", "2"]
        assert main([*argv, "--option", "stop=null", "--option", 'effort="low"']) == 0
    assert len(server.requests) == 6
    sent = {name: server.requests[0][name] for name in server.requests[0] if name != "messages"}
    assert sent == {
        "model": "m",
        "temperature": 0.7,
        "max_tokens": 5,
        "stop": None,
        "effort": "low",
    }
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert "length         6" in capsys.readouterr().out
    assert "secret" not in (tmp_path / "a.jsonl.run.json").read_text()


def test_model_that_refuses_the_key_is_exit_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not the caller's records, and nothing to go on with."""
    source = write_lines(tmp_path / "p.jsonl", [{"messages": [{"role": "user", "content": "?"}]}])
    with model_server(lambda *_: Reply(status=401, body=b"bad key")) as server:
        argv = ["infer", str(source), "-o", str(tmp_path / "a.jsonl")]
        assert main([*argv, "--model-url", server.url, "--model", "m"]) == 3
    assert "bad key" in capsys.readouterr().err


def test_service_that_is_not_there_is_exit_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same command goes on when it is back."""
    source = write_lines(tmp_path / "a.jsonl", [answered(1, "{}")])
    argv = ["verify", str(source), "-o", str(tmp_path / "v.jsonl"), "--url", "http://127.0.0.1:9"]
    assert main(argv) == 3
    assert "could not connect" in capsys.readouterr().err


@dataclass
class Generating(Doubling):
    """Gives one pair to every function, and notes how it was asked."""

    asked: list[dict[str, Any]] = field(default_factory=list)

    async def generate(
        self,
        function: wire.Function | str,
        input_generator: wire.InputGenerator | str,
        **options: Any,
    ) -> wire.GenerateResponse:
        self.asked.append(options)
        return await self.one_pair(isolation=options["isolation"])


@dataclass
class Executing(Doubling):
    """Gives 7 for every call, and says that it is deterministic."""

    async def execute(
        self,
        function: wire.Function | str,
        calls: Sequence[wire.Call | Mapping[str, object]],
        **options: Any,
    ) -> wire.ExecuteResponse:
        same = wire.Determinism(deterministic=True, cause=None, outputs=[], runs=2)
        ran = wire.Execution(status=wire.Status.OK, output=7, determinism=same)
        return wire.ExecuteResponse(
            executions=[ran for _ in calls],
            isolation=options["isolation"],
            engine="fake",
            image="sha256:0",
            queue_time_s=0.0,
        )


def test_model_callable_is_found_in_the_working_directory_behind_what_is_installed(
    tmp_path: Path,
) -> None:
    """By the installed command, which has its own folder on the path and not the caller's; a file
    there that is called as a module of Python's own hides none."""
    (tmp_path / "my_model.py").write_text("def answer(_):\n    return 'I do not know'\n")
    (tmp_path / "wave.py").write_text("raise SystemExit('hidden')\n")
    prompt = {"id": "a", "messages": [{"role": "user", "content": "?"}]}
    write_lines(tmp_path / "p.jsonl", [prompt])
    for model in ("my_model:answer", "wave:open"):
        argv = ["infer", "p.jsonl", "-o", "a.jsonl", "--model-callable", model, "--dry-run"]
        run = subprocess.run(
            [Path(sys.executable).with_name("execbox"), *argv],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert run.returncode == 0, run.stderr


def test_pipeline_generates_with_the_options_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Isolation, conversion and requests at once hold for every stage that asks the service."""
    service = Generating(slots=4)
    monkeypatch.setattr("execbox.cli.pipeline.async_client_of", lambda _: service)
    lines = [function(n, input_generator="def input_generator(): ...") for n in range(6)]
    for line in lines:
        del line["ios"]
    source = write_lines(tmp_path / "f.jsonl", lines)
    argv = ["pipeline", str(source), "--directory", str(tmp_path / "out"), "--rounds", "1"]
    options = ["--isolation", "container", "--convert", "codeio", "--requests", "1"]
    assert main([*argv, *options, "--model-callable", "json:dumps"]) == 0
    asked = {(options["isolation"], options["convert"]) for options in service.asked}
    assert (len(service.asked), asked) == (6, {("container", "codeio")})
    assert service.most_under_way == 1
    assert {*service.isolations, *service.converts} == {"container", "codeio"}


def test_assemble_shows_what_the_rounds_came_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Right at once, corrected, still wrong, unanswered, and the share so far."""
    first = [verified(0, "correct"), verified(1, "incorrect"), verified(2, "timeout")]
    one = write_lines(tmp_path / "v1.jsonl", first)
    assert main(["revise", str(one), "-o", str(tmp_path / "p2.jsonl")]) == 0
    (next_turn, _) = read_lines(tmp_path / "p2.jsonl")
    two = write_lines(tmp_path / "v2.jsonl", [verified(1, "correct") | next_turn])
    capsys.readouterr()
    assert main(["assemble", str(one), str(two), "-o", str(tmp_path / "t.jsonl")]) == 0
    table = capsys.readouterr().out.splitlines()[-3:]
    assert table[0].split("  ")[0] == "round"
    assert table[1].split() == ["1", "3", "1", "0", "2", "0", "1", "of", "3", "(33.3%)"]
    assert table[2].split() == ["2", "1", "0", "1", "0", "1", "2", "of", "3", "(66.7%)"]


def test_score_of_predictions_shows_pass_at_k_and_failures_by_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Number, interval, and what the failures were."""
    lines = [verified(n, "correct" if n % 4 else "incorrect") for n in range(8)]
    path = write_lines(tmp_path / "v.jsonl", lines)
    assert main(["score", "predictions", str(path), "--k", "1,2"]) == 0
    shown = capsys.readouterr().out
    assert "pass@1: 75.0   95 % 40.9 to 92.9, wilson" in shown
    assert "pass@2: not defined" in shown
    assert "  incorrect         2   25.0%" in shown


@pytest.mark.docker
def test_score_cruxeval_keeps_its_verdicts_and_says_what_is_missing(
    service_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command over the real service, with the reference scorer's number beside ours."""
    sample = {"code": "def f(x):\n    return x", "input": "1", "output": "1"}
    samples = write_lines(
        tmp_path / "s.jsonl", [sample | {"id": "sample_0"}, sample | {"id": "sample_1"}]
    )
    generations = tmp_path / "g.json"
    generations.write_text(json.dumps({"sample_0": ["1", "f(1)"]}))
    output = tmp_path / "verdicts.jsonl"
    argv = ["score", "cruxeval", str(generations), "--samples", str(samples), "--mode", "output"]
    assert main([*argv, "--k", "1", "--url", service_url, "-o", str(output)]) == 1
    shown = capsys.readouterr()
    assert "1 problems, 2 generations, 1 disqualified (wrong here, " in shown.out
    assert "pass@1: 50.0 " in shown.out
    assert "counted as the reference scorer does: 100.0" in shown.out
    assert "1 records have no verdict and are not scored: no_generations 1" in shown.err
    assert read_lines(output)[0]["outcomes"] == ["correct", "disqualified"]


def snapshot(done: int = 3) -> Snapshot:
    progress = Progress("infer", total_bytes=200, clock=lambda: 0.0)
    progress.read_bytes = 50
    for _ in range(done):
        progress.result("stop")
    progress.failure("rate\x1b[2Jlimited", retry=True)
    return progress.snapshot()


def test_progress_line_has_share_count_rate_and_reasons() -> None:
    """One line says how it stands."""
    assert line_of(snapshot()) == (
        "infer:  25% read | 4 done | 0.0/s | 0 s | stop 3 | without result: rate\x1b[2Jlimited 1"
    )


class Screen(io.StringIO):
    """A stream that is a terminal, or is none."""

    def __init__(self, *, interactive: bool) -> None:
        super().__init__()
        self._interactive = interactive

    def isatty(self) -> bool:
        return self._interactive


@pytest.mark.parametrize("interactive", [True, False])
def test_progress_is_rewritten_on_a_terminal_and_logged_seldom_elsewhere(
    interactive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log file gets a line every few seconds, a terminal without rich one line that is wiped in
    the end."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    now_s = 0.0
    screen = Screen(interactive=interactive)
    terminal = Terminal(out=io.StringIO(), err=screen, colored=False)
    with shown_progress(terminal, clock=lambda: now_s) as listener:
        for _ in range(100):
            now_s += LOG_S / 40
            listener(snapshot())
    text = screen.getvalue()
    assert "\x1b[2J" not in text
    if interactive:
        assert text.count("\r\x1b[K") > 50
        assert text.endswith("\r\x1b[K")
        assert "\n" not in text
    else:
        assert text.count("\n") == 2
        assert "\r" not in text


def test_rate_is_of_the_last_seconds_and_leaves_out_what_was_there() -> None:
    """A resumed run does not look faster than it is."""
    now_s = 0.0
    progress = Progress("s", total_bytes=0, clock=lambda: now_s)
    for _ in range(1000):
        progress.result("old", resumed=True)
    for _ in range(60):
        now_s += 1.0
        progress.result("new")
        found = progress.snapshot()
    assert found.rate_per_s == pytest.approx(1.0, rel=0.1)
    assert found.resumed_count == 1000
    assert found.share == 1.0


@pytest.mark.parametrize(
    "what",
    [["predictions", "v.jsonl"], ["leetcode-o", "l.jsonl"]],
    ids=lambda what: str(what[0]),
)
def test_score_as_json_is_one_line_with_everything(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: list[str],
) -> None:
    """Counts by kind and outcome are there by name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("execbox.cli.score.async_client_of", lambda _: Doubling())
    write_lines(Path("v.jsonl"), [verified(n, "correct" if n else "timeout") for n in range(4)])
    lines = [{"question_id": n, "expected_output": n, "output": "{}"} for n in range(4)]
    write_lines(Path("l.jsonl"), lines)
    assert main(["score", *what, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    score = found.get("score", found)
    assert score["problem_count"] == 4
    assert score["outcomes"]["output"] == (
        {"timeout": 1, "correct": 3} if what[0] == "predictions" else {"no_answer": 4}
    )


def test_pipeline_as_json_is_one_line_with_every_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rounds with their verdicts, and the summaries of the stages."""
    monkeypatch.setattr("execbox.cli.pipeline.async_client_of", lambda _: Generating())
    source = write_lines(tmp_path / "f.jsonl", [function()])
    argv = ["pipeline", str(source), "--directory", str(tmp_path / "out"), "--no-certify"]
    assert main([*argv, "--json", "--model-callable", "json:dumps"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert [each["verdicts"] for each in found["rounds"]] == [{"no_answer": 4}] * 2
    assert found["stages"][0]["summary"]["counts"] == {"input": 2, "output": 2}


def test_verdicts_of_a_score_can_go_to_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """And the score, beside them, to standard error."""
    monkeypatch.setattr("execbox.cli.score.async_client_of", lambda _: Doubling())
    lines = [{"question_id": n, "expected_output": n, "output": "{}"} for n in range(4)]
    source = write_lines(tmp_path / "l.jsonl", lines)
    assert main(["score", "leetcode-o", str(source), "-o", "-"]) == 0
    shown = capfd.readouterr()
    assert [json.loads(line)["verdict"] for line in shown.out.splitlines()] == ["no_answer"] * 4
    assert "questions   0.0 of 4" in shown.err


def test_standard_input_cannot_be_two_files(capsys: pytest.CaptureFixture[str]) -> None:
    """The second would be read as empty."""
    assert main(["verify", "-", "--functions", "-", "-o", "v.jsonl"]) == 2
    assert "only one of the files" in capsys.readouterr().err


def test_pipeline_reads_its_functions_from_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are kept with everything else, for they cannot be read again."""
    monkeypatch.setattr("execbox.cli.pipeline.async_client_of", lambda _: Generating())
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = json.dumps(function()).encode() + b"\n"
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    argv = ["pipeline", str(pipe), "--directory", str(tmp_path / "out"), "--no-certify"]
    assert main([*argv, "--model-callable", "json:dumps"]) == 0
    writer.join(timeout=10)
    assert len(read_lines(tmp_path / "out" / "train.jsonl")) == 4


def certifying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> list[Path]:
    """The files that the chain over pairs that exist made, beside its source."""
    service = Executing()
    monkeypatch.setattr("execbox.cli.pipeline.async_client_of", lambda _: service)
    source = write_lines(tmp_path / "f.jsonl", [function()])
    argv = ["pipeline", str(source), "--directory", str(tmp_path / "out"), "--rounds", "1"]
    assert main([*argv, *options, "--model-callable", "json:dumps"]) == 0
    return sorted((tmp_path / "out").glob("pairs.jsonl"))


def test_pipeline_certifies_pairs_that_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was published wrongly is put right before anything is asked about it."""
    (pairs,) = certifying(tmp_path, monkeypatch)
    (record,) = read_lines(pairs)
    assert [pair["output"] for pair in record["ios"]] == [7, 7]
    assert {entry["reason"] for entry in record["meta"]["execbox"]["corrected"]}
    asked = read_lines(tmp_path / "out" / "prompts-1.jsonl")
    assert {line["io"]["output"] for line in asked} == {7}


def test_pipeline_takes_pairs_as_they_are_where_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--no-certify leaves the stage out."""
    assert certifying(tmp_path, monkeypatch, "--no-certify") == []
    asked = read_lines(tmp_path / "out" / "prompts-1.jsonl")
    assert {line["io"]["output"] for line in asked} == {0, 2}
