"""What decoded values hold against a job that is silent about its objects: tables, no sandbox."""

from __future__ import annotations

from typing import Any

import pytest

from execbox.wire import ComplexityLimits
from execbox_service.judge.complexity import combine
from execbox_service.runner_frames import ReportedViolation

SHOWN: list[tuple[str, Any, list[tuple[str, str]]]] = [
    ("nothing", None, []),
    ("small", {"a": [1, 2.5, True, None, "x"]}, []),
    ("integer", 10**290, [("output", "other_bytes")]),
    ("negative_integer", -(10**290), [("output", "other_bytes")]),
    ("longest_integer_within", 2**750 - 1, []),
    ("shortest_integer_beyond", 2**750, [("output", "other_bytes")]),
    ("integer_inside", {"a": [1, 10**290]}, [("output['a'][1]", "other_bytes")]),
    ("string", "x" * 100, [("output", "string_chars")]),
    ("array", list(range(20)), [("output", "container_items")]),
    ("array_of_strings", [str(n) + "x" * 90 for n in range(10)], [("output", "total_bytes")]),
]


@pytest.mark.parametrize(
    ("output", "shown"), [row[1:] for row in SHOWN], ids=[row[0] for row in SHOWN]
)
def test_what_a_silent_job_gave_is_held_against_it(
    output: Any, shown: list[tuple[str, str]]
) -> None:
    """Each rule of which the value itself is evidence, by path."""
    found = combine([], input_value=None, output=output, limits=ComplexityLimits())
    assert [(each.path, each.rule) for each in found.violations] == shown
    assert found.ok is not bool(shown)


def test_what_the_job_said_itself_is_not_said_again() -> None:
    """The job's figure stays: it knows its objects better."""
    said = ReportedViolation(path="output", rule="other_bytes", measured=160, limit=128)
    found = combine([said], input_value=None, output=10**290, limits=ComplexityLimits())
    assert [each.measured for each in found.violations] == [160]
