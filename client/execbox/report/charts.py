"""The pictures of a report, as data: what is drawn with which words. Drawing is in ``svg`` and
``figures``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from execbox import wire
from execbox.dataset.scoring.score import Interval as Interval95
from execbox.dataset.scoring.score import wilson_interval
from execbox.report.counts import Spread
from execbox.report.reading import Report
from execbox.report.scores import labels_of

__all__ = [
    "CHARTS",
    "Bars",
    "Chart",
    "ChartName",
    "Columns",
    "Interval",
    "Intervals",
    "Row",
    "Segment",
    "Stack",
    "Stacks",
    "Tone",
    "chart_of",
    "percents",
]

Tone: TypeAlias = Literal["main", "good", "bad", "quiet", "other"]
"""What a colour says: chosen where it is drawn, for light and for dark."""
ChartName: TypeAlias = Literal[
    "draws",
    "pairs",
    "rejected",
    "causes",
    "sizes",
    "verdicts",
    "turns",
    "passes",
    "outcomes",
    "statuses",
    "times",
    "memory",
]
_BARS_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One quantity, and how it is written."""

    label: str
    value: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Quantities beside each other, the largest first."""

    title: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of a stack; all stacks have the same ones, in the same order."""

    label: str
    tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One whole, cut into parts: a count for each segment. ``text`` stands at its end."""

    label: str
    counts: Sequence[int]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacks:
    """Wholes under each other, each drawn to the same length of its own share."""

    title: str
    segments: Sequence[Segment]
    stacks: Sequence[Stack]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """How quantities are spread: a column for each bin, a colour for each series."""

    title: str
    labels: Sequence[str]
    """What each bin begins at."""
    series: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A share between 0 and 1 with its 95 % interval."""

    label: str
    value: float
    low: float
    high: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Shares with their intervals, all on one axis from 0 to 100 %."""

    title: str
    rows: Sequence[Interval]


Chart: TypeAlias = Bars | Stacks | Columns | Intervals


def chart_of(report: Report, name: ChartName) -> Chart | None:
    """One picture; None where the files hold nothing for it."""
    return CHARTS[name](report)


def percents(share: float, interval: Interval95) -> str:
    """A share, 0 to 1, and its 95 % interval, in words."""
    return f"{100 * share:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _draws(report: Report) -> Chart | None:
    pairs = report.pairs
    kept_count = max(0, pairs.draw_count - pairs.rejected.total())
    counts = {"kept": kept_count, "rejected": pairs.rejected.total()}
    return _bars("Draws of the input generators", counts if pairs.draw_count else {})


def _pairs(report: Report) -> Chart | None:
    return _bars("What became of the pairs there were", report.pairs.sorted.by_size())


def _rejected(report: Report) -> Chart | None:
    return _bars("Rejected draws by reason", report.pairs.rejected.by_size())


def _causes(report: Report) -> Chart | None:
    counts = report.pairs.causes.by_size()
    if counts:
        return _bars("Functions that are not deterministic, by cause", counts)
    counts = report.executions.causes.by_size()
    return _bars("Executions that are not deterministic, by cause", counts)


def _sizes(report: Report) -> Chart | None:
    spreads = {"inputs": report.pairs.input_chars, "outputs": report.pairs.output_chars}
    return _columns("Size of the pairs, in characters of JSON", spreads, of=_whole)


def _verdicts(report: Report) -> Chart | None:
    by_kind = {kind: counts.by_size() for kind, counts in report.verified.verdicts.items()}
    return _stacks("Verdicts", by_kind, good=(wire.Verdict.CORRECT,))


def _turns(report: Report) -> Chart | None:
    turns = report.turns
    if not turns:
        return None
    segments: list[tuple[str, Tone]] = [
        ("right, stays right", "main"),
        ("wrong, becomes right", "good"),
        ("right, becomes wrong", "other"),
        ("wrong, stays wrong", "bad"),
        ("wrong, not answered again", "quiet"),
    ]
    stacks = [
        Stack(
            label=f"turn {turn.number}",
            counts=(
                turn.stays_right_count,
                turn.becomes_right_count,
                turn.becomes_wrong_count,
                turn.stays_wrong_count,
                turn.not_answered_count,
            ),
            text=f"right {_with_interval(turn.right_count, turn.question_count)}",
        )
        for turn in turns
    ]
    return _without_empty(
        Stacks(
            title="Right answers turn by turn",
            segments=[Segment(label=label, tone=tone) for label, tone in segments],
            stacks=stacks,
        )
    )


def _without_empty(chart: Stacks) -> Stacks:
    """Without the segments that no stack has any of."""
    kept = [
        number
        for number in range(len(chart.segments))
        if any(stack.counts[number] for stack in chart.stacks)
    ]
    stacks = [
        replace(stack, counts=[stack.counts[number] for number in kept]) for stack in chart.stacks
    ]
    return replace(chart, segments=[chart.segments[number] for number in kept], stacks=stacks)


def _passes(report: Report) -> Chart | None:
    rows = [
        Interval(
            label=f"pass@{each.k}, {label}",
            value=each.value,
            low=each.interval.low,
            high=each.interval.high,
            text=percents(each.value, each.interval),
        )
        for label, one in zip(labels_of(report.scores), report.scores, strict=True)
        for each in one.score.passes
    ]
    return Intervals(title="pass@k with 95 % intervals", rows=rows) if rows else None


def _outcomes(report: Report) -> Chart | None:
    by_kind = {kind: counts.by_size() for kind, counts in report.training.outcomes.items()}
    return _stacks("Training records by outcome", by_kind, good=("correct", "corrected"))


def _statuses(report: Report) -> Chart | None:
    by_operation = {name: counts.by_size() for name, counts in report.executions.statuses.items()}
    return _stacks("Executions by status", by_operation, good=(wire.Status.OK,))


def _times(report: Report) -> Chart | None:
    spreads = {"CPU": report.executions.cpu_time_s, "wall": report.executions.wall_time_s}
    return _columns("Time of an execution", spreads, of=_duration)


def _memory(report: Report) -> Chart | None:
    spreads = {"peak": report.executions.peak_memory_bytes}
    return _columns("Peak memory of an execution", spreads, of=_mib)


CHARTS: Mapping[ChartName, Callable[[Report], Chart | None]] = {
    "draws": _draws,
    "pairs": _pairs,
    "rejected": _rejected,
    "causes": _causes,
    "sizes": _sizes,
    "verdicts": _verdicts,
    "turns": _turns,
    "passes": _passes,
    "outcomes": _outcomes,
    "statuses": _statuses,
    "times": _times,
    "memory": _memory,
}
"""Every picture there is, in the order of a page."""


def _bars(title: str, counts: Mapping[str, int]) -> Bars | None:
    total = sum(counts.values())
    if not total:
        return None
    shown = list(counts.items())[:_BARS_MAX]
    left_count = total - sum(count for _, count in shown)
    if left_count:
        shown.append((f"{len(counts) - _BARS_MAX} more", left_count))
    rows = [
        Row(label=label, value=count, text=f"{count:,} ({_percent(count, total)})")
        for label, count in shown
    ]
    return Bars(title=title, rows=rows)


_GOOD_TONES: Sequence[Tone] = ("main", "good")
_OTHER_TONES: Sequence[Tone] = ("bad", "other", "quiet")


def _stacks(
    title: str, by_kind: Mapping[str, Mapping[str, int]], *, good: Sequence[str]
) -> Stacks | None:
    """A stack for each kind: what is good first, then the commonest words, then all the rest."""
    totals: Counter[str] = Counter()
    for counts in by_kind.values():
        totals.update(counts)
    if not totals:
        return None
    named = _named_segments(totals, good)
    rest = totals.keys() - {segment.label for segment in named}
    segments = [*named, Segment(label="all others", tone="quiet")] if rest else named
    stacks = []
    for kind in sorted(by_kind):
        counts = by_kind[kind]
        parts = [counts.get(segment.label, 0) for segment in named]
        if rest:
            parts.append(sum(counts.get(word, 0) for word in rest))
        share = _percent(sum(counts.get(word, 0) for word in good), sum(counts.values()))
        stacks.append(Stack(label=kind, counts=parts, text=f"{' or '.join(good)} {share}"))
    return Stacks(title=title, segments=segments, stacks=stacks)


def _named_segments(totals: Mapping[str, int], good: Sequence[str]) -> list[Segment]:
    """Those that have a colour of their own; one is left for all others where they are several."""
    ordered = sorted(totals.keys() - set(good), key=lambda word: (-totals[word], word))
    if len(ordered) > len(_OTHER_TONES):
        ordered = ordered[: len(_OTHER_TONES) - 1]
    toned = [
        *zip([word for word in good if word in totals], _GOOD_TONES, strict=False),
        *zip(ordered, _OTHER_TONES, strict=False),
    ]
    return [Segment(label=word, tone=tone) for word, tone in toned]


def _columns(
    title: str, spreads: Mapping[str, Spread], *, of: Callable[[float], str]
) -> Columns | None:
    bins = {
        name: {one.low: one.count for one in spread.doublings()} for name, spread in spreads.items()
    }
    lows = [low for by_low in bins.values() for low in by_low]
    if not lows:
        return None
    low, every = min(lows), []
    while low <= max(lows):
        every.append(low)
        low *= 2
    series = {name: [by_low.get(low, 0) for low in every] for name, by_low in bins.items()}
    return Columns(title=title, labels=[of(low) for low in every], series=series)


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else "none"


def _with_interval(count: int, total: int) -> str:
    return percents(count / total if total else 0.0, wilson_interval(count, total))


def _whole(quantity: float) -> str:
    return f"{quantity:,.0f}"


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _mib(bytes_count: float) -> str:
    return f"{bytes_count / 2**20:,.0f} MiB"
