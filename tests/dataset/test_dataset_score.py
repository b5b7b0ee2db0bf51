from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.records import Record, problem_of
from execbox.dataset.scoring.score import (
    Tally,
    interval_of,
    pass_at_k,
    reference_pass_at_k,
    score_of,
    score_verified,
    wilson_interval,
)
from tests.dataset.files import answered, write_lines


@pytest.mark.parametrize(
    ("n", "c", "k", "value"),
    [
        (1, 0, 1, 0.0),
        (1, 1, 1, 1.0),
        (10, 0, 1, 0.0),
        (10, 3, 1, 0.3),
        (10, 10, 5, 1.0),
        (10, 1, 5, 0.5),  # 1 - C(9,5)/C(10,5) = 1 - 126/252
        (10, 2, 5, 1 - 56 / 252),  # C(8,5) = 56
        (10, 5, 5, 1 - 1 / 252),
        (10, 6, 5, 1.0),
        (5, 1, 5, 1.0),
        (5, 0, 5, 0.0),
        (100, 1, 10, 0.1),
        (200, 1, 100, 0.5),
    ],
)
def test_pass_at_k_is_what_a_hand_computes(n: int, c: int, k: int, value: float) -> None:
    """1 - C(n-c, k) / C(n, k)."""
    assert pass_at_k(n, c, k=k) == pytest.approx(value, abs=1e-12)


@given(
    st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))
)
def test_pass_at_k_is_the_share_of_all_choices_of_k_with_a_correct_one(
    drawn: tuple[int, int, int],
) -> None:
    """The definition, by counting."""
    n, c, k = drawn
    choices = list(combinations(range(n), k))
    share = sum(any(place < c for place in choice) for choice in choices) / len(choices)
    assert pass_at_k(n, c, k=k) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(3, 1, 4), (3, 1, 0), (3, 4, 1), (3, -1, 1), (0, 0, 1)])
def test_pass_at_k_without_a_value_is_an_error(n: int, c: int, k: int) -> None:
    """Fewer generations than k say nothing about k."""
    with pytest.raises(ValueError, match="generations"):
        pass_at_k(n, c, k=k)


