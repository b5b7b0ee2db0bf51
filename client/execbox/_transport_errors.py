"""What went wrong with a connection, as errors that say where, why, and what helps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from execbox._route import Route
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

# Less than any proxy waits by default for an answer's next byte: mostly a minute.
_SHORT_S = 20.0


@contextmanager
def as_transport_error(
    config: ClientConfig, timeout: httpx.Timeout, route: Route, *, once_answered: bool
) -> Iterator[None]:
    """Raises what httpx raises within as an error of ours, with what helps."""
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
        raise refused_by_proxy(config.base_url, route, _reason(error)) from error
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


def refused_by_proxy(url: str, route: Route, answer: str) -> ExecboxError:
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
