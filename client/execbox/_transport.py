"""Sends exchanges over HTTP, again where that is safe; the only module that knows httpx.

What to send and what an answer means is in ``_exchange``, when to send again in ``_retry``.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeAlias, TypedDict, TypeVar

import httpx

from execbox._exchange import Answer, Exchange, read_answer
from execbox._retry import Pacing, Retrying
from execbox._version import client_version
from execbox.config import ClientConfig
from execbox.errors import (
    ConfigError,
    ConnectFailed,
    ConnectionBroken,
    ExecboxError,
    InvalidResponse,
    RequestTimedOut,
    TransportError,
)

__all__ = ["AsyncSeam", "AsyncTransport", "Streamed", "SyncSeam", "SyncTransport"]

SyncSeam: TypeAlias = httpx.BaseTransport
"""What ``Client(transport=)`` takes: tests give ``httpx.MockTransport`` or a WSGI/ASGI app's."""
AsyncSeam: TypeAlias = httpx.AsyncBaseTransport

T = TypeVar("T")

_WRITE_TIMEOUT_S = 60.0
# Well below what servers keep (execbox 20 s, uvicorn 5 s), so that it is the client who closes
# idle connections: no request is then written to one the service is just closing.
_IDLE_CONNECTION_S = 4.0


class SyncTransport:
    """Blocking sender; may be shared between threads, not across a fork."""

    def __init__(self, config: ClientConfig, *, seam: SyncSeam | None = None) -> None:
        self._config = config
        options = _http_options(config)
        self._lender = _Lender(
            lambda: httpx.Client(transport=seam, **options), count_max=config.connections_max
        )
        with _as_config_error(config), self._lender.borrow():
            pass  # One is made, so that an unusable URL is noticed here.

    def send(self, exchange: Exchange[T], *, pacing: Pacing | None = None) -> T:
        """The result of one exchange, sent as often as ``pacing`` (or the config's) permits."""
        pacing = pacing or Retrying(self._config.retry)
        while True:
            try:
                return read_answer(exchange, self._send_once(exchange, pacing))
            except ExecboxError as failure:
                pause_s = pacing.pause_s(failure)
                if pause_s is None:
                    raise
            time.sleep(pause_s)

    def _send_once(self, exchange: Exchange[T], pacing: Pacing) -> Answer:
        timeout = _timeout(self._config, exchange, within_s=pacing.remaining_s())
        with self._lender.borrow() as http, _as_transport_error(self._config, timeout):
            return _answer(http.send(_request(http, exchange, timeout=timeout)))

    @contextmanager
    def streamed(self, exchange: Exchange[None]) -> Iterator[Streamed]:
        """Send once, and receive the answer in pieces; what is no success raises at once."""
        timeout = _timeout(self._config, exchange, within_s=math.inf)
        with self._lender.borrow() as http, _as_transport_error(self._config, timeout):
            response = http.send(_request(http, exchange, timeout=timeout), stream=True)
            try:
                if response.status_code not in exchange.accepted:
                    response.read()
                    read_answer(exchange, _answer(response))
                yield Streamed(response)
            finally:
                response.close()

    def close(self) -> None:
        self._lender.close()


