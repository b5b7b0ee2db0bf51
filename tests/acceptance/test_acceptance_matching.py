from __future__ import annotations

from typing import Any

import pytest
from acceptance.matching import Outcome, Probe, reason, same_value

from execbox.wire import Execution, ExecutionError, Status


@pytest.mark.parametrize(
    ("given", "published", "same"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (False, False, True),
        ([1, [2]], [1, [2]], True),
        ([1, 2], [1], False),
        ({"a": [True]}, {"a": [1]}, False),
        ({"a": 1}, {"b": 1}, False),
        (0.1 + 0.2, 0.3, False),
        (None, None, True),
        ("1", 1, False),
    ],
)
def test_same_value_json_pair_compares_strictly(given: Any, published: Any, same: bool) -> None:
    """Numbers are equal by value, booleans are no numbers, floats are compared bit by bit."""
    assert same_value(given, published) is same


_OK = Execution(status=Status.OK, output=1)
_MISSING = Execution(
    status=Status.EXCEPTION,
    error=ExecutionError(type="ModuleNotFoundError", message="No module named 'tkinter'"),
)
_INFINITE = Execution(status=Status.OK, output_text="Infinity", output_flags=["non_finite"])
_CHANGED = Execution(status=Status.OK, output=1, output_flags=["mutates_input"])


@pytest.mark.parametrize(
    ("execution", "probe", "found"),
    [
        (_MISSING, Probe(causes=("clock",)), "exception: ModuleNotFoundError"),
        (_INFINITE, Probe(), "non-finite"),
        (_CHANGED, Probe(causes=("entropy",)), "not deterministic: entropy"),
        (_CHANGED, Probe(holds_in_one_process=True), "state kept between calls"),
        (_CHANGED, Probe(), "changes its arguments"),
        (_OK, Probe(), "not found by the probes"),
    ],
)
def test_reason_differing_output_names_strongest_evidence(
    execution: Execution, probe: Probe, found: str
) -> None:
    """A status explains more than a probe, and a probe more than a flag."""
    assert reason([Outcome(published=2, execution=execution)], probe).startswith(found)
