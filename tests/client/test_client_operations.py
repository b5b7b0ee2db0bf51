from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from execbox import _operations, _time_bounds, wire
from execbox.errors import InvalidRequest, RequestTooLarge

SOURCE = "def main_solution(n): return n"


def body_of(*args: Any, **options: Any) -> Any:
    body = _operations.execute(*args, **options).body
    assert body is not None
    return json.loads(body)


def test_execute_source_and_mapping_send_only_what_was_given() -> None:
    """Defaults are the service's: what the caller left out is not in the body."""
    assert body_of(SOURCE, [{"n": 1}]) == {
        "function": {"code": SOURCE},
        "calls": [{"kwargs": {"n": 1}}],
    }


def test_execute_every_option_is_sent_as_given() -> None:
    """Each option reaches its field, and partly given models stay partial."""
    body = body_of(
        SOURCE,
        [wire.Call(args=[1]), wire.Call(expression="f(1)"), {}],
        entry_point="f",
        prelude="codeio",
        limits=wire.Limits(cpu_time_s=1, memory_mb=64),
        checks=wire.Checks(determinism=wire.DeterminismCheck(runs=3), complexity="codeio"),
        isolation="process",
        profile="processes",
        convert="codeio",
    )
    assert body == {
        "function": {"code": SOURCE, "entry_point": "f", "prelude": "codeio"},
        "calls": [{"args": [1]}, {"expression": "f(1)"}, {"kwargs": {}}],
        "limits": {"cpu_time_s": 1.0, "memory_mb": 64},
        "checks": {"determinism": {"runs": 3}, "complexity": "codeio"},
        "isolation": "process",
        "profile": "processes",
        "convert": "codeio",
    }


def test_execute_body_is_accepted_by_the_services_schema() -> None:
    """What the client builds from a full wire.Function is a valid request again."""
    function = wire.Function(code=SOURCE, entry_point="main_solution", prelude="none")
    exchange = _operations.execute(function, [{"n": [10**30, {"a": None}]}])
    request = wire.ExecuteRequest.model_validate_json(exchange.body or b"")
    assert request.function == function
    assert request.calls[0].kwargs == {"n": [10**30, {"a": None}]}


@pytest.mark.parametrize(
    ("function", "calls", "options", "message"),
    [
        (SOURCE, [], {}, "calls: "),
        (SOURCE, {"n": 1}, {}, "calls must be a sequence"),
        (SOURCE, "abc", {}, "calls must be a sequence"),
        (SOURCE, [3], {}, r"calls\[0\] must be a mapping .* not 3; for one argument give a list"),
        (SOURCE, ["ab"], {}, r"calls\[0\] must be a mapping .* not 'ab'; for one argument"),
        (SOURCE, [{"n": 1}, {2: 1}], {}, r"calls\[1\]\.kwargs"),
        (SOURCE, [{}, {"n": float("nan")}], {}, r"calls\[1\]\.kwargs\.n: nan has no JSON form"),
        (
            SOURCE,
            [wire.Call(args=[1, ["\ud800"]])],
            {},
            r"calls\[0\]\.args\[1\]\[0\]: a string with",
        ),
        ("x = '\ud800'", [{}], {}, r"function\.code: a string with the lone surrogate"),
        ("\x00", [{}], {}, r"function\.code: must not contain NUL"),
        (
            SOURCE,
            [{}],
            {"entry_point": "not one"},
            r"function\.entry_point: must be the name of a function",
        ),
        (SOURCE, [{}], {"isolation": "none"}, "isolation: "),
        (SOURCE, [{}], {"no_such_option": 1}, "no_such_option: "),
        (
            wire.Function(code=SOURCE),
            [{}],
            {"entry_point": "f"},
            "entry_point cannot be given next",
        ),
    ],
)
def test_execute_unacceptable_argument_is_refused_with_its_path(
    function: Any, calls: Any, options: Any, message: str
) -> None:
    """The caller's mistakes are found before anything is sent, and say where they are."""
    with pytest.raises(InvalidRequest, match=message):
        _operations.execute(function, calls, **options)


def test_execute_too_many_calls_are_refused() -> None:
    """The bound of one job is known without asking the service."""
    with pytest.raises(InvalidRequest, match=r"calls: .*10000"):
        _operations.execute(SOURCE, [wire.Call(args=[])] * (wire.CALLS_MAX + 1))


