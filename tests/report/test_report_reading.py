from __future__ import annotations

import gzip
import io
import json
import math
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.parquet import write_parquet
from execbox.dataset.scoring.score import score_verified
from execbox.report.kinds import Kind
from execbox.report.numbers import numbers_of
from execbox.report.page import page_of
from execbox.report.reading import PROBLEMS_KEPT, Report, read_report
from tests.dataset.files import answered, function, write_lines
from tests.report.conftest import DATA

_ON = {"isolation": "container", "engine": "docker", "image": "sha256:0", "queue_time_s": 0.5}
_USAGE = {"cpu_time_s": 0.25, "wall_time_s": 0.5, "peak_memory_bytes": 3 * 2**20}


def _verified(number: int, verdict: str, **fields: Any) -> dict[str, Any]:
    return answered(number, "4", verdict=verdict, **fields)


def _read(tmp_path: Path, *lines: object) -> Report:
    return read_report([write_lines(tmp_path / "lines.jsonl", lines)])


# A real run, counted by hand


def test_report_of_a_run_counts_its_pairs_and_draws(run_files: list[Path]) -> None:
    """Two functions gave four pairs each in as many draws, one was given up after 50."""
    pairs = read_report(run_files).pairs
    assert (pairs.function_count, pairs.pair_count, pairs.certified_count) == (2, 8, 8)
    assert (pairs.draw_count, pairs.rejected.by_size()) == (58, {"non_deterministic": 50})
    assert pairs.without_pairs.by_size() == {"non_deterministic": 1}
    assert pairs.causes.by_size() == {"hash_seed": 1}
    assert pairs.stopped.by_size() == {"count": 2, "given_up": 1}


def test_report_of_a_run_counts_its_verdicts_and_turns(run_files: list[Path]) -> None:
    """Twelve questions: eight right at once, three of four put right in the second turn."""
    report = read_report(run_files)
    assert {kind: counts.by_size() for kind, counts in report.verified.verdicts.items()} == {
        "input": {"correct": 6, "exception": 1, "no_answer": 1},
        "output": {"correct": 5, "incorrect": 3},
    }
    first, second = report.turns
    assert (first.right_count, first.stays_wrong_count) == (8, 4)
    assert (second.stays_right_count, second.becomes_right_count) == (8, 3)
    assert (second.stays_wrong_count, second.not_answered_count) == (1, 0)


def test_report_of_a_run_counts_its_training_records(run_files: list[Path]) -> None:
    """As many as there were questions, and the turns in them are those of the verified files."""
    report = read_report(run_files)
    assert {kind: counts.by_size() for kind, counts in report.training.outcomes.items()} == {
        "input": {"correct": 4, "corrected": 2},
        "output": {"correct": 4, "corrected": 1, "wrong": 1},
    }
    assert report.training.turns.turns() == report.verified.turns.turns()
    assert read_report([DATA / "train.jsonl.gz"]).turns == report.turns


def test_report_of_a_run_agrees_with_a_plain_count_of_its_lines(run_files: list[Path]) -> None:
    """By the json module and a Counter, and by the command that scores."""
    report = read_report(run_files)
    verified = [
        json.loads(line)
        for name in ("verified-1", "verified-2")
        for line in gzip.decompress((DATA / f"{name}.jsonl.gz").read_bytes()).splitlines()
    ]
    plain = Counter(record["verdict"] for record in verified)
    counted: Counter[str] = Counter()
    for counts in report.verified.verdicts.values():
        counted.update(counts.by_size())
    assert counted == plain
    assert report.verified.answer_chars.total == sum(len(record["output"]) for record in verified)
    (score,) = report.scores
    by_itself = score_verified(DATA / "verified-1.jsonl.gz", ks=(1,))
    assert score.score.passes == by_itself.passes


def test_report_says_what_each_file_holds(run_files: list[Path]) -> None:
    """Found by content: the names say nothing here."""
    kinds = [dict(file.kinds) for file in read_report(run_files).files]
    assert kinds == [
        {Kind.PAIRS: 2},
        {Kind.FAILURE: 1},
        {Kind.VERIFIED: 12},
        {Kind.VERIFIED: 4},
        {Kind.TRAINING: 12},
    ]