@pytest.mark.parametrize(
    ("n", "c", "d", "k", "ours", "reference"),
    [
        (10, 3, 0, 1, 0.3, 0.3),
        (10, 3, 4, 1, 0.3, 0.5),  # 3 of the 6 that are left
        (10, 0, 10, 1, 0.0, 0.0),
        (10, 1, 5, 5, 0.5, 1.0),  # 4 wrong ones are left, fewer than 5
        (10, 1, 9, 1, 0.1, 1.0),
        (2, 0, 1, 1, 0.0, 0.0),
    ],
)
def test_disqualified_generations_count_as_wrong_and_the_reference_number_stands_beside(
    n: int, c: int, d: int, k: int, ours: float, reference: float
) -> None:
    """Leaving them out rewards a model for breaking the rules."""
    tally = Tally(generation_count=n, correct_count=c, disqualified_count=d)
    score = score_of([tally], ks=[k], outcomes={})
    assert score.passes[0].value == pytest.approx(ours)
    assert score.passes[0].reference_value == pytest.approx(reference)
    assert reference_pass_at_k(tally, k=k) == pytest.approx(reference)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (1, 100, 0.0018, 0.0545),
        (400, 400, 0.9905, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_interval_is_the_published_one(
    successes: int, trials: int, low: float, high: float
) -> None:
    """Against values of other implementations."""
    interval = wilson_interval(successes, trials)
    assert [interval.low, interval.high] == pytest.approx([low, high], abs=5e-5)


def test_bootstrap_interval_is_near_the_normal_one_and_always_the_same() -> None:
    """For many problems both say the same; two runs say exactly the same."""
    values = [(i % 11) / 10 for i in range(1100)]
    first = interval_of(values)
    assert (first.method, first) == ("bootstrap", interval_of(values))
    half = 1.96 * math.sqrt(sum((v - 0.5) ** 2 for v in values) / 1100 / 1100)
    assert [first.low, first.high] == pytest.approx([0.5 - half, 0.5 + half], abs=0.004)


def test_interval_of_very_many_problems_is_the_normal_approximation() -> None:
    """A dataset of millions is scored in seconds."""
    interval = interval_of([0.5, 0.25] * 5000)
    assert interval.method == "normal"
    assert interval.low < 0.375 < interval.high


def test_k_above_the_fewest_generations_is_left_out_and_said_so() -> None:
    """No number is better than a wrong one."""
    tallies = [
        Tally(generation_count=10, correct_count=1),
        Tally(generation_count=3, correct_count=3),
    ]
    score = score_of(tallies, ks=[1, 3, 5], outcomes={})
    assert [each.k for each in score.passes] == [1, 3]
    assert score.skipped_ks == [5]
    assert score.passes[0].value == pytest.approx((0.1 + 1.0) / 2)


def test_nothing_to_score_is_an_error() -> None:
    """An empty file has no score of 0."""
    with pytest.raises(DatasetError, match="nothing to score"):
        score_of([], outcomes={})


@pytest.mark.parametrize("counts", [(1, 2, 0), (3, 2, 2), (3, -1, 0)])
def test_tally_that_cannot_be_is_refused(counts: tuple[int, int, int]) -> None:
    """More correct than there are, or correct and disqualified at once."""
    with pytest.raises(ValueError, match="impossible"):
        Tally(generation_count=counts[0], correct_count=counts[1], disqualified_count=counts[2])


def test_score_of_verified_files_groups_samples_and_counts_failures_by_kind(
    tmp_path: Path,
) -> None:
    """ID#1 and ID#2 are one problem; input and output predictions are told apart."""
    lines = [
        answered(1, "") | {"id": "1.0.o#1", "sample": 1, "verdict": "correct"},
        answered(1, "") | {"id": "1.0.o#2", "sample": 2, "verdict": "incorrect"},
        answered(2, "", kind="i") | {"id": "2.0.i#1", "sample": 1, "verdict": "timeout"},
        answered(2, "", kind="i") | {"id": "2.0.i#2", "sample": 2, "verdict": "exception"},
    ]
    score = score_verified(write_lines(tmp_path / "v.jsonl", lines), ks=[1, 2])
    assert (score.problem_count, score.generation_count) == (2, 4)
    assert [each.value for each in score.passes] == [0.25, 0.5]
    assert score.outcomes == {
        "output": {"correct": 1, "incorrect": 1},
        "input": {"timeout": 1, "exception": 1},
    }


@pytest.mark.parametrize(
    ("record_id", "sample", "problem"),
    [
        ("a#1", 1, "a"),
        ("a#12", 12, "a"),
        ("repo#3#1", 1, "repo#3"),
        ("a#1~2", 1, "a"),
        ("a~2#1", 1, "a~2"),
        ("repo#3", None, "repo#3"),
        ("repo#3", 1, "repo#3"),
        ("repo#3", "3", "repo#3"),
        ("repo#1", True, "repo#1"),
        ("a#1.0.o", 1, "a#1.0.o"),
        ("a#1.0.o", None, "a#1.0.o"),
        ("1.0.o#1", None, "1.0.o"),
        ("1.0.i#12~2", None, "1.0.i"),
    ],
)
def test_problem_of_an_answer_lacks_only_the_number_that_infer_gave_it(
    record_id: str, sample: object, problem: str
) -> None:
    """Any other # is a part of the id."""
    value = {"sample": sample} if sample is not None else {}
    record = Record(source="v.jsonl", number=1, id=record_id, value=value, end_bytes=0)
    assert problem_of(record) == problem


def test_problems_with_a_number_sign_in_their_ids_are_scored_apart(tmp_path: Path) -> None:
    """Such as issues of one repository; pass@5 of one answer each is not defined."""
    lines = [
        answered(n, "") | {"id": f"repo#{n}", "verdict": "correct" if n < 2 else "incorrect"}
        for n in range(10)
    ]
    score = score_verified(write_lines(tmp_path / "v.jsonl", lines), ks=[1, 5])
    assert (score.problem_count, score.skipped_ks) == (10, [5])
