"""Building jobs: what a request needs of the sandboxes, decided before anything runs."""

from __future__ import annotations

import pytest

from execbox.wire import ComplexityLimits
from execbox_service.failures import CallerMistake
from execbox_service.operations.job_payloads import complexity_limits


def test_size_check_where_nothing_can_measure_is_the_callers_to_leave_out() -> None:
    """Run all the same, it would end as an ImportError of the user's code."""
    with pytest.raises(CallerMistake, match="pympler") as refused:
        complexity_limits("codeio", imports={"numpy": "numpy"})
    assert (refused.value.http_status, refused.value.code) == (422, "check_unavailable")


def test_size_check_that_is_not_asked_for_needs_nothing() -> None:
    """Without the check any Python will do."""
    assert complexity_limits(None, imports={}) is None


def test_size_check_with_pympler_has_the_limits_asked_for() -> None:
    """The preset, or the caller's own numbers."""
    own = ComplexityLimits(string_chars=7)
    assert complexity_limits("codeio", imports={"pympler": "Pympler"}) == ComplexityLimits()
    assert complexity_limits(own, imports={"pympler": "Pympler"}) == own
