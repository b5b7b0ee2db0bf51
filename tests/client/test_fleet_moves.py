"""When a request of a fleet is sent again, and whether at once and elsewhere: the pure part."""

from __future__ import annotations

import pytest

from execbox import (
    AuthenticationError,
    ConnectFailed,
    ConnectionBroken,
    ExecboxError,
    InvalidRequest,
    InvalidResponse,
    MixedNodes,
    NoNodeAvailable,
    Overloaded,
    RequestTimedOut,
    RetryPolicy,
    ServiceError,
    ServiceUnavailable,
    wire,
)
from execbox._fleet.moves import EachNodeOnce, Moves, SingleTry, fleet_pacing
from execbox._nodes.failures import (
    ForeignAnswer,
    ImageChanged,
    as_of_node,
    check_image,
    naming,
    session_failure,
)
from execbox._nodes.sameness import merged_capabilities
from execbox._retry import Once, Polling
from tests.client.test_fleet_state import A, B, capabilities

POLICY = RetryPolicy(
    busy_retries_max=2, unavailable_retries_max=2, connect_retries_max=1, broken_retries_max=1
)
NOT_READY = ServiceUnavailable("", code="not_ready", http_status=503, retryable=True)
BUSY = Overloaded("", code="queue_full", http_status=429, retryable=True, retry_after_s=3.0)
GATEWAY = ServiceError("", code="http_504", http_status=504)


def again(failure: ExecboxError, *, elsewhere: bool, policy: RetryPolicy = POLICY) -> list[bool]:
    """For a failure that comes every time: whether each of ten next tries is at once."""
    moves = Moves(fleet_pacing(policy))
    pauses = [moves.pause_s(failure, address=A, elsewhere=elsewhere) for _ in range(10)]
    return [pause == 0.0 for pause in pauses if pause is not None]


@pytest.mark.parametrize(
    ("failure", "elsewhere_count", "here_count"),
    [
        (ConnectFailed(""), 10, 1),
        (ConnectionBroken(""), 1, 1),
        (RequestTimedOut(""), 1, 0),
        (NOT_READY, 2, 2),
        (BUSY, 2, 2),
        (GATEWAY, 1, 1),
        (NoNodeAvailable("", once_available=True), 2, 2),
        (NoNodeAvailable("", once_available=False), 1, 1),
        (ServiceError("", code="http_500", http_status=500), 0, 0),
        (InvalidRequest("", http_status=422), 0, 0),
        (AuthenticationError("", http_status=401), 0, 0),
        (InvalidResponse(""), 0, 0),
        (ForeignAnswer(""), 1, 1),
        (MixedNodes(""), 0, 0),
    ],
)
def test_moves_of_each_failure_are_counted_over_all_nodes(
    failure: ExecboxError, elsewhere_count: int, here_count: int
) -> None:
    """To a different node at once; where there is none, after the pause of one service."""
    assert again(failure, elsewhere=True) == [True] * elsewhere_count
    assert again(failure, elsewhere=False) == [False] * here_count


def test_moves_without_retries_go_on_only_from_a_node_that_was_not_reached() -> None:
    """Nothing was sent there, so it is no retry."""
    for failure in (ConnectionBroken(""), NOT_READY, BUSY, GATEWAY, RequestTimedOut("")):
        assert again(failure, elsewhere=True, policy=RetryPolicy.never()) == []
    assert again(ConnectFailed(""), elsewhere=True, policy=RetryPolicy.never()) == [True] * 10


def test_moves_come_back_to_tried_nodes_after_a_pause_only() -> None:
    """While there is a different one, tried ones are avoided."""
    moves = Moves(fleet_pacing(POLICY))
    moves.pause_s(BUSY, address=A, elsewhere=True)
    assert moves.tried == {A}
    pause_s = moves.pause_s(BUSY, address=B, elsewhere=False)
    assert pause_s is not None
    assert pause_s >= 3.0
    assert moves.tried == set()


def test_request_that_may_not_be_done_twice_moves_only_where_nothing_was_done() -> None:
    """As a cell of a session: a gateway's answer does not say whether it ran."""
    for failure in (ConnectionBroken(""), GATEWAY, ForeignAnswer("")):
        assert Moves(Once(POLICY)).pause_s(failure, address=A, elsewhere=True) is None
    assert Moves(Once(POLICY)).pause_s(BUSY, address=A, elsewhere=True) == 0.0


def test_waiting_for_a_fleet_goes_on_while_no_node_is_available() -> None:
    """As waiting for one service does."""
    pause_s = Moves(Polling(10.0)).pause_s(NoNodeAvailable(""), address=None, elsewhere=False)
    assert pause_s is not None


