"""Which node of a fleet gets the next request, and which is left out, as a pure state machine.

Nothing is sent here and no clock is read: what happened is told with its time, in seconds of any
clock that only goes forward. A node is **ready** after a probe (its readiness and capabilities)
succeeded; **out** after a failure, until a later probe succeeds; **unknown** before its first one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from execbox import wire
from execbox._nodes.failures import Effect, effect_of, naming
from execbox._nodes.sameness import Identity, identity_of, mixed_nodes, stranger
from execbox.errors import (
    ConfigError,
    ExecboxError,
    InvalidResponse,
    MixedNodes,
    NoNodeAvailable,
    Overloaded,
    RequestError,
)

__all__ = ["FleetState", "Node", "NodeReport", "NodeState"]

BACKOFF_S: Final = 0.5
BACKOFF_MAX_S: Final = 10.0
"""Between two probes of a node that is out: from one to the other, doubled each time."""
URGENT_S: Final = 1.0
"""Between two probes of a node at the most, while no node is ready."""
STRIKES_MAX: Final = 3
"""Failures in a row, each of which may have been its request's, after which a node is out."""
REST_S: Final = 1.0
"""How long a node that has too much to do is asked last, where it did not say for how long."""
SETTLE_S: Final = 2.0
"""After the first node has answered, how long the others have to do so before work begins."""


class NodeState(StrEnum):
    """Whether a node gets requests."""

    UNKNOWN = "unknown"
    READY = "ready"
    OUT = "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """How one node of a fleet is, as this client sees it.

    ``reason`` says why it is out. ``slots``, ``image`` and ``version`` are None before it has
    answered for the first time. ``sent_count`` counts requests, and lines of batches.
    """

    address: str
    state: NodeState
    reason: str | None
    slots: int | None
    image: str | None
    version: str | None
    outstanding_count: int
    session_count: int
    sent_count: int


@dataclass(slots=True, eq=False)
class Node:
    """What is known of one node. Changed by ``FleetState`` only."""

    address: str
    state: NodeState = NodeState.UNKNOWN
    capabilities: wire.Capabilities | None = None
    failure: ExecboxError | None = None
    is_probed: bool = False
    """Whether a probe is under way."""
    next_probe_s: float = 0.0
    urgent_probe_s: float = 0.0
    """Where no node is ready, the next probe is here."""
    resting_until_s: float = 0.0
    strike_count: int = 0
    backoff_count: int = 0
    outstanding_count: int = 0
    session_count: int = 0
    sent_count: int = 0
    last_chosen: int = 0

    @property
    def slots(self) -> int:
        """Executions of this client's key that run there at once."""
        if self.capabilities is None:
            return 1
        most = self.capabilities.key_concurrency_max
        slots = self.capabilities.concurrency
        return max(1, slots if most is None else min(slots, most))

    @property
    def reason(self) -> str:
        """Why it gets no requests."""
        return self.failure.message if self.failure is not None else "it has not answered yet"


