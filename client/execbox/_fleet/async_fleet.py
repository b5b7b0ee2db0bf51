"""``AsyncFleet``: ``SyncFleet`` for asyncio. Each event loop looks at the nodes for itself, as each
has connections of its own; what is decided about them is in ``_nodes`` and ``moves``.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

from execbox import _operations, wire
from execbox._exchange import Exchange
from execbox._fleet.address_book import AddressBook
from execbox._fleet.moves import EachNodeOnce, Moves, SingleTry, fleet_pacing
from execbox._fleet.one_node import PROBE_S, config_of_node, probe_failure
from execbox._nodes.failures import as_of_node, check_image, session_failure
from execbox._nodes.state import FleetState, Node, NodeReport
from execbox._retry import Pacing, Retrying
from execbox._transport import AsyncSeam, AsyncTransport
from execbox.config import ClientConfig, RetryPolicy, WaitListener
from execbox.errors import ClientMisused, ExecboxError, ServiceError, TransportError

__all__ = ["AsyncFleet", "AsyncPinnedTransport"]

T = TypeVar("T")

_WAKE_S = 0.25


class _View:
    """What one event loop knows of the nodes, and how it reaches them."""

    def __init__(self, book: AddressBook, *, mixed_allowed: bool) -> None:
        self.book = book
        self.state = FleetState(mixed_allowed=mixed_allowed, draw=random.random)
        self.reading: asyncio.Task[None] | None = None
        """The newest look-up."""
        self.tasks: set[asyncio.Task[None]] = set()
        """Look-ups and probes under way."""
        self.transports: dict[str, AsyncTransport] = {}
        self.retired: list[tuple[Node, AsyncTransport]] = []
        self._changed = asyncio.Event()

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it as a task that outlives the request that begins it, until the client is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            # Seen here, because the request that waited for it may have been cancelled.
            task.exception()

    @property
    def is_reading(self) -> bool:
        """Whether a look-up is under way."""
        return self.reading is not None and not self.reading.done()

    def has_read(self, reading: asyncio.Task[None]) -> None:
        """A look-up has ended, in whatever way."""
        if reading.cancelled() or reading.exception() is not None:
            self.book.ask_again()
        self.tell()

    async def change(self) -> None:
        """Wait until a node has changed, or a moment."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_WAKE_S):
                await self._changed.wait()

    def tell(self) -> None:
        """Something has changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def retire(self, removed: Sequence[Node]) -> None:
        """Close what leads to nodes that are no longer named, once nothing uses it."""
        for node in removed:
            transport = self.transports.pop(node.address, None)
            if transport is not None:
                self.retired.append((node, transport))
        idle = [
            (node, transport)
            for node, transport in self.retired
            if not node.outstanding_count and not node.session_count
        ]
        self.retired = [each for each in self.retired if each not in idle]
        for _, transport in idle:
            await transport.aclose()


class AsyncFleet:
    """Sender to several nodes for asyncio; may be shared between tasks, event loops and forked
    children."""

    def __init__(
        self, config: ClientConfig, *, book: AddressBook, seam: AsyncSeam | None = None
    ) -> None:
        self._config = config
        self._book = book
        self._seam = seam
        self._closed = False
        self._views: dict[asyncio.AbstractEventLoop, _View] = {}

    @property
    def node_count(self) -> int:
        """How many nodes there are, as far as this event loop has looked them up."""
        return max(1, self._view.state.node_count)

    @property
    def image(self) -> str | None:
        """As ``SyncFleet.image``."""
        return self._view.state.image

    @property
    def retry(self) -> RetryPolicy:
        """As ``SyncFleet.retry``."""
        return self._config.retry

    @property
    def on_wait(self) -> WaitListener | None:
        """Who is told before a request is sent again."""
        return self._config.on_wait

    def pacing(self, policy: RetryPolicy | None = None) -> Retrying:
        """As ``SyncFleet.pacing``."""
        return fleet_pacing(policy or self._config.retry, on_wait=self._config.on_wait)

    async def look_up(self) -> None:
        """Read the addresses again, where it is time for that and no other task does."""
        view = self._view
        urgent = not view.state.ready
        if view.is_reading or not view.book.due(time.monotonic(), urgent=urgent):
            return
        # A task of its own: whoever asked may be cancelled, and others wait for the same.
        reading = view.reading = view.begin(self._read(view))
        reading.add_done_callback(view.has_read)
        await asyncio.wait([reading])
        if not reading.cancelled():
            reading.result()

    async def _read(self, view: _View) -> None:
        # Beside the loop, because a callable may ask others.
        addresses = await asyncio.to_thread(view.book.read)
        await view.retire(view.state.update(addresses))

    async def reports(self) -> Sequence[NodeReport]:
        """As ``SyncFleet.reports``."""
        await self.look_up()
        return self._view.state.reports()

    async def send(self, exchange: Exchange[T], *, pacing: Pacing | None = None) -> T:
        """As ``SyncFleet.send``."""
        pacing = pacing or self.pacing()
        answer, node = await self._sent(exchange, pacing)
        if exchange.merged is None:
            return answer
        others = await self._answers_of_others(node, exchange, within_s=pacing.remaining_s())
        return exchange.merged([answer, *others])

    @asynccontextmanager
    async def streamed(
        self, exchange: Exchange[None], *, pacing: Pacing | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """As ``SyncFleet.streamed``; gives the pieces."""
        moves = EachNodeOnce() if pacing is None else Moves(pacing)
        while True:
            node: Node | None = None
            has_begun = False
            try:
                node = await self._lease(exchange, moves)
                with self._accounted(node, exchange):
                    async with self._transport_to(node).streamed(exchange) as pieces:
                        has_begun = True
                        yield pieces
                        return
            except ExecboxError as failure:
                wait_s = None if has_begun else self._pause_s(moves, failure, node)
                if wait_s is None:
                    raise
            await asyncio.sleep(wait_s)

    async def begin_session(self, exchange: Exchange[T]) -> tuple[T, AsyncPinnedTransport]:
        """As ``SyncFleet.begin_session``."""
        begun, node = await self._sent(exchange, self.pacing())
        node.session_count += 1
        return begun, AsyncPinnedTransport(self, node)

    async def send_bound(self, node: Node, exchange: Exchange[T], *, pacing: Pacing | None) -> T:
        """As ``SyncFleet.send_bound``."""
        self._view.state.take(node, count=exchange.line_count)
        return await self._send_to(node, exchange, pacing=pacing)

    @asynccontextmanager
    async def streamed_from(
        self, node: Node, exchange: Exchange[None], *, pacing: Pacing | None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """As ``SyncFleet.streamed_from``."""
        self._view.state.take(node, count=exchange.line_count)
        with self._accounted(node, exchange):
            async with self._transport_to(node).streamed(exchange, pacing=pacing) as pieces:
                yield pieces

    async def aclose(self) -> None:
        """As ``SyncFleet.close``."""
        self._closed = True
        here = asyncio.get_running_loop()
        for loop, view in list(self._views.items()):
            if loop is here:
                for task in list(view.tasks):
                    task.cancel()
                await asyncio.gather(*view.tasks, return_exceptions=True)
            for transport in [*view.transports.values(), *(each for _, each in view.retired)]:
                await transport.aclose()

    @property
    def _view(self) -> _View:
        loop = asyncio.get_running_loop()
        known = self._views.get(loop)
        if known is None:
            for ended in [each for each in self._views if each.is_closed()]:
                del self._views[ended]
            mixed_allowed = self._config.mixed_nodes == "allow"
            known = _View(self._book.anew(), mixed_allowed=mixed_allowed)
            self._views[loop] = known
        return known

    async def _sent(self, exchange: Exchange[T], pacing: Pacing) -> tuple[T, Node]:
        moves = Moves(pacing)
        while True:
            node: Node | None = None
            try:
                node = await self._lease(exchange, moves)
                within = SingleTry(pacing.remaining_s())
                return await self._send_to(node, exchange, pacing=within), node
            except ExecboxError as failure:
                pause_s = self._pause_s(moves, failure, node)
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)

    async def _send_to(self, node: Node, exchange: Exchange[T], *, pacing: Pacing | None) -> T:
        with self._accounted(node, exchange):
            answer = await self._transport_to(node).send(exchange, pacing=pacing)
            check_image(answer, wanted=self._view.state.image, address=node.address)
            return answer

    async def _answers_of_others(
        self, asked: Node, exchange: Exchange[T], *, within_s: float
    ) -> Sequence[T]:
        """Of the nodes that are ready; one that fails now is out, and does not count."""
        others = [node for node in self._view.state.ready if node is not asked]
        answers = await asyncio.gather(
            *(self.send_bound(node, exchange, pacing=SingleTry(within_s)) for node in others),
            return_exceptions=True,
        )
        found: list[T] = []
        for answer in answers:
            if not isinstance(answer, BaseException):
                found.append(answer)
            elif not isinstance(answer, ServiceError | TransportError):
                raise answer
        return found

    def _pause_s(self, moves: Moves, failure: ExecboxError, node: Node | None) -> float | None:
        address = None if node is None else node.address
        tried = moves.tried | ({address} if address else set())
        elsewhere = self._view.state.has_other(time.monotonic(), than=tried)
        return moves.pause_s(failure, address=address, elsewhere=elsewhere)

    @contextmanager
    def _accounted(self, node: Node, exchange: Exchange[T]) -> Iterator[None]:
        """Notes how a request that was leased or taken ends, and tells what that is of a node."""
        state, count = self._view.state, exchange.line_count
        try:
            yield
        except ExecboxError as error:
            told = as_of_node(error, node.address)
            state.done(node, now_s=time.monotonic(), count=count, failure=told)
            if told is error:
                raise
            raise told from error
        except BaseException:
            # Cancelled, or failed for a reason of its own: that says nothing of the node.
            state.released(node, count=count)
            raise
        state.done(node, now_s=time.monotonic(), count=count, failure=None)

    async def _lease(self, exchange: Exchange[T], moves: Moves) -> Node:
        """The node for a request, waited for while a probe may still give one."""
        view = self._view
        while True:
            await self.look_up()
            if self._closed:
                raise ClientMisused("this client has been closed; make a new one")
            now_s = time.monotonic()
            node = view.state.choose(now_s, count=exchange.line_count, avoid=moves.tried)
            self._begin_probes(view, now_s)
            if node is not None:
                return node
            if not view.is_reading and not view.state.is_waited_for():
                raise view.state.unavailable(str(view.book), trouble=view.book.trouble)
            await view.change()

    def _begin_probes(self, view: _View, now_s: float) -> None:
        for node in view.state.due(now_s):
            view.begin(self._probe(view, node))

    async def _probe(self, view: _View, node: Node) -> None:
        result: wire.Capabilities | ExecboxError
        try:
            transport = self._transport_to(node)
            await transport.send(_operations.ready(), pacing=SingleTry(PROBE_S))
            result = await transport.send(_operations.capabilities(), pacing=SingleTry(PROBE_S))
        except Exception as error:  # noqa: BLE001 - a task's outermost edge: the node's reason
            result = probe_failure(error, node.address)
        view.state.probed(node, result, now_s=time.monotonic())
        view.tell()

    def _transport_to(self, node: Node) -> AsyncTransport:
        view = self._view
        for retired, transport in view.retired:
            if retired is node:
                return transport
        known = view.transports.get(node.address)
        if known is None:
            config = config_of_node(self._config, node.address)
            known = AsyncTransport(config, seam=self._seam)
            view.transports[node.address] = known
        return known


class AsyncPinnedTransport:
    """``PinnedTransport``, for asyncio."""

    def __init__(self, fleet: AsyncFleet, node: Node) -> None:
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

    async def send(self, exchange: Exchange[T], *, pacing: Pacing | None = None) -> T:
        """As ``PinnedTransport.send``."""
        with self._told():
            return await self._fleet.send_bound(self._node, exchange, pacing=pacing)

    @asynccontextmanager
    async def streamed(
        self, exchange: Exchange[None], *, pacing: Pacing | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """As ``PinnedTransport.streamed``; gives the pieces."""
        with self._told():
            async with self._fleet.streamed_from(self._node, exchange, pacing=pacing) as pieces:
                yield pieces

    def session_ended(self) -> None:
        """As ``PinnedTransport.session_ended``."""
        if not self._is_over:
            self._is_over = True
            self._node.session_count -= 1

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except ExecboxError as error:
            told = session_failure(error, self._node.address)
            if told is error:
                raise
            raise told from error
