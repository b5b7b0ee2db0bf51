"""``generate`` as an exchange: what is sent, how long is waited, what is refused before sending."""

from __future__ import annotations

import json
from typing import Any

import pytest

from execbox import _operations, wire
from execbox.errors import InvalidRequest, RequestTooLarge

SOURCE = "def main_solution(n): return n"
DRAW = "def input_generator(): return {'n': 1}"


def body_of(*args: Any, **options: Any) -> Any:
    body = _operations.generate(*args, **options).body
    assert body is not None
    return json.loads(body)


def test_generate_sources_send_only_what_was_given() -> None:
    """Defaults are the service's."""
    assert body_of(SOURCE, DRAW) == {
        "function": {"code": SOURCE},
        "input_generator": {"code": DRAW},
    }


def test_generate_every_option_is_sent_as_given() -> None:
    """Each option reaches its field, and the service's schema takes it."""
    options: dict[str, Any] = {
        "count": 3,
        "attempts": 50,
        "give_up_after": 20,
        "seed": 2**62,
        "limits": wire.Limits(cpu_time_s=1),
        "checks": wire.Checks(determinism=wire.DeterminismCheck(runs=3)),
        "isolation": "process",
        "profile": "processes",
        "convert": "codeio",
    }
    generator = wire.InputGenerator(code=DRAW, entry_point="draw")
    body = body_of(SOURCE, generator, entry_point="f", prelude="codeio", **options)
    assert body == {
        "function": {"code": SOURCE, "entry_point": "f", "prelude": "codeio"},
        "input_generator": {"code": DRAW, "entry_point": "draw"},
        "count": 3,
        "attempts": 50,
        "give_up_after": 20,
        "seed": 2**62,
        "limits": {"cpu_time_s": 1.0},
        "checks": {"determinism": {"runs": 3}},
        "isolation": "process",
        "profile": "processes",
        "convert": "codeio",
    }
    assert wire.GenerateRequest.model_validate(body).seed == 2**62


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"count": 0}, "count"),
        ({"count": -1}, "count"),
        ({"count": 1001}, "count"),
        ({"attempts": -1}, "attempts"),
        ({"give_up_after": 0}, "give_up_after"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"count": True}, "count"),
        ({"entry_point": "not a name"}, "function.entry_point"),
        ({"prelude": "other"}, "function.prelude"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_generate_option_out_of_range_is_refused_by_name(
    options: dict[str, Any], named: str
) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidRequest, match=named.replace(".", r"\.")):
        _operations.generate(SOURCE, DRAW, **options)


def test_generate_of_too_much_source_is_refused() -> None:
    """The service would, after reading all of it."""
    with pytest.raises(RequestTooLarge, match="shorten the code"):
        _operations.generate("#" * wire.BODY_BYTES_MAX, DRAW)


def test_generate_waits_for_the_whole_job_and_one_call_more() -> None:
    """Draws stop being made after job_time_s; what is under way then is waited for."""
    brief = _operations.generate(SOURCE, DRAW, limits=wire.Limits(job_time_s=10, wall_time_s=1))
    long = _operations.generate(SOURCE, DRAW, limits=wire.Limits(job_time_s=900, wall_time_s=1))
    assert brief.read_timeout_s > 10
    assert long.read_timeout_s == brief.read_timeout_s + 890
