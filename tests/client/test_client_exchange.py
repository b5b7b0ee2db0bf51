from __future__ import annotations

import contextlib
import json
import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox import errors, wire
from execbox._exchange import Exchange, HttpAnswer, read_answer, read_model, retry_after_s

NOW = datetime(2025, 1, 1, 12, 0, 0, tzinfo=UTC)
HEALTH = Exchange(
    method="GET",
    path="/healthz",
    read=lambda answer: read_model(wire.Health, answer),
    read_timeout_s=1.0,
)


def answer(status: int, body: bytes, retry_after: str | None = None) -> HttpAnswer:
    return HttpAnswer(url="http://x/y", http_status=status, body=body, retry_after=retry_after)


def error_body(*, retryable: bool) -> bytes:
    fields = {"code": "c0de", "message": "what happened", "detail": {"limit": 3}}
    return json.dumps({"error": fields | {"retryable": retryable}}).encode()


def raised(reply: HttpAnswer) -> errors.ExecboxError:
    with pytest.raises(errors.ExecboxError) as caught:
        read_answer(HEALTH, reply)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequest),
        (401, errors.AuthenticationError),
        (403, errors.AuthenticationError),
        (404, errors.RequestError),
        (405, errors.RequestError),
        (408, errors.RequestError),
        (413, errors.RequestTooLarge),
        (422, errors.InvalidRequest),
    ],
)
def test_read_answer_4xx_of_the_service_is_the_callers_mistake(
    status: int, kind: type[errors.RequestError]
) -> None:
    """The class says whose fault, the attributes carry all the service said."""
    error = raised(answer(status, error_body(retryable=False)))
    assert type(error) is kind
    assert isinstance(error, errors.RequestError)
    assert (error.code, error.message, error.detail, error.http_status) == (
        "c0de",
        "what happened",
        {"limit": 3},
        status,
    )


def test_read_answer_request_that_did_not_arrive_whole_is_no_mistake_of_the_caller() -> None:
    """It was cut off on its way, so it is no refusal of what it asked for."""
    body = json.dumps(
        {"error": {"code": "receive_timeout", "message": "not in 30 s", "retryable": True}}
    )
    error = raised(answer(408, body.encode()))
    assert type(error) is errors.RequestNotReceived
    assert error.message == "not in 30 s"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, errors.Overloaded),
        (500, errors.ServiceError),
        (503, errors.ServiceUnavailable),
        (504, errors.ServiceError),
    ],
)
@pytest.mark.parametrize("retryable", [True, False])
def test_read_answer_failure_of_the_service_keeps_what_it_said_about_retrying(
    status: int, kind: type[errors.ServiceError], *, retryable: bool
) -> None:
    """retryable and Retry-After are the service's word, not a guess from the status."""
    error = raised(answer(status, error_body(retryable=retryable), "3"))
    assert type(error) is kind
    assert isinstance(error, errors.ServiceError)
    assert (error.retryable, error.retry_after_s, error.code) == (retryable, 3.0, "c0de")


@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b'{"detail": "Not Found"}', b"null"])
@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (302, errors.InvalidResponse, None),
        (401, errors.AuthenticationError, None),
        (404, errors.InvalidResponse, None),
        (413, errors.RequestTooLarge, None),
        (429, errors.Overloaded, True),
        (502, errors.ServiceError, False),
        (503, errors.ServiceUnavailable, False),
    ],
)
def test_read_answer_error_of_a_stranger_is_mapped_by_its_status(
    body: bytes, status: int, kind: type[errors.ExecboxError], retryable: bool | None
) -> None:
    """A proxy's pages become errors with the URL in them; of those only 429 is retryable."""
    error = raised(answer(status, body))
    assert type(error) is kind
    assert "http://x/y" in error.message
    assert getattr(error, "retryable", None) is retryable


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"<html>", b"[]", b'{"status": "fine"}', b'{"status": NaN}', b"[" * 99_999],
)
def test_read_answer_success_that_is_not_the_schema_is_an_invalid_response(body: bytes) -> None:
    """A 200 that cannot be read is reported as such, whatever it holds."""
    error = raised(answer(200, body))
    assert type(error) is errors.InvalidResponse
    assert len(error.message) < 600


@given(status=st.integers(100, 599), body=st.binary(max_size=200))
def test_read_answer_any_answer_gives_a_result_or_one_of_our_errors(
    status: int, body: bytes
) -> None:
    """No answer, however strange, raises anything else."""
    with contextlib.suppress(errors.ExecboxError):
        result = read_answer(HEALTH, answer(status, body))
        assert (status, result) == (200, wire.Health())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("5", 5.0),
        ("0.5", 0.5),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("Wed, 01 Jan 2025 12:01:30 GMT", 90.0),
        ("Wed, 01 Jan 2025 12:01:30 -0000", 90.0),
        ("Wed, 01 Jan 2025 11:00:00 GMT", 0.0),
    ],
)
def test_retry_after_header_of_either_form_gives_seconds(
    header: str | None, seconds: float | None
) -> None:
    """A number or a date; a date in the past is now; anything else is as if absent."""
    assert retry_after_s(header, now=NOW) == seconds


@given(st.text(max_size=60))
def test_retry_after_any_text_gives_none_or_a_time_not_in_the_past(header: str) -> None:
    """A header is a stranger's text and must not raise."""
    seconds = retry_after_s(header, now=NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_pickled_come_back_the_same(name: str) -> None:
    """They cross process boundaries with every attribute."""
    error = getattr(errors, name)("message")
    error.extra = 1
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert vars(back) == vars(error)
    assert str(back) == "message"


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_tree_in_the_docstring_names_each(name: str) -> None:
    """The drawing is the documentation; none may be missing from it."""
    assert f" {name} " in f" {errors.__doc__} ".replace("\n", " ")
