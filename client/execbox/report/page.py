"""A report as one page of HTML that needs nothing else: no script, no request, no font.

Which pictures there are is in ``charts``, how they are drawn in ``svg``.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import islice
from typing import TypeAlias

from execbox._version import client_version
from execbox.dataset.steps.progress import Summary
from execbox.html_text import as_html
from execbox.report.charts import (
    CHARTS,
    Bars,
    Chart,
    ChartName,
    Columns,
    Intervals,
    Stacks,
    chart_of,
    percents,
)
from execbox.report.counts import Spread, WordCounts
from execbox.report.reading import PROBLEMS_KEPT, Report
from execbox.report.scores import labels_of
from execbox.report.svg import COLUMN_TONES, svg_of

__all__ = ["MARK", "page_of"]

MARK = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="generator" content="execbox report">\n'
)
"""What every page begins with, by which one is known again."""

_TURNS_NOTE = (
    "After the paper's figure 7. An answer that is right is not asked for again, and stays right."
)
_NO_TURNS = (
    "Revision rounds are not shown: these files lack first answers, or hold more later answers "
    "than wrong ones before. Give the verified files of all rounds of a run."
)
_NOTES: Mapping[ChartName, str] = {
    "turns": _TURNS_NOTE,
    "causes": "A function is counted once for each cause that was found.",
    "rejected": "A draw is one input of an input generator.",
    "sizes": "Columns reach from one power of two to the next.",
    "times": "As the service's answers say it; columns reach from one power of two to the next.",
    "memory": "The interpreter and its loaded packages included.",
    "passes": "By the unbiased estimator of Chen et al. 2021, over first answers.",
}

_SCORES_AT_TOP = 2

Cell: TypeAlias = str | int | float
"""Text, or a number, which stands at the right."""


def page_of(report: Report) -> str:
    """The page, to be written as UTF-8."""
    style = files("execbox.report").joinpath("style.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    # Nothing of what is shown could run or ask for anything, even if it got out of its text.
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        MARK
        + f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        + '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        + f"<title>{as_html(_title(report))}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        + f"<header><h1>{as_html(_title(report))}</h1></header>\n<main>\n"
        + "".join(_main(report))
        + "</main>\n<footer>Made by <code>execbox report</code> "
        + f"{as_html(client_version())}.</footer>\n</body>\n</html>\n"
    )


def _title(report: Report) -> str:
    if len(report.files) == 1:
        return f"Report of {report.files[0].name}"
    return f"Report of {len(report.files)} files"


def _main(report: Report) -> Iterator[str]:
    yield _numbers(report)
    if report.problems:
        yield _problems(report)
    if not report.record_count:
        yield '<p class="warn">There is nothing in these files that a report counts.</p>\n'
    for name, count in {"scores": report.scores_left, "runs": report.summaries_left}.items():
        if count:
            yield f'<p class="warn">And {count:,} more {name}, which are not shown.</p>\n'
    if report.verified.count and not report.turns:
        yield f'<p class="warn">{as_html(_NO_TURNS)}</p>\n'
    yield '<div class="cards">\n'
    for name in CHARTS:
        chart = chart_of(report, name)
        if chart is not None:
            yield _figure(chart, _NOTES.get(name))
    yield from _tables(report)
    yield "</div>\n"
    yield from _wide_tables(report)


def _numbers(report: Report) -> str:
    numbers = [*_pair_numbers(report), *_answer_numbers(report), *_run_numbers(report)]
    inner = "".join(
        f"<div><dt>{as_html(name)}</dt><dd>{as_html(text)}</dd></div>\n" for name, text in numbers
    )
    return f'<dl class="numbers">\n{inner}</dl>\n' if inner else ""


def _pair_numbers(report: Report) -> Iterator[tuple[str, str]]:
    pairs = report.pairs
    if pairs.function_count or pairs.without_pairs.total():
        yield "functions with pairs", f"{pairs.function_count:,}"
        yield "functions without", f"{pairs.without_pairs.total():,}"
        yield "pairs", f"{pairs.pair_count:,}"
        yield "pairs with a certificate", f"{pairs.certified_count:,}"
    if pairs.draw_count:
        yield "draws rejected", f"{pairs.rejected.total():,} of {pairs.draw_count:,}"


def _answer_numbers(report: Report) -> Iterator[tuple[str, str]]:
    turns = report.turns
    if report.verified.count:
        yield "verified answers", f"{report.verified.count:,}"
    if turns:
        yield "right after turn 1", _share(turns[0].right_count, turns[0].question_count)
    if len(turns) > 1:
        last = turns[-1]
        yield f"right after turn {last.number}", _share(last.right_count, last.question_count)
    labelled = zip(labels_of(report.scores), report.scores, strict=True)
    for label, one in islice(labelled, _SCORES_AT_TOP):
        for each in one.score.passes[:1]:
            yield f"pass@{each.k}, {label}", f"{100 * each.value:.1f} %"


def _run_numbers(report: Report) -> Iterator[tuple[str, str]]:
    executions = sum(counts.total() for counts in report.executions.statuses.values())
    if executions:
        yield "executions", f"{executions:,}"
    failed = sum(counts.total() for counts in report.failures.values())
    if failed:
        yield "records without a result", f"{failed:,}"


def _problems(report: Report) -> str:
    total = report.problem_reasons.total()
    items = "".join(f"<li>{as_html(problem)}</li>\n" for problem in report.problems)
    more = total - len(report.problems)
    rest = f"<p>And {more:,} more: the first {PROBLEMS_KEPT} are named.</p>\n" if more else ""
    return (
        f'<details class="warn"><summary>{total:,} could not be used, and count for nothing: '
        f"{as_html(_words(report.problem_reasons))}</summary>\n<ul>\n{items}</ul>\n{rest}"
        "</details>\n"
    )


def _figure(chart: Chart, note: str | None) -> str:
    said = f'<p class="quiet">{as_html(note)}</p>\n' if note else ""
    return (
        f"<section><h2>{as_html(chart.title)}</h2>\n<figure>{svg_of(chart)}\n{_legend(chart)}"
        f"</figure>\n{said}<details><summary>Numbers</summary>\n"
        f"{_table(chart.title, *_rows_of(chart))}</details>\n</section>\n"
    )


def _legend(chart: Chart) -> str:
    match chart:
        case Stacks():
            parts = [(segment.tone, segment.label) for segment in chart.segments]
        case Columns():
            parts = list(zip(COLUMN_TONES, chart.series, strict=False))
        case _:
            return ""
    items = "".join(
        f'<li><span class="tone-{tone}"></span>{as_html(label)}</li>' for tone, label in parts
    )
    return f'<ul class="legend">{items}</ul>\n'


def _rows_of(chart: Chart) -> tuple[Sequence[str], Sequence[Sequence[Cell]]]:
    """The head and the rows of the table with a chart's numbers."""
    match chart:
        case Bars():
            return ("", "count"), [(row.label, row.text) for row in chart.rows]
        case Stacks():
            head = ("", *(segment.label for segment in chart.segments), "share")
            return head, [(stack.label, *stack.counts, stack.text) for stack in chart.stacks]
        case Intervals():
            return ("", "value (95 %)"), [(row.label, row.text) for row in chart.rows]
        case Columns():
            counts = zip(*chart.series.values(), strict=True)
            rows = zip(chart.labels, counts, strict=True)
            return ("from", *chart.series), [(label, *each) for label, each in rows]