@pytest.mark.parametrize(
    ("failure", "is_passed_over"),
    [
        (ConnectFailed(""), True),
        (NOT_READY, True),
        (BUSY, True),
        (GATEWAY, True),
        (ConnectionBroken(""), False),
        (ForeignAnswer(""), False),
        (RequestTimedOut(""), False),
        (ServiceUnavailable("", code="sandbox_lost", http_status=503, retryable=True), False),
        (AuthenticationError("", http_status=401), False),
    ],
)
def test_stream_passes_over_nodes_that_do_not_begin_it(
    failure: ExecboxError, *, is_passed_over: bool
) -> None:
    """Each once; what may have begun is its sender's to send again."""
    pause_s = EachNodeOnce().pause_s(failure, address=A, elsewhere=True)
    assert (pause_s == 0.0) is is_passed_over
    assert EachNodeOnce().pause_s(failure, address=A, elsewhere=False) is None


def test_single_try_is_never_repeated_and_keeps_its_time() -> None:
    """Of a probe."""
    once = SingleTry(5.0)
    assert once.pause_s(BUSY) is None
    assert once.remaining_s() == 5.0


def test_naming_says_which_node_refused_the_key() -> None:
    """With the facts of the refusal; every other failure stays as it is."""
    refusal = AuthenticationError("no such key", code="unauthorized", http_status=401)
    named = naming(refusal, A)
    assert isinstance(named, AuthenticationError)
    assert named.message == f"{A}: no such key; all nodes of a fleet are sent the same key"
    assert (named.code, named.http_status) == ("unauthorized", 401)
    assert naming(BUSY, A) is BUSY


def test_answer_that_is_not_execboxs_is_a_working_nodes_trouble() -> None:
    """Who knows it as what it is finds it as that."""
    told = as_of_node(InvalidResponse("a page"), A)
    assert isinstance(told, ForeignAnswer)
    assert isinstance(told, InvalidResponse)
    assert told.message == "a page"
    assert as_of_node(told, A) is told
    assert as_of_node(BUSY, A) is BUSY


def test_session_failure_of_a_node_out_of_reach_is_a_session_that_is_gone() -> None:
    """A connection that broke is not: the node may be there, and the cell may have run."""
    gone = session_failure(ConnectFailed("nobody listens"), A)
    assert (type(gone).__name__, getattr(gone, "code", None)) == ("SessionGone", "session_gone")
    assert A in gone.message
    broken = ConnectionBroken("")
    assert session_failure(broken, A) is broken


def test_check_image_refuses_answers_of_a_different_image() -> None:
    """Where one is wanted, of answers that have one."""
    answer = capabilities(image="sha256:two")
    check_image(answer, wanted=None, address=A)
    check_image(answer, wanted="sha256:two", address=A)
    check_image(wire.Health(), wanted="sha256:one", address=A)
    with pytest.raises(ImageChanged, match="answered with image sha256:two"):
        check_image(answer, wanted="sha256:one", address=A)


def test_merged_capabilities_are_what_holds_for_every_node() -> None:
    """Sums of slots, the lowest maxima, what all have; no limit where one node has none."""
    merged = merged_capabilities(
        [
            capabilities(
                2,
                packages={"numpy": "1", "scipy": "1", "sympy": "1"},
                isolation=["process", "container"],
                limits_max={"cpu_time_s": 60, "memory_mb": 512},
                calls_max=10,
                key_concurrency_max=4,
                key_rate_per_s=1.5,
                weaker_than_docker=["b"],
            ),
            capabilities(
                4,
                image="sha256:two",
                packages={"numpy": "1", "scipy": "2"},
                isolation=["container", "process"],
                limits_max={"cpu_time_s": 5, "memory_mb": 4096},
                calls_max=20,
                key_concurrency_max=6,
                weaker_than_docker=["a"],
            ),
        ]
    )
    assert merged.concurrency == 6
    assert merged.image == "sha256:one, sha256:two"
    assert merged.version == "1"
    assert merged.packages == {"numpy": "1"}
    assert merged.isolation == ["process", "container"]
    assert merged.limits_max == {"cpu_time_s": 5, "memory_mb": 512}
    assert (merged.calls_max, merged.key_concurrency_max) == (10, 10)
    assert merged.key_rate_per_s is None
    assert merged.weaker_than_docker == ["a", "b"]
    only = capabilities(3)
    assert merged_capabilities([only]) is only
