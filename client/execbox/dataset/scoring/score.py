"""pass@k with its confidence interval, and what went wrong by kind: arithmetic over verdicts.

Getting verdicts is elsewhere: ``verify``, ``cruxeval``, ``leetcode_o``. Shares are 0 to 1.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from execbox.dataset.files.json_lines import BadRecord, DatasetError
from execbox.dataset.files.records import BadLine, problem_of, read_records
from execbox.dataset.steps.turns import is_correct, turn_of

__all__ = [
    "Interval",
    "PassAtK",
    "Score",
    "Tally",
    "interval_of",
    "pass_at_k",
    "reference_pass_at_k",
    "score_of",
    "score_verified",
    "wilson_interval",
]

Method: TypeAlias = Literal["wilson", "bootstrap", "normal"]

_RESAMPLES = 2000
_BOOTSTRAP_PROBLEMS_MAX = 5000
_Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """One problem: its generations, the correct ones, and those disqualified (never correct)."""

    generation_count: int
    correct_count: int
    disqualified_count: int = 0

    def __post_init__(self) -> None:
        wrong_count = self.generation_count - self.correct_count
        if not 0 <= self.disqualified_count <= wrong_count or self.correct_count < 0:
            raise ValueError(f"impossible counts: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A 95 % confidence interval and how it was found."""

    low: float
    high: float
    method: Method


@dataclass(frozen=True, slots=True, kw_only=True)
class PassAtK:
    """The share of problems solved by at least one of k generations, on average.

    ``value`` counts disqualified generations as wrong ones. ``reference_value`` is what the
    widespread copies of CRUXEval's scorer make of the same verdicts: they leave disqualified
    generations out of n wherever a problem has a correct one.
    """

    k: int
    value: float
    interval: Interval
    reference_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """``passes`` has an entry for each k asked for that no problem has fewer generations than;
    ``skipped_ks`` are the others. ``outcomes`` counts generations: kind, then outcome."""

    problem_count: int
    generation_count: int
    disqualified_count: int
    passes: Sequence[PassAtK]
    skipped_ks: Sequence[int]
    outcomes: Mapping[str, Mapping[str, int]]


def pass_at_k(generation_count: int, correct_count: int, *, k: int) -> float:
    """The unbiased estimator of Chen et al. 2021 (arXiv 2107.03374), ``1 - C(n-c, k) / C(n, k)``.

    Raises ``ValueError`` where there are fewer generations than k: it has no value there.
    """
    if not 1 <= k <= generation_count:
        raise ValueError(f"pass@{k} needs {k} generations, there are {generation_count}")
    if not 0 <= correct_count <= generation_count:
        raise ValueError(f"{correct_count} of {generation_count} generations cannot be correct")
    wrong_count = generation_count - correct_count
    return 1.0 - math.comb(wrong_count, k) / math.comb(generation_count, k)


def reference_pass_at_k(tally: Tally, *, k: int) -> float:
    """What the reference scorer makes of one problem, its quirks included.

    Disqualified generations do not count, unless none is correct; and a problem with fewer than
    k wrong generations is solved, even where that is because it has fewer than k at all.
    """
    generation_count = tally.generation_count
    if tally.correct_count:
        generation_count -= tally.disqualified_count
    if generation_count - tally.correct_count < k:
        return 1.0
    return pass_at_k(generation_count, tally.correct_count, k=k)


def wilson_interval(successes: int, trials: int) -> Interval:
    """Wilson's score interval for a share: right near 0 and 1 too, where others are not."""
    if trials == 0:
        return Interval(low=0.0, high=1.0, method="wilson")
    share, z2 = successes / trials, _Z95 * _Z95
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return Interval(low=max(0.0, centre - half), high=min(1.0, centre + half), method="wilson")


def interval_of(values: Sequence[float], *, seed: int = 0) -> Interval:
    """95 % interval of the mean of one value per problem, each 0 to 1.

    Problems are what was drawn from a population, so they are what is resampled: where every
    value is 0 or 1 the mean is a share and Wilson's interval is exact enough; else the percentile
    bootstrap over problems, 2,000 resamples, always the same ones; above 5,000 problems, where
    that says the same at length, the normal approximation.
    """
    if all(value in (0.0, 1.0) for value in values):
        return wilson_interval(round(sum(values)), len(values))
    count = len(values)
    mean = math.fsum(values) / count
    if count > _BOOTSTRAP_PROBLEMS_MAX:
        variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
        half = _Z95 * math.sqrt(variance / count)
        return Interval(low=max(0.0, mean - half), high=min(1.0, mean + half), method="normal")
    draw = random.Random(seed)  # noqa: S311 - resampling
    means = sorted(math.fsum(draw.choices(values, k=count)) / count for _ in range(_RESAMPLES))
    edge = round(0.025 * _RESAMPLES)
    return Interval(low=means[edge], high=means[-edge - 1], method="bootstrap")


def score_of(
    tallies: Sequence[Tally],
    *,
    ks: Sequence[int] = (1, 5),
    outcomes: Mapping[str, Mapping[str, int]],
) -> Score:
    """The score over all problems. Raises ``DatasetError`` where there is none, or k below 1."""
    if not tallies:
        raise DatasetError("there is nothing to score")
    if any(k < 1 for k in ks):
        raise DatasetError(f"k must be 1 or more, not {min(ks)}")
    fewest = min(tally.generation_count for tally in tallies)
    passes = []
    for k in sorted({k for k in ks if k <= fewest}):
        values = [pass_at_k(t.generation_count, t.correct_count, k=k) for t in tallies]
        reference = math.fsum(reference_pass_at_k(tally, k=k) for tally in tallies)
        passes.append(
            PassAtK(
                k=k,
                value=math.fsum(values) / len(values),
                interval=interval_of(values),
                reference_value=reference / len(tallies),
            )
        )
    return Score(
        problem_count=len(tallies),
        generation_count=sum(tally.generation_count for tally in tallies),
        disqualified_count=sum(tally.disqualified_count for tally in tallies),
        passes=passes,
        skipped_ks=sorted({k for k in ks if k > fewest}),
        # Plain, so that whatever writes a score down can.
        outcomes={kind: dict(counts) for kind, counts in outcomes.items()},
    )


def score_verified(path: Path, *, ks: Sequence[int] = (1,)) -> Score:
    """The score of what ``verify`` wrote; samples (``problem_of``) are one problem's.

    Kinds are ``input`` and ``output``. Raises ``DatasetError`` for lines without a verdict.
    """
    problems: defaultdict[str, list[bool]] = defaultdict(list)
    outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in read_records(path):
        if isinstance(line, BadLine):
            raise DatasetError(line.message)
        try:
            problems[problem_of(line)].append(is_correct(line.value))
            kind = {"i": "input", "o": "output"}.get(str(line.value.get("io_pred")), "other")
            outcomes[kind][str(turn_of(line.value)["verdict"])] += 1
        except BadRecord as problem:
            raise DatasetError(f"{line.where}: {problem.message}") from problem
    return score_of(_tallies(problems.values()), ks=ks, outcomes=outcomes)


def _tallies(problems: Iterable[Sequence[bool]]) -> list[Tally]:
    return [Tally(generation_count=len(right), correct_count=sum(right)) for right in problems]
