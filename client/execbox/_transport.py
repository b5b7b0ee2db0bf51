"""Sends exchanges to the service over HTTP, again where that is safe.

What to send and what an answer means is in ``_exchange``, when to send again in ``_retry``, how
httpx is used in ``_http``; ``_connections`` keeps the connections. A model's endpoint is asked in
``_model_endpoint``.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
    closing,
    contextmanager,
)
from typing import TypeAlias, TypeVar

import httpx

from execbox._abort import Abort
from execbox._connections import AsyncConnections, Connections
from execbox._exchange import Exchange, HttpAnswer, read_answer
from execbox._http import http_answer, http_options, http_request, http_timeout, keeping_alive
from execbox._nodes.state import NodeReport
from execbox._retry import Pacing, Retrying
from execbox._route import route_to
from execbox._transport_errors import as_transport_error
from execbox.config import ClientConfig, RetryPolicy, WaitListener
from execbox.errors import ExecboxError

__all__ = ["AsyncSeam", "AsyncTransport", "Streamed", "SyncSeam", "SyncTransport"]

SyncSeam: TypeAlias = httpx.BaseTransport
"""What ``Client(transport=)`` takes: tests give ``httpx.MockTransport`` or a WSGI/ASGI app's."""
AsyncSeam: TypeAlias = httpx.AsyncBaseTransport

T = TypeVar("T")

_SETTING = "base_url (EXECBOX_URL)"


class SyncTransport:
    """Blocking sender; may be shared between threads, and used on in forked children.

    The kernel asks on silent connections whether the peer still is. So one whose other machine is
    gone without a word ends after half a minute, not after the longest that a request may take; and
    no firewall on the way sees a connection as idle while its answer is waited for.
    """

    node_count = 1
    image = None
    """Of a fleet, what every answer must have been made with."""

    def __init__(
        self,
        config: ClientConfig,
        *,
        seam: SyncSeam | None = None,
    ) -> None:
        self._config = config
        self._route = route_to(config.base_url, setting=_SETTING)
        options = http_options(config, self._route)

        def make() -> httpx.Client:
            transport = seam or httpx.HTTPTransport(**keeping_alive(options))
            return httpx.Client(transport=transport, **options)

        self._connections = Connections(make, count_max=config.connections_max)
        self._answered = False

    @property
    def retry(self) -> RetryPolicy:
        """How often a request is sent again."""
        return self._config.retry

    @property
    def on_wait(self) -> WaitListener | None:
        """Who is told before a request is sent again."""
        return self._config.on_wait

    def pacing(self, policy: RetryPolicy | None = None) -> Retrying:
        """How often and when a request is sent again; by default as the configuration says."""
        return Retrying(policy or self._config.retry, on_wait=self._config.on_wait)

    def reports(self) -> Sequence[NodeReport]:
        """Of a fleet, how each node is."""
        return ()

    def begin_session(self, exchange: Exchange[T]) -> tuple[T, SyncTransport]:
        """The session, and what all its requests go through."""
        return self.send(exchange), self

    def session_ended(self) -> None:
        """Of a fleet: one less on the node."""

    def send(self, exchange: Exchange[T], *, pacing: Pacing | None = None) -> T:
        """The result of one exchange, sent as often as ``pacing`` (or the config's) permits."""
        pacing = pacing or self.pacing()
        while True:
            try:
                return read_answer(exchange, self._send_once(exchange, pacing))
            except ExecboxError as failure:
                pause_s = pacing.pause_s(failure)
                if pause_s is None:
                    raise
            time.sleep(pause_s)

    def _send_once(self, exchange: Exchange[T], pacing: Pacing) -> HttpAnswer:
        timeout = http_timeout(self._config, exchange, within_s=pacing.remaining_s())
        with (
            self._connections.borrow() as http,
            self._failures(timeout),
        ):
            response = http.send(http_request(http, exchange, timeout=timeout))
            self._answered = True
            return http_answer(response, self._route)

    @contextmanager
    def streamed(
        self, exchange: Exchange[None], *, pacing: Pacing | None = None
    ) -> Iterator[Streamed]:
        """Receive an answer in pieces; what is no success raises at once. Sent again, if ``pacing``
        permits it, only as long as no answer has begun. Raises RequestAborted where it was."""
        timeout = http_timeout(self._config, exchange, within_s=math.inf)
        abort = exchange.abort
        with self._connections.borrow(abort) as http:
            response = self._begun(http, exchange, timeout=timeout, pacing=pacing)
            try:
                yield Streamed(response, failures=lambda: self._failures(timeout), abort=abort)
            finally:
                response.close()

    def _begun(
        self,
        http: httpx.Client,
        exchange: Exchange[None],
        *,
        timeout: httpx.Timeout,
        pacing: Pacing | None,
    ) -> httpx.Response:
        while True:
            try:
                with self._failures(timeout):
                    request = http_request(http, exchange, timeout=timeout)
                    response = http.send(request, stream=True)
                    self._answered = True
                    if response.status_code in exchange.accepted:
                        return response
                    with closing(response):
                        response.read()
                    read_answer(exchange, http_answer(response, self._route))
            except ExecboxError as failure:
                if exchange.abort is not None:
                    exchange.abort.check()
                wait_s = pacing.pause_s(failure) if pacing is not None else None
                if wait_s is None:
                    raise
                time.sleep(wait_s)

    def _failures(self, timeout: httpx.Timeout) -> AbstractContextManager[None]:
        return as_transport_error(self._config, timeout, self._route, once_answered=self._answered)

    def close(self) -> None:
        self._connections.close()


