"""Drawing a speed report as one picture; needs matplotlib."""

from __future__ import annotations

from pathlib import Path

from harness.plot_style import OTHERS, OURS, picture
from matplotlib.axes import Axes

from benchmarks.series import Series
from benchmarks.speed_report import SpeedReport

_PANELS = (
    ("checks per second", "per_second"),
    ("latency p50, ms", "latency_p50_ms"),
    ("CPU of the machine per check, ms", "machine_cpu_ms"),
)


def draw(report: SpeedReport, path: Path) -> None:
    """A row of bar charts for each kind of work; the file's suffix says the format."""
    works = list(dict.fromkeys(one.work for one in report.series))
    with picture(path, (13, 3.2 * len(works))) as figure:
        axes = figure.subplots(len(works), len(_PANELS), squeeze=False)
        for row, work in enumerate(works):
            series = [one for one in report.series if one.work == work]
            for column, (title, attribute) in enumerate(_PANELS):
                _bars(axes[row][column], series, attribute=attribute, title=f"{work}: {title}")


def _bars(axis: Axes, series: list[Series], *, attribute: str, title: str) -> None:
    known = [one for one in series if getattr(one, attribute) is not None]
    names = [one.way for one in known]
    values = [max(getattr(one, attribute), 1e-3) for one in known]
    colors = [OURS if name.startswith("execbox") else OTHERS for name in names]
    bars = axis.barh(names, values, color=colors)
    axis.bar_label(bars, fmt="%.3g", padding=2, fontsize=8)
    axis.set_xscale("log")
    axis.set_xlim(right=max(values) * 4)
    axis.invert_yaxis()
    axis.set_title(title)
