"""``read_report``: files of a run, line by line, to counts. Memory holds one line at a time.

What each kind of line counts for is in the modules beside this one; nothing is shown here.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from execbox import wire
from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value, list_field
from execbox.dataset.files.record_certificates import own_meta_of
from execbox.dataset.files.records import BadLine, Record, records_of
from execbox.dataset.files.sources import STANDARD_STREAM, Source, open_source
from execbox.dataset.steps.progress import Listener, Progress, Summary, unheard
from execbox.report.answers import ConversationCounts, TrainingCounts, VerifiedCounts
from execbox.report.counts import WordCounts, refuse_vast
from execbox.report.executions import ExecutionCounts
from execbox.report.kinds import Kind, kind_of
from execbox.report.pairs import PairCounts
from execbox.report.scores import FileScores, NamedScore, read_leetcode_score, read_score
from execbox.report.turns import Turn

__all__ = ["DEFAULT_KS", "PROBLEMS_KEPT", "FileFacts", "Report", "read_report"]

DEFAULT_KS = (1, 5, 10)
PROBLEMS_KEPT = 100
"""Lines that could not be used that are named; all are counted."""
_SUMMARIES_KEPT = 200
_SCORES_KEPT = 100
_TOLD_EVERY = 200
"""Lines between two times that the listener is told."""

_Message = TypeVar("_Message", bound=BaseModel)
_SUMMARY: TypeAdapter[Summary] = TypeAdapter(Summary)


@dataclass(slots=True, kw_only=True)
class FileFacts:
    """One file: what it is called, how large it is as stored, and what its lines are."""

    name: str
    read_bytes: int = 0
    line_count: int = 0
    """Lines that are not empty."""
    kinds: Counter[Kind] = field(default_factory=Counter)
    unused_count: int = 0
    """Lines that could not be used."""


@dataclass(slots=True, kw_only=True)
class Report:
    """What a run's files come to."""

    files: list[FileFacts] = field(default_factory=list)
    pairs: PairCounts = field(default_factory=PairCounts)
    verified: VerifiedCounts = field(default_factory=VerifiedCounts)
    training: TrainingCounts = field(default_factory=TrainingCounts)
    conversations: ConversationCounts = field(default_factory=ConversationCounts)
    executions: ExecutionCounts = field(default_factory=ExecutionCounts)
    scores: list[NamedScore] = field(default_factory=list)
    scores_left: int = 0
    """Scores beyond those that are kept."""
    summaries: list[Summary] = field(default_factory=list)
    summaries_left: int = 0
    """Summaries beyond those that are kept."""
    failures: defaultdict[str, WordCounts] = field(default_factory=lambda: defaultdict(WordCounts))
    """Records without a result by reason, by the file that lists them."""
    retryable_count: int = 0
    """Those of them that the command that failed tries again."""
    problems: list[str] = field(default_factory=list)
    """What of the first lines that could not be used is wrong; each begins with ``file:line``."""
    problem_reasons: WordCounts = field(default_factory=WordCounts)

    @property
    def turns(self) -> list[Turn]:
        """Revision rounds of the verified answers, or else of the training records."""
        return self.verified.turns.turns() or self.training.turns.turns()

    @property
    def record_count(self) -> int:
        """Lines that were used."""
        return sum(file.line_count - file.unused_count for file in self.files)


def read_report(
    paths: Sequence[Path], *, ks: Sequence[int] = DEFAULT_KS, listener: Listener = unheard
) -> Report:
    """What all files together come to; ``-`` is standard input, and gzip is unpacked.

    What each line is, is seen by what it holds. A line that cannot be used is in ``problems``, and
    so is the rest of a file that cannot be read to its end. pass@k is given for those of ``ks``
    that no problem has fewer answers than. Raises ``DatasetError`` where a file cannot be read at
    all, or is named twice.
    """
    _refuse_twice(paths)
    report = Report()
    for path in paths:
        with open_source(path) as source:
            _FileReading(report, source, listener).read(ks)
    return report