# Each kind


def test_report_of_certified_pairs_counts_what_became_of_each(tmp_path: Path) -> None:
    """Kept, corrected and dropped, and the functions by cause."""
    own = {
        "pairs": 5,
        "corrected": [{"ioid": 0, "was": 0, "reason": "rounding"}],
        "dropped": [
            {"was": 1, "reason": "non_deterministic", "cause": "clock"},
            {"was": 2, "reason": "non_deterministic", "cause": "clock"},
        ],
    }
    pairs = _read(tmp_path, function(pairs=3, meta={"execbox": own})).pairs
    assert pairs.sorted.by_size() == {
        "dropped: non_deterministic (clock)": 2,
        "kept": 2,
        "corrected: rounding": 1,
    }
    assert pairs.causes.by_size() == {"clock": 1}
    assert pairs.pair_count == 3


def test_report_of_answers_of_the_service_counts_executions(tmp_path: Path) -> None:
    """Statuses, causes, rules, usage; of each operation."""
    ok = {"status": "ok", "output": 1, "usage": _USAGE}
    varies = {"deterministic": False, "cause": "entropy", "runs": 2}
    large = {
        "ok": False,
        "violations": [
            {"path": f"output[{n}]", "rule": "string_chars", "measured": 200, "limit": 100}
            for n in range(2)
        ],
    }
    report = _read(
        tmp_path,
        {"executions": [ok, ok | {"determinism": varies, "complexity": large}], **_ON},
        {"id": "2", "op": "run", "runs": [{"status": "exit_nonzero", "usage": _USAGE}], **_ON},
        {
            "items": [
                {"id": "a", "verdict": "timeout", "execution": {"status": "timeout"}},
                {"id": "b", "verdict": None, "error": _error("engine_error")},
            ],
            **_ON,
        },
        {"id": "4", "op": "execute", "error": _error("queue_full")},
        {"line": 2, "status": "timeout", "exit_code": None, "usage": None, "verdict": "timeout"},
        {"cell": 1, "status": "exception", "session_lost": False, "usage": _USAGE},
    )
    executions = report.executions
    assert {name: counts.by_size() for name, counts in executions.statuses.items()} == {
        "execute": {"ok": 2},
        "run": {"exit_nonzero": 1, "timeout": 1},
        "session": {"exception": 1},
        "verify": {"timeout": 1},
    }
    assert executions.causes.by_size() == {"entropy": 1}
    assert executions.rules.by_size() == {"string_chars": 1}
    assert executions.errors.by_size() == {"engine_error": 1, "queue_full": 1}
    assert (executions.cpu_time_s.count, executions.cpu_time_s.total) == (4, 1.0)
    assert report.verified.verdicts["other"].by_size() == {"timeout": 1}


def test_report_of_an_answer_of_generate_counts_its_draws(tmp_path: Path) -> None:
    """As a batch writes it; the cause is in the example."""
    example = {"attempt": 3, "determinism": {"deterministic": False, "cause": "clock", "runs": 2}}
    pairs = _read(
        tmp_path,
        {
            "pairs": [{"input": {"n": 1}, "output": "ab"}],
            "rejected": {"non_deterministic": 4, "exception": 2},
            "examples": {"non_deterministic": example},
            "attempts": 7,
            "stopped": "attempts",
            **_ON,
        },
    ).pairs
    assert (pairs.function_count, pairs.pair_count, pairs.draw_count) == (1, 1, 7)
    assert pairs.rejected.by_size() == {"non_deterministic": 4, "exception": 2}
    assert pairs.causes.by_size() == {"clock": 1}
    assert (pairs.input_chars.total, pairs.output_chars.total) == (len('{"n": 1}'), len('"ab"'))


def test_report_of_samples_has_pass_at_k_of_each_file(tmp_path: Path) -> None:
    """Two models' answers to the same questions are two scores, equal to those of ``score``."""
    paths = []
    for name, right_count in (("one", 1), ("two", 3)):
        lines = [
            _verified(
                0, "correct" if n < right_count else "incorrect", id=f"{problem}#{n}", sample=n
            )
            for problem in ("a", "b", "repo#3")
            for n in range(5)
        ]
        paths.append(write_lines(tmp_path / f"{name}.jsonl", lines))
    scores = read_report(paths, ks=(1, 5, 10)).scores
    for path, score in zip(paths, scores, strict=True):
        by_itself = score_verified(path, ks=(1, 5, 10))
        assert (score.score.passes, score.score.skipped_ks) == (by_itself.passes, [10])
        assert score.score.problem_count == 3
    assert [score.score.passes[0].value for score in scores] == pytest.approx([0.2, 0.6])


