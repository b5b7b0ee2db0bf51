"""The way to one address: its proxy and the certificates it is checked with. Sends nothing."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from execbox._proxies import Proxy, proxy_for
from execbox.config import is_loopback, network_environment
from execbox.errors import ConfigError

__all__ = ["Route", "route_to"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How to reach one address. httpx is given this and reads no environment by itself."""

    proxy: Proxy | None
    tls: ssl.SSLContext

    @property
    def httpx_proxy(self) -> httpx.Proxy | None:
        return None if self.proxy is None else httpx.Proxy(self.proxy.url)

    def __str__(self) -> str:
        """For messages, behind the address: the proxy, if there is one."""
        return "" if self.proxy is None else f" through the proxy {self.proxy}"


def route_to(base_url: str, *, setting: str) -> Route:
    """The way that the environment describes. Raises ``ConfigError`` naming what is wrong: the
    ``setting`` of the URL, a proxy's variable, or a certificate's."""
    try:
        httpx.URL(base_url).host  # noqa: B018 - read to see whether it can be: not all of xn-- can
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ConfigError(f"{setting} {base_url!r}: {error}") from error
    environment = network_environment()
    # A proxy cannot reach this machine's own loopback.
    proxy = None if is_loopback(base_url) else proxy_for(base_url, environment)
    route = Route(proxy=proxy, tls=_tls(base_url, proxy, environment))
    try:
        route.httpx_proxy  # noqa: B018 - made to see whether it can be
    except (httpx.InvalidURL, ValueError) as error:
        raise ConfigError(f"{proxy} cannot be used as a proxy: {error}") from error
    return route


def _tls(base_url: str, proxy: Proxy | None, environment: Mapping[str, str]) -> ssl.SSLContext:
    addresses = [base_url] if proxy is None else [base_url, proxy.url]
    if not any(urlsplit(address).scheme == "https" for address in addresses):
        # Never used, so no certificate is read, and none that is missing is missed.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    file, folder = environment.get("SSL_CERT_FILE"), environment.get("SSL_CERT_DIR")
    try:
        if file:
            _check_readable(file)
            return ssl.create_default_context(cafile=file)
        if folder:
            os.scandir(folder).close()
            return ssl.create_default_context(capath=folder)
        return httpx.create_ssl_context(trust_env=False)
    except OSError as error:
        raise _certificate_error(error, environment) from error


def _check_readable(file: str) -> None:
    with open(file, "rb"):
        pass


def _certificate_error(error: OSError, environment: Mapping[str, str]) -> ConfigError:
    key_log = environment.get("SSLKEYLOGFILE")
    if key_log and error.filename == key_log:
        return ConfigError(
            f"SSLKEYLOGFILE is {key_log!r}, which cannot be written: {error.strerror}. Unset it, "
            "or name a file that can"
        )
    variable = "SSL_CERT_FILE" if environment.get("SSL_CERT_FILE") else "SSL_CERT_DIR"
    what = "a file of certificates in PEM form" if variable == "SSL_CERT_FILE" else "a folder"
    problem = "it holds none" if isinstance(error, ssl.SSLError) else error.strerror or str(error)
    return ConfigError(
        f"{variable} is {environment.get(variable)!r}, and must name {what}: {problem}. Name one "
        "that can be read, or unset it to use the certificates that come with httpx"
    )
