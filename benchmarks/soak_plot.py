"""Drawing the samples of a soak, a panel for each series; needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.soak_meters import GAUGES, Sample
from benchmarks.trend import Trend

_COLUMNS = 3
_LOADED, _QUIET = "#9aa5b1", "#1b6ca8"


def draw(
    loaded: Sequence[Sample],
    quiet: Sequence[Sample],
    path: Path,
    *,
    trends: Mapping[str, Trend],
) -> None:
    """Samples under load and quiet ones over time; each title has the slope under load."""
    mpl.use("agg")
    rows = -(-len(GAUGES) // _COLUMNS)
    figure = Figure(figsize=(4.4 * _COLUMNS, 2.4 * rows), layout="constrained")
    axes = list(figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True).flat)
    for axis, (name, gauge) in zip(axes, GAUGES.items(), strict=False):
        for samples, color, style, label in (
            (loaded, _LOADED, {"lw": 0.8}, "under load"),
            (quiet, _QUIET, {"lw": 0.8, "marker": "o", "ms": 4}, "no job running"),
        ):
            minutes = [sample.at_s / 60 for sample in samples]
            values = [sample.values[name] for sample in samples]
            axis.plot(minutes, values, color=color, label=label, **style)
        axis.set_ylim(bottom=0)
        trend = trends.get(name)
        said = ""
        if trend is not None:
            error = trend.high_per_hour - trend.slope_per_hour
            said = f"\n{trend.slope_per_hour:+.2g} ± {error:.2g} an hour: "
            said += "grows" if trend.grows else "flat"
        axis.set_title(gauge.title + said, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(GAUGES) :]:
        axis.set_visible(False)
    figure.supxlabel("minutes", fontsize=9)
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
