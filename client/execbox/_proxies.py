"""Which proxy the environment names for an address; decided here, because httpx refuses what
curl and others read (IPv6 networks in ``NO_PROXY``) and does not say which variable it refused.

Nothing is opened here, and the variables themselves are read in ``config``.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from execbox._addresses import NO_HOST_NAME, is_host_name
from execbox.errors import ConfigError

__all__ = ["Proxy", "proxy_for"]

_PORTS = {"http": 80, "https": 443}
_SOCKS = ("socks5", "socks5h")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that can be used, and the variable that names it."""

    url: str
    variable: str

    def __str__(self) -> str:
        """For messages: without the user name and password."""
        return f"{_without_credentials(self.url)} ({self.variable})"


def proxy_for(base_url: str, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy for requests to ``base_url``, None where they go there directly.

    ``http_proxy``, ``https_proxy`` and ``all_proxy`` count in either case, the lower one first,
    and an empty one names none; ``no_proxy`` may list names, ``.domain``, addresses, networks
    (``10.0.0.0/8``, ``fd00::/8``), each with a port, and ``*``. Raises ``ConfigError``, naming
    the variable, for a proxy that applies and cannot be used.
    """
    target = urlsplit(base_url)
    named = _named(target.scheme, environment)
    if named is None or _is_bypassed(target, environment):
        return None
    variable, value = named
    url = value if "://" in value else f"http://{value}"
    problem = _problem(url)
    if problem is not None:
        raise ConfigError(
            f"{variable} is {_without_credentials(value)!r}, and {problem}. Set it to such as "
            f"http://proxy.example.org:3128, or unset it, or add {target.hostname} to NO_PROXY"
        )
    return Proxy(url, variable)


def _named(scheme: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    for wanted in (f"{scheme}_proxy", "all_proxy"):
        for variable in (wanted, wanted.upper()):
            if variable in environment:
                value = environment[variable].strip()
                if value:
                    return variable, value
                break  # Set to nothing: that is how a proxy is switched off.
    return None


def _problem(url: str) -> str | None:
    """Why ``url`` is no proxy that can be used."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"that is no URL: {error}"
    if parts.scheme in _SOCKS and importlib.util.find_spec("socksio") is None:
        return "a SOCKS proxy needs a package that is not installed: pip install 'httpx[socks]'"
    if parts.scheme not in (*_PORTS, *_SOCKS):
        return f"a proxy is reached over http, https, socks5 or socks5h, not {parts.scheme or '?'}"
    if not parts.hostname or port == 0:
        return "that names no host or no port"
    if not is_host_name(parts.hostname):
        return NO_HOST_NAME
    if not url.isascii() or not url.isprintable() or " " in url:
        return "that is no URL: it must be printable ASCII without spaces"
    return None


def _is_bypassed(target: SplitResult, environment: Mapping[str, str]) -> bool:
    host = (target.hostname or "").rstrip(".")
    port = target.port or _PORTS[target.scheme]
    return any(_matches(entry, host, port) for entry in _bypasses(environment))


def _bypasses(environment: Mapping[str, str]) -> Iterator[str]:
    for variable in ("no_proxy", "NO_PROXY"):
        if variable in environment:
            yield from re.split(r"[\s,]+", environment[variable].strip().lower())
            return


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether one entry means this host; one that cannot be read means none, as in curl."""
    entry = entry.partition("://")[2] or entry
    if entry == "*":
        return True
    name, entry_port = _with_port(entry)
    if not name or entry_port not in (None, port):
        return False
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(name, strict=False)
        except ValueError:
            return False
    name = name.removeprefix("*").strip(".")
    return host == name or host.endswith(f".{name}")


def _with_port(entry: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"\[(?P<v6>[^\]]*)\](?P<net>/\d+)?(?::(?P<port>\d+))?", entry)
    if found is not None:
        port = found["port"]
        return found["v6"] + (found["net"] or ""), int(port) if port else None
    name, colon, port = entry.rpartition(":")
    # More colons than one: an IPv6 address or network without brackets, which has no port.
    if colon and ":" not in name and port.isdecimal():
        return name, int(port)
    return entry, None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _without_credentials(url: str) -> str:
    return re.sub(r"^((?:[a-z0-9+.-]*://)?)[^/]*@", r"\1", url, flags=re.IGNORECASE)
