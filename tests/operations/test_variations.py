"""What the runs of a determinism check differ by, as data; what they find is in test_labelled."""

from __future__ import annotations

import pytest

from execbox_service.operations.variations import further_variation, run_variation

RUNS = range(2, 11)


def test_run_variation_of_each_run_is_an_interpreter_and_a_place_of_its_own() -> None:
    """Another hash seed, clock and surroundings each time."""
    variations = [run_variation(run) for run in RUNS]
    assert len({variation.interpreter for variation in variations}) == len(RUNS)
    assert len({variation.surroundings for variation in variations}) == len(RUNS)


@pytest.mark.parametrize("run", RUNS)
def test_further_variation_needs_no_other_interpreter_and_is_elsewhere_all_the_same(
    run: int,
) -> None:
    """Starting interpreters, for draws that differ anyway, took most of the time."""
    assert further_variation(run).interpreter == run_variation(2).interpreter
    assert further_variation(run).surroundings == run_variation(run).surroundings
    assert further_variation(run).limit_factor == run_variation(run).limit_factor
