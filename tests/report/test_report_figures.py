from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from execbox.dataset.files.json_lines import DatasetError
from execbox.report import figure_of, read_report
from execbox.report.charts import CHARTS, chart_of
from tests.dataset.files import answered, write_lines
from tests.report.hostile import ATTACKS
from tests.report.test_report_page import _report_of_everything

_PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("name", CHARTS)
def test_figure_of_each_chart_is_drawn(tmp_path: Path, run_files: list[Path], name: Any) -> None:
    """With the title that the page has; it can be written as a picture."""
    pytest.importorskip("matplotlib")
    report = _report_of_everything(tmp_path, run_files)
    figure = figure_of(report, name)
    (axes,) = figure.axes
    chart = chart_of(report, name)
    assert chart is not None
    assert axes.get_title(loc="left") == chart.title
    written = io.BytesIO()
    figure.savefig(written, format="png")
    assert written.getvalue().startswith(_PNG)


def test_figure_of_turns_has_the_counts_of_the_run(run_files: list[Path]) -> None:
    """8 and 4 of twelve, then 8, 3 and 1."""
    pytest.importorskip("matplotlib")
    (axes,) = figure_of(read_report(run_files), "turns").axes
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert widths == [[8, 8], [0, 3], [4, 1]]


@pytest.mark.parametrize("attack", [*ATTACKS, r"$\frac{", "$" * 9, "a\nb"])
def test_figure_with_hostile_labels_is_drawn_as_they_are(tmp_path: Path, attack: str) -> None:
    """Nothing is mathematics, and no control character is drawn; the letters are there."""
    pytest.importorskip("matplotlib")
    path = write_lines(tmp_path / "v.jsonl", [answered(0, "4", verdict=attack)])
    figure = figure_of(read_report([path]), "verdicts")
    with pytest.MonkeyPatch.context() as patch:
        # Fonts that lack a letter warn of it, and draw a box.
        patch.setattr("matplotlib._text_helpers.warn_on_missing_glyph", lambda *_: None)
        figure.savefig(io.BytesIO(), format="svg")


def test_figure_of_what_the_files_do_not_hold_says_so(run_files: list[Path]) -> None:
    """By its name."""
    pytest.importorskip("matplotlib")
    with pytest.raises(DatasetError, match="hold nothing for the figure 'times'"):
        figure_of(read_report(run_files), "times")
    with pytest.raises(DatasetError, match="there is no figure 'round'; there are: draws, "):
        figure_of(read_report(run_files), "round")  # type: ignore[arg-type]


def test_figure_without_matplotlib_says_how_to_get_it(
    run_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything else of a report needs none of it."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'execbox\[plots\]'"):
        figure_of(read_report(run_files), "turns")
