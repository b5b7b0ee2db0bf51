"""Whether a series of samples grows: its least-squares slope, held against noise and a floor. Pure.

Samples a few seconds apart depend on each other, which makes a line look surer than it is. So they
are first averaged over a few blocks of time, and the slope and its interval are those of the means.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

BLOCK_COUNT = 12
_SAMPLES_MIN = 4
# Student's t, 97.5 %, for 1 to 30 degrees of freedom; the normal distribution's after that.
_T_975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_NORMAL_975 = 1.96

RULE = (
    "A series grows if both hold: the 95 % interval of its slope lies above zero, and the slope "
    "times the time judged is more than the series' floor. Slopes are of means over "
    f"{BLOCK_COUNT} blocks of time (of single samples, where there are no more than that)."
)


@dataclass(frozen=True)
class Trend:
    """A straight line through a series, in the series' own unit, per hour."""

    sample_count: int
    mean: float
    slope_per_hour: float
    low_per_hour: float
    high_per_hour: float
    growth: float
    """The slope times the time from the first sample to the last."""
    floor: float
    """Growth of no more than this is no growth, however sure."""

    @property
    def grows(self) -> bool:
        """By ``RULE``."""
        return self.low_per_hour > 0 and self.growth > self.floor


def trend_of(
    times_s: Sequence[float],
    values: Sequence[float],
    *,
    floor: float,
    explained_by: Sequence[float] | None = None,
) -> Trend | None:
    """The trend of a series; None for fewer than four samples.

    ``explained_by`` is another series, as long, whose own linear effect on this one is taken out
    first: what a daemon holds for each container, while the number of containers changes.
    """
    if len(values) < _SAMPLES_MIN:
        return None
    hours = [time_s / 3600 for time_s in times_s]
    x, y = _block_means(hours), _block_means(values)
    taken_out = 0
    if explained_by is not None and max(explained_by) > min(explained_by):
        z = _block_means(explained_by)
        x, y = _residuals(x, z), _residuals(y, z)
        taken_out = 1
    slope, error = _slope(x, y, freedom=len(x) - 2 - taken_out)
    return Trend(
        sample_count=len(values),
        mean=sum(values) / len(values),
        slope_per_hour=slope,
        low_per_hour=slope - error,
        high_per_hour=slope + error,
        growth=slope * (hours[-1] - hours[0]),
        floor=floor,
    )


def _block_means(values: Sequence[float]) -> list[float]:
    count = min(BLOCK_COUNT, len(values))
    edges = [round(number * len(values) / count) for number in range(count + 1)]
    return [sum(values[low:high]) / (high - low) for low, high in itertools.pairwise(edges)]


def _residuals(y: Sequence[float], x: Sequence[float]) -> list[float]:
    """What is left of y when the line through x is taken out."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((each - mean_x) ** 2 for each in x)
    if spread == 0:
        return [each - mean_y for each in y]
    both = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    slope = both / spread
    return [b - mean_y - slope * (a - mean_x) for a, b in zip(x, y, strict=True)]


def _slope(x: Sequence[float], y: Sequence[float], *, freedom: int) -> tuple[float, float]:
    """The slope, and half of its 95 % interval; an infinite one where there is no freedom."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((each - mean_x) ** 2 for each in x)
    if spread == 0 or freedom < 1:
        return 0.0, math.inf
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    left = sum((each**2 for each in _residuals(y, x)), 0.0)
    quantile = _T_975[freedom - 1] if freedom <= len(_T_975) else _NORMAL_975
    return slope, quantile * math.sqrt(left / freedom / spread)
