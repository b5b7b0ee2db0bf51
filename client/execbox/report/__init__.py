"""A run's files as a report: what came out, why the rest did not, and pictures of it.

``read_report`` counts files of records, whatever each is; ``page_of`` makes the page that
``execbox report`` writes; ``figure_of`` draws one of its pictures with matplotlib.
"""

from __future__ import annotations

from execbox.report.charts import ChartName
from execbox.report.figures import figure_of
from execbox.report.page import page_of
from execbox.report.reading import Report, read_report
from execbox.report.turns import Turn

__all__ = ["ChartName", "Report", "Turn", "figure_of", "page_of", "read_report"]
