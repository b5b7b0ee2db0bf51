"""Drawing the samples of a soak, a panel for each series; needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.plot_style import OTHERS, OURS, picture
from harness.trend import Trend

from acceptance.soak_meters import GAUGES, Sample

_COLUMNS = 3
_LOADED, _QUIET = OTHERS, OURS


def draw(
    loaded: Sequence[Sample],
    quiet: Sequence[Sample],
    path: Path,
    *,
    trends: Mapping[str, Trend],
) -> None:
    """Samples under load and quiet ones over time; each title has the slope under load."""
    rows = -(-len(GAUGES) // _COLUMNS)
    with picture(path, (4.4 * _COLUMNS, 2.4 * rows)) as figure:
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
            axis.set_title(gauge.title + said)
        for axis in axes[len(GAUGES) :]:
            axis.set_visible(False)
        figure.supxlabel("minutes", fontsize=9)
        axes[0].legend()
