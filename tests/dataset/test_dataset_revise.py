from __future__ import annotations

import json
from pathlib import Path

import pytest

from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.resume import errors_path
from execbox.dataset.steps.assemble import AssembleOptions, open_assemble_step
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.revise import revise_step, round_counts
from tests.dataset.files import answered, read_lines, write_lines


def verified(number: int, verdict: str, *, turn: int = 1, **fields: object) -> dict[str, object]:
    """What verify writes about an answer of round ``turn``."""
    status = {"correct": "success", "incorrect": "failed"}.get(verdict, verdict)
    feedback = f"feedback {number}.{turn}"
    return answered(number, f"answer {number}.{turn}") | {
        "res": {"status": status, "message": feedback},
        "verdict": verdict,
        "feedback": feedback,
        "extracted": None,
        "model": "m",
        "finish_reason": "stop",
        **fields,
    }


def revised(tmp_path: Path, lines: list[dict[str, object]], name: str = "v") -> Path:
    source = write_lines(tmp_path / f"{name}.jsonl", lines)
    output = tmp_path / f"{name}-next.jsonl"
    run_step(revise_step(request="$feedback Again!"), source=source, output=output)
    return output


def test_next_turn_goes_on_from_the_conversation_for_what_was_not_right(tmp_path: Path) -> None:
    """Answer and feedback are appended, the round's own fields are gone, the rest stays."""
    lines = [verified(0, "correct"), verified(1, "incorrect"), verified(2, "timeout")]
    first, second = read_lines(revised(tmp_path, lines))
    assert first["id"] == "1.0.o"
    assert first["messages"] == [
        {"role": "user", "content": "twice 1?"},
        {"role": "assistant", "content": "answer 1.1"},
        {"role": "user", "content": "feedback 1.1 Again!"},
    ]
    assert first["turns"] == [
        {"response": "answer 1.1", "verdict": "incorrect", "feedback": "feedback 1.1"}
    ]
    assert {"output", "res", "verdict", "feedback", "extracted", "model"}.isdisjoint(first)
    assert first["io"] == {"input": {"n": 1}, "output": 2}
    assert second["turns"][0]["verdict"] == "timeout"


def test_third_turn_keeps_the_history_of_both_before(tmp_path: Path) -> None:
    """Any number of rounds."""
    (second,) = read_lines(revised(tmp_path, [verified(1, "incorrect")]))
    again = {
        **second,
        **{k: v for k, v in verified(1, "no_answer", turn=2).items() if k not in second},
    }
    (third,) = read_lines(revised(tmp_path, [again], "v2"))
    assert [turn["verdict"] for turn in third["turns"]] == ["incorrect", "no_answer"]
    assert [message["role"] for message in third["messages"]] == ["user", "assistant"] * 2 + [
        "user"
    ]


def test_files_of_codeios_own_checker_are_revised_too(tmp_path: Path) -> None:
    """A step can be swapped: res alone is enough."""
    line = answered(1, "answer") | {"res": {"status": "AssertionError", "message": "wrong"}}
    (next_turn,) = read_lines(revised(tmp_path, [line]))
    assert next_turn["turns"] == [
        {"response": "answer", "verdict": "AssertionError", "feedback": "wrong"}
    ]


def test_record_without_verdict_is_listed(tmp_path: Path) -> None:
    """Something that was not verified is not silently right or wrong."""
    output = revised(tmp_path, [answered(1, "answer")])
    (entry,) = read_lines(errors_path(output))
    assert entry["reason"] == "unverified"


@pytest.mark.parametrize("request_text", ["Again!", "$feedback $more", "$feedback $"])
def test_wording_without_feedback_is_refused(request_text: str) -> None:
    """A revision without its feedback is no revision."""
    with pytest.raises(DatasetError, match=r"\$feedback"):
        revise_step(request=request_text)


@pytest.fixture
def rounds(tmp_path: Path) -> list[Path]:
    """0 right at once, 1 corrected, 2 wrong twice, 3 not answered again."""
    first = [
        verified(0, "correct"),
        verified(1, "incorrect"),
        verified(2, "no_answer"),
        verified(3, "exception"),
    ]
    next_turn = {line["id"]: line for line in read_lines(revised(tmp_path, first, "r1"))}
    second = [
        verified(1, "correct", turn=2) | next_turn["1.0.o"],
        verified(2, "timeout", turn=2) | next_turn["2.0.o"],
    ]
    return [tmp_path / "r1.jsonl", write_lines(tmp_path / "r2.jsonl", second)]


