"""Charts as inline SVG: no script, no font, no colour of its own, so that a page themes them.

Pure: a chart in, markup out. Every text goes through ``as_html``; classes name what a colour says
(``tone-main``), and the page's style sheet gives it one for light and one for dark.
"""

from __future__ import annotations

from collections.abc import Sequence

from execbox.html_text import as_html
from execbox.report.charts import Bars, Chart, Columns, Intervals, Stacks, Tone

__all__ = ["COLUMN_TONES", "svg_of"]

# Units of the drawing: as wide as a phone's screen has pixels, so that text there keeps its size.
_WIDTH = 380
_ROW = 34
_BAR = 11
_TEXT_AT, _BAR_AT = 12, 18
_LABEL_CHARS_MAX = 38
_PLOT_HEIGHT = 120
_AXIS = 16
_LABELS_MAX = 5
_INSIDE_UNITS_PER_CHAR = 7.5

COLUMN_TONES: Sequence[Tone] = ("main", "other")
"""Of the series of columns, in their order."""


def svg_of(chart: Chart) -> str:
    """One picture, as wide as what it is put in. Its words are for the table beside it, too."""
    match chart:
        case Bars():
            height, inner = _bars(chart)
        case Stacks():
            height, inner = _stacks(chart)
        case Intervals():
            height, inner = _intervals(chart)
        case Columns():
            height, inner = _columns(chart)
    label = as_html(f"{chart.title}. The same numbers are in the table below.")
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}">'
        + "".join(inner)
        + "</svg>"
    )


def _bars(chart: Bars) -> tuple[int, list[str]]:
    largest = max(row.value for row in chart.rows)
    inner = []
    for place, row in enumerate(chart.rows):
        top = place * _ROW
        inner += _heading(row.label, row.text, top)
        inner.append(_bar(0, _WIDTH * row.value / largest, top, tone="main"))
    return len(chart.rows) * _ROW, inner


def _stacks(chart: Stacks) -> tuple[int, list[str]]:
    inner = []
    for place, stack in enumerate(chart.stacks):
        top, left = place * (_ROW + 4), 0.0
        total = sum(stack.counts)
        inner += _heading(f"{stack.label}: {total:,}", stack.text, top)
        for segment, count in zip(chart.segments, stack.counts, strict=True):
            width = _WIDTH * count / total if total else 0.0
            if count:
                inner.append(_bar(left, width, top, tone=segment.tone, height=_BAR + 5))
            text = f"{count:,}"
            if count and width > _INSIDE_UNITS_PER_CHAR * len(text):
                middle = left + width / 2
                inner.append(
                    f'<text class="inside" x="{middle:.1f}" y="{top + _BAR_AT + 12}">{text}</text>'
                )
            left += width
    return len(chart.stacks) * (_ROW + 4), inner


def _intervals(chart: Intervals) -> tuple[int, list[str]]:
    inner = []
    height = len(chart.rows) * _ROW
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = share * _WIDTH
        anchor = {0.0: "start", 1.0: "end"}.get(share, "middle")
        inner.append(f'<line class="grid" x1="{x:g}" x2="{x:g}" y1="0" y2="{height}"/>')
        inner.append(
            f'<text class="tick" x="{x:g}" y="{height + _TEXT_AT}" text-anchor="{anchor}">'
            f"{100 * share:.0f} %</text>"
        )
    for place, row in enumerate(chart.rows):
        top = place * _ROW
        y = top + _BAR_AT + _BAR / 2
        inner += _heading(row.label, row.text, top)
        inner.append(
            f'<line class="span" x1="{_WIDTH * row.low:.1f}" x2="{_WIDTH * row.high:.1f}" '
            f'y1="{y}" y2="{y}"/>'
        )
        inner.append(f'<circle class="tone-main" cx="{_WIDTH * row.value:.1f}" cy="{y}" r="5"/>')
    return height + _AXIS, inner


def _columns(chart: Columns) -> tuple[int, list[str]]:
    largest = max(max(counts) for counts in chart.series.values())
    step = _WIDTH / len(chart.labels)
    width = step * 0.86 / len(chart.series)
    top, bottom = _AXIS, _AXIS + _PLOT_HEIGHT
    inner = [f'<text class="tick" x="0" y="{_TEXT_AT}">at most {largest:,}</text>']
    for number, counts in enumerate(chart.series.values()):
        for place, count in enumerate(counts):
            height = (bottom - top) * count / largest if largest else 0.0
            x = place * step + number * width + step * 0.07
            if count:
                inner.append(
                    f'<rect class="tone-{COLUMN_TONES[number]}" x="{x:.1f}" '
                    f'y="{bottom - height:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
                )
    inner.append(f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{bottom}" y2="{bottom}"/>')
    every = -(-len(chart.labels) // _LABELS_MAX)
    inner += [
        f'<text class="tick" x="{place * step:.1f}" y="{bottom + _TEXT_AT + 1}">'
        f"{as_html(chart.labels[place])}</text>"
        for place in range(0, len(chart.labels), every)
    ]
    return bottom + _AXIS + 2, inner


def _heading(label: str, text: str, top: int) -> list[str]:
    if len(label) > _LABEL_CHARS_MAX:
        # Both ends tell names of files apart.
        half = _LABEL_CHARS_MAX // 2
        label = f"{label[:half]}…{label[-half + 1 :]}"
    return [
        f'<text x="0" y="{top + _TEXT_AT}">{as_html(label)}</text>',
        f'<text class="value" x="{_WIDTH}" y="{top + _TEXT_AT}">{as_html(text)}</text>',
    ]


def _bar(left: float, width: float, top: int, *, tone: Tone, height: int = _BAR) -> str:
    return (
        f'<rect class="tone-{tone}" x="{left:.1f}" y="{top + _BAR_AT}" width="{max(width, 1):.1f}" '
        f'height="{height}" rx="2"/>'
    )
