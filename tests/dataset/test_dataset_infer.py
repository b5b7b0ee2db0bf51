from __future__ import annotations

import json
from pathlib import Path

import pytest

from execbox._model_endpoint import ModelEndpoint
from execbox.config import ModelConfig
from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.resume import errors_path
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.infer import PROMPTS_FAILED_IN_A_ROW_MAX, InferOptions, open_infer_step
from execbox.dataset.steps.model import CallableModel, Messages, ModelUnusable
from tests.dataset.files import read_lines, write_lines
from tests.dataset.model_server import Reply, model_server


def prompts(tmp_path: Path, count: int = 10) -> Path:
    lines = [
        {"id": f"p{i}", "messages": [{"role": "user", "content": f"twice {i}?"}], "extra": i}
        for i in range(count)
    ]
    return write_lines(tmp_path / "prompts.jsonl", lines)


def double(messages: Messages) -> str:
    number = int(str(messages[-1]["content"]).split()[1].rstrip("?"))
    return f'{{"output": {2 * number}}}'


def test_every_question_gets_an_answer_and_keeps_its_fields(tmp_path: Path) -> None:
    """The answer is added under CodeI/O's name."""
    output = tmp_path / "answers.jsonl"
    summary = run_step(
        open_infer_step(CallableModel(double, name="d")), source=prompts(tmp_path), output=output
    )
    lines = read_lines(output)
    assert [line["id"] for line in lines] == [f"p{i}" for i in range(10)]
    assert lines[3]["output"] == '{"output": 6}'
    assert (lines[3]["extra"], lines[3]["model"], lines[3]["finish_reason"]) == (3, "d", "stop")
    assert summary.counts == {"stop": 10}


def test_several_samples_have_ids_of_their_own(tmp_path: Path) -> None:
    """Each is asked for, resumed and scored by itself."""
    output = tmp_path / "answers.jsonl"
    run_step(
        open_infer_step(CallableModel(double), InferOptions(samples_count=3)),
        source=prompts(tmp_path, 2),
        output=output,
    )
    lines = read_lines(output)
    assert [line["id"] for line in lines] == ["p0#1", "p0#2", "p0#3", "p1#1", "p1#2", "p1#3"]
    assert [line["sample"] for line in lines] == [1, 2, 3, 1, 2, 3]


def test_failed_prompts_are_listed_and_asked_again_by_the_next_run(tmp_path: Path) -> None:
    """Recorded, never dropped; what was answered is not paid for twice."""
    sick = {3, 5}

    def model(messages: Messages) -> str:
        asked.append(str(messages[0]["content"]))
        if any(f"twice {i}?" in asked[-1] for i in sick):
            raise OSError("out of order")
        return double(messages)

    source, output = prompts(tmp_path), tmp_path / "answers.jsonl"
    asked: list[str] = []
    summary = run_step(open_infer_step(CallableModel(model)), source=source, output=output)
    assert (summary.failures, summary.retryable_count) == ({"callable": 2}, 2)
    listed = read_lines(errors_path(output))
    assert [(entry["id"], entry["retry"]) for entry in listed] == [("p3", True), ("p5", True)]
    assert "out of order" in listed[0]["message"]
    sick.clear()
    asked.clear()
    run_step(open_infer_step(CallableModel(model)), source=source, output=output)
    assert sorted(asked) == ["twice 3?", "twice 5?"]
    assert [line["id"] for line in read_lines(output)] == [f"p{i}" for i in range(10)]
    assert not errors_path(output).exists()


def test_model_that_answers_nothing_ends_the_run(tmp_path: Path) -> None:
    """A dead endpoint does not fill the error file with the whole dataset."""

    def dead(_: Messages) -> str:
        raise OSError("dead")

    output = tmp_path / "answers.jsonl"
    with pytest.raises(ModelUnusable, match="prompts in a row"):
        run_step(open_infer_step(CallableModel(dead)), source=prompts(tmp_path, 500), output=output)
    assert len(read_lines(errors_path(output))) < 2 * PROMPTS_FAILED_IN_A_ROW_MAX