class Streamed:
    """An answer that is being received."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    def pieces(self) -> Iterator[bytes]:
        """Bytes as they arrive."""
        return self._response.iter_bytes()

    def abort(self) -> None:
        """End the receiving from another thread, where it fails as if the connection broke."""
        network = self._response.extensions.get("network_stream")
        connection = network.get_extra_info("socket") if network is not None else None
        if connection is not None:
            with suppress(OSError):
                # Closing would not wake a thread that waits for bytes.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Lender:
    """Makes httpx clients and lends each to one thread at a time.

    httpx shares one pool between threads, and that pool can close a connection it has just
    assigned to another thread (encode/httpcore#1110); the request on it then fails, or waits for
    its whole read timeout. Seen here about once in ten thousand requests. A client that is used
    by one thread at a time never has a second connection to get wrong.
    """

    def __init__(self, make: Callable[[], httpx.Client], *, count_max: int) -> None:
        self._make = make
        self._slots = threading.BoundedSemaphore(count_max)
        self._lock = threading.Lock()
        self._idle: list[httpx.Client] = []
        self._closed = False

    @contextmanager
    def borrow(self) -> Iterator[httpx.Client]:
        """A client for the caller alone; waits while all are lent."""
        with self._slots:
            http = self._take()
            try:
                yield http
            finally:
                self._give_back(http)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for http in idle:
            http.close()

    def _take(self) -> httpx.Client:
        with self._lock:
            if self._closed:
                raise RuntimeError("this client has been closed")
            # The one used last: its connection is the likeliest to be open still.
            if self._idle:
                return self._idle.pop()
        return self._make()

    def _give_back(self, http: httpx.Client) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(http)
                return
        http.close()


class AsyncTransport:
    """Sender for asyncio; may be shared between the tasks of one event loop."""

    def __init__(self, config: ClientConfig, *, seam: AsyncSeam | None = None) -> None:
        self._config = config
        with _as_config_error(config):
            self._http = httpx.AsyncClient(transport=seam, **_http_options(config))

    async def send(self, exchange: Exchange[T], *, pacing: Pacing | None = None) -> T:
        """As ``SyncTransport.send``."""
        pacing = pacing or Retrying(self._config.retry)
        while True:
            try:
                return read_answer(exchange, await self._send_once(exchange, pacing))
            except ExecboxError as failure:
                pause_s = pacing.pause_s(failure)
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)

    async def _send_once(self, exchange: Exchange[T], pacing: Pacing) -> Answer:
        timeout = _timeout(self._config, exchange, within_s=pacing.remaining_s())
        with _as_transport_error(self._config, timeout):
            return _answer(await self._http.send(_request(self._http, exchange, timeout=timeout)))

    @asynccontextmanager
    async def streamed(self, exchange: Exchange[None]) -> AsyncIterator[AsyncIterator[bytes]]:
        """As ``SyncTransport.streamed``; gives the pieces."""
        timeout = _timeout(self._config, exchange, within_s=math.inf)
        with _as_transport_error(self._config, timeout):
            request = _request(self._http, exchange, timeout=timeout)
            response = await self._http.send(request, stream=True)
            try:
                if response.status_code not in exchange.accepted:
                    await response.aread()
                    read_answer(exchange, _answer(response))
                yield response.aiter_bytes()
            finally:
                await response.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()


class _HttpOptions(TypedDict):
    base_url: str
    headers: dict[str, str]
    limits: httpx.Limits
    trust_env: bool
    verify: ssl.SSLContext


def _http_options(config: ClientConfig) -> _HttpOptions:
    headers = {"User-Agent": f"execbox/{client_version()}", "Accept": "application/json"}
    if config.api_key is not None:
        headers["Authorization"] = f"Bearer {config.api_key}"
    return _HttpOptions(
        base_url=config.base_url,
        headers=headers,
        limits=httpx.Limits(
            max_connections=config.connections_max,
            max_keepalive_connections=config.connections_max,
            keepalive_expiry=_IDLE_CONNECTION_S,
        ),
        # A proxy from the environment cannot reach this machine's own loopback.
        trust_env=not config.is_loopback,
        # Made once: reading the certificates takes longer than all else a client needs.
        verify=httpx.create_ssl_context(trust_env=not config.is_loopback),
    )


def _request(
    http: httpx.Client | httpx.AsyncClient, exchange: Exchange[T], *, timeout: httpx.Timeout
) -> httpx.Request:
    headers = {} if exchange.body is None else {"Content-Type": exchange.content_type}
    return http.build_request(
        exchange.method, exchange.path, content=exchange.body, headers=headers, timeout=timeout
    )


def _answer(response: httpx.Response) -> Answer:
    return Answer(
        url=str(response.request.url),
        http_status=response.status_code,
        body=response.content,
        retry_after=response.headers.get("Retry-After"),
    )


def _timeout(config: ClientConfig, exchange: Exchange[T], *, within_s: float) -> httpx.Timeout:
    read_s = exchange.read_timeout_s + config.queue_allowance_s
    if config.read_timeout_s is not None:
        read_s = config.read_timeout_s
    return httpx.Timeout(
        connect=min(config.connect_timeout_s, within_s),
        read=min(read_s, within_s),
        write=min(_WRITE_TIMEOUT_S, within_s),
        # Waiting for one of our own connections is no failure; each that is in use has a timeout.
        pool=None,
    )


@contextmanager
def _as_config_error(config: ClientConfig) -> Iterator[None]:
    try:
        yield
    except httpx.InvalidURL as error:
        raise ConfigError(f"base_url (EXECBOX_URL) {config.base_url!r}: {error}") from error


@contextmanager
def _as_transport_error(config: ClientConfig, timeout: httpx.Timeout) -> Iterator[None]:
    where = config.base_url
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise ConnectFailed(f"no connection to {where} within {timeout.connect:g} s") from error
    except (httpx.ConnectError, httpx.ProxyError) as error:
        raise ConnectFailed(f"could not connect to {where}: {_reason(error)}") from error
    except httpx.TimeoutException as error:
        raise RequestTimedOut(
            f"{where} took the request and did not answer within {timeout.read:g} s"
        ) from error
    except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
        raise ConnectionBroken(
            f"the connection to {where} broke before the answer was complete: {_reason(error)}"
        ) from error
    except httpx.DecodingError as error:
        raise InvalidResponse(f"{where} sent a body that cannot be decoded: {error}") from error
    except httpx.TransportError as error:
        raise TransportError(f"cannot talk to {where}: {_reason(error)}") from error


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