def test_report_of_problems_with_a_number_sign_in_their_ids_has_each_of_them(
    tmp_path: Path,
) -> None:
    """What is no sample's number is a part of the id."""
    lines = [_verified(0, "correct", id=f"repo#{n}") for n in range(4)]
    (score,) = read_report([write_lines(tmp_path / "v.jsonl", lines)], ks=(1,)).scores
    assert score.score.problem_count == 4


def test_report_of_verdicts_of_cruxeval_and_leetcode_has_their_scores(tmp_path: Path) -> None:
    """One line is a problem of the one, an example of a question of the other."""
    report = _read(
        tmp_path,
        {"id": "sample_0", "mode": "input", "outcomes": ["correct", "disqualified"]},
        {"id": "sample_1", "mode": "input", "outcomes": ["incorrect", "incorrect"]},
        *(
            {"id": f"{n}", "question": "q", "difficulty": "Easy", "language": "EN", "sample": 1}
            | {"verdict": verdict}
            for n, verdict in enumerate(["correct", "incorrect"])
        ),
    )
    crux, leet = report.scores
    assert (crux.score.problem_count, crux.score.disqualified_count) == (2, 1)
    assert crux.score.passes[0].value == 0.25
    assert (leet.accuracies["Overall"].questions, leet.accuracies["Overall"].examples) == (0, 0.5)
    assert set(leet.accuracies) == {"Overall", "Difficulty_Easy", "Lang_EN"}


