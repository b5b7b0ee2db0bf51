"""Questions that a model answers by running code: how conversations go, end and are counted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from execbox import RetryPolicy, wire
from execbox.cli.interpret import _idle_time_s
from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.resume import errors_path
from execbox.dataset.steps import interpreters
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.interpret import InterpretOptions, open_interpret_step
from execbox.dataset.steps.model import CallableModel, Messages
from execbox.dataset.steps.progress import Summary
from execbox.errors import Overloaded, ServiceUnavailable
from tests.dataset.fake_service import FakeService
from tests.dataset.files import read_lines, write_lines

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "questions.jsonl"
USAGE = wire.Usage(cpu_time_s=0, wall_time_s=0, peak_memory_bytes=0)


@dataclass(kw_only=True)
class Interpreting(FakeService):
    """Prints what a block consists of; fails the first ``failures`` times."""

    failures: int = 0
    full_count: int = 0
    """How many times there is no room for a session."""
    ran: list[str] = field(default_factory=list)

    async def run(
        self,
        program: wire.Program | str,
        *,
        limits: wire.ProgramLimits | None = None,
        isolation: wire.Isolation | None = None,
    ) -> wire.RunResponse:
        assert limits is not None
        assert isinstance(program, wire.Program)
        self._fail()
        self.ran.append(program.code)
        run = wire.ProgramRun(status="ok", stdout=f"ran {program.code}", usage=USAGE)
        return wire.RunResponse(
            runs=[run], isolation=isolation or "container", engine="e", image="i", queue_time_s=0
        )

    @asynccontextmanager
    async def session(
        self, *, limits: wire.SessionLimits | None, idle_time_s: float, lifetime_s: float
    ) -> AsyncIterator[_Cells]:
        assert limits is not None
        # A killed run's sessions are in the way of the next one for so long.
        assert 600 < idle_time_s <= 900 < lifetime_s
        if self.full_count:
            self.full_count -= 1
            raise Overloaded("full", code="sessions_too_many", http_status=429, retryable=True)
        self.ran.append("begin")
        yield _Cells(self)
        self.ran.append("end")

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ServiceUnavailable("engine down", http_status=503, retryable=True)


@dataclass
class _Cells:
    service: Interpreting
    count: int = 0

    async def run(self, code: str) -> wire.CellResponse:
        self.service.ran.append(code)
        self.count += 1
        lost = code.startswith("exit")
        return wire.CellResponse(
            status="no_result" if lost else "ok", usage=USAGE, cell=self.count,
            value=None if lost else wire.CellValue(repr="5"),
            session_lost=lost, lost_reason="it ended itself" if lost else None,
        )  # fmt: skip


def block(code: str) -> str:
    return f"```python\n{code}\n```"


def scripted(*replies: str) -> Callable[[Messages], str]:
    """Says these one after the other in each conversation, and the last one again."""

    def reply(messages: Messages) -> str:
        said_count = sum(message["role"] == "assistant" for message in messages)
        return replies[min(said_count, len(replies) - 1)]

    return reply


def interpreted(
    tmp_path: Path,
    model: Callable[[Messages], str],
    *records: dict[str, object],
    service: Interpreting | None = None,
    **options: Any,
) -> tuple[Summary, Sequence[dict[str, Any]]]:
    """The summary of a run over these records, and its results."""
    lines = records or ({"question": "What?", "expected": 5},)
    step = open_interpret_step(
        CallableModel(model, name="m"), service or Interpreting(), InterpretOptions(**options)
    )
    output = tmp_path / "out.jsonl"
    summary = run_step(step, source=write_lines(tmp_path / "in.jsonl", lines), output=output)
    return summary, read_lines(output)


def test_results_are_fed_back_until_the_model_answers(tmp_path: Path) -> None:
    """Each block as a program; the record gets all of it and keeps its own fields."""
    model = scripted(block("a") + "\n<<<made up>>>", block("b"), "So <<< 5 >>>")
    summary, (record,) = interpreted(tmp_path, model)
    assert summary.counts == {"answered": 1}
    assert summary.tallies == {"block ok": 2, "answer correct": 1}
    assert (record["final_answer"], record["verdict"], record["question"]) == (
        "5",
        "correct",
        "What?",
    )
    assert record["blocks"] == [
        {"code": "a\n", "status": "ok", "stdout": "ran a\n"},
        {"code": "b\n", "status": "ok", "stdout": "ran b\n"},
    ]
    question, first, result, *_, last = record["transcript"]
    assert question["content"].endswith("What?")
    assert "up to 5 times" in question["content"]
    assert first == {"role": "assistant", "content": block("a")}
    assert result == {"role": "user", "content": "Status: ok\nOutput:\nran a"}
    assert last["content"] == "So <<< 5 >>>"


def test_model_that_never_answers_uses_up_its_blocks(tmp_path: Path) -> None:
    """It is told after the last one, and what it then wants to run is not run."""
    service = Interpreting()
    summary, (record,) = interpreted(tmp_path, scripted(block("a")), service=service, blocks_max=2)
    assert summary.counts == {"rounds_used_up": 1}
    assert (record["final_answer"], record["verdict"], len(service.ran)) == (None, None, 2)
    told = [each["content"] for each in record["transcript"] if each["role"] == "user"]
    assert ["last block" in text for text in told] == [False, False, True]


@pytest.mark.parametrize(
    ("reply", "ended", "verdict"),
    [
        ("I do not know.", "no_answer", None),
        ("<<<6>>>", "answered", "incorrect"),
        ("<<<5>>>", "answered", "correct"),
    ],
)
def test_conversation_without_a_block_ends_with_its_first_reply(
    tmp_path: Path, reply: str, ended: str, verdict: str | None
) -> None:
    """With or without an answer; having none is not being wrong."""
    _, (record,) = interpreted(tmp_path, scripted(reply))
    assert (record["ended"], record["verdict"], record["blocks"]) == (ended, verdict, [])


def test_failed_engine_is_unknown_and_asked_again_by_the_next_run(tmp_path: Path) -> None:
    """No verdict and no lost record; the next run has the whole conversation anew."""
    model, service = scripted(block("a"), "<<<5>>>"), Interpreting(failures=1)
    summary, records = interpreted(tmp_path, model, service=service)
    assert (summary.failures, records) == ({"unknown": 1}, [])
    (failure,) = read_lines(errors_path(tmp_path / "out.jsonl"))
    assert (failure["reason"], failure["retry"]) == ("unknown", True)
    assert "engine down" in failure["message"]
    summary, (record,) = interpreted(tmp_path, model, service=service)
    assert (summary.counts, record["verdict"]) == ({"answered": 1}, "correct")


def test_failed_model_is_counted_apart_and_asked_again(tmp_path: Path) -> None:
    """Also where it fails in the middle of a conversation."""
    healthy = False

    def model(messages: Messages) -> str:
        if len(messages) > 1 and not healthy:
            raise ValueError("sick")
        return scripted(block("a"), "<<<5>>>")(messages)

    summary, _ = interpreted(tmp_path, model)
    assert summary.failures == {"model_failed": 1}
    healthy = True
    summary, _ = interpreted(tmp_path, model)
    assert summary.counts == {"answered": 1}


def test_session_keeps_variables_and_one_that_ended_is_told_of(tmp_path: Path) -> None:
    """It begins with the first block; a new one takes the place of one that a block ended."""
    service = Interpreting()
    model = scripted(block("a"), block("exit"), block("b"), "<<<5>>>")
    _, (record,) = interpreted(tmp_path, model, service=service, run_as="session")
    assert service.ran == ["begin", "a\n", "exit\n", "begin", "b\n", "end", "end"]
    told = [each["content"] for each in record["transcript"] if each["role"] == "user"]
    assert "Variables stay" in told[0]
    assert told[1] == "Status: ok\nValue:\n5"
    assert "All variables are lost, because it ended itself." in told[2]
    assert [each["status"] for each in record["blocks"]] == ["ok", "no_result", "ok"]


def test_room_for_a_session_is_waited_for_until_a_killed_runs_are_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold every place of the key until they have been idle; the same command goes on."""
    policy = interpreters._until_room(InterpretOptions().idle_time_s)
    assert policy.window_s > InterpretOptions().idle_time_s
    at_once = replace(policy, backoff_s=0.0)
    monkeypatch.setattr(interpreters, "_until_room", lambda _idle_time_s: at_once)
    service, model = Interpreting(full_count=100), scripted(block("a"), "<<<5>>>")
    summary, _ = interpreted(tmp_path, model, service=service, run_as="session")
    assert (summary.counts, service.full_count) == ({"answered": 1}, 0)
    assert service.ran == ["begin", "a\n", "end"]


