from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox._retry import Once, Polling, Retrying, pause_before_retry_s
from execbox.config import RetryPolicy, Waiting
from execbox.errors import (
    AuthenticationError,
    ConnectFailed,
    ConnectionBroken,
    ExecboxError,
    InvalidRequest,
    InvalidResponse,
    Overloaded,
    RequestError,
    RequestNotReceived,
    RequestTimedOut,
    RequestTooLarge,
    ServiceError,
    ServiceUnavailable,
    TransportError,
)

POLICY = RetryPolicy(
    unavailable_retries_max=3,
    connect_retries_max=2,
    broken_retries_max=1,
    backoff_s=1.0,
    backoff_max_s=4.0,
    window_s=100.0,
)


def busy(retry_after_s: float | None = None) -> Overloaded:
    return Overloaded("busy", http_status=429, retryable=True, retry_after_s=retry_after_s)


def unavailable(*, retryable: bool, code: str = "sandbox_lost") -> ServiceUnavailable:
    return ServiceUnavailable("down", code=code, http_status=503, retryable=retryable)


def sessions_too_many() -> Overloaded:
    return Overloaded("yours", code="sessions_too_many", http_status=429, retryable=True)


def gateway(status: int) -> ServiceError:
    kind = ServiceUnavailable if status == 503 else ServiceError
    return kind("of a proxy", code=f"http_{status}", http_status=status)


def pause(*failures: ExecboxError, elapsed_s: float = 0.0, fraction: float = 1.0) -> float | None:
    return pause_before_retry_s(POLICY, failures, elapsed_s=elapsed_s, fraction=fraction)


@pytest.mark.parametrize(
    "failure",
    [
        RequestError("x"),
        InvalidRequest("x"),
        AuthenticationError("x"),
        RequestTooLarge("x"),
        InvalidResponse("x"),
        TransportError("x"),
        RequestTimedOut("x"),
        unavailable(retryable=False),
        Overloaded("x", http_status=429, retryable=False),
        ServiceError("x", http_status=500, retryable=True),
        ServiceError("x", http_status=502, retryable=False),
        gateway(500),
    ],
    ids=lambda failure: f"{type(failure).__name__}",
)
def test_pause_failure_that_is_not_temporary_gives_up_at_once(failure: ExecboxError) -> None:
    """What would fail again, or is not said to be retryable, is raised at its first time."""
    assert pause(failure) is None