def test_execute_body_over_the_cap_is_refused_before_sending() -> None:
    """The service would cut such a request off while it is being sent."""
    with pytest.raises(RequestTooLarge, match="send fewer calls"):
        _operations.execute(SOURCE, [{"n": "x" * wire.BODY_BYTES_MAX}])


def request(*, calls: int, runs: int | None = None, **limits: float) -> wire.ExecuteRequest:
    determinism = None if runs is None else wire.DeterminismCheck(runs=runs)
    return wire.ExecuteRequest(
        function=wire.Function(code=SOURCE),
        calls=[wire.Call(args=[])] * calls,
        limits=wire.Limits.model_validate(limits),
        checks=wire.Checks(determinism=determinism),
    )


@pytest.mark.parametrize(
    ("calls", "runs", "limits", "bound_s"),
    [
        # One call: four wall limits, and once more alone.
        (1, None, {"wall_time_s": 10.0}, 80.0),
        (3, None, {"wall_time_s": 10.0}, 240.0),
        # Many calls: the job's time, and the call that was under way when it ended.
        (10_000, None, {"wall_time_s": 10.0, "job_time_s": 300.0}, 380.0),
        (10_000, None, {"wall_time_s": 1.0, "job_time_s": 3600.0}, 3608.0),
        # Determinism: one variation run and five for the cause, at twice the limits.
        (1, 2, {"wall_time_s": 1.0}, 8.0 * 13),
    ],
)
def test_job_bound_covers_the_longest_the_limits_permit(
    calls: int, runs: int | None, limits: dict[str, float], bound_s: float
) -> None:
    """The read timeout follows from the request, so that no good answer is missed."""
    assert _time_bounds.job_bound_s(request(calls=calls, runs=runs, **limits)) == bound_s


def test_execute_lists_and_tuples_are_positional_arguments() -> None:
    """As Python's own calls have them; a wire.Call takes a tuple too."""
    calls: list[Any] = [[1, "a"], (1, "a"), wire.Call.model_validate({"args": (1, "a")})]
    calls += [[[1, 2]], ()]
    exchange = _operations.execute(SOURCE, calls)
    sent = [call["args"] for call in json.loads(exchange.body or b"")["calls"]]
    assert sent == [[1, "a"], [1, "a"], [1, "a"], [[1, 2]], []]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wire.Limits(cpu_time_s=100), r"Limits\.cpu_time_s: .* equal to 60, not 100"),
        (lambda: wire.Call(args=[], expression="1"), "Call: give exactly one of kwargs"),
        (lambda: wire.Function(code="x", entry="f"), r"Function\.entry: Extra"),  # type: ignore[call-arg]
        (lambda: wire.Function(code="x", entry_point="A().f"), "or Solution.twoSum; anything else"),
        (lambda: wire.ComplexityLimits(total_bytes=0), "total_bytes: .* not 0"),
        (lambda: wire.VerifyItem(id="a", kind="input"), "VerifyItem: give exactly one"),
        (lambda: wire.Checks(determinism=1), "Checks.determinism: .* not 1"),  # type: ignore[arg-type]
    ],
)
def test_request_model_that_cannot_be_is_an_invalid_request(
    make: Callable[[], object], message: str
) -> None:
    """The one exception that is documented for it, with the field's name and the value."""
    with pytest.raises(InvalidRequest, match=message):
        make()


class Scalar:
    """What numpy's scalars look like, bool among them: named as Python's, and no JSON."""

    def tolist(self) -> bool:
        return True


Scalar.__module__, Scalar.__name__ = "numpy", "bool"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Scalar(), r"calls\[0\]\.kwargs\.n: a numpy\.bool has no JSON form; call \.tolist\(\)"),
        ({1}, "a set has no JSON form; make it a list"),
        (b"x", "a bytes has no JSON form; decode it"),
        (float("inf"), "inf has no JSON form; to give it .* execute with non_finite"),
    ],
)
def test_execute_value_without_a_json_form_says_what_to_do(value: object, message: str) -> None:
    """The path, the type with the package it is of, and the way out."""
    with pytest.raises(InvalidRequest, match=message):
        _operations.execute(SOURCE, [{"n": value}])