def test_report_of_what_score_printed_has_that_score(tmp_path: Path, run_files: list[Path]) -> None:
    """``execbox score predictions --json`` is read as it is."""
    printed = subprocess.run(
        [sys.executable, "-m", "execbox", "score", "predictions", run_files[2], "--json"],
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
    (score,) = _read(tmp_path, printed.rstrip(b"\n")).scores
    assert score.score == score_verified(run_files[2])


def test_report_of_conversations_and_summaries_counts_them(tmp_path: Path) -> None:
    """What ``interpret`` writes, and what a step and a pipeline print with ``--json``."""
    blocks = [{"code": "1", "status": "ok"}, {"code": "2", "status": "timeout"}]
    conversation = {"ended": "answered", "transcript": [], "verdict": "correct", "blocks": blocks}
    chain = {"output": "t", "rounds": [], "stages": [{"summary": _SUMMARY, "output": "p"}]}
    report = _read(tmp_path, _SUMMARY, chain, conversation)
    assert [one.result_count for one in report.summaries] == [3, 3]
    assert report.conversations.ended.by_size() == {"answered": 1}
    assert report.conversations.blocks.by_size() == {"ok": 1, "timeout": 1}


# What cannot be used

_VAST = 10**400
_SUMMARY: dict[str, Any] = {
    "step": "verify",
    "counts": {"correct": 3},
    "failures": {"not_json": 1},
    "tallies": {},
    "retryable_count": 0,
    "resumed_count": 0,
    "elapsed_s": 2.0,
    "line_count": 4,
    "output": "verified.jsonl",
}
_PASS: dict[str, Any] = {
    "k": 1,
    "value": 0.5,
    "interval": {"low": 0.1, "high": 0.9, "method": "wilson"},
    "reference_value": 0.5,
}
_SCORE: dict[str, Any] = {
    "problem_count": 2,
    "generation_count": 2,
    "disqualified_count": 0,
    "passes": [_PASS],
    "skipped_ks": [],
    "outcomes": {},
}
_CELL: dict[str, Any] = {"cell": 1, "status": "ok", "session_lost": False}
_RUN: dict[str, Any] = {"line": 1, "status": "ok", "exit_code": 0}
_UNUSED: list[tuple[object, str, str]] = [
    (b"{", "not_json", "JSON"),
    (b"[1]", "not_an_object", "object is needed"),
    ({"code": "f", "input": "1"}, "unknown_record", "its members are: code, input"),
    ({"ios": [{"input": 1}]}, "invalid_field", 'ios[0] must be an object with "input"'),
    (function(meta={"execbox": {"rejected": {"timeout": "x"}}}), "invalid_field", "rejected"),
    (function(meta={"execbox": {"pairs": 1, "dropped": [3]}}), "invalid_field", "dropped"),
    ({"messages": [], "verdict": "correct"}, "missing_field", '"output" is missing'),
    ({"output": "4", "verdict": "correct", "turns": 3}, "invalid_field", "turns"),
    ({"turn_1": "4"}, "missing_field", '"outcome" is missing'),
    ({"outcome": "wrong"}, "invalid_field", "turn_1"),
    ({"ended": "x", "transcript": [], "blocks": [1]}, "invalid_field", "blocks[0]"),
    ({"executions": [{"status": "odd"}], **_ON}, "invalid_field", "executions.0.status"),
    ({"problem_count": "x", "passes": [], "outcomes": {}}, "invalid_record", "problem_count"),
    ({"mode": "input", "outcomes": 3}, "invalid_field", "outcomes"),
    ({"stages": [{}], "rounds": []}, "invalid_field", ""),
    ({"error": {"code": 3}}, "invalid_field", "error.code"),
    ({"stages": [{"summary": _SUMMARY}, {}], "rounds": []}, "invalid_field", ""),
    (_SUMMARY | {"line_count": _VAST}, "invalid_field", "too large to be counted"),
    (_SUMMARY | {"counts": {"correct": _VAST}}, "invalid_field", "too large to be counted"),
    (_SUMMARY | {"elapsed_s": math.inf}, "invalid_field", "too large to be counted"),
    (_SUMMARY | {"elapsed_s": math.nan}, "invalid_field", "not a finite number"),
    (_SCORE | {"problem_count": _VAST}, "invalid_field", "too large to be counted"),
    (_SCORE | {"passes": [_PASS | {"value": math.nan}]}, "invalid_field", "not a finite number"),
    (_CELL | {"usage": _USAGE | {"peak_memory_bytes": _VAST}}, "invalid_field", "too large"),
    (_RUN | {"usage": _USAGE | {"peak_memory_bytes": _VAST}}, "invalid_field", "too large"),
    (function(meta={"execbox": {"attempts": _VAST}}), "invalid_field", "too large to be counted"),
    (function(meta={"execbox": {"rejected": {"x": _VAST}}}), "invalid_field", "too large"),
]


@pytest.mark.parametrize(("line", "reason", "said"), _UNUSED, ids=lambda given: str(given)[:40])
def test_report_names_a_line_that_it_cannot_use_and_goes_on(
    tmp_path: Path, line: object, reason: str, said: str
) -> None:
    """With file, line and reason; what stands before and behind it counts."""
    report = _read(tmp_path, _verified(0, "correct"), line, _verified(1, "correct"))
    (problem,) = report.problems
    assert problem.startswith(f"{tmp_path / 'lines.jsonl'}:2: ")
    assert said in problem
    assert report.problem_reasons.by_size() == {reason: 1}
    assert (report.verified.count, report.record_count) == (2, 2)
    assert report.pairs.function_count == report.training.record_chars.count == 0
    assert len(report.scores) == 1
    assert report.summaries == []
    assert report.executions.statuses == {}
    page_of(report)


def test_report_of_more_scores_and_summaries_than_it_keeps_says_how_many(tmp_path: Path) -> None:
    """On the page and for programs."""
    report = _read(tmp_path, *[_SCORE] * 103, *[_SUMMARY] * 204)
    numbers = json.loads(json.dumps(numbers_of(report), allow_nan=False))
    assert (len(numbers["scores"]), numbers["scores_left"]) == (100, 3)
    assert (len(numbers["summaries"]), numbers["summaries_left"]) == (200, 4)
    page = page_of(report)
    assert "And 3 more scores, which are not shown." in page
    assert "And 4 more runs, which are not shown." in page


def test_report_of_a_thousand_bad_lines_names_some_and_counts_all(tmp_path: Path) -> None:
    """The page stays small."""
    report = _read(tmp_path, _verified(0, "correct"), *[b"nothing"] * 1000)
    assert len(report.problems) == PROBLEMS_KEPT
    assert report.problem_reasons.total() == 1000


def test_report_of_a_file_that_is_cut_off_goes_as_far_as_it_can(tmp_path: Path) -> None:
    """A gzip file of a run that is still going on, or of a broken download."""
    lines = b"".join(json.dumps(_verified(n, "correct")).encode() + b"\n" for n in range(2000))
    whole = gzip.compress(lines)
    path = tmp_path / "v.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    other = write_lines(tmp_path / "other.jsonl", [_verified(0, "incorrect")])
    report = read_report([path, other])
    (problem,) = report.problems
    assert "damaged or cut off" in problem
    assert f"read as far as line {report.files[0].line_count}" in problem
    assert report.verified.verdicts["output"]["incorrect"] == 1
    assert 0 < report.verified.verdicts["output"]["correct"] < 2000


@pytest.mark.parametrize("content", [b'[{"a": 1}]', b"BZh9", b"\xfd7zXZ\x00"])
def test_report_of_a_format_that_is_not_read_refuses_it_by_name(
    tmp_path: Path, content: bytes
) -> None:
    """As every step does, before anything is written."""
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="JSONL is needed"):
        read_report([path])