def _tables(report: Report) -> Iterator[str]:
    """Tables of words with their counts, as cards."""
    pairs, executions = report.pairs, report.executions
    for title, by_kind in {
        "Verdicts": report.verified.verdicts,
        "Training records, by outcome": report.training.outcomes,
        "Executions, by status": executions.statuses,
    }.items():
        yield _section(title, ("of", "", "count"), _rows_by_kind(by_kind))
    for title, counts in {
        "Why drawing ended, by functions": pairs.stopped,
        "Functions without pairs, by reason": pairs.without_pairs,
        "Rules of object size that were broken, by functions": pairs.rules,
        "Rules of object size that were broken, by executions": executions.rules,
        "Executions that are not deterministic, by cause": executions.causes,
        "Certified with, by pairs": pairs.made_with,
        "Models, by answers": report.verified.models,
        "Conversations, by how they ended": report.conversations.ended,
        "Conversations, by verdict": report.conversations.verdicts,
        "Blocks of code, by status": report.conversations.blocks,
        "Programs, by verdict": executions.verdicts,
        "Requests and items without an answer, by error code": executions.errors,
    }.items():
        yield _section(title, ("", "count"), list(counts.by_size().items()))


def _wide_tables(report: Report) -> Iterator[str]:
    executions = report.executions
    yield _spreads(
        "Sizes, in characters",
        {
            "input of a pair, as JSON": report.pairs.input_chars,
            "output of a pair, as JSON": report.pairs.output_chars,
            "answer of a model": report.verified.answer_chars,
            "training record": report.training.record_chars,
        },
    )
    yield _spreads(
        "Times, in seconds",
        {
            "CPU time of an execution": executions.cpu_time_s,
            "wall time of an execution": executions.wall_time_s,
            "a request's wait for a slot": executions.queue_time_s,
        },
    )
    yield _failures(report)
    yield _accuracies(report)
    yield _summaries(report)
    yield _files(report)