class Streamed:
    """An answer that is being received."""

    def __init__(
        self,
        response: httpx.Response,
        *,
        failures: Callable[[], AbstractContextManager[None]],
        abort: Abort | None,
    ) -> None:
        self._response = response
        self._failures = failures
        self._abort = abort

    @property
    def is_aborted(self) -> bool:
        """Whether its sender ended it, which fails as if the connection had broken."""
        return self._abort is not None and self._abort.is_set

    def pieces(self) -> Iterator[bytes]:
        """Bytes as they arrive. Raises TransportError; what its user raises meanwhile stays as it
        is."""
        with self._failures():
            yield from self._response.iter_bytes()


class AsyncTransport:
    """Sender for asyncio; may be shared between tasks, event loops and forked children."""

    node_count = 1
    image = None

    def __init__(
        self,
        config: ClientConfig,
        *,
        seam: AsyncSeam | None = None,
    ) -> None:
        self._config = config
        self._route = route_to(config.base_url, setting=_SETTING)
        options = http_options(config, self._route)

        def make() -> httpx.AsyncClient:
            transport = seam or httpx.AsyncHTTPTransport(**keeping_alive(options))
            return httpx.AsyncClient(transport=transport, **options)

        self._connections = AsyncConnections(make)
        self._answered = False

    @property
    def retry(self) -> RetryPolicy:
        """How often a request is sent again."""
        return self._config.retry

    @property
    def on_wait(self) -> WaitListener | None:
        """Who is told before a request is sent again."""
        return self._config.on_wait

    def pacing(self, policy: RetryPolicy | None = None) -> Retrying:
        """As ``SyncTransport.pacing``."""
        return Retrying(policy or self._config.retry, on_wait=self._config.on_wait)

    async def look_up(self) -> None:
        """Of a fleet: see which nodes there are."""

    async def reports(self) -> Sequence[NodeReport]:
        """As ``SyncTransport.reports``."""
        return ()

    async def begin_session(self, exchange: Exchange[T]) -> tuple[T, AsyncTransport]:
        """As ``SyncTransport.begin_session``."""
        return await self.send(exchange), self

    def session_ended(self) -> None:
        """As ``SyncTransport.session_ended``."""

    async def send(self, exchange: Exchange[T], *, pacing: Pacing | None = None) -> T:
        """As ``SyncTransport.send``."""
        pacing = pacing or self.pacing()
        while True:
            try:
                return read_answer(exchange, await self._send_once(exchange, pacing))
            except ExecboxError as failure:
                pause_s = pacing.pause_s(failure)
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)

    async def _send_once(self, exchange: Exchange[T], pacing: Pacing) -> HttpAnswer:
        timeout = http_timeout(self._config, exchange, within_s=pacing.remaining_s())
        with self._failures(timeout):
            http = await self._connections.http()
            response = await http.send(http_request(http, exchange, timeout=timeout))
            self._answered = True
            return http_answer(response, self._route)

    @asynccontextmanager
    async def streamed(
        self, exchange: Exchange[None], *, pacing: Pacing | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """As ``SyncTransport.streamed``; gives the pieces."""
        timeout = http_timeout(self._config, exchange, within_s=math.inf)
        response = await self._begun(exchange, waits=timeout, pacing=pacing)
        try:
            async with aclosing(self._pieces(response, timeout)) as pieces:
                yield pieces
        finally:
            await response.aclose()

    async def _begun(
        self, exchange: Exchange[None], *, waits: httpx.Timeout, pacing: Pacing | None
    ) -> httpx.Response:
        while True:
            try:
                with self._failures(waits):
                    http = await self._connections.http()
                    request = http_request(http, exchange, timeout=waits)
                    response = await http.send(request, stream=True)
                    self._answered = True
                    if response.status_code in exchange.accepted:
                        return response
                    async with aclosing(response):
                        await response.aread()
                    read_answer(exchange, http_answer(response, self._route))
            except ExecboxError as failure:
                wait_s = pacing.pause_s(failure) if pacing is not None else None
                if wait_s is None:
                    raise
                await asyncio.sleep(wait_s)

    async def _pieces(
        self, response: httpx.Response, waits: httpx.Timeout
    ) -> AsyncGenerator[bytes, None]:
        with self._failures(waits):
            async for piece in response.aiter_bytes():
                yield piece

    def _failures(self, timeout: httpx.Timeout) -> AbstractContextManager[None]:
        return as_transport_error(self._config, timeout, self._route, once_answered=self._answered)

    async def aclose(self) -> None:
        await self._connections.aclose()
