"""Scoring LeetCode-O predictions: output prediction on LeetCode's examples, after CodeI/O.

A question counts as solved where every example of it is right. Checking the answers is the
service's (``verify``), arithmetic is in ``score``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ValidationError

from execbox import wire
from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value, text_field
from execbox.dataset.files.records import BadLine, Record, read_records
from execbox.dataset.files.sources import digest_of_file
from execbox.dataset.scoring.score import Interval, Score, Tally, score_of, wilson_interval
from execbox.dataset.steps.patience import Patience
from execbox.dataset.steps.services import VerifyService
from execbox.dataset.steps.step import Step, Worked
from execbox.dataset.steps.verdicts import (
    VerifyOptions,
    options_for,
    sendable,
    settings_of,
    verdicts_of,
)

__all__ = [
    "Accuracy",
    "Fields",
    "LeetCodeScore",
    "leetcode_o_step",
    "open_leetcode_o_step",
    "score_file",
    "score_of_verdicts",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Where in a record things are: paths with dots, the first that exists counts.

    ``expected`` is the right output, ``question`` what examples of one question share,
    ``difficulty`` and ``language`` what accuracies are broken down by.
    """

    expected: Sequence[str] = ("expected_output", "io.output", "answer", "gt", "label", "target")
    question: Sequence[str] = ("question_id", "qid", "question", "itemid", "titleSlug", "slug")
    difficulty: Sequence[str] = ("difficulty", "meta.difficulty", "Difficulty")
    language: Sequence[str] = ("lang", "language", "meta.lang", "meta.language", "Lang")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Shares of examples and of whole questions that are right, with a 95 % interval of the
    latter."""

    example_count: int
    question_count: int
    examples: float
    questions: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class LeetCodeScore:
    """``overall.questions`` is the benchmark's main number. ``groups`` are named as in its own
    evaluation, such as ``Difficulty_Easy`` and ``Lang_EN``; ``score`` is pass@k over questions."""

    overall: Accuracy
    groups: Mapping[str, Accuracy]
    no_answer: float
    score: Score


@asynccontextmanager
async def open_leetcode_o_step(
    service: VerifyService,
    options: VerifyOptions | None = None,
    *,
    fields: Fields | None = None,
    predictions: Path | None = None,
) -> AsyncIterator[Step]:
    """The step over predictions (``output`` is a model's text), ``service`` opened around it.

    ``predictions`` is the file that it will be run over, if its results are to be kept: they are
    not gone on with for other ones then. Nothing is noted of a pipe.
    """
    digest = None if predictions is None else digest_of_file(predictions)
    async with service:
        settled = await options_for(service, options or VerifyOptions())
        yield leetcode_o_step(service, settled, fields=fields or Fields(), predictions=digest)


def leetcode_o_step(
    service: VerifyService,
    options: VerifyOptions,
    *,
    fields: Fields,
    predictions: str | None = None,
) -> Step:
    """The step; its results have ``question``, ``difficulty``, ``language``, ``sample`` and
    ``verdict``, and are counted by verdict. ``predictions`` is a digest of them."""
    patience = Patience()

    async def work(records: Sequence[Record]) -> Sequence[Worked]:
        items = [_item(record, fields, options) for record in records]
        verdicts = await verdicts_of(items, service, options, patience=patience)
        return [
            verdict if isinstance(verdict, BadRecord) else _result(record, fields, verdict)
            for record, verdict in zip(records, verdicts, strict=True)
        ]

    return Step(
        name="score leetcode-o",
        settings={"fields": asdict(fields), **settings_of(options)},
        work=work,
        reason_of=lambda value: str(value.get("verdict")),
        concurrency=options.concurrency or 1,
        chunk_count=options.chunk_count,
        made_of={} if predictions is None else {"predictions": predictions},
    )


def score_file(verdicts: Path, *, ks: Sequence[int] = (1,)) -> LeetCodeScore:
    """The score of what the step wrote. Overall, a question's examples in every language
    belong together, as in the benchmark's own evaluation."""
    lines = [_checked(line) for line in read_records(verdicts)]
    if not lines:
        raise DatasetError(f"{verdicts}: there is nothing to score")
    return score_of_verdicts(lines, ks=ks)


def score_of_verdicts(lines: Sequence[Value], *, ks: Sequence[int] = (1,)) -> LeetCodeScore:
    """The score of results of the step, of which there is at least one."""
    groups: defaultdict[str, list[Value]] = defaultdict(list)
    for value in lines:
        for name, title in (("difficulty", "Difficulty"), ("language", "Lang")):
            if value.get(name) is not None:
                groups[f"{title}_{value[name]}"].append(value)
    counts = Counter(str(value["verdict"]) for value in lines)
    return LeetCodeScore(
        overall=_accuracy(lines),
        groups={name: _accuracy(groups[name]) for name in sorted(groups)},
        no_answer=counts["no_answer"] / len(lines),
        score=score_of(_tallies(lines), ks=ks, outcomes={"output": counts}),
    )


def _item(record: Record, fields: Fields, options: VerifyOptions) -> wire.VerifyItem | BadRecord:
    try:
        found, expected = _at(record.value, fields.expected)
        if not found:
            raise BadRecord(
                f"the expected output is not at any of {', '.join(fields.expected)}; "
                "say where with --expected-field",
                reason="missing_field",
            )
        _question_of(record.value, fields)
        given = {} if options.tolerance is None else {"tolerance": options.tolerance}
        return wire.VerifyItem.model_validate(
            {
                "id": record.id[:1000],
                "kind": "output",
                "response": sendable(text_field(record.value, "output")),
                "output": expected,
                "comparator": options.comparator,
                "extraction": options.extraction,
            }
            | given
        )
    except BadRecord as problem:
        return problem
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return BadRecord(f"{first['loc']}: {first['msg']}")


def _question_of(value: Value, fields: Fields) -> str:
    found, question = _at(value, fields.question)
    if not found:
        raise BadRecord(
            f"the question's id is not at any of {', '.join(fields.question)}; "
            "say where with --question-field",
            reason="missing_field",
        )
    return str(question)


def _result(record: Record, fields: Fields, verdict: wire.VerifiedItem) -> Value:
    return {
        "question": _question_of(record.value, fields),
        "difficulty": _at(record.value, fields.difficulty)[1],
        "language": _at(record.value, fields.language)[1],
        "sample": record.value.get("sample", 1),
        "verdict": verdict.verdict,
    }


def _at(value: Value, paths: Sequence[str]) -> tuple[bool, object]:
    for path in paths:
        found: object = value
        for name in path.split("."):
            if not isinstance(found, dict) or name not in found:
                break
            found = found[name]
        else:
            return True, found
    return False, None


def _checked(line: Record | BadLine) -> Value:
    if isinstance(line, BadLine):
        raise DatasetError(line.message)
    if not {"question", "verdict", "sample"} <= line.value.keys():
        raise DatasetError(f"{line.where}: was not written by score leetcode-o")
    return line.value


def _is_right(value: Value) -> bool:
    return value["verdict"] == "correct"


def _accuracy(values: Sequence[Value]) -> Accuracy:
    """One question is one question per sample, so that several samples are averaged over."""
    questions: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
    for value in values:
        questions[str(value["question"]), str(value["sample"])].append(_is_right(value))
    solved = sum(map(all, questions.values()))
    return Accuracy(
        example_count=len(values),
        question_count=len(questions),
        examples=sum(map(_is_right, values)) / len(values),
        questions=solved / len(questions),
        interval=wilson_interval(solved, len(questions)),
    )


def _tallies(values: Sequence[Value]) -> list[Tally]:
    samples: defaultdict[str, defaultdict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for value in values:
        samples[str(value["question"])][str(value["sample"])].append(_is_right(value))
    return [
        Tally(generation_count=len(by_sample), correct_count=sum(map(all, by_sample.values())))
        for by_sample in samples.values()
    ]
