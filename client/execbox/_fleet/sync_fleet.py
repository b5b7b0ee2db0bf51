"""``SyncFleet``: a ``SyncTransport`` over several nodes, and the part of it that holds a session.

Which node gets a request is decided in ``_nodes``, when it is sent again in ``moves``; what is sent
to one node goes through the node's own ``SyncTransport``.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from execbox import _operations, wire
from execbox._exchange import Exchange
from execbox._fleet.address_book import AddressBook
from execbox._fleet.moves import EachNodeOnce, Moves, SingleTry, fleet_pacing
from execbox._fleet.one_node import PROBE_S, config_of_node, probe_failure
from execbox._forks import tell_after_fork
from execbox._nodes.failures import as_of_node, check_image, session_failure
from execbox._nodes.state import FleetState, Node, NodeReport
from execbox._retry import Pacing, Retrying
from execbox._transport import Streamed, SyncSeam, SyncTransport
from execbox.config import ClientConfig, RetryPolicy, WaitListener
from execbox.errors import ClientMisused, ExecboxError, ServiceError, TransportError

__all__ = ["PinnedTransport", "SyncFleet"]

T = TypeVar("T")

_WAKE_S = 0.25
"""Of who waits for a node: what it waits for may have become due without anybody's doing."""


@dataclass(slots=True)
class _Account:
    """One request at one node."""

    stream: Streamed | None = None

    @property
    def is_given_up(self) -> bool:
        """Whether its sender ended it, which fails as if the connection had broken."""
        return self.stream is not None and self.stream.is_aborted