def test_rounds_are_counted_as_figure_7_plots_them(rounds: list[Path]) -> None:
    """Right at once, corrected, still wrong, and what is missing from a round."""
    first, second = round_counts(rounds)
    assert (first.correct_count, first.corrected_count, first.wrong_count) == (1, 0, 3)
    assert (second.correct_count, second.corrected_count, second.wrong_count) == (0, 1, 1)
    assert (first.missing_count, second.missing_count) == (0, 1)
    assert second.verdicts == {"correct": 1, "timeout": 1}


def assembled(tmp_path: Path, rounds: list[Path], **options: object) -> list[dict[str, object]]:
    output = tmp_path / "train.jsonl"
    step = open_assemble_step(rounds, AssembleOptions(**options))  # type: ignore[arg-type]
    run_step(step, source=rounds[0], output=output, restart=True)
    return read_lines(output)


def test_codeio_plus_plus_fields_are_both_turns_and_their_feedback(
    tmp_path: Path, rounds: list[Path]
) -> None:
    """The paper's form; what there was not is null; how it ended is told."""
    records = assembled(tmp_path, rounds)
    fields = ("prompt", "turn_1", "feedback_1", "turn_2", "feedback_2", "outcome")
    assert [tuple(record[name] for name in fields) for record in records] == [
        ("twice 0?", "answer 0.1", "feedback 0.1", None, None, "correct"),
        ("twice 1?", "answer 1.1", "feedback 1.1", "answer 1.2", "feedback 1.2", "corrected"),
        ("twice 2?", "answer 2.1", "feedback 2.1", "answer 2.2", "feedback 2.2", "wrong"),
        ("twice 3?", "answer 3.1", "feedback 3.1", None, None, "not_revised"),
    ]


def test_codeio_fields_are_the_first_answer_alone(tmp_path: Path, rounds: list[Path]) -> None:
    """Without feedback, whatever later rounds said."""
    records = assembled(tmp_path, rounds, dataset="codeio")
    assert [record["turn_1"] for record in records] == [f"answer {n}.1" for n in range(4)]
    assert all("feedback_1" not in record for record in records)
    assert [record["outcome"] for record in records] == ["correct", "wrong", "wrong", "wrong"]


def test_messages_are_a_conversation_that_ends_with_the_last_answer(
    tmp_path: Path, rounds: list[Path]
) -> None:
    """What TRL and LLaMA-Factory load: user and assistant in turn, the assistant last."""
    records = assembled(tmp_path, rounds, form="messages")
    assert records[1]["messages"] == [
        {"role": "user", "content": "twice 1?"},
        {"role": "assistant", "content": "answer 1.1"},
        {"role": "user", "content": "feedback 1.1"},
        {"role": "assistant", "content": "answer 1.2"},
    ]
    for record in records:
        messages = record["messages"]
        assert isinstance(messages, list)
        roles = [message["role"] for message in messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2)


def test_keeping_the_correct_drops_what_ended_wrong(tmp_path: Path, rounds: list[Path]) -> None:
    """Rejection sampling, for who wants it."""
    records = assembled(tmp_path, rounds, keep="correct")
    assert [record["outcome"] for record in records] == ["correct", "corrected"]


def test_system_message_stays_in_front(tmp_path: Path) -> None:
    """A conversation keeps what it began with."""
    line = verified(0, "correct")
    line["messages"] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "q"},
    ]
    path = write_lines(tmp_path / "r1.jsonl", [line])
    (record,) = assembled(tmp_path, [path], form="messages")
    messages = record["messages"]
    assert isinstance(messages, list)
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]


def test_conversation_shorter_than_its_turns_is_listed(tmp_path: Path) -> None:
    """Files that do not fit together are not assembled to nonsense."""
    line = verified(
        0, "correct", turns=[{"response": "a", "verdict": "incorrect", "feedback": "f"}]
    )
    path = write_lines(tmp_path / "r1.jsonl", [line])
    assert assembled(tmp_path, [path]) == []
    (entry,) = read_lines(errors_path(tmp_path / "train.jsonl"))
    assert "shorter" in entry["message"]


def test_every_line_of_training_records_is_one_json_object(
    tmp_path: Path, rounds: list[Path]
) -> None:
    """What loaders of datasets read line by line."""
    assembled(tmp_path, rounds)
    for line in (tmp_path / "train.jsonl").read_text().splitlines():
        assert isinstance(json.loads(line), dict)