@dataclass(slots=True)
class FleetState:
    """The nodes of one client in one process, and of an ``AsyncClient`` in one event loop.

    ``draw`` gives a random number from 0 to 1, so that the clients of a fleet do not probe a node
    at the same moment.
    """

    mixed_allowed: bool
    draw: Callable[[], float]
    _nodes: dict[str, Node] = field(default_factory=dict)
    _awaited: set[str] = field(default_factory=set)
    _settles_s: float | None = None
    _is_settled: bool = False
    _identity: Identity | None = None
    _refusal: ExecboxError | None = None
    _chosen_count: int = 0
    _has_answered: bool = False

    @property
    def nodes(self) -> Sequence[Node]:
        """All of them, in the order of their addresses' source."""
        return list(self._nodes.values())

    @property
    def node_count(self) -> int:
        """How many there are, in whatever state."""
        return len(self._nodes)

    @property
    def ready(self) -> Sequence[Node]:
        """Those that get requests."""
        return [node for node in self._nodes.values() if node.state is NodeState.READY]

    @property
    def image(self) -> str | None:
        """What every answer must have been made with; None where it may be any."""
        return self._identity.image if self._identity is not None else None

    def update(self, addresses: Iterable[str]) -> Sequence[Node]:
        """Take the addresses that there are now; gives back the nodes that are no longer."""
        wanted = dict.fromkeys(addresses)
        removed = [node for address, node in self._nodes.items() if address not in wanted]
        # Once work has begun, what comes is held against what there was, also after no node at all.
        has_begun = self._is_settled and self._has_answered
        first = not self._nodes and not has_begun
        self._nodes = {address: self._nodes.get(address) or Node(address) for address in wanted}
        if first:
            self._begin_round()
        self._awaited &= wanted.keys()
        return removed

    def due(self, now_s: float) -> Sequence[Node]:
        """The nodes to be probed now; each is asked for once, until its probe has ended."""
        ready = self.ready
        found = [
            node
            for node in self._nodes.values()
            if node.state is not NodeState.READY
            and not node.is_probed
            and now_s >= (node.next_probe_s if ready else node.urgent_probe_s)
        ]
        for node in found:
            node.is_probed = True
        return found

    def probed(self, node: Node, result: wire.Capabilities | ExecboxError, *, now_s: float) -> None:
        """Take what a probe gave: the node's capabilities, or why it has none."""
        node.is_probed = False
        # Kept here, because all nodes may be replaced by others.
        self._has_answered = self._has_answered or isinstance(result, wire.Capabilities)
        if isinstance(result, ExecboxError):
            self._leave_out(node, naming(result, node.address), now_s=now_s)
        elif (stranger := self._stranger(node, result)) is not None:
            node.capabilities = result
            self._leave_out(node, stranger, now_s=now_s)
        else:
            node.capabilities = result
            node.state, node.failure, node.strike_count = NodeState.READY, None, 0
            if self._settles_s is None:
                self._settles_s = now_s + SETTLE_S
        self._awaited.discard(node.address)

    def choose(self, now_s: float, *, count: int = 1, avoid: Iterable[str] = ()) -> Node | None:
        """The node for a request, or for a chunk of ``count`` lines; None if there is none now.

        It is the one with the least outstanding for each of its slots, where a session counts as a
        request; where that is the same, the one chosen longest ago. Those in
        ``avoid`` come into question only where there is no other. Raises ``MixedNodes``, or what
        is wrong with the set-up of a node, where the first probes show it.
        """
        if not self._settle(now_s):
            return None
        ready = self.ready
        fresh = [node for node in ready if node.address not in set(avoid)] or ready
        rested = [node for node in fresh if now_s >= node.resting_until_s] or fresh
        if not rested:
            return None
        node = min(
            rested,
            key=lambda each: (
                (each.outstanding_count + each.session_count + count) / each.slots,
                each.last_chosen,
            ),
        )
        self.take(node, count=count)
        return node

    def take(self, node: Node, *, count: int = 1) -> None:
        """A request that is for ``node`` and no other begins; ``done`` or ``released`` ends it."""
        self._chosen_count += 1
        node.last_chosen = self._chosen_count
        node.outstanding_count += count
        node.sent_count += count

    def has_other(self, now_s: float, *, than: Iterable[str]) -> bool:
        """Whether a node that is ready, and has not too much to do, is none of ``than``."""
        tried = set(than)
        return any(
            node.state is NodeState.READY
            and now_s >= node.resting_until_s
            and node.address not in tried
            for node in self._nodes.values()
        )

    def is_waited_for(self) -> bool:
        """Whether a probe is under way, so that a node may be ready soon."""
        return any(node.is_probed for node in self._nodes.values())

    def released(self, node: Node, *, count: int = 1) -> None:
        """A request to ``node`` has been given up by its sender, which says nothing of the node."""
        node.outstanding_count -= count

    def done(
        self, node: Node, *, now_s: float, count: int = 1, failure: ExecboxError | None
    ) -> None:
        """A request to ``node`` has been answered, or has failed."""
        node.outstanding_count -= count
        effect = Effect.NONE if failure is None else effect_of(failure)
        if effect is Effect.NONE:
            node.strike_count = node.backoff_count = 0
        elif effect is Effect.REST:
            asked_s = failure.retry_after_s if isinstance(failure, Overloaded) else None
            node.resting_until_s = now_s + (REST_S if asked_s is None else asked_s)
        elif effect is Effect.STRIKE:
            node.strike_count += 1
        is_out = effect is Effect.OUT or node.strike_count >= STRIKES_MAX
        if failure is not None and is_out and node.state is NodeState.READY:
            self._leave_out(node, failure, now_s=now_s)

    def unavailable(self, source: str, *, trouble: str | None = None) -> ExecboxError:
        """Why no node can take a request; ``source`` is where the addresses come from, and
        ``trouble`` what keeps newer ones from being known."""
        reasons = {node.address: node.reason for node in self._nodes.values()}
        if not reasons:
            return NoNodeAvailable(
                f"no node can take the request: {source} names no address",
                once_available=self._has_answered,
            )
        strangers = [node for node in self._nodes.values() if isinstance(node.failure, MixedNodes)]
        if len(strangers) == len(reasons):
            return strangers[0].failure or NoNodeAvailable("")
        listed = "; ".join(f"{address}: {why}" for address, why in reasons.items())
        which = "the node" if len(reasons) == 1 else f"not one of {len(reasons)} nodes"
        return NoNodeAvailable(
            f"{which} can take the request: {listed}" + (f"; {trouble}" if trouble else ""),
            nodes=reasons,
            once_available=self._has_answered,
        )

    def reports(self) -> Sequence[NodeReport]:
        """How each node is."""
        return [_report(node) for node in self._nodes.values()]

    def _settle(self, now_s: float) -> bool:
        """Whether work may begin: every first probe has ended, or has had its time."""
        if self._is_settled:
            return True
        if self._awaited and (self._settles_s is None or now_s < self._settles_s):
            return False
        refusal = self._refused_together()
        if refusal is not None:
            # The next request looks anew: the operator may have put it right.
            self._begin_round()
            for node in self._nodes.values():
                node.state, node.failure = NodeState.UNKNOWN, None
                node.next_probe_s = node.urgent_probe_s = now_s
            raise refusal
        self._is_settled = True
        return True

    def _begin_round(self) -> None:
        self._awaited = set(self._nodes)
        self._settles_s, self._is_settled = None, False

    def _refused_together(self) -> ExecboxError | None:
        """What the first probes show to be set up wrongly; fixes what every node must be."""
        for node in self._nodes.values():
            if isinstance(node.failure, RequestError | ConfigError | InvalidResponse):
                return node.failure
        identities = {
            node.address: identity_of(node.capabilities)
            for node in self._nodes.values()
            if node.state is NodeState.READY and node.capabilities is not None
        }
        if self.mixed_allowed or not identities:
            return None
        mixed = mixed_nodes(identities)
        if mixed is None:
            self._identity = next(iter(identities.values()))
        return mixed

    def _stranger(self, node: Node, capabilities: wire.Capabilities) -> MixedNodes | None:
        """Why a node that comes later is not one of this fleet; the first one says what is."""
        if self.mixed_allowed or (self._identity is None and not self._is_settled):
            return None
        identity = identity_of(capabilities)
        if self._identity is None:
            self._identity = identity
        return stranger(identity, address=node.address, among=self._identity)

    def _leave_out(self, node: Node, failure: ExecboxError, *, now_s: float) -> None:
        node.state, node.failure, node.strike_count = NodeState.OUT, failure, 0
        # The exponent is capped because 2.0**1024 is an error.
        backoff_s = min(BACKOFF_MAX_S, BACKOFF_S * 2.0 ** min(node.backoff_count, 60))
        node.backoff_count += 1
        jitter = 0.5 + 0.5 * self.draw()
        node.next_probe_s = now_s + backoff_s * jitter
        node.urgent_probe_s = now_s + min(backoff_s, URGENT_S) * jitter


def _report(node: Node) -> NodeReport:
    known = node.capabilities
    return NodeReport(
        address=node.address,
        state=node.state,
        reason=node.reason if node.state is NodeState.OUT else None,
        slots=known.concurrency if known is not None else None,
        image=known.image if known is not None else None,
        version=known.version if known is not None else None,
        outstanding_count=node.outstanding_count,
        session_count=node.session_count,
        sent_count=node.sent_count,
    )
