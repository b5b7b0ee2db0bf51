"""The text a model gets: one template per kind, values cut, nothing of ours in it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from execbox.wire import (
    Execution,
    ExecutionError,
    FeedbackTemplates,
    Function,
    Limits,
    Status,
    Verdict,
    VerifyRequest,
)
from execbox_service.judge.feedback import TEMPLATES, Judged, feedback, value_text

CODE = "def main_solution(n):\n    half = 1 / n\n    return half\n"


def raised(kind: str, message: str, line: int | None) -> Execution:
    error = ExecutionError(type=kind, message=message, line=line)
    return Execution(status=Status.EXCEPTION, error=error)


CASES: list[tuple[str, Judged, str]] = [
    (
        "correct",
        Judged(verdict=Verdict.CORRECT, kind="output", limits=Limits(), prediction=1),
        "Your output is correct.",
    ),
    (
        "wrong_output",
        Judged(
            verdict=Verdict.INCORRECT,
            kind="output",
            limits=Limits(),
            prediction=[1, "é"],
            expected_text="[2]",
        ),
        'Your output is not correct. You predicted [1, "é"], but the function returns [2].',
    ),
    (
        "infeasible_input",
        Judged(
            verdict=Verdict.INCORRECT,
            kind="input",
            limits=Limits(),
            prediction={"n": 1},
            expected_text="4",
            execution=Execution(status=Status.OK, output={"x": 3}),
        ),
        (
            "Your input is not feasible. The output should be 4, but on your input "
            '{"n": 1} the function returns {"x": 3}.'
        ),
    ),
    (
        "infeasible_input_not_finite",
        Judged(
            verdict=Verdict.INCORRECT,
            kind="input",
            limits=Limits(),
            prediction=0,
            expected_text="4",
            execution=Execution(status=Status.OK, output_text="[NaN]"),
        ),
        (
            "Your input is not feasible. The output should be 4, but on your input "
            "0 the function returns [NaN]."
        ),
    ),
    (
        "exception",
        Judged(
            verdict=Verdict.EXCEPTION,
            kind="input",
            limits=Limits(),
            prediction={"n": 0},
            input_text='{"n": 0}',
            function=Function(code=CODE),
            execution=raised("ZeroDivisionError", "division by zero", 2),
        ),
        (
            'On the input {"n": 0} the function returns nothing, because it raises '
            "ZeroDivisionError: division by zero (line 2: half = 1 / n)"
        ),
    ),
    (
        "exception_without_line",
        Judged(
            verdict=Verdict.EXCEPTION,
            kind="input",
            limits=Limits(),
            input_text="{}",
            function=Function(code=CODE),
            execution=raised("TypeError", "missing 1 required positional argument: 'n'", None),
        ),
        (
            "On the input {} the function returns nothing, because it raises "
            "TypeError: missing 1 required positional argument: 'n'"
        ),
    ),
    (
        "timeout",
        Judged(
            verdict=Verdict.TIMEOUT,
            kind="input",
            limits=Limits(cpu_time_s=0.5),
            input_text="1",
            execution=Execution(status=Status.TIMEOUT, limit="cpu_time"),
        ),
        "On the input 1 the function does not finish within 0.5 seconds of CPU time.",
    ),
    (
        "timeout_of_a_sleeper",
        Judged(
            verdict=Verdict.TIMEOUT,
            kind="input",
            limits=Limits(wall_time_s=3),
            input_text="1",
            execution=Execution(status=Status.TIMEOUT, limit="wall_time"),
        ),
        "On the input 1 the function does not finish within 3 seconds.",
    ),
    (
        "memory_exceeded",
        Judged(
            verdict=Verdict.MEMORY_EXCEEDED,
            kind="output",
            limits=Limits(memory_mb=64),
            input_text="1",
        ),
        "On the input 1 the function needs more than 64 MB of memory.",
    ),
    (
        "output_too_large",
        Judged(
            verdict=Verdict.OUTPUT_TOO_LARGE,
            kind="output",
            limits=Limits(output_bytes=10),
            input_text="1",
        ),
        (
            "On the input 1 the function returns a value that is too large: its JSON text is "
            "longer than 10 bytes."
        ),
    ),
    (
        "unserializable",
        Judged(
            verdict=Verdict.UNSERIALIZABLE,
            kind="output",
            limits=Limits(),
            input_text="1",
            execution=Execution(
                status=Status.UNSERIALIZABLE,
                error=ExecutionError(type="Unserializable", message="a set has no JSON form"),
            ),
        ),
        (
            "On the input 1 the function returns a value that cannot be written as JSON: a set has "
            "no JSON form"
        ),
    ),
    (
        "no_result",
        Judged(
            verdict=Verdict.NO_RESULT,
            kind="output",
            limits=Limits(),
            input_text="1",
            execution=Execution(status=Status.NO_RESULT, signal="SIGSEGV"),
        ),
        (
            "On the input 1 the function ends the whole process (signal SIGSEGV) instead of "
            "returning a value."
        ),
    ),
    (
        "no_result_exit_code",
        Judged(
            verdict=Verdict.NO_RESULT,
            kind="output",
            limits=Limits(),
            input_text="1",
            execution=Execution(status=Status.NO_RESULT, exit_code=3),
        ),
        (
            "On the input 1 the function ends the whole process (exit code 3) instead of "
            "returning a value."
        ),
    ),
    (
        "invalid_code",
        Judged(
            verdict=Verdict.INVALID_CODE,
            kind="output",
            limits=Limits(),
            function=Function(code="def f(\n"),
            execution=Execution(
                status=Status.INVALID_CODE,
                error=ExecutionError(type="SyntaxError", message="'(' was never closed", line=1),
            ),
        ),
        "The function cannot be run: SyntaxError: '(' was never closed (line 1: def f()",
    ),
    (
        "no_answer",
        Judged(
            verdict=Verdict.NO_ANSWER, kind="input", limits=Limits(), reason="the response is empty"
        ),
        (
            "No answer was found: the response is empty. End your response with a JSON object of "
            'the form {"input": <your input>}.'
        ),
    ),
]


@pytest.mark.parametrize(
    ("judged", "text"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_feedback_of_every_kind_says_what_happened(judged: Judged, text: str) -> None:
    """One sentence or two, with the values that matter."""
    assert feedback(judged, FeedbackTemplates()) == text


def test_every_verdict_on_the_code_has_a_template() -> None:
    """Only not_run, which is none, has nothing to say."""
    for verdict in Verdict:
        for kind in ("input", "output"):
            judged = Judged(verdict=verdict, kind=kind, limits=Limits())
            assert (feedback(judged, FeedbackTemplates()) is None) == (verdict == "not_run")


def test_templates_of_the_service_are_those_a_caller_can_replace() -> None:
    """The same names, and every one valid by the schema's own rules."""
    assert set(TEMPLATES) == set(FeedbackTemplates.model_fields)
    FeedbackTemplates.model_validate(TEMPLATES)