class SyncFleet:
    """Blocking sender to several nodes; may be shared between threads, and used on in forked
    children, which look at the nodes anew."""

    def __init__(
        self, config: ClientConfig, *, book: AddressBook, seam: SyncSeam | None = None
    ) -> None:
        self._config = config
        self._book = book
        self._seam = seam
        self._transports: dict[str, SyncTransport] = {}
        self._retired: list[tuple[Node, SyncTransport]] = []
        self._closed = False
        self._begin_anew()
        tell_after_fork(self)

    def after_fork(self) -> None:
        # Whatever thread held the lock, or ran a probe, is the parent's.
        self._begin_anew()

    @property
    def node_count(self) -> int:
        """How many nodes there are; looks them up where that has not been done yet."""
        if not self._state.node_count:
            self._look_up()
        return max(1, self._state.node_count)

    @property
    def image(self) -> str | None:
        """What every answer must have been made with; None where it may be any."""
        return self._state.image

    @property
    def retry(self) -> RetryPolicy:
        """How often a request is sent again, over all nodes."""
        return self._config.retry

    @property
    def on_wait(self) -> WaitListener | None:
        """Who is told before a request is sent again."""
        return self._config.on_wait

    def pacing(self, policy: RetryPolicy | None = None) -> Retrying:
        """As ``SyncTransport.pacing``, counted over all nodes."""
        return fleet_pacing(policy or self._config.retry, on_wait=self._config.on_wait)

    def reports(self) -> Sequence[NodeReport]:
        """How each node is."""
        self._look_up()
        with self._changed:
            return self._state.reports()

    def send(self, exchange: Exchange[T], *, pacing: Pacing | None = None) -> T:
        """As ``SyncTransport.send``: to one node, or to all where their answers are merged."""
        pacing = pacing or self.pacing()
        answer, node = self._sent(exchange, pacing)
        if exchange.merged is None:
            return answer
        others = self._answers_of_others(node, exchange, within_s=pacing.remaining_s())
        return exchange.merged([answer, *others])

    @contextmanager
    def streamed(
        self, exchange: Exchange[None], *, pacing: Pacing | None = None
    ) -> Iterator[Streamed]:
        """As ``SyncTransport.streamed``. Without ``pacing``, nodes that do not begin it are passed
        over, each once."""
        moves = EachNodeOnce() if pacing is None else Moves(pacing)
        while True:
            node: Node | None = None
            has_begun = False
            try:
                node = self._lease(exchange, moves)
                with (
                    self._accounted(node, exchange) as account,
                    self._transport_to(node).streamed(exchange) as stream,
                ):
                    has_begun, account.stream = True, stream
                    yield stream
                    return
            except ExecboxError as failure:
                wait_s = None if has_begun else self._pause_s(moves, failure, node)
                if wait_s is None:
                    raise
            time.sleep(wait_s)

    def begin_session(self, exchange: Exchange[T]) -> tuple[T, PinnedTransport]:
        """As ``SyncTransport.begin_session``: every request of the session goes to its node."""
        begun, node = self._sent(exchange, self.pacing())
        self.count_session(node, change=1)
        return begun, PinnedTransport(self, node)

    def send_to(self, node: Node, exchange: Exchange[T], *, pacing: Pacing | None = None) -> T:
        """To this node and no other, whatever its state; ``send`` has chosen it, or a session."""
        with self._accounted(node, exchange):
            answer = self._transport_to(node).send(exchange, pacing=pacing)
            check_image(answer, wanted=self._state.image, address=node.address)
            return answer

    @contextmanager
    def streamed_from(
        self, node: Node, exchange: Exchange[None], *, pacing: Pacing | None
    ) -> Iterator[Streamed]:
        """As ``streamed``, from this node and no other."""
        self._take(node, exchange)
        with (
            self._accounted(node, exchange) as account,
            self._transport_to(node).streamed(exchange, pacing=pacing) as stream,
        ):
            account.stream = stream
            yield stream

    def send_bound(self, node: Node, exchange: Exchange[T], *, pacing: Pacing | None) -> T:
        """As ``send``, to this node and no other."""
        self._take(node, exchange)
        return self.send_to(node, exchange, pacing=pacing)

    def count_session(self, node: Node, *, change: int) -> None:
        """A session has begun or ended on ``node``."""
        with self._changed:
            node.session_count += change

    def close(self) -> None:
        """As ``SyncTransport.close``, for every node."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            transports = [*self._transports.values(), *(each for _, each in self._retired)]
        for transport in transports:
            transport.close()

    def _begin_anew(self) -> None:
        self._changed = threading.Condition()
        self._reading = False
        self._book = self._book.anew()
        mixed_allowed = self._config.mixed_nodes == "allow"
        self._state = FleetState(mixed_allowed=mixed_allowed, draw=random.random)

    def _sent(self, exchange: Exchange[T], pacing: Pacing) -> tuple[T, Node]:
        moves = Moves(pacing)
        while True:
            node: Node | None = None
            try:
                node = self._lease(exchange, moves)
                within = SingleTry(pacing.remaining_s())
                return self.send_to(node, exchange, pacing=within), node
            except ExecboxError as failure:
                pause_s = self._pause_s(moves, failure, node)
                if pause_s is None:
                    raise
            time.sleep(pause_s)

    def _answers_of_others(
        self, asked: Node, exchange: Exchange[T], *, within_s: float
    ) -> Iterator[T]:
        """Of the nodes that are ready; one that fails now is out, and does not count."""
        with self._changed:
            others = [node for node in self._state.ready if node is not asked]
        for node in others:
            self._take(node, exchange)
            try:
                yield self.send_to(node, exchange, pacing=SingleTry(within_s))
            except (ServiceError, TransportError):
                continue

    def _take(self, node: Node, exchange: Exchange[T]) -> None:
        with self._changed:
            self._state.take(node, count=exchange.line_count)

    def _pause_s(self, moves: Moves, failure: ExecboxError, node: Node | None) -> float | None:
        address = None if node is None else node.address
        tried = moves.tried | ({address} if address else set())
        with self._changed:
            elsewhere = self._state.has_other(time.monotonic(), than=tried)
        return moves.pause_s(failure, address=address, elsewhere=elsewhere)

    @contextmanager
    def _accounted(self, node: Node, exchange: Exchange[T]) -> Iterator[_Account]:
        """Notes how a request that was leased or taken ends, and tells what that is of a node."""
        account = _Account()
        try:
            yield account
        except ExecboxError as error:
            told = as_of_node(error, node.address)
            self._end(node, exchange, failure=told, is_given_up=account.is_given_up)
            if told is error:
                raise
            raise told from error
        except BaseException:
            self._end(node, exchange, failure=None, is_given_up=True)
            raise
        self._end(node, exchange, failure=None, is_given_up=False)

    def _end(
        self, node: Node, exchange: Exchange[T], *, failure: ExecboxError | None, is_given_up: bool
    ) -> None:
        with self._changed:
            if is_given_up:
                self._state.released(node, count=exchange.line_count)
                return
            now_s, count = time.monotonic(), exchange.line_count
            self._state.done(node, now_s=now_s, count=count, failure=failure)

    def _lease(self, exchange: Exchange[T], moves: Moves) -> Node:
        """The node for a request, waited for while a probe may still give one."""
        while True:
            self._look_up()
            with self._changed:
                if self._closed:
                    raise ClientMisused("this client has been closed; make a new one")
                now_s = time.monotonic()
                count = exchange.line_count
                node = self._state.choose(now_s, count=count, avoid=moves.tried)
                self._begin_probes(now_s)
                if node is not None:
                    return node
                if not self._reading and not self._state.is_waited_for():
                    raise self._state.unavailable(str(self._book), trouble=self._book.trouble)
                self._changed.wait(_WAKE_S)

    def _look_up(self) -> None:
        """Read the addresses again, where it is time for that and no other thread does."""
        with self._changed:
            now_s = time.monotonic()
            if self._reading or not self._book.due(now_s, urgent=not self._state.ready):
                return
            self._reading = True
        try:
            addresses = self._book.read()
            with self._changed:
                self._retire(self._state.update(addresses))
        except BaseException:
            # Also where it was interrupted (Ctrl-C in a notebook): nothing has been taken.
            self._book.ask_again()
            raise
        finally:
            with self._changed:
                self._reading = False
                self._changed.notify_all()

    def _retire(self, removed: Sequence[Node]) -> None:
        """Close what leads to nodes that are no longer named, once nothing uses it."""
        for node in removed:
            transport = self._transports.pop(node.address, None)
            if transport is not None:
                self._retired.append((node, transport))
        for node, transport in list(self._retired):
            if not node.outstanding_count and not node.session_count:
                self._retired.remove((node, transport))
                transport.close()

    def _begin_probes(self, now_s: float) -> None:
        for node in self._state.due(now_s):
            threading.Thread(
                target=self._probe, args=(self._state, node), name="execbox-probe", daemon=True
            ).start()

    def _probe(self, state: FleetState, node: Node) -> None:
        result: wire.Capabilities | ExecboxError
        try:
            transport = self._transport_to(node)
            transport.send(_operations.ready(), pacing=SingleTry(PROBE_S))
            result = transport.send(_operations.capabilities(), pacing=SingleTry(PROBE_S))
        except Exception as error:  # noqa: BLE001 - a thread's outermost edge: the node's reason
            result = probe_failure(error, node.address)
        with self._changed:
            state.probed(node, result, now_s=time.monotonic())
            self._changed.notify_all()

    def _transport_to(self, node: Node) -> SyncTransport:
        with self._changed:
            for retired, transport in self._retired:
                if retired is node:
                    return transport
            known = self._transports.get(node.address)
            if known is None:
                config = config_of_node(self._config, node.address)
                known = SyncTransport(config, seam=self._seam)
                self._transports[node.address] = known
            return known


class PinnedTransport:
    """The way of a session's requests, all of them to the one node that holds its variables."""

    def __init__(self, fleet: SyncFleet, node: Node) -> None:
        self._fleet = fleet
        self._node = node
        self._is_over = False

    @property
    def retry(self) -> RetryPolicy:
        """As ``SyncTransport.retry``."""
        return self._fleet.retry

    @property
    def on_wait(self) -> WaitListener | None:
        """As ``SyncTransport.on_wait``."""
        return self._fleet.on_wait

    def send(self, exchange: Exchange[T], *, pacing: Pacing | None = None) -> T:
        """As ``SyncTransport.send``. Raises ``SessionGone`` where the node cannot be reached."""
        with self._told():
            return self._fleet.send_bound(self._node, exchange, pacing=pacing)

    @contextmanager
    def streamed(
        self, exchange: Exchange[None], *, pacing: Pacing | None = None
    ) -> Iterator[Streamed]:
        """As ``SyncTransport.streamed``; ``SessionGone`` as for ``send``."""
        with (
            self._told(),
            self._fleet.streamed_from(self._node, exchange, pacing=pacing) as stream,
        ):
            yield stream

    def session_ended(self) -> None:
        """The session is over; may be called twice."""
        if not self._is_over:
            self._is_over = True
            self._fleet.count_session(self._node, change=-1)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except ExecboxError as error:
            told = session_failure(error, self._node.address)
            if told is error:
                raise
            raise told from error