@pytest.mark.parametrize(
    ("failure", "retries"),
    [
        (unavailable(retryable=True), 3),
        (unavailable(retryable=True, code="not_ready"), 3),
        (sessions_too_many(), 3),
        (ConnectFailed("x"), 2),
        (ConnectFailed("x", once_answered=True), 3),
        (ConnectionBroken("x"), 1),
        (RequestNotReceived("x"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_pause_temporary_failure_is_retried_as_often_as_its_kind_permits(
    failure: ExecboxError, retries: int
) -> None:
    """Each kind has a bound of its own, and the attempt after it gives up."""
    decisions = [pause(*[failure] * count) is not None for count in range(1, 6)]
    assert decisions == [count <= retries for count in range(1, 6)]


@pytest.mark.parametrize(
    ("status", "retries"),
    [(500, 0), (502, POLICY.unavailable_retries_max), (503, 3), (504, POLICY.broken_retries_max)],
)
def test_gateways_answer_is_counted_as_what_is_behind_it(status: int, retries: int) -> None:
    """A service that is being started again, or a broken connection; it is told as it was."""
    heard: list[Waiting] = []
    pacing = Retrying(POLICY, on_wait=heard.append, clock=lambda: 0.0)
    failure = gateway(status)
    pauses = [pacing.pause_s(failure) is not None for _ in range(5)]
    assert pauses == [number < retries for number in range(5)]
    assert all(waiting.failure is failure for waiting in heard)


def test_gateways_retry_after_is_waited_out() -> None:
    """As the service's own."""
    failure = gateway(503)
    failure.retry_after_s = 7.0
    assert Retrying(POLICY, fraction=lambda: 0.0).pause_s(failure) == 7.0


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_may_not_be_done_twice_is_not_sent_again_after_a_gateways_answer(status: int) -> None:
    """Whether a cell ran is not known."""
    assert Once(POLICY).pause_s(gateway(status)) is None


def test_pause_other_kinds_before_it_do_not_use_up_a_kinds_retries() -> None:
    """A connection that breaks after three busy answers still has its one retry."""
    assert pause(busy(), busy(), busy(), ConnectionBroken("x")) is not None
    assert pause(busy(), ConnectionBroken("x"), busy(), ConnectionBroken("x")) is None


@pytest.mark.parametrize(
    "failure",
    [
        busy(),
        busy(1.0),
        Overloaded("of a proxy", code="http_429", http_status=429, retryable=True),
        unavailable(retryable=True, code="too_many_connections"),
        unavailable(retryable=True, code="bodies_too_many"),
    ],
    ids=["429", "with_retry_after", "proxy", "connections", "line_of_a_batch"],
)
def test_pause_service_without_room_is_waited_for_until_the_window_ends(
    failure: ExecboxError,
) -> None:
    """However many tries that takes: others' demand says nothing about this request."""
    assert pause(*[failure] * 1000, elapsed_s=90.0) is not None
    assert pause(failure, elapsed_s=100.0) is None
    bounded = replace(POLICY, busy_retries_max=2)
    decisions = [
        pause_before_retry_s(bounded, [failure] * count, elapsed_s=0.0, fraction=1.0) is not None
        for count in (2, 3)
    ]
    assert decisions == [True, False]


def test_default_policy_waits_ten_minutes_for_a_service_without_room() -> None:
    """A trainer's step is worth more than that; a service that is away is given up sooner."""
    now_s = [0.0]
    pacing = Retrying(RetryPolicy(), clock=lambda: now_s[0], fraction=lambda: 1.0)
    while (pause_s := pacing.pause_s(busy(retry_after_s=1.0))) is not None:
        now_s[0] += pause_s
    assert 580 < now_s[0] <= 600


@pytest.mark.parametrize(
    ("count", "fraction", "expected_s"),
    [(1, 1.0, 1.0), (2, 1.0, 2.0), (3, 1.0, 4.0), (1, 0.0, 0.0), (3, 0.25, 1.0)],
)
def test_pause_without_retry_after_is_a_fraction_of_a_doubling_backoff(
    count: int, fraction: float, expected_s: float
) -> None:
    """Full jitter: from nothing up to the backoff, which doubles to its maximum."""
    assert pause(*[busy()] * count, fraction=fraction) == expected_s


def test_pause_retry_after_is_waited_out_and_jitter_comes_on_top() -> None:
    """The service is never asked again before the time it gave."""
    assert pause(busy(7.0), fraction=0.0) == 7.0
    assert pause(busy(7.0), fraction=0.5) == 7.5


@pytest.mark.parametrize(
    ("retry_after_s", "elapsed_s", "retried"),
    [(100.0, 0.0, True), (100.5, 0.0, False), (1.0, 99.0, True), (1.0, 99.5, False)],
)
def test_pause_that_would_end_outside_the_window_gives_up(
    retry_after_s: float, elapsed_s: float, *, retried: bool
) -> None:
    """No retry begins later than window_s after the first attempt."""
    decision = pause(busy(retry_after_s), elapsed_s=elapsed_s, fraction=0.0)
    assert (decision is not None) == retried


@given(count=st.integers(1, 5000), fraction=st.floats(0, 1), elapsed_s=st.floats(0, 1e6))
def test_pause_any_history_stays_within_backoff_and_window(
    count: int, fraction: float, elapsed_s: float
) -> None:
    """However long it went on, a pause is never negative, too long, or an overflow."""
    policy = RetryPolicy(busy_retries_max=count % 2 * 10_000 or None)
    pause_s = pause_before_retry_s(policy, [busy()] * count, elapsed_s=elapsed_s, fraction=fraction)
    if elapsed_s > policy.window_s:
        assert pause_s is None
    elif pause_s is not None:
        assert 0 <= pause_s <= policy.backoff_max_s
        assert elapsed_s + pause_s <= policy.window_s


def test_retrying_clock_past_the_window_gives_up() -> None:
    """The window counts from the first attempt, by the clock given."""
    now_s = [50.0]
    pacing = Retrying(POLICY, clock=lambda: now_s[0], fraction=lambda: 0.5)
    assert pacing.pause_s(busy()) == 0.5
    now_s[0] = 149.9
    assert pacing.pause_s(busy()) is None


def test_retrying_never_policy_gives_up_on_everything() -> None:
    """RetryPolicy.never() raises what it meets first."""
    known = ConnectFailed("x", once_answered=True)
    down = unavailable(retryable=True)
    for failure in (busy(), down, known, ConnectFailed("x"), ConnectionBroken("x")):
        assert Retrying(RetryPolicy.never()).pause_s(failure) is None


def test_once_what_may_have_run_is_not_sent_again_and_what_has_not_is() -> None:
    """A connection that breaks may have brought the request; one that was cut off did not."""
    assert Once(POLICY).pause_s(ConnectionBroken("x")) is None
    assert Once(POLICY).pause_s(RequestNotReceived("x")) is not None
    for code, is_sent_again in {
        "internal_error": False,
        "shutting_down": False,
        "engine_unavailable": True,
    }.items():
        failure = ServiceUnavailable("x", code=code, http_status=503, retryable=True)
        assert (Once(POLICY).pause_s(failure) is not None) is is_sent_again


def test_polling_failures_of_others_are_retried_until_the_deadline() -> None:
    """Waiting for readiness goes on through anything that is not the caller's mistake."""
    now_s = [0.0]
    pacing = Polling(10.0, clock=lambda: now_s[0])
    for failure in (ConnectFailed("x"), RequestTimedOut("x"), unavailable(retryable=False)):
        pause_s = pacing.pause_s(failure)
        assert pause_s is not None
        assert 0 < pause_s <= 1
    now_s[0] = 9.9
    assert pacing.pause_s(ConnectFailed("x")) == pytest.approx(0.1)
    now_s[0] = 10.0
    assert pacing.pause_s(ConnectFailed("x")) is None


def test_polling_callers_mistake_is_not_retried() -> None:
    """A rejected key does not become right by waiting."""
    assert Polling(10.0).pause_s(AuthenticationError("x")) is None


def test_polling_remaining_time_bounds_the_next_attempt() -> None:
    """An attempt may not take longer than what is left."""
    now_s = [0.0]
    pacing = Polling(10.0, clock=lambda: now_s[0])
    now_s[0] = 7.0
    assert pacing.remaining_s() == 3.0


def test_retrying_tells_who_listens_before_each_pause_and_not_when_it_gives_up() -> None:
    """With how long the request has been tried, and for how long it goes on at most."""
    heard: list[Waiting] = []
    seconds = iter([0.0, 1.0, 8.0, 700.0])
    policy = RetryPolicy(backoff_s=2.0, window_s=600.0)
    told = Retrying(policy, on_wait=heard.append, clock=seconds.__next__, fraction=lambda: 0.5)
    failure = busy()
    assert [told.pause_s(failure) for _ in range(3)] == [1.0, 2.0, None]
    assert heard == [
        Waiting(failure=failure, elapsed_s=1.0, pause_s=1.0, window_s=600.0),
        Waiting(failure=failure, elapsed_s=8.0, pause_s=2.0, window_s=600.0),
    ]