def test_records_without_a_conversation_are_listed(tmp_path: Path) -> None:
    """A line that asks nothing is not sent."""
    bad = [{"messages": []}, {}, {"messages": "hi"}, {"messages": [{"role": "user"}]}]
    source = write_lines(tmp_path / "prompts.jsonl", bad)
    output = tmp_path / "answers.jsonl"
    summary = run_step(open_infer_step(CallableModel(double)), source=source, output=output)
    assert summary.failures == {"invalid_field": 3, "missing_field": 1}
    assert summary.retryable_count == 0


def test_other_model_does_not_continue_a_file(tmp_path: Path) -> None:
    """Answers of two models are not mixed by accident."""
    source, output = prompts(tmp_path, 2), tmp_path / "answers.jsonl"
    run_step(
        open_infer_step(CallableModel(double), InferOptions(made_by={"model": "a"})),
        source=source,
        output=output,
    )
    with pytest.raises(DatasetError, match="model was 'a' and is 'b' now"):
        run_step(
            open_infer_step(CallableModel(double), InferOptions(made_by={"model": "b"})),
            source=source,
            output=output,
        )


def test_endpoint_is_asked_concurrently_and_every_kind_of_failure_is_got_over(
    tmp_path: Path,
) -> None:
    """Against a real server that is slow, busy, broken and wrong: every prompt is answered."""

    def script(messages: list[dict[str, object]], before: int) -> Reply:
        number = int(str(messages[0]["content"]).split()[1].rstrip("?"))
        kinds = [
            Reply(status=429, headers={"Retry-After": "0.05"}),
            Reply(status=500),
            Reply(body=b"garbage"),
            Reply("late", delay_s=0.05),
        ]
        if before == 0 and number % 5 < 4:
            return kinds[number % 5]
        return Reply(double(messages), delay_s=0.02)

    source, output = prompts(tmp_path, 40), tmp_path / "answers.jsonl"
    with model_server(script) as server:
        config = ModelConfig(base_url=server.url, model="m", backoff_s=0.01, backoff_max_s=0.02)
        summary = run_step(
            open_infer_step(ModelEndpoint(config), InferOptions(concurrency=8)),
            source=source,
            output=output,
        )
    assert summary.counts == {"stop": 40}
    assert 2 <= server.most_under_way <= 8
    right = [
        line
        for line in read_lines(output)
        if line["output"] == f'{{"output": {2 * line["extra"]}}}'
    ]
    assert len(right) == 32  # The other eight were answered late, and not rightly.


def test_answers_say_which_line_was_asked(tmp_path: Path) -> None:
    """As CodeI/O's script does, whose next step reads ``index``; one that is there stays."""
    line = {"messages": [{"role": "user", "content": "twice 1?"}]}
    lines = [line, line | {"index": 40}, line, b"", line]
    source, output = write_lines(tmp_path / "p.jsonl", lines), tmp_path / "a.jsonl"
    options = InferOptions(samples_count=2)
    run_step(open_infer_step(CallableModel(double), options), source=source, output=output)
    assert [line["index"] for line in read_lines(output)] == [0, 0, 40, 40, 2, 2, 4, 4]


def test_answers_without_any_text_are_counted_apart(tmp_path: Path) -> None:
    """An endpoint that puts everything into the reasoning gives no answers; the count says so."""
    bodies = [
        {"choices": [{"message": message, "finish_reason": "stop"}]}
        for message in (
            {"content": None, "reasoning_content": '{"output": 4}'},
            {"content": ""},
            {"content": "4", "reasoning_content": "2 + 2"},
        )
    ]

    def script(messages: list[dict[str, object]], _: int) -> Reply:
        number = int(str(messages[0]["content"]).split()[1].rstrip("?"))
        return Reply(body=json.dumps(bodies[number]).encode())

    with model_server(script) as server:
        model = ModelEndpoint(ModelConfig(base_url=server.url, model="m"))
        step = open_infer_step(model, InferOptions(concurrency=1))
        output = tmp_path / "answers.jsonl"
        summary = run_step(step, source=prompts(tmp_path, 3), output=output)
    assert summary.counts == {"stop, no text but reasoning": 1, "stop, no text": 1, "stop": 1}
