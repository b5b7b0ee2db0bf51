"""How every picture of a benchmark looks, its colours included; needs matplotlib. Draws nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

OURS, OTHERS, ALARM = "#1b6ca8", "#9aa5b1", "#c0504d"


@contextmanager
def picture(path: Path, size_in: tuple[float, float]) -> Iterator[Figure]:
    """A figure so many inches wide and high, to be drawn on inside the block; then it is written.

    The file's suffix says the format.
    """
    mpl.use("agg")
    style = mpl.rc_context(
        {
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 9,
            "legend.fontsize": 8,
            "legend.frameon": False,
            "savefig.dpi": 110,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
        }
    )
    with style:
        figure = Figure(figsize=size_in, layout="constrained")
        yield figure
        # Inside: some parts are made, in this style, only when the figure is written.
        figure.savefig(path)
