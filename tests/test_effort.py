"""The count of lines that stands for effort: the same every time."""

from __future__ import annotations

import gc

from tests.effort import lines_run


def work() -> list[list[int]]:
    """So much that has to be kept, that the collector looks for garbage meanwhile."""
    return [[number] for number in range(5_000)]


def test_lines_run_while_garbage_is_collected_are_those_of_the_work_alone() -> None:
    """A program that the collector calls each time, as hypothesis has it do, adds nothing."""
    count = lines_run(work)
    threshold = gc.get_threshold()
    gc.callbacks.append(lambda _phase, _info: None)
    gc.set_threshold(10)
    try:
        assert lines_run(work) == count
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.pop()
