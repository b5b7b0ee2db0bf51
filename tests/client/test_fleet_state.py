"""Which node gets a request, and which is left out: the pure part, with a clock of the test's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from execbox import (
    AuthenticationError,
    ConnectFailed,
    ConnectionBroken,
    ExecboxError,
    InvalidRequest,
    InvalidResponse,
    MixedNodes,
    NodeState,
    NoNodeAvailable,
    Overloaded,
    RequestNotReceived,
    RequestTimedOut,
    ServiceError,
    ServiceUnavailable,
    TransportError,
    wire,
)
from execbox._nodes.failures import Effect, ForeignAnswer, effect_of
from execbox._nodes.state import (
    BACKOFF_MAX_S,
    BACKOFF_S,
    REST_S,
    SETTLE_S,
    STRIKES_MAX,
    URGENT_S,
    FleetState,
    Node,
)

A, B, C = "http://a:8080", "http://b:8080", "http://c:8080"
REFUSED = ConnectFailed("nobody listens")


def capabilities(slots: int = 1, **fields: object) -> wire.Capabilities:
    values = {
        "version": "1",
        "engine": "docker",
        "image": "sha256:one",
        "python": "3.11.2",
        "packages": {},
        "isolation": ["process"],
        "profiles": ["default"],
        "concurrency": slots,
        "limits_default": {},
        "limits_max": {},
    }
    return wire.Capabilities.model_validate(values | fields)


def fleet(
    nodes: dict[str, wire.Capabilities | ExecboxError],
    *,
    mixed_allowed: bool = False,
    draw: Callable[[], float] = lambda: 1.0,
) -> FleetState:
    """A fleet whose nodes have been probed at second 0, with these results."""
    state = FleetState(mixed_allowed=mixed_allowed, draw=draw)
    state.update(nodes)
    for node in state.due(0.0):
        state.probed(node, nodes[node.address], now_s=0.0)
    return state


def chosen(state: FleetState, now_s: float = 1.0, **options: object) -> Node:
    node = state.choose(now_s, **options)  # type: ignore[arg-type]
    assert node is not None
    return node


def node_of(state: FleetState, address: str) -> Node:
    return next(node for node in state.nodes if node.address == address)


@pytest.mark.parametrize(
    ("failure", "effect"),
    [
        (ConnectFailed(""), Effect.OUT),
        (ConnectionBroken(""), Effect.OUT),
        (RequestNotReceived(""), Effect.STRIKE),
        (RequestTimedOut(""), Effect.OUT),
        (ServiceUnavailable("", code="not_ready", http_status=503), Effect.OUT),
        (ServiceUnavailable("", code="engine_unavailable", http_status=503), Effect.OUT),
        (ServiceUnavailable("", code="shutting_down", http_status=503), Effect.OUT),
        (ServiceUnavailable("", code="nothing_run", http_status=503), Effect.OUT),
        (ServiceUnavailable("", code="http_503", http_status=503), Effect.OUT),
        (ServiceError("", code="http_504", http_status=504), Effect.OUT),
        (ServiceError("", code="http_502", http_status=502), Effect.OUT),
        (ServiceError("", code="http_500", http_status=500), Effect.STRIKE),
        (ServiceUnavailable("", code="sandbox_lost", http_status=503), Effect.STRIKE),
        (ServiceUnavailable("", code="machine_too_busy", http_status=503), Effect.STRIKE),
        (ServiceUnavailable("", code="internal_error", http_status=503), Effect.STRIKE),
        (ServiceUnavailable("", code="queue_full", http_status=503), Effect.REST),
        (Overloaded("", code="queue_timeout", http_status=429), Effect.REST),
        (Overloaded("", code="http_429", http_status=429), Effect.REST),
        (InvalidResponse(""), Effect.STRIKE),
        (ForeignAnswer(""), Effect.OUT),
        (TransportError(""), Effect.STRIKE),
        (InvalidRequest("", http_status=422), Effect.NONE),
        (AuthenticationError("", http_status=401), Effect.NONE),
    ],
)
def test_effect_of_failure_on_its_node(failure: ExecboxError, effect: Effect) -> None:
    """What every request would meet leaves a node out; what this one may have caused does not."""
    assert effect_of(failure) is effect


def test_choose_takes_the_node_with_the_least_outstanding_for_its_slots() -> None:
    """Of ten requests, as many are under way on each node as its part of the slots."""
    state = fleet({A: capabilities(1), B: capabilities(4)})
    counts = Counter(chosen(state).address for _ in range(10))
    assert counts == {A: 2, B: 8}


def test_choose_counts_the_lines_of_a_chunk() -> None:
    """A stream of 64 lines is 64 times a request."""
    state = fleet({A: capabilities(2), B: capabilities(2)})
    loaded = chosen(state, count=64)
    assert {chosen(state).address for _ in range(60)} == {A, B} - {loaded.address}


def test_choose_does_not_count_slots_the_key_may_not_use() -> None:
    """A node whose key may have two requests at once is worth two slots."""
    state = fleet({A: capabilities(64, key_concurrency_max=2), B: capabilities(2)})
    assert Counter(chosen(state).address for _ in range(8)) == {A: 4, B: 4}


def test_choose_where_all_are_idle_takes_turns() -> None:
    """One request after the other goes to each node in turn, and not always to the first."""
    state = fleet({A: capabilities(), B: capabilities(), C: capabilities()})
    order = []
    for _ in range(6):
        node = chosen(state)
        state.done(node, now_s=1.0, failure=None)
        order.append(node.address)
    assert order == [A, B, C, A, B, C]


def test_choose_spreads_sessions_over_idle_nodes_by_their_slots() -> None:
    """A session that waits for its next cell has nothing outstanding, and counts all the same."""
    state = fleet({A: capabilities(1), B: capabilities(2)})
    for _ in range(6):
        node = chosen(state)
        state.done(node, now_s=1.0, failure=None)
        node.session_count += 1
    assert [node.session_count for node in state.nodes] == [2, 4]


def test_choose_avoids_tried_nodes_only_while_there_are_others() -> None:
    """A request goes elsewhere after a failure, and only where it cannot, to the same node."""
    state = fleet({A: capabilities(), B: capabilities()})
    assert chosen(state, avoid={A}).address == B
    assert chosen(state, avoid={A}).address == B
    assert chosen(state, avoid={A, B}).address == A


def test_node_that_refuses_connections_is_left_out_and_returns_after_a_probe() -> None:
    """Not by time alone: it has to answer."""
    state = fleet({A: capabilities(), B: capabilities()})
    node = chosen(state, avoid={B})
    state.done(node, now_s=1.0, failure=REFUSED)
    assert {chosen(state, 100.0).address for _ in range(5)} == {B}
    assert state.due(1.0 + BACKOFF_S - 0.01) == []
    assert state.due(1.0 + BACKOFF_S) == [node]
    assert state.due(1.0 + BACKOFF_S) == []  # Once, however many ask: the probe is under way.
    state.probed(node, capabilities(), now_s=2.0)
    assert chosen(state, 2.0).address == A


def test_node_that_stays_out_is_probed_ever_more_rarely() -> None:
    """From one pause to the longest, and with a draw of 0 in half the time."""
    for draw, factor in ((1.0, 1.0), (0.0, 0.5)):
        state = fleet({A: capabilities(), B: REFUSED}, draw=lambda draw=draw: draw)  # type: ignore[misc]
        pauses, now_s = [], 0.0
        for _ in range(9):
            begun_s = now_s
            while not (due := state.due(now_s)):
                now_s += 0.125
            pauses.append((now_s - begun_s) / factor)
            state.probed(due[0], REFUSED, now_s=now_s)
        assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, BACKOFF_MAX_S]


def test_node_is_probed_often_while_no_other_is_ready() -> None:
    """A fleet that starts after its client is found within about a second."""
    state = fleet({A: REFUSED})
    now_s = 0.0
    for _ in range(20):
        begun_s = now_s
        while not (due := state.due(now_s)):
            now_s += 0.125
        assert now_s - begun_s <= URGENT_S
        state.probed(due[0], REFUSED, now_s=now_s)


def test_answered_request_ends_the_growth_of_the_pauses_and_a_probe_does_not() -> None:
    """A node that answers probes and fails requests is asked ever more rarely."""
    state = fleet({A: capabilities(), B: capabilities()})
    node, now_s = node_of(state, A), 1.0
    for _ in range(4):
        state.take(node)
        state.done(node, now_s=now_s, failure=REFUSED)
        pause_s = node.next_probe_s - now_s
        now_s = node.next_probe_s
        assert state.due(now_s) == [node]
        state.probed(node, capabilities(), now_s=now_s)
    assert pause_s == 8 * BACKOFF_S
    state.take(node)
    state.done(node, now_s=now_s, failure=None)
    state.take(node)
    state.done(node, now_s=now_s, failure=REFUSED)
    assert node.next_probe_s - now_s == BACKOFF_S


def test_overloaded_node_is_asked_last_until_its_time_is_over() -> None:
    """For as long as it said, else for a moment; alone, it is asked all the same."""
    for asked_s, rest_s in ((7.0, 7.0), (None, REST_S)):
        state = fleet({A: capabilities(), B: capabilities()})
        node = chosen(state, 1.0, avoid={B})
        refusal = Overloaded("", code="queue_full", http_status=429, retry_after_s=asked_s)
        state.done(node, now_s=1.0, failure=refusal)
        assert {chosen(state, 1.0 + rest_s - 0.1).address for _ in range(4)} == {B}
        assert chosen(state, 1.0 + rest_s).address == A
        assert not state.has_other(1.0, than={B})
    lonely = fleet({A: capabilities()})
    lonely.done(chosen(lonely), now_s=1.0, failure=Overloaded("", http_status=429))
    assert chosen(lonely, 1.1).address == A


def test_failures_that_requests_may_have_caused_leave_a_node_out_only_in_a_row() -> None:
    """One that is answered between them counts them from none again."""
    lost = ServiceUnavailable("", code="sandbox_lost", http_status=503)
    state = fleet({A: capabilities()})
    for failure in [lost] * (STRIKES_MAX - 1) + [None] + [lost] * (STRIKES_MAX - 1):
        state.done(chosen(state), now_s=1.0, failure=failure)
    node = chosen(state)
    state.done(node, now_s=1.0, failure=lost)
    assert node.state is NodeState.OUT


def test_request_given_up_by_its_sender_says_nothing_of_its_node() -> None:
    """It is no longer outstanding, and that is all."""
    state = fleet({A: capabilities()})
    node = chosen(state, count=64)
    state.released(node, count=64)
    assert (node.state, node.outstanding_count, node.strike_count) == (NodeState.READY, 0, 0)


def test_work_waits_until_every_first_probe_has_ended_or_had_its_time() -> None:
    """A node that does not answer at all costs the beginning a moment, once."""
    state = FleetState(mixed_allowed=False, draw=lambda: 1.0)
    state.update([A, B])
    first, second = state.due(0.0)
    assert state.choose(0.0) is None
    assert state.is_waited_for()
    state.probed(first, capabilities(), now_s=5.0)
    assert state.choose(5.0 + SETTLE_S - 0.1) is None
    assert chosen(state, 5.0 + SETTLE_S) is first
    state.probed(second, REFUSED, now_s=9.0)
    assert chosen(state, 9.0) is first


def test_unavailable_names_each_node_and_why() -> None:
    """With the same by address for programs."""
    starting = ServiceUnavailable("not ready: starting", code="not_ready", http_status=503)
    state = fleet({A: REFUSED, B: starting})
    assert state.choose(1.0) is None
    error = state.unavailable("the list of addresses")
    assert isinstance(error, NoNodeAvailable)
    assert error.message == (
        f"not one of 2 nodes can take the request: {A}: nobody listens; {B}: not ready: starting"
    )
    assert error.nodes == {A: "nobody listens", B: "not ready: starting"}
    assert not error.once_available


def test_unavailable_says_what_keeps_newer_addresses_from_being_known() -> None:
    """After the nodes that are known."""
    error = fleet({A: REFUSED}).unavailable("", trouble="the file nodes.txt names no address")
    assert str(error).endswith(f"{A}: nobody listens; the file nodes.txt names no address")


def test_unavailable_without_addresses_names_their_source() -> None:
    """There is no node to name."""
    state = FleetState(mixed_allowed=False, draw=lambda: 1.0)
    state.update([])
    assert state.choose(0.0) is None
    assert "the file nodes.txt names no address" in str(state.unavailable("the file nodes.txt"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"image": "sha256:two"}, "give every node the same image"),
        ({"version": "2"}, "start the same version on every node"),
    ],
)
def test_nodes_that_differ_are_refused_by_name(changed: dict[str, str], said: str) -> None:
    """Both nodes, both images or versions, and the option that allows it."""
    state = fleet({A: capabilities(), B: capabilities(**changed), C: REFUSED})  # type: ignore[arg-type]
    with pytest.raises(MixedNodes, match=said) as caught:
        state.choose(0.0)
    message = caught.value.message
    assert f"{A} has image sha256:one, execbox 1" in message
    assert f"{B} has image {changed.get('image', 'sha256:one')}, execbox" in message
    assert "mixed_nodes='allow'" in message
    assert "--mixed-nodes allow" in message
    assert C not in message


def test_nodes_that_differ_are_looked_at_anew_by_the_next_request() -> None:
    """A client that lives long need not be made again when the operator has put it right."""
    state = fleet({A: capabilities(), B: capabilities(image="sha256:two")})
    with pytest.raises(MixedNodes):
        state.choose(0.0)
    assert state.choose(1.0) is None
    for node in state.due(1.0):
        state.probed(node, capabilities(image="sha256:two"), now_s=1.0)
    assert chosen(state, 1.0).address == A
    assert state.image == "sha256:two"


def test_nodes_that_differ_are_all_used_where_that_is_allowed() -> None:
    """No answer is then held against one image."""
    state = fleet({A: capabilities(), B: capabilities(image="two")}, mixed_allowed=True)
    assert {chosen(state).address for _ in range(2)} == {A, B}
    assert state.image is None


def test_image_stays_the_same_over_a_moment_without_nodes() -> None:
    """What comes after it is held against the image that work began with."""
    state = fleet({A: capabilities()})
    chosen(state)
    state.update([])
    assert state.choose(1.0) is None
    state.update([B, C])
    for node in state.due(2.0):
        image = "sha256:two" if node.address == B else "sha256:one"
        state.probed(node, capabilities(image=image), now_s=2.0)
    assert {chosen(state, 2.0).address for _ in range(4)} == {C}
    assert "had image sha256:one" in (node_of(state, B).reason or "")


def test_fleet_whose_nodes_are_all_replaced_has_been_available() -> None:
    """So it is waited for as one whose nodes are being started again, whatever they are called."""
    state = fleet({A: capabilities()})
    for addresses in ([], [B]):
        state.update(addresses)
        error = state.unavailable("the file nodes.txt")
        assert isinstance(error, NoNodeAvailable)
        assert error.once_available


def test_node_that_comes_later_with_a_different_image_is_left_out_with_the_reason() -> None:
    """Work that has begun goes on with the nodes of its image."""
    state = fleet({A: capabilities(), B: REFUSED})
    assert chosen(state).address == A
    late = next(node for node in state.due(60.0) if node.address == B)
    state.probed(late, capabilities(image="sha256:two"), now_s=60.0)
    assert {chosen(state, 60.0).address for _ in range(4)} == {A}
    report = state.reports()[1]
    assert (report.state, report.image) == (NodeState.OUT, "sha256:two")
    assert "had image sha256:one" in (report.reason or "")


def test_fleet_whose_nodes_have_all_changed_their_image_says_so() -> None:
    """As the caller's decision to make, not as an outage to wait for."""
    state = fleet({A: capabilities()})
    node = chosen(state)
    state.done(node, now_s=1.0, failure=ConnectionBroken("restarted"))
    assert state.due(2.0) == [node]
    state.probed(node, capabilities(image="sha256:two"), now_s=2.0)
    assert state.choose(2.0) is None
    error = state.unavailable("the list of addresses")
    assert isinstance(error, MixedNodes)
    assert "begin with a new client" in error.message


@pytest.mark.parametrize(
    "refusal",
    [
        AuthenticationError("no such key", code="unauthorized", http_status=401),
        InvalidResponse(f"{B} answered HTTP 200 with what is not an execbox answer"),
    ],
)
def test_node_set_up_wrongly_is_told_before_work_begins(refusal: ExecboxError) -> None:
    """A key that one node refuses is a mistake of the set-up, not a node to leave out silently."""
    state = fleet({A: capabilities(), B: refusal})
    with pytest.raises(type(refusal), match=B):
        state.choose(0.0)


def test_update_keeps_known_nodes_and_gives_back_those_that_are_no_longer() -> None:
    """Outstanding requests stay with their node; a new one is probed before it is used."""
    state = fleet({A: capabilities(), B: capabilities()})
    busy, gone = chosen(state, avoid={B}), node_of(state, B)
    assert state.update([A, C]) == [gone]
    assert node_of(state, A) is busy
    assert busy.outstanding_count == 1
    assert [node.address for node in state.due(1.0)] == [C]
    assert chosen(state, 1.0).address == A
