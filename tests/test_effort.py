"""The count of lines that stands for effort: the same every time."""

from __future__ import annotations

import gc

from tests.effort import lines_run


def test_lines_run_while_garbage_is_collected_are_those_of_the_work_alone() -> None:
    """Who asks the collector to be called, as hypothesis does, adds nothing to the count."""
    calls = []

    def called(phase: str, info: dict[str, int]) -> None:
        calls.append((phase, info))

    gc.callbacks.append(called)
    try:
        count = lines_run(lambda: [[number] for number in range(50_000)])
        assert lines_run(lambda: [[number] for number in range(50_000)]) == count
    finally:
        gc.callbacks.remove(called)
    assert calls == []
