"""httpx, as the transports use it: its settings, requests, answers and timeouts."""

from __future__ import annotations

import socket
import ssl
from typing import TypedDict, TypeVar

import httpx

from execbox._addresses import service_root
from execbox._exchange import Exchange, HttpAnswer
from execbox._route import Route
from execbox._transport_errors import refused_by_proxy
from execbox._version import client_version
from execbox.config import ClientConfig

T = TypeVar("T")

_WRITE_TIMEOUT_S = 60.0
# Well below what servers keep (execbox 20 s, uvicorn 5 s), so that it is the client who closes
# idle connections: no request is then written to one the service is just closing.
_IDLE_CONNECTION_S = 4.0
# Of a machine that is gone without a word: noticed after 15 s + 3 * 5 s.
_SILENT_S = 15
_ASKED_EVERY_S = 5
_ASKED_COUNT = 3


class HttpOptions(TypedDict):
    base_url: str
    headers: dict[str, str]
    limits: httpx.Limits
    trust_env: bool
    proxy: httpx.Proxy | None
    verify: ssl.SSLContext


def http_options(config: ClientConfig, route: Route) -> HttpOptions:
    headers = {"User-Agent": f"execbox/{client_version()}", "Accept": "application/json"}
    if config.api_key is not None:
        headers["Authorization"] = f"Bearer {config.api_key}"
    return HttpOptions(
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


class KeepingAlive(TypedDict):
    limits: httpx.Limits
    verify: ssl.SSLContext
    socket_options: list[tuple[int, int, int]]


def keeping_alive(options: HttpOptions) -> KeepingAlive:
    """Connections on which the kernel asks, while nothing arrives, whether the peer still is."""
    wanted = {
        "TCP_KEEPIDLE": _SILENT_S,
        "TCP_KEEPINTVL": _ASKED_EVERY_S,
        "TCP_KEEPCNT": _ASKED_COUNT,
        "TCP_USER_TIMEOUT": 1000 * (_SILENT_S + _ASKED_EVERY_S * _ASKED_COUNT),
    }
    # Which of them there are is the operating system's affair.
    known = [(name, value) for name, value in wanted.items() if hasattr(socket, name)]
    return KeepingAlive(
        limits=options["limits"],
        verify=options["verify"],
        socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        + [(socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in known],
    )


def http_request(
    http: httpx.Client | httpx.AsyncClient, exchange: Exchange[T], *, timeout: httpx.Timeout
) -> httpx.Request:
    headers = {} if exchange.body is None else {"Content-Type": exchange.content_type}
    return http.build_request(
        exchange.method, exchange.path, content=exchange.body, headers=headers, timeout=timeout
    )


def http_answer(response: httpx.Response, route: Route) -> HttpAnswer:
    if response.status_code == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
        raise refused_by_proxy(str(response.request.url), route, "407")
    return HttpAnswer(
        url=f"{response.request.url}{route}",
        http_status=response.status_code,
        body=response.content,
        retry_after=response.headers.get("Retry-After"),
    )


def http_timeout(config: ClientConfig, exchange: Exchange[T], *, within_s: float) -> httpx.Timeout:
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