def test_room_for_a_session_that_never_comes_is_unknown_and_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait has an end."""
    policy = RetryPolicy(unavailable_retries_max=3, backoff_s=0.0)
    monkeypatch.setattr(interpreters, "_until_room", lambda _idle_time_s: policy)
    service = Interpreting(full_count=1_000_000)
    summary, _ = interpreted(tmp_path, scripted(block("a")), service=service, run_as="session")
    assert (summary.failures, summary.retryable_count) == ({"unknown": 1}, 1)
    assert service.full_count == 1_000_000 - 4


def test_session_is_not_begun_for_a_model_that_runs_nothing(tmp_path: Path) -> None:
    """A container costs time."""
    service = Interpreting()
    interpreted(tmp_path, scripted("<<<5>>>"), service=service, run_as="session")
    assert service.ran == []


def test_long_output_is_shown_in_part_and_kept_whole(tmp_path: Path) -> None:
    """Its beginning and, of more use, its end."""
    code = "x" * 500
    _, (record,) = interpreted(tmp_path, scripted(block(code), "<<<5>>>"), shown_chars_max=60)
    shown = record["transcript"][2]["content"]
    assert "[444 characters left out]" in shown
    assert len(shown) < 130
    assert record["blocks"][0]["stdout"] == f"ran {code}\n"


def test_source_that_no_service_takes_is_told_to_the_model(tmp_path: Path) -> None:
    """It is the model's doing, and no failure of the record."""
    service = Interpreting()
    _, (record,) = interpreted(tmp_path, scripted(block("a\x00"), "<<<5>>>"), service=service)
    assert (record["blocks"][0]["status"], service.ran) == ("refused", [])
    assert "NUL" in record["transcript"][2]["content"]


