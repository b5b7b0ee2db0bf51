from __future__ import annotations

from pathlib import Path

import pytest

from execbox import wire
from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.resume import errors_path
from execbox.dataset.scoring.leetcode_o import (
    Fields,
    LeetCodeScore,
    open_leetcode_o_step,
    score_file,
)
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.verdicts import VerifyOptions
from execbox.errors import ServiceUnavailable
from tests.dataset.files import read_lines, write_lines
from tests.dataset.verifying import Doubling, no_fault


def prediction(
    question: int, output: object, expected: object, **fields: object
) -> dict[str, object]:
    return {
        "question_id": question,
        "difficulty": "Easy",
        "lang": "EN",
        "expected_output": expected,
        "output": f'{{"output": {output}}}' if output is not None else "no idea",
    } | fields


def scored(tmp_path: Path, lines: list[object], **fields: object) -> LeetCodeScore:
    source = write_lines(tmp_path / "predictions.jsonl", lines)
    verdicts = tmp_path / "verdicts.jsonl"
    step = open_leetcode_o_step(Doubling(), fields=Fields(**fields))  # type: ignore[arg-type]
    run_step(step, source=source, output=verdicts)
    return score_file(verdicts)


def test_question_counts_where_every_example_in_every_language_is_right(tmp_path: Path) -> None:
    """As in the benchmark's own evaluation; languages alone need only their own examples."""
    lines: list[object] = [
        prediction(1, 1, 1),
        prediction(1, 2, 2),
        prediction(1, 2, 3, lang="ZH"),
        prediction(2, 4, 4, difficulty="Hard"),
        prediction(2, None, 4, difficulty="Hard", lang="ZH"),
        prediction(3, 5, 5, difficulty="Hard"),
    ]
    score = scored(tmp_path, lines)
    assert (score.overall.question_count, score.overall.example_count) == (3, 6)
    assert score.overall.questions == pytest.approx(1 / 3)
    assert score.overall.examples == pytest.approx(4 / 6)
    assert score.groups["Lang_EN"].questions == 1.0
    assert score.groups["Lang_ZH"].questions == 0.0
    assert score.groups["Difficulty_Easy"].questions == 0.0
    assert score.groups["Difficulty_Hard"].questions == pytest.approx(1 / 2)
    assert score.no_answer == pytest.approx(1 / 6)
    assert score.score.outcomes == {"output": {"correct": 4, "incorrect": 1, "no_answer": 1}}


def test_samples_of_one_question_are_scored_by_pass_at_k(tmp_path: Path) -> None:
    """Each sample answers the whole question or does not."""
    lines: list[object] = [
        prediction(1, 1, 1, sample=1),
        prediction(1, 2, 2, sample=1),
        prediction(1, 1, 1, sample=2),
        prediction(1, 9, 2, sample=2),
    ]
    score = scored(tmp_path, lines)
    assert score.score.passes[0].value == pytest.approx(0.5)
    assert score.overall.questions == pytest.approx(0.5)


def test_fields_can_be_anywhere(tmp_path: Path) -> None:
    """Paths with dots, for data that calls things otherwise."""
    line = {"meta": {"q": "two-sum", "gold": [0, 1]}, "output": '{"output": [0, 1]}'}
    score = scored(tmp_path, [line], expected=["meta.gold"], question=["meta.q"])
    assert score.overall.questions == 1.0
    assert score.groups == {}


def test_line_without_expected_output_says_how_to_name_it(tmp_path: Path) -> None:
    """The message is what to do."""
    lines: list[object] = [{"question_id": 1, "output": "x"}, prediction(2, 1, 1)]
    scored(tmp_path, lines)
    (entry,) = read_lines(errors_path(tmp_path / "verdicts.jsonl"))
    assert "--expected-field" in entry["message"]


def test_verdicts_within_another_tolerance_are_not_continued(tmp_path: Path) -> None:
    """What was correct within one is not within the other."""
    source = write_lines(tmp_path / "predictions.jsonl", [prediction(1, 1, 1)])
    options = [
        VerifyOptions(comparator="tolerance", tolerance=wire.Tolerance(rel=rel))
        for rel in (1e-3, 1e-9)
    ]
    run_step(
        open_leetcode_o_step(Doubling(), options[0]), source=source, output=tmp_path / "v.jsonl"
    )
    with pytest.raises(DatasetError, match="tolerance was"):
        run_step(
            open_leetcode_o_step(Doubling(), options[1]), source=source, output=tmp_path / "v.jsonl"
        )


def test_prediction_that_the_service_fails_at_is_scored_by_the_next_run(tmp_path: Path) -> None:
    """One failed request ends no run, and is no wrong answer."""
    lost = ServiceUnavailable("two sandboxes in a row were lost", code="sandbox_lost")
    lines = [prediction(n, n, n) | {"id": str(n)} for n in range(3)]
    source, verdicts = write_lines(tmp_path / "in.jsonl", lines), tmp_path / "verdicts.jsonl"
    options = VerifyOptions(chunk_count=1, concurrency=1)
    for fault, expected in (
        (lambda item: lost if item.id == "1" else None, (2, 1)),
        (no_fault, (3, 0)),
    ):
        step = open_leetcode_o_step(Doubling(fault=fault), options)
        summary = run_step(step, source=source, output=verdicts)
        assert (summary.result_count, summary.retryable_count) == expected