def _failures(report: Report) -> str:
    title = f"Records without a result ({report.retryable_count:,} are tried again)"
    head = ("listed in", "reason", "count")
    return _section(title, head, _rows_by_kind(report.failures), wide=True)


def _rows_by_kind(counts: Mapping[str, WordCounts]) -> Sequence[Sequence[Cell]]:
    return [
        (kind, word, count)
        for kind in sorted(counts)
        for word, count in counts[kind].by_size().items()
    ]


def _accuracies(report: Report) -> str:
    rows = [
        (
            one.name,
            group,
            percents(each.questions, each.interval),
            each.question_count,
            100 * each.examples,
            each.example_count,
        )
        for one in report.scores
        for group, each in one.accuracies.items()
    ]
    head = ("", "group", "questions right, % (95 %)", "questions", "examples right, %", "examples")
    return _section("LeetCode-O", head, rows, wide=True)


def _summaries(report: Report) -> str:
    rows = [
        (
            one.step,
            one.line_count,
            one.result_count,
            one.failure_count,
            float(one.elapsed_s),
            _rate(one),
        )
        for one in report.summaries
    ]
    head = ("step", "lines", "results", "without", "seconds", "records a second")
    return _section("Runs", head, rows, wide=True)


def _rate(summary: Summary) -> Cell:
    """Records a second that this run did, and none before it; empty where it took no time."""
    fresh_count = max(0, summary.result_count + summary.failure_count - summary.resumed_count)
    rate = fresh_count / summary.elapsed_s if summary.elapsed_s > 0 else math.inf
    return rate if math.isfinite(rate) else ""


def _files(report: Report) -> str:
    rows = [
        (
            one.name,
            ", ".join(f"{count:,} {kind}" for kind, count in one.kinds.most_common()) or "empty",
            one.line_count,
            one.unused_count,
            one.read_bytes,
        )
        for one in report.files
    ]
    return _section("Files", ("", "what it holds", "lines", "not used", "bytes"), rows, wide=True)


def _spreads(title: str, spreads: Mapping[str, Spread]) -> str:
    rows = [
        (
            name,
            spread.count,
            spread.total / spread.count,
            spread.quantile(0.5),
            spread.quantile(0.95),
            float(spread.largest),
        )
        for name, spread in spreads.items()
        if spread.count
    ]
    return _section(
        title, ("", "count", "mean", "median", "95 % below", "largest"), rows, wide=True
    )


def _section(
    title: str, head: Sequence[str], rows: Sequence[Sequence[Cell]], *, wide: bool = False
) -> str:
    if not rows:
        return ""
    inner = _table(title, head, rows)
    opening = '<section class="wide">' if wide else "<section>"
    return f"{opening}<h2>{as_html(title)}</h2>\n{inner}</section>\n"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    aligned = zip(head, rows[0], strict=True)
    names = "".join(f'<th scope="col"{_class(cell)}>{as_html(name)}</th>' for name, cell in aligned)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    return (
        # Reached by the keyboard, too, where it is wider than the screen.
        f'<div class="scroll" role="region" tabindex="0" aria-label="{as_html(title)}">'
        f"<table>\n<thead><tr>{names}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )


def _cell(cell: Cell) -> str:
    text = cell if isinstance(cell, str) else _number(cell)
    return f"<td{_class(cell)}>{as_html(text)}</td>"


def _class(cell: Cell) -> str:
    return "" if isinstance(cell, str) else ' class="number"'


def _number(number: float) -> str:
    if isinstance(number, int):
        return f"{number:,}"  # Also one that no float can hold.
    if number >= 1000:
        return f"{number:,.0f}"
    return f"{number:.3g}"


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else "none"


def _words(counts: WordCounts) -> str:
    return ", ".join(f"{count:,} {word}" for word, count in counts.by_size().items())
