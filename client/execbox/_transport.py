"""Sends exchanges to the service over HTTP, again where that is safe.

What to send and what an answer means is in ``_exchange``, when to send again in ``_retry``; the
connections are kept in ``_connections``, a model's endpoint is asked in ``_model_endpoint``.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
    closing,
    contextmanager,
    suppress,
)
from typing import TypeAlias, TypedDict, TypeVar

import httpx

from execbox._connections import AsyncConnections, Connections
from execbox._exchange import Exchange, HttpAnswer, read_answer
from execbox._nodes.state import NodeReport
from execbox._retry import Pacing, Retrying
from execbox._route import Route, route_to
from execbox._version import client_version
from execbox.config import ClientConfig, RetryPolicy, WaitListener, service_root
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

_SETTING = "base_url (EXECBOX_URL)"
_WRITE_TIMEOUT_S = 60.0
# Well below what servers keep (execbox 20 s, uvicorn 5 s), so that it is the client who closes
# idle connections: no request is then written to one the service is just closing.
_IDLE_CONNECTION_S = 4.0
# Of a machine that is gone without a word: noticed after 15 s + 3 * 5 s.
_SILENT_S = 15
_ASKED_EVERY_S = 5
_ASKED_COUNT = 3
# Less than any proxy waits by default for an answer's next byte: mostly a minute.
_SHORT_S = 20.0


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
        options = _http_options(config, self._route)

        def make() -> httpx.Client:
            transport = seam or httpx.HTTPTransport(**_keeping_alive(options))
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
        timeout = _timeout(self._config, exchange, within_s=pacing.remaining_s())
        with (
            self._connections.borrow() as http,
            self._failures(timeout),
        ):
            response = http.send(_request(http, exchange, timeout=timeout))
            self._answered = True
            return _answer(response, self._route)

    @contextmanager
    def streamed(
        self, exchange: Exchange[None], *, pacing: Pacing | None = None
    ) -> Iterator[Streamed]:
        """Receive an answer in pieces; what is no success raises at once. Sent again, if ``pacing``
        permits it, only as long as no answer has begun."""
        timeout = _timeout(self._config, exchange, within_s=math.inf)
        with self._connections.borrow() as http:
            response = self._begun(http, exchange, timeout=timeout, pacing=pacing)
            try:
                yield Streamed(response, failures=lambda: self._failures(timeout))
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
                    request = _request(http, exchange, timeout=timeout)
                    response = http.send(request, stream=True)
                    self._answered = True
                    if response.status_code in exchange.accepted:
                        return response
                    with closing(response):
                        response.read()
                    read_answer(exchange, _answer(response, self._route))
            except ExecboxError as failure:
                wait_s = pacing.pause_s(failure) if pacing is not None else None
                if wait_s is None:
                    raise
                time.sleep(wait_s)

    def _failures(self, timeout: httpx.Timeout) -> AbstractContextManager[None]:
        return _as_transport_error(self._config, timeout, self._route, once_answered=self._answered)

    def close(self) -> None:
        self._connections.close()


class Streamed:
    """An answer that is being received."""

    def __init__(
        self, response: httpx.Response, *, failures: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._response = response
        self._failures = failures
        self.is_aborted = False

    def pieces(self) -> Iterator[bytes]:
        """Bytes as they arrive. Raises TransportError; what its user raises meanwhile stays as it
        is."""
        with self._failures():
            yield from self._response.iter_bytes()

    def abort(self) -> None:
        """End the receiving from another thread, where it fails as if the connection broke."""
        self.is_aborted = True
        network = self._response.extensions.get("network_stream")
        connection = network.get_extra_info("socket") if network is not None else None
        if connection is not None:
            with suppress(OSError):
                # Closing would not wake a thread that waits for bytes.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


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
        options = _http_options(config, self._route)

        def make() -> httpx.AsyncClient:
            transport = seam or httpx.AsyncHTTPTransport(**_keeping_alive(options))
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
        timeout = _timeout(self._config, exchange, within_s=pacing.remaining_s())
        with self._failures(timeout):
            http = await self._connections.http()
            response = await http.send(_request(http, exchange, timeout=timeout))
            self._answered = True
            return _answer(response, self._route)

    @asynccontextmanager
    async def streamed(
        self, exchange: Exchange[None], *, pacing: Pacing | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """As ``SyncTransport.streamed``; gives the pieces."""
        timeout = _timeout(self._config, exchange, within_s=math.inf)
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
                    request = _request(http, exchange, timeout=waits)
                    response = await http.send(request, stream=True)
                    self._answered = True
                    if response.status_code in exchange.accepted:
                        return response
                    async with aclosing(response):
                        await response.aread()
                    read_answer(exchange, _answer(response, self._route))
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
        return _as_transport_error(self._config, timeout, self._route, once_answered=self._answered)

    async def aclose(self) -> None:
        await self._connections.aclose()


class _HttpOptions(TypedDict):
    base_url: str
    headers: dict[str, str]
    limits: httpx.Limits
    trust_env: bool
    proxy: httpx.Proxy | None
    verify: ssl.SSLContext


def _http_options(config: ClientConfig, route: Route) -> _HttpOptions:
    headers = {"User-Agent": f"execbox/{client_version()}", "Accept": "application/json"}
    if config.api_key is not None:
        headers["Authorization"] = f"Bearer {config.api_key}"
    return _HttpOptions(
        base_url=service_root(config.base_url),
        headers=headers,
        limits=httpx.Limits(
            max_connections=config.connections_max,
            max_keepalive_connections=config.connections_max,
            keepalive_expiry=_IDLE_CONNECTION_S,
        ),
        trust_env=False,
        proxy=route.httpx_proxy,
        verify=route.tls,
    )


class _KeepingAlive(TypedDict):
    limits: httpx.Limits
    verify: ssl.SSLContext
    socket_options: list[tuple[int, int, int]]


def _keeping_alive(options: _HttpOptions) -> _KeepingAlive:
    """Connections on which the kernel asks, while nothing arrives, whether the peer still is."""
    wanted = {
        "TCP_KEEPIDLE": _SILENT_S,
        "TCP_KEEPINTVL": _ASKED_EVERY_S,
        "TCP_KEEPCNT": _ASKED_COUNT,
        "TCP_USER_TIMEOUT": 1000 * (_SILENT_S + _ASKED_EVERY_S * _ASKED_COUNT),
    }
    # Which of them there are is the operating system's affair.
    known = [(name, value) for name, value in wanted.items() if hasattr(socket, name)]
    return _KeepingAlive(
        limits=options["limits"],
        verify=options["verify"],
        socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        + [(socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in known],
    )


def _request(
    http: httpx.Client | httpx.AsyncClient, exchange: Exchange[T], *, timeout: httpx.Timeout
) -> httpx.Request:
    headers = {} if exchange.body is None else {"Content-Type": exchange.content_type}
    return http.build_request(
        exchange.method, exchange.path, content=exchange.body, headers=headers, timeout=timeout
    )


def _answer(response: httpx.Response, route: Route) -> HttpAnswer:
    if response.status_code == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
        raise _refused_by_proxy(str(response.request.url), route, "407")
    return HttpAnswer(
        url=f"{response.request.url}{route}",
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
def _as_transport_error(
    config: ClientConfig, timeout: httpx.Timeout, route: Route, *, once_answered: bool
) -> Iterator[None]:
    where = f"{config.base_url}{route}"
    begun_s = time.monotonic()
    try:
        yield
    except httpx.ConnectTimeout as error:
        within = f"within {timeout.connect:g} s"
        raise ConnectFailed(
            f"no connection to {where} {within}; {_connect_advice(route, error)}",
            once_answered=once_answered,
        ) from error
    except httpx.ProxyError as error:
        raise _refused_by_proxy(config.base_url, route, _reason(error)) from error
    except httpx.ConnectError as error:
        raise ConnectFailed(
            f"could not connect to {where}: {_reason(error)}; {_connect_advice(route, error)}",
            once_answered=once_answered,
        ) from error
    except httpx.TimeoutException as error:
        raise RequestTimedOut(
            f"{where} took the request and did not answer within {timeout.read:g} s"
        ) from error
    except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
        raise ConnectionBroken(
            f"the connection to {where} broke before the answer was complete: {_reason(error)}"
            f"{_idle_advice(time.monotonic() - begun_s)}"
        ) from error
    except httpx.DecodingError as error:
        raise InvalidResponse(f"{where} sent a body that cannot be decoded: {error}") from error
    except httpx.TransportError as error:
        raise TransportError(f"cannot talk to {where}: {_reason(error)}") from error


def _refused_by_proxy(url: str, route: Route, answer: str) -> ExecboxError:
    """What it means that the proxy itself answered, not the service behind it."""
    if answer.startswith("407") and route.proxy is not None:
        return ConfigError(
            f"the proxy {route.proxy} asks for a user name and a password (HTTP 407) before it "
            f"passes anything on to {url}: write them into {route.proxy.variable}, as in "
            "http://USER:PASSWORD@HOST:PORT"
        )
    return ConnectFailed(
        f"could not connect to {url}{route}: the proxy answered {answer}; "
        "if no proxy is needed there, add the host to NO_PROXY"
    )


def _idle_advice(elapsed_s: float) -> str:
    """What helps, where it may be that the answer took longer than something on the way permits."""
    if elapsed_s < _SHORT_S:
        return ""
    return (
        f"; this was after {elapsed_s:.0f} s: if a proxy on the way ends connections on which "
        "nothing comes for so long, raise its limit (nginx: proxy_read_timeout), or send the work "
        "as lines of a batch, whose answer is never silent for that long"
    )


def _connect_advice(route: Route, error: httpx.TransportError) -> str:
    reason = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return (
            "if you trust the signer of the service's certificate, put the signer's certificate "
            "(PEM) in a file and its name in SSL_CERT_FILE"
        )
    if "SSL" in reason:
        return "it does not answer in TLS; is its address http:// and not https://?"
    if route.proxy is not None:
        return f"check {route.proxy.variable}, or add the host to NO_PROXY if it needs no proxy"
    return (
        "is the service running, and is this its address (EXECBOX_URL)? "
        "`execbox serve` starts one on this machine"
    )


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