class _FileReading:
    """One file on its way into a report."""

    def __init__(self, report: Report, source: Source, listener: Listener) -> None:
        self._report = report
        self._source = source
        self._listener = listener
        self._progress = Progress("report", total_bytes=source.total_bytes)
        self._scores = FileScores()
        self._facts = FileFacts(name=source.name)
        pairs, executions = report.pairs, report.executions
        self._takers: Mapping[Kind, Callable[[Record], None]] = {
            Kind.PAIRS: lambda record: pairs.add(record.value),
            Kind.FAILURE: self._take_failure,
            Kind.VERIFIED: self._take_verified,
            Kind.TRAINING: lambda record: report.training.add(record.value),
            Kind.INTERPRETED: lambda record: report.conversations.add(record.value),
            Kind.SUMMARY: lambda record: self._take_summary(record.value),
            Kind.CHAIN: self._take_chain,
            Kind.SCORE: lambda record: self._keep(read_score(record.value, name=source.name)),
            Kind.LEETCODE_SCORE: lambda record: self._keep(
                read_leetcode_score(record.value, name=source.name)
            ),
            Kind.CRUXEVAL_VERDICTS: lambda record: self._scores.add_cruxeval(record.value),
            Kind.LEETCODE_VERDICTS: lambda record: self._scores.add_leetcode(record.value),
            Kind.EXECUTE: lambda record: executions.add_execute(
                _message(wire.ExecuteResponse, record.value)
            ),
            Kind.GENERATE: self._take_generated,
            Kind.VERIFY: self._take_verify_answer,
            Kind.RUN: lambda record: executions.add_run(_message(wire.RunResponse, record.value)),
            Kind.CASE: lambda record: executions.add_program_run(
                _message(wire.ProgramRun, record.value)
            ),
            Kind.CELL: lambda record: executions.add_cell(
                _message(wire.CellResponse, record.value)
            ),
            Kind.NO_ANSWER: lambda record: executions.add_failed(
                _message(wire.FailedAnswer, record.value)
            ),
            Kind.OTHER: _refuse_unknown,
        }

    def read(self, ks: Sequence[int]) -> None:
        """Every line, then what they come to together."""
        facts = self._facts
        self._report.files.append(facts)
        lines = records_of(self._source.file, name=self._source.name, non_finite=True)
        try:
            for line in lines:
                facts.line_count += 1
                self._take(line)
                self._tell()
        except DatasetError as error:
            if not facts.line_count:
                raise
            self._problem(f"{error}; read as far as line {line.number}", reason="cut_off")
        facts.read_bytes = self._source.read_bytes
        for score in self._scores.scores(self._source.name, ks=ks):
            self._keep(score)

    def _take(self, line: Record | BadLine) -> None:
        if isinstance(line, BadLine):
            self._unused(line.message, reason=line.reason)
            return
        kind = kind_of(line.value)
        self._facts.kinds[kind] += 1
        taker = self._takers.get(kind)
        if taker is None:
            return
        try:
            taker(line)
        except BadRecord as problem:
            self._unused(f"{line.where}: {problem}", reason=problem.reason)

    def _take_failure(self, record: Record) -> None:
        value, reason = record.value, str(record.value["reason"])
        detail = value.get("detail")
        if isinstance(detail, dict) and own_meta_of(detail):
            self._report.pairs.add_failure(detail, reason=reason)
        self._report.failures[record.source].add(reason)
        self._report.retryable_count += value.get("retry") is True

    def _take_verified(self, record: Record) -> None:
        right = self._report.verified.add(record.value)
        if right is not None:
            self._scores.add_first_answer(record, right=right)

    def _take_summary(self, value: object) -> None:
        self._keep_summaries([_summary(value)])

    def _take_chain(self, record: Record) -> None:
        # All of them before the first is kept: a line that cannot be used counts for nothing.
        stages = list_field(record.value, "stages")
        summaries = [stage.get("summary") if isinstance(stage, dict) else None for stage in stages]
        self._keep_summaries([_summary(each) for each in summaries])

    def _take_generated(self, record: Record) -> None:
        response = _message(wire.GenerateResponse, record.value)
        self._report.pairs.add_response(response)
        self._report.executions.add_generate(response)

    def _take_verify_answer(self, record: Record) -> None:
        response = _message(wire.VerifyResponse, record.value)
        self._report.executions.add_verify(response)
        for item in response.items:
            self._report.verified.add_item(item)

    def _keep(self, score: NamedScore) -> None:
        if len(self._report.scores) < _SCORES_KEPT:
            self._report.scores.append(score)
        else:
            self._report.scores_left += 1

    def _keep_summaries(self, summaries: Sequence[Summary]) -> None:
        kept = summaries[: max(0, _SUMMARIES_KEPT - len(self._report.summaries))]
        self._report.summaries.extend(kept)
        self._report.summaries_left += len(summaries) - len(kept)

    def _unused(self, message: str, *, reason: str) -> None:
        self._facts.unused_count += 1
        self._problem(message, reason=reason)

    def _problem(self, message: str, *, reason: str) -> None:
        self._report.problem_reasons.add(reason)
        if len(self._report.problems) < PROBLEMS_KEPT:
            self._report.problems.append(message)

    def _tell(self) -> None:
        self._progress.result("read")
        if self._facts.line_count % _TOLD_EVERY == 0:
            self._progress.read_bytes = self._source.read_bytes
            self._listener(self._progress.snapshot())


def _refuse_twice(paths: Sequence[Path]) -> None:
    seen: dict[tuple[int, int], Path] = {}
    for path in paths:
        try:
            status = os.fstat(0) if path == STANDARD_STREAM else path.stat()
        except OSError:
            continue  # What cannot be looked at is refused where it is opened.
        first = seen.setdefault((status.st_dev, status.st_ino), path)
        if first is not path:
            raise DatasetError(f"{path}: is named twice, and would be counted twice")


def _refuse_unknown(record: Record) -> None:
    names = ", ".join(list(record.value)[:8]) or "none"
    raise BadRecord(
        f"is nothing that a report counts; its members are: {names:.200}", reason="unknown_record"
    )


def _summary(value: object) -> Summary:
    refuse_vast(value)
    try:
        return _SUMMARY.validate_python(value)
    except ValidationError as error:
        raise _no_message(error) from error


def _message(model: type[_Message], value: Value) -> _Message:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _no_message(error) from error


def _no_message(error: ValidationError) -> BadRecord:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    message = f"{where}: {first['msg']}" if where else str(first["msg"])
    return BadRecord(message, reason="invalid_field")
