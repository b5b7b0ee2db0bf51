"""Long arrays of a request become models in portions, with what is said of them as without."""

from __future__ import annotations

from typing import Any

import pytest

from execbox.wire import ExecuteRequest
from execbox_service.api import long_arrays
from execbox_service.api.validation import validated, validated_in_steps
from execbox_service.failures import CallerMistake

COUNT = 1200
GOOD: dict[str, Any] = {"args": [1]}
BAD: dict[str, Any] = {"args": 1}


def document(**bad_at: int) -> dict[str, Any]:
    """An execute request of many calls, those at these places wrong."""
    calls = [BAD if index in bad_at.values() else GOOD for index in range(COUNT)]
    return {"function": {"code": "def main_solution(n): return n"}, "calls": calls}


def test_long_array_without_a_fault_validates_to_the_same_request() -> None:
    """The models made in portions are those that one step makes."""
    whole = validated(ExecuteRequest, document())
    assert validated_in_steps(ExecuteRequest, document()) == whole
    assert long_arrays.with_models(ExecuteRequest, document()).document["calls"] == whole.calls


@pytest.mark.parametrize("place", [0, 499, 500, 999, 1000, COUNT - 1])
def test_fault_in_a_long_array_is_told_with_its_place(place: int) -> None:
    """Whichever portion it is in."""
    with pytest.raises(CallerMistake) as portions:
        validated_in_steps(ExecuteRequest, document(only=place))
    with pytest.raises(CallerMistake) as whole:
        validated(ExecuteRequest, document(only=place))
    assert portions.value.message == whole.value.message
    assert f"calls[{place}].args" in portions.value.message


def test_faults_beyond_the_first_portion_with_one_are_not_counted() -> None:
    """So that no step makes more of them than one portion has; those of other fields are told."""
    request = document(first=600, second=601, third=1100) | {"isolation": "none"}
    with pytest.raises(CallerMistake) as mistake:
        validated_in_steps(ExecuteRequest, request)
    told = str(mistake.value.detail)
    assert "calls[600]" in told
    assert "calls[601]" in told
    assert "isolation" in told
    assert "calls[1100]" not in told


def test_array_longer_than_permitted_is_refused_as_in_one_step() -> None:
    """It is not gone through for the faults of its members."""
    request = document() | {"calls": [BAD] * 10_001}
    assert long_arrays.with_models(ExecuteRequest, request).document == request
    with pytest.raises(CallerMistake, match="10000 items"):
        validated_in_steps(ExecuteRequest, request | {"calls": [GOOD] * 10_001})