def test_callers_template_replaces_ours_and_is_filled_in() -> None:
    """Every variable by both spellings, a dollar sign by two; values are not filled in again."""
    templates = FeedbackTemplates(wrong_output="$$5 ${prediction}!=$expected ($kind, $input)")
    judged = Judged(
        verdict=Verdict.INCORRECT,
        kind="output",
        limits=Limits(),
        prediction="$expected",
        expected_text="2",
    )
    assert feedback(judged, templates) == '$5 "$expected"!=2 (output, (not given))'


@pytest.mark.parametrize(
    ("name", "template", "problem"),
    [
        ("correct", "$nothing", "$nothing is no variable"),
        ("timeout", "$message", "$message is no variable"),
        ("no_answer", "100$", "write $$"),
        ("no_answer", "$", "write $$"),
        ("correct", "x" * 4001, "at most 4000"),
        ("wrong_outputs", "x", "Extra inputs"),
    ],
)
def test_template_that_cannot_be_filled_in_is_refused(
    name: str, template: str, problem: str
) -> None:
    """Before anything runs, and with the reason."""
    item = {"id": "1", "kind": "output", "prediction": 1, "output": 1}
    body: dict[str, Any] = {"items": [item], "feedback_templates": {name: template}}
    with pytest.raises(ValidationError) as refused:
        VerifyRequest.model_validate(body)
    assert problem in str(refused.value)


def test_long_values_and_messages_are_cut() -> None:
    """A feedback stays readable, whatever the code and the model wrote."""
    judged = Judged(
        verdict=Verdict.EXCEPTION,
        kind="input",
        limits=Limits(),
        prediction=["x" * 10**7] * 3,
        input_text=value_text(["x" * 10**7] * 3),
        function=Function(code="raise_it(" + "1," * 10**5 + ")"),
        execution=raised("E", "m" * 4000, 1),
    )
    text = feedback(judged, FeedbackTemplates(exception="$prediction $input $message $line")) or ""
    assert text.count("(cut)") == 4
    assert len(text) < 3000


def test_value_within_the_size_rule_is_never_cut() -> None:
    """What CodeI/O permits as an object is shown whole."""
    value = {f"k{n}": "v" * 40 for n in range(19)}
    assert value_text(value).endswith("}")


OURS = (
    'boom:   File "/usr/lib/execbox/execbox_runner/execution.py", line 50, in run\n'
    "    call(function)\n"
    '  File "solution.py", line 2, in main_solution\n'
    "    raise ValueError(text)\n"
    '  File "/usr/lib/execbox/start.py", line 1\n'
)


def test_frames_of_ours_in_an_exceptions_message_are_left_out() -> None:
    """User code can put a whole stack into its message."""
    judged = Judged(
        verdict=Verdict.EXCEPTION,
        kind="input",
        limits=Limits(),
        input_text="1",
        execution=raised("ValueError", OURS, None),
    )
    text = feedback(judged, FeedbackTemplates()) or ""
    assert "execbox" not in text
    assert "call(function)" not in text
    assert "raise ValueError(text)" in text


def test_line_of_a_very_long_source_is_not_quoted() -> None:
    """Looking for it would take longer than an item may; its number is said all the same."""
    judged = Judged(
        verdict=Verdict.EXCEPTION,
        kind="input",
        limits=Limits(),
        prediction=1,
        function=Function(code="\n" * 300_000),
        execution=raised("E", "m", 7),
    )
    text = feedback(judged, FeedbackTemplates(exception="$place|$line")) or ""
    assert text == "(line 7)|"
