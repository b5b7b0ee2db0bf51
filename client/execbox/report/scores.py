"""pass@k of what a report reads: collected from one file's lines, or read from a score.

The arithmetic is in ``dataset.scoring``. A problem takes some 50 bytes here until its file ends,
a line of LeetCode-O's verdicts some hundred.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from pydantic import TypeAdapter, ValidationError

from execbox.dataset.files.json_lines import BadRecord, Value, list_field, text_field
from execbox.dataset.files.records import Record, digest_of, problem_of
from execbox.dataset.scoring.leetcode_o import Accuracy, LeetCodeScore, score_of_verdicts
from execbox.dataset.scoring.score import Score, Tally, score_of
from execbox.report.counts import refuse_vast

__all__ = ["FileScores", "NamedScore", "labels_of", "read_leetcode_score", "read_score"]

_SCORE = TypeAdapter(Score)
_LEETCODE_SCORE = TypeAdapter(LeetCodeScore)
_LEETCODE_FIELDS = ("question", "difficulty", "language", "sample", "verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedScore:
    """A score and what it is of. ``accuracies`` are LeetCode-O's, overall first."""

    name: str
    score: Score
    accuracies: Mapping[str, Accuracy]


def labels_of(scores: Sequence[NamedScore]) -> list[str]:
    """What each is called among the others: without its folder, unless another is called so."""
    short = [one.name.rpartition("/")[2] for one in scores]
    counts = Counter(short)
    return [
        label if counts[label] == 1 else one.name for label, one in zip(short, scores, strict=True)
    ]


class FileScores:
    """What scores of one file are made of."""

    def __init__(self) -> None:
        self._answers = array("Q")
        self._verdict_tallies: Counter[tuple[str, Tally]] = Counter()
        self._outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._leetcode: list[Value] = []

    def add_first_answer(self, record: Record, *, right: bool) -> None:
        """A verified answer that is no revision; samples (``problem_of``) are one problem's."""
        self._answers.append(digest_of(problem_of(record)) & ~1 | right)

    def add_cruxeval(self, value: Value) -> None:
        """A line of ``score cruxeval``. Raises ``BadRecord``, and counts nothing then."""
        mode = text_field(value, "mode")
        counts = Counter(map(str, list_field(value, "outcomes")))
        tally = Tally(
            generation_count=counts.total(),
            correct_count=counts["correct"],
            disqualified_count=counts["disqualified"],
        )
        self._verdict_tallies[mode, tally] += 1
        self._outcomes[mode] += counts

    def add_leetcode(self, value: Value) -> None:
        """A line of ``score leetcode-o``. Raises ``BadRecord``, and counts nothing then."""
        text_field(value, "verdict")
        self._leetcode.append({name: value.get(name) for name in _LEETCODE_FIELDS})

    def scores(self, name: str, *, ks: Sequence[int]) -> Iterator[NamedScore]:
        """The scores of the file, which is called so."""
        if self._answers:
            yield _named(name, score_of(list(_tallies(self._answers)), ks=ks, outcomes={}))
        for mode in self._outcomes:
            tallies = [
                tally
                for (of_mode, tally), count in self._verdict_tallies.items()
                if of_mode == mode
                for _ in range(count)
            ]
            outcomes = {mode: self._outcomes[mode]}
            yield _named(f"{name}, {mode}", score_of(tallies, ks=ks, outcomes=outcomes))
        if self._leetcode:
            yield _named_leetcode(name, score_of_verdicts(self._leetcode, ks=ks))


def read_score(value: Value, *, name: str) -> NamedScore:
    """What ``execbox score --json`` printed. Raises ``BadRecord``."""
    refuse_vast(value)
    try:
        return _named(name, _SCORE.validate_python(value))
    except ValidationError as error:
        raise _no_score(error) from error


def read_leetcode_score(value: Value, *, name: str) -> NamedScore:
    """What ``execbox score leetcode-o --json`` printed. Raises ``BadRecord``."""
    refuse_vast(value)
    try:
        return _named_leetcode(name, _LEETCODE_SCORE.validate_python(value))
    except ValidationError as error:
        raise _no_score(error) from error


def _tallies(answers: array[int]) -> Iterator[Tally]:
    for _, same in groupby(sorted(answers), key=lambda answer: answer >> 1):
        rights = [answer & 1 for answer in same]
        yield Tally(generation_count=len(rights), correct_count=sum(rights))


def _named(name: str, score: Score) -> NamedScore:
    return NamedScore(name=name, score=score, accuracies={})


def _named_leetcode(name: str, found: LeetCodeScore) -> NamedScore:
    accuracies = {"Overall": found.overall, **found.groups}
    return NamedScore(name=name, score=found.score, accuracies=accuracies)


def _no_score(error: ValidationError) -> BadRecord:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return BadRecord(f"is no score as `execbox score` prints it: {where}: {first['msg']}")
