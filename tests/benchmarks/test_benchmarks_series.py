"""The arithmetic of a series of measurements, and how checks are grouped."""

from __future__ import annotations

import pytest
from benchmarks.series import percentile
from benchmarks.work import Check


@pytest.mark.parametrize(("percent", "value"), [(50, 2), (75, 3), (99, 4), (100, 4), (1, 1)])
def test_percentile_four_values_is_one_of_them(percent: float, value: int) -> None:
    """It is the smallest value that so many per cent do not exceed; nothing is interpolated."""
    assert percentile([4, 2, 1, 3], percent) == value


def test_check_imports_standard_library_is_left_out() -> None:
    """Checks are grouped by the packages that a warm interpreter would have loaded."""
    code = "import math, os\nfrom scipy.stats import norm\n    import numpy as np\n"
    assert Check(code, "f", {}).imports == ("numpy", "scipy.stats")
