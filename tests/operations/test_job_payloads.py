"""Building jobs: what a request needs of the sandboxes, decided before anything runs."""

from __future__ import annotations

import json

import pytest

from execbox.wire import Call, Checks, ComplexityLimits, Function, Limits
from execbox_service.operations.checks import ActiveChecks, SizeCheck
from execbox_service.operations.job_payloads import Options, attempt_of, function_jobs

OWN = ComplexityLimits(string_chars=7)


def test_size_check_that_is_not_asked_for_is_not_made() -> None:
    """Nor is the determinism check."""
    assert ActiveChecks.of(Checks()) == ActiveChecks(None, None)


@pytest.mark.parametrize(("asked", "rule"), [("codeio", ComplexityLimits()), (OWN, OWN)])
def test_size_check_has_the_limits_asked_for(asked: object, rule: ComplexityLimits) -> None:
    """The preset, or the caller's own numbers."""
    checks = Checks.model_validate({"complexity": asked})
    assert ActiveChecks.of(checks).size == SizeCheck(rule)


@pytest.mark.parametrize(
    ("fields", "payload", "stdin"),
    [
        ({"args": [1]}, b'{"args":[1]}', None),
        ({"args": [1], "stdin": None}, b'{"args":[1]}', None),
        ({"kwargs": {}, "stdin": ""}, b'{"kwargs":{}}', b""),
        ({"expression": "f()", "stdin": "ä\r\n"}, b'{"expression":"f()"}', b"\xc3\xa4\r\n"),
        ({"args": [], "stdin": {"base64": "/wA="}}, b'{"args":[]}', b"\xff\x00"),
    ],
)
def test_attempt_of_a_call_has_its_arguments_and_apart_from_them_its_stdin(
    fields: dict[str, object], payload: bytes, stdin: bytes | None
) -> None:
    """The job decodes its arguments again to see whether they changed, and stdin may be large."""
    attempt = attempt_of(Call.model_validate(fields))
    assert (attempt.call_payload, attempt.stdin) == (payload, stdin)


@pytest.mark.parametrize("measures", [False, True])
def test_jobs_measure_in_the_baseline_and_never_in_a_rerun(measures: bool) -> None:
    """What is measured costs time, and a rerun is compared and not measured."""
    options = Options(
        limits=Limits(),
        isolation="process",
        profile="default",
        convert="none",
        imports={},
        varied=True,
    )
    measured = [SizeCheck(OWN).measured] if measures else []
    jobs = function_jobs(Function(code="pass"), options, measured=measured)
    rules = [json.loads(job.function_payload)["complexity"] for job in (jobs.baseline, jobs.rerun)]
    assert rules == [OWN.model_dump() if measures else None, None]
