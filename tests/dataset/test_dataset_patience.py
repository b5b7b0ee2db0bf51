"""Which failed requests are one record's, which end the run, and what the next run asks again."""

from __future__ import annotations

import pytest

from execbox.dataset.steps.patience import FAILURES_IN_A_ROW_MAX, Patience
from execbox.errors import (
    AuthenticationError,
    ConnectFailed,
    ConnectionBroken,
    ExecboxError,
    InvalidRequest,
    NoNodeAvailable,
    RequestTooLarge,
    ServiceError,
    SessionGone,
)


@pytest.mark.parametrize(
    ("error", "reason", "retry"),
    [
        (ServiceError("x", code="http_502", http_status=502), "http_502", True),
        (ConnectionBroken("x"), "no_answer", True),
        (SessionGone("x"), "session_gone", True),
        (InvalidRequest("x", code="limit_above_maximum", http_status=422), None, True),
        (InvalidRequest("x", code="isolation_not_permitted", http_status=422), None, True),
        (InvalidRequest("x", code="profile_not_permitted", http_status=422), None, True),
        (InvalidRequest("x", code="language_not_available", http_status=422), None, True),
        (RequestTooLarge("x", code="http_413", http_status=413), None, True),
        (RequestTooLarge("x", code="answer_too_large", http_status=413), None, False),
        (RequestTooLarge("x", code="body_too_large", http_status=413), None, False),
        (InvalidRequest("x", code="invalid_request", http_status=422), None, False),
        (InvalidRequest("x", code="unsendable_value"), None, False),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_record_is_asked_for_again_where_something_else_than_it_can_change_the_answer(
    error: ExecboxError, reason: str | None, retry: bool
) -> None:
    """The service is well again, or its operator permits more; a request stays what it is."""
    problem = Patience().problem_of(error)
    assert (problem.reason, problem.retry) == (reason or getattr(error, "code", None), retry)


@pytest.mark.parametrize(
    "error",
    [AuthenticationError("x", http_status=401), ConnectFailed("x"), NoNodeAvailable("x")],
    ids=lambda error: type(error).__name__,
)
def test_failure_that_every_record_would_have_ends_the_run_at_once(error: ExecboxError) -> None:
    """It is no record's."""
    with pytest.raises(type(error)):
        Patience().problem_of(error)


def test_failures_in_a_row_end_the_run_and_an_answer_begins_the_count_anew() -> None:
    """What the client refused to send itself is none of them."""
    patience, failure = Patience(), ConnectionBroken("x")
    for _ in range(2):
        for _ in range(FAILURES_IN_A_ROW_MAX - 1):
            patience.problem_of(failure)
            patience.problem_of(InvalidRequest("x"))
        patience.answered()
    for _ in range(FAILURES_IN_A_ROW_MAX - 1):
        patience.problem_of(failure)
    with pytest.raises(ConnectionBroken):
        patience.problem_of(failure)