def test_records_name_their_fields_and_conversations_of_their_own_are_sent_as_they_are(
    tmp_path: Path,
) -> None:
    """``messages`` need no instructions of ours; ``answer`` is not overwritten."""
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    summary, (own, asked) = interpreted(
        tmp_path,
        scripted("<<<x>>>"),
        {"messages": messages, "answer": "x"},
        {"prompt": "p", "answer": "y"},
        question_field="prompt",
        expected_field="answer",
    )
    assert own["transcript"][:2] == messages
    assert [own["verdict"], asked["verdict"], asked["answer"]] == ["correct", "incorrect", "y"]
    assert summary.tallies == {"answer correct": 1, "answer incorrect": 1}


def test_records_without_a_question_are_listed(tmp_path: Path) -> None:
    """With what is missing, and the rest is asked."""
    summary, records = interpreted(
        tmp_path, scripted("<<<5>>>"), {"text": "?"}, {"messages": []}, {"question": "What?"}
    )
    assert (summary.failure_count, len(records)) == (2, 1)
    assert '"question"' in read_lines(errors_path(tmp_path / "out.jsonl"))[0]["message"]


@pytest.mark.parametrize("name", ["blocks_max", "shown_chars_max", "concurrency"])
def test_options_out_of_range_are_refused(name: str) -> None:
    """Before anything is asked."""
    with pytest.raises(DatasetError, match=name):
        replace(InterpretOptions(), **{name: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer_timeout_s", "idle_time_s"), [(10, 900), (600, 900), (1200, 1800), (5000, 3600)]
)
def test_sessions_outlive_the_longest_answer_of_the_model(
    answer_timeout_s: float, idle_time_s: float
) -> None:
    """And not by much, as far as the service permits."""
    assert _idle_time_s(answer_timeout_s) == idle_time_s


def interpret_examples(url: str, questions: Path, output: Path, *options: str) -> dict[str, Any]:
    """What the command says at its end, run beside the model server that the examples have."""
    command = [
        *(sys.executable, "examples/scripted_model.py", sys.executable, "-m", "execbox"),
        *("interpret", str(questions), "-o", str(output), "--url", url, "--json", *options),
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout))


@pytest.mark.docker
def test_examples_are_interpreted_in_one_command(service_url: str, tmp_path: Path) -> None:
    """Against a real service and a model server: every way a question can end, and each block's
    own status."""
    output = tmp_path / "answers.jsonl"
    summary = interpret_examples(service_url, EXAMPLES, output, "--cpu-time-s", "2")
    assert summary["counts"] == {"answered": 6, "no_answer": 1, "rounds_used_up": 1}
    assert summary["tallies"] == {
        "answer correct": 5,
        "answer incorrect": 1,
        "block ok": 10,
        "block timeout": 1,
        "block exit_nonzero": 1,
    }
    by_id = {record["id"]: record for record in read_lines(output)}
    told = by_id["primes"]["transcript"][2]["content"]
    assert told.startswith("Status: exit_nonzero\nErrors:\nTraceback")
    told = by_id["collatz"]["transcript"][2]["content"]
    assert "It was stopped at its limit on cpu time." in told


@pytest.mark.docker
def test_blocks_are_cells_of_one_session_where_that_is_wanted(
    service_url: str, tmp_path: Path
) -> None:
    """Each with the status of a cell, in a real session."""
    wanted = [line for line in read_lines(EXAMPLES) if line["id"] == "primes"]
    questions, output = write_lines(tmp_path / "q.jsonl", wanted), tmp_path / "answers.jsonl"
    summary = interpret_examples(service_url, questions, output, "--run-as", "session")
    assert summary["tallies"] == {"answer correct": 1, "block ok": 1, "block exception": 1}
    (record,) = read_lines(output)
    assert 'File "<cell 1>", line 5' in record["transcript"][2]["content"]
