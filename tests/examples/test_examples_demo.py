"""What the demonstration says of its functions and of its option; nothing is run here."""

from __future__ import annotations

import pytest
from examples.demo import Example, Seen, foot, main

from execbox import Limits
from execbox.wire import Function, GenerateResponse, InputGenerator


def seen(name: str, *, expect: str, happened: str) -> Seen:
    """A function of which every draw was rejected for one reason."""
    example = Example(
        name=name,
        function=Function(code="def main_solution(): pass"),
        input_generator=InputGenerator(code="def input_generator(): return {}"),
        expect=expect,
        cause=None,
    )
    generated = GenerateResponse.model_validate(
        {
            "pairs": [],
            "rejected": {happened: 3},
            "examples": {happened: {"attempt": 1}},
            "attempts": 3,
            "stopped": "attempts",
            "isolation": "container",
            "engine": "docker",
            "image": "",
            "queue_time_s": 0.0,
        }
    )
    return Seen(example, generated, None, Limits(cpu_time_s=1))


def test_foot_where_all_ended_as_recorded_says_so() -> None:
    """A function that is to end at its limit is no failure, and no sign of a slow machine."""
    lines = foot([seen("endless", expect="timeout", happened="timeout")], took_s=2.0).splitlines()
    assert lines[1:] == ["Every function ended as its record says it must."]


def test_foot_where_time_was_over_too_early_says_how_to_give_more() -> None:
    """On a slow machine a function meets its CPU limit before its memory limit."""
    lines = foot([seen("colony", expect="memory_exceeded", happened="timeout")], took_s=2.0)
    assert "NOT as expected: colony\nIf this machine is slow" in lines
    assert "--cpu-time-s 10" in lines


def test_foot_where_something_else_was_not_as_recorded_says_nothing_of_time() -> None:
    """More time does not help there."""
    lines = foot([seen("colony", expect="memory_exceeded", happened="exception")], took_s=2.0)
    assert lines.endswith("NOT as expected: colony")


@pytest.mark.parametrize("given", ["0", "-1", "61", "nan", "inf", "much"])
def test_cpu_time_that_no_call_may_have_is_refused_before_a_service_starts(
    given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the value and the range."""
    with pytest.raises(SystemExit) as ended:
        main([f"--cpu-time-s={given}"])
    assert ended.value.code == 2
    assert f"{given!r} is no number of seconds from 0.01 to 60" in capsys.readouterr().err
