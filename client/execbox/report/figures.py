"""The pictures of a report by matplotlib, for notebooks and papers. Needs the extra ``plots``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from execbox.dataset.files.json_lines import DatasetError
from execbox.report.charts import (
    CHARTS,
    Bars,
    ChartName,
    Columns,
    Intervals,
    Stacks,
    Tone,
    chart_of,
)
from execbox.report.reading import Report
from execbox.report.svg import COLUMN_TONES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure_of"]

# Told apart in grey and by those who see no red or green, on white.
_COLORS: Mapping[Tone, str] = {
    "main": "#155e75",
    "good": "#5bb06f",
    "bad": "#d97745",
    "other": "#7c2d92",
    "quiet": "#b4bcc5",
}
_DARK = frozenset({"main", "other"})
_WIDTH_IN = 6.4
_LABEL_CHARS_MAX = 40


def figure_of(report: Report, name: ChartName) -> Figure:
    """The picture of that name, which no window and no notebook shows unless it is asked to.

    Raises ``ImportError`` where matplotlib is not installed, and ``DatasetError`` where there is no
    such picture or the report's files hold nothing for it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f"figures need matplotlib ({error}); install it with: pip install 'execbox[plots]'"
        ) from error
    if name not in CHARTS:
        raise DatasetError(f"there is no figure {name!r}; there are: {', '.join(CHARTS)}")
    chart = chart_of(report, name)
    if chart is None:
        raise DatasetError(f"the report's files hold nothing for the figure {name!r}")
    figure = Figure(figsize=(_WIDTH_IN, 2.4), layout="constrained")
    axes = figure.subplots()
    match chart:
        case Bars():
            _bars(axes, chart)
        case Stacks():
            _stacks(axes, chart)
        case Intervals():
            _intervals(axes, chart)
        case Columns():
            _columns(axes, chart)
    if not isinstance(chart, Columns):
        rows = chart.stacks if isinstance(chart, Stacks) else chart.rows
        figure.set_size_inches(_WIDTH_IN, 1.2 + 0.35 * len(rows))
    axes.set_title(chart.title, fontsize="medium", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _bars(axes: Axes, chart: Bars) -> None:
    drawn = axes.barh(range(len(chart.rows)), [row.value for row in chart.rows])
    for bar in drawn:
        bar.set_color(_COLORS["main"])
    axes.bar_label(drawn, labels=[_plain(row.text) for row in chart.rows], padding=3, fontsize=8)
    axes.margins(x=0.25)
    _name_rows(axes, [row.label for row in chart.rows])


def _stacks(axes: Axes, chart: Stacks) -> None:
    places = range(len(chart.stacks))
    begins = [0] * len(chart.stacks)
    for number, segment in enumerate(chart.segments):
        counts = [stack.counts[number] for stack in chart.stacks]
        label = _plain(segment.label)
        drawn = axes.barh(
            places, counts, left=begins, color=_COLORS[segment.tone], label=label, height=0.6
        )
        texts = [f"{count:,}" if count else "" for count in counts]
        color = "white" if segment.tone in _DARK else "black"
        axes.bar_label(drawn, labels=texts, label_type="center", fontsize=8, color=color)
        begins = [begin + count for begin, count in zip(begins, counts, strict=True)]
    _name_rows(axes, [f"{stack.label}\n{stack.text}" for stack in chart.stacks])
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.15), ncols=2)


def _intervals(axes: Axes, chart: Intervals) -> None:
    values = [100 * row.value for row in chart.rows]
    below = [100 * max(0.0, row.value - row.low) for row in chart.rows]
    above = [100 * max(0.0, row.high - row.value) for row in chart.rows]
    axes.errorbar(
        values, range(len(values)), xerr=[below, above], fmt="o", color=_COLORS["main"], capsize=3
    )
    axes.set_xlim(0, 100)
    axes.set_xlabel("%")
    _name_rows(axes, [f"{row.label}\n{row.text}" for row in chart.rows])


def _columns(axes: Axes, chart: Columns) -> None:
    width = 0.86 / len(chart.series)
    for number, (name, counts) in enumerate(chart.series.items()):
        places = [place + number * width for place in range(len(counts))]
        color = _COLORS[COLUMN_TONES[number]]
        axes.bar(places, counts, width=width, align="edge", color=color, label=_plain(name))
    axes.set_xticks(range(len(chart.labels)))
    axes.set_xticklabels(list(map(_plain, chart.labels)), rotation=45, ha="right", fontsize=8)
    if len(chart.series) > 1:
        axes.legend(fontsize=8, frameon=False)


def _name_rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)))
    axes.set_yticklabels([_plain(label) for label in labels], fontsize=8)
    axes.set_ylim(len(labels) - 0.5, -0.5)


def _plain(text: str) -> str:
    """Text without what matplotlib takes for mathematics, and without control characters."""
    lines = text.split("\n")
    shown = "\n".join(
        "".join(char if char.isprintable() else "\ufffd" for char in line)[:_LABEL_CHARS_MAX]
        for line in lines
    )
    return shown.replace("$", r"\$")
