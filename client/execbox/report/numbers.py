"""The numbers of a report as JSON, for programs; for people there is the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from execbox.dataset.files.json_lines import Value
from execbox.report.counts import Spread, WordCounts
from execbox.report.reading import Report

__all__ = ["numbers_of"]


def numbers_of(report: Report) -> Value:
    """The main numbers of the page, as one JSON object; counts by word, the commonest first."""
    pairs, executions = report.pairs, report.executions
    return {
        "files": [
            {
                "name": file.name,
                "line_count": file.line_count,
                "unused_count": file.unused_count,
                "kinds": {kind.name.lower(): count for kind, count in file.kinds.most_common()},
            }
            for file in report.files
        ],
        "unused": report.problem_reasons.by_size(),
        "pairs": {
            "function_count": pairs.function_count,
            "without_pairs": pairs.without_pairs.by_size(),
            "pair_count": pairs.pair_count,
            "certified_count": pairs.certified_count,
            "draw_count": pairs.draw_count,
            "rejected": pairs.rejected.by_size(),
            "sorted": pairs.sorted.by_size(),
            "causes": pairs.causes.by_size(),
            "rules": pairs.rules.by_size(),
            "input_chars": _spread(pairs.input_chars),
            "output_chars": _spread(pairs.output_chars),
        },
        "verified": {
            "count": report.verified.count,
            "verdicts": _by_kind(report.verified.verdicts),
        },
        "turns": [
            asdict(turn) | {"right_count": turn.right_count, "question_count": turn.question_count}
            for turn in report.turns
        ],
        "scores": [asdict(one) for one in report.scores],
        "scores_left": report.scores_left,
        "training": {"outcomes": _by_kind(report.training.outcomes)},
        "conversations": report.conversations.ended.by_size(),
        "executions": {
            "statuses": _by_kind(executions.statuses),
            "checked_count": executions.checked_count,
            "causes": executions.causes.by_size(),
            "rules": executions.rules.by_size(),
            "cpu_time_s": _spread(executions.cpu_time_s),
            "wall_time_s": _spread(executions.wall_time_s),
            "peak_memory_bytes": _spread(executions.peak_memory_bytes),
            "errors": executions.errors.by_size(),
        },
        "failures": _by_kind(report.failures),
        "retryable_count": report.retryable_count,
        "summaries": [asdict(one) for one in report.summaries],
        "summaries_left": report.summaries_left,
    }


def _by_kind(counts: Mapping[str, WordCounts]) -> Value:
    return {kind: counts[kind].by_size() for kind in sorted(counts)}


def _spread(spread: Spread) -> Value:
    return {
        "count": spread.count,
        "total": spread.total,
        "median": spread.quantile(0.5),
        "largest": spread.largest,
    }