def test_report_refuses_a_file_that_is_named_twice(tmp_path: Path, run_files: list[Path]) -> None:
    """It would count twice, also through a link."""
    link = tmp_path / "link"
    link.symlink_to(run_files[0])
    with pytest.raises(DatasetError, match="named twice"):
        read_report([run_files[0], link])


def test_report_of_an_empty_file_says_so_and_is_none_of_anything(tmp_path: Path) -> None:
    """As with every step, empty is no error."""
    report = _read(tmp_path)
    assert (report.record_count, report.problems, report.turns) == (0, [], [])


# Memory

_READER = """
import resource, sys
from pathlib import Path
from execbox.report import page_of, read_report
report = read_report([Path("-")])
page_of(report)
print(report.record_count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def _memory_mib(line: bytes, *, lines_count: int) -> int:
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert isinstance(reader.stdin, io.BufferedWriter)
    for number in range(lines_count):
        reader.stdin.write(line.replace(b"NUMBER", b"%d" % number))
    printed, _ = reader.communicate(timeout=120)
    count, memory_mib = map(int, printed.split())
    assert count == lines_count
    return memory_mib


@pytest.mark.slow
def test_report_of_a_long_file_needs_little_more_memory_than_of_a_short_one() -> None:
    """30 MB of verified answers beside 0.6 MB: what is kept of a line is its id and its verdict."""
    long_text = "step by step, " * 400
    record = _verified(0, "incorrect", id="NUMBER.0.o") | {"output": long_text}
    line = json.dumps(record).encode() + b"\n"
    short = _memory_mib(line, lines_count=100)
    long = _memory_mib(line, lines_count=5000)
    assert len(line) * 5000 > 28_000_000
    assert long - short < 12


def _error(code: str) -> dict[str, object]:
    return {"code": code, "message": "not now", "retryable": True}


def test_report_of_parquet_is_that_of_the_same_lines(tmp_path: Path, run_files: list[Path]) -> None:
    """Each file written as a table; what the files are called and how large they are differs."""
    tables = []
    for path in run_files:
        content = path.read_bytes()
        lines = gzip.decompress(content) if path.suffix == ".gz" else content
        table = tmp_path / path.name
        with table.open("wb") as file:
            write_parquet(partial(iter, lines.splitlines(keepends=True)), file)
        tables.append(table)
    found, expected = numbers_of(read_report(tables)), numbers_of(read_report(run_files))
    named = {"files", "scores", "failures"}
    assert {name: found[name] for name in found.keys() - named} == {
        name: expected[name] for name in expected.keys() - named
    }


def test_report_reads_standard_input_and_gzip(run_files: list[Path]) -> None:
    """``-`` is unpacked as a file is."""
    run = subprocess.run(
        [sys.executable, "-c", _READER],
        input=run_files[2].read_bytes(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert run.stdout.split()[0] == b"12"
