"""How much work something is, in numbers that other programs do not change. No tests.

Lines of Python that run are counted, and are the same every time. What C does within one of them
is not; so its CPU time is bounded too, but by what only work out of all proportion takes: seconds
where milliseconds are usual.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

FAR_TOO_LONG_S = 2.0
"""Of CPU time. What is tried with it takes a hundredth of that, or minutes where each part of a
text is looked at once for every other part."""

EXTRACTION_LINES_MAX = 800_000
"""Of Python, to find the answer in whatever text: 80 ms, for one of a megabyte."""


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of Python ``work`` runs, its own included, in this thread."""
    count = 0

    def traced(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return traced

    before, collecting = sys.gettrace(), gc.isenabled()
    # Hypothesis has the collector call it, and its lines are none of the work's.
    gc.disable()
    sys.settrace(traced)
    try:
        work()
    finally:
        sys.settrace(before)
        if collecting:
            gc.enable()
    return count


def refuse_effort(work: Callable[[], object], *, lines_max: int | None = None) -> None:
    """Fail where ``work`` takes far too long, or runs more lines of Python than these."""
    began_s = time.thread_time()
    work()
    took_s = time.thread_time() - began_s
    if took_s > FAR_TOO_LONG_S:
        pytest.fail(f"took {took_s:.1f} s of CPU time, far more than {FAR_TOO_LONG_S:g}")
    if lines_max is not None and (count := lines_run(work)) > lines_max:
        pytest.fail(f"ran {count:,} lines of Python, more than {lines_max:,}")
