"""What an address of a service may be, and where the addresses of a fleet come from.

Nothing is connected to. ``parsed_addresses`` tells one service from a fleet; ``read_addresses``
gives the nodes of a fleet at this moment, from a list, a file or a callable.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from execbox._dns_name import DnsName, dns_name
from execbox.errors import ConfigError

__all__ = [
    "NO_HOST_NAME",
    "Addresses",
    "NodeSource",
    "check_base_url",
    "check_node_source",
    "is_host_name",
    "is_loopback",
    "parsed_addresses",
    "read_addresses",
    "service_root",
    "source_text",
]

NodeSource: TypeAlias = tuple[str, ...] | Path | Callable[[], Iterable[str]]
"""Where the addresses of a fleet come from: a list that stays, a file that is read again when it
changes, or a callable that is asked again every few seconds."""
Addresses: TypeAlias = str | Sequence[str] | os.PathLike[str] | Callable[[], Iterable[str]]
"""One address, or a fleet's: separated by commas, ``@FILE``, ``dns:NAME:PORT``, a sequence, a path,
a callable."""

_FILE_BYTES_MAX = 1024 * 1024
_DEFAULT_PORTS = {"http": 80, "https": 443}
_DNS = "dns:"
_SETTING = "base_url (EXECBOX_URL)"
NO_HOST_NAME: Final = (
    "its host has an empty part between dots, or one of more than 63 characters, which no name has"
)


def parsed_addresses(given: Addresses) -> str | NodeSource:
    """A string where ``given`` names one service, else where its nodes come from.

    Only a list that stays can be of one service: a file or a callable may name more later.
    Raises ``ConfigError`` for what names none.
    """
    if isinstance(given, str):
        text = given.strip()
        if text.startswith("@"):
            if not text[1:].strip():
                raise ConfigError(f"{_SETTING} is {given!r}: name a file of addresses after the @")
            return Path(text[1:].strip())
        if text.startswith(_DNS):
            return _of_dns(text)
        if "," not in text:
            return text
        return _of_list(text.split(","), given=repr(given))
    if isinstance(given, os.PathLike):
        return Path(given)
    if callable(given):
        return given
    if not isinstance(given, Sequence) or not all(isinstance(each, str) for each in given):
        raise ConfigError(
            f"{_SETTING} must be an address, a sequence of addresses, a path, or a callable that "
            f"returns addresses, not {given!r:.100}"
        )
    return _of_list(given, given=repr(given))


def check_node_source(source: object) -> None:
    """Raises ``ConfigError`` for what is no ``NodeSource``; reads no file and calls nothing."""
    if isinstance(source, tuple):
        if not source:
            raise ConfigError("nodes must name at least one address")
        for address in source:
            check_base_url(address, setting="an address of nodes (EXECBOX_URL)")
    elif not isinstance(source, Path) and not callable(source):
        raise ConfigError(
            "nodes must be a tuple of addresses, a pathlib.Path, or a callable that returns "
            f"addresses, not {source!r:.100}"
        )


def read_addresses(source: NodeSource) -> tuple[str, ...]:
    """The addresses that ``source`` names now, each once, in their order; may be none.

    Raises ``ConfigError``, naming the source, where it cannot be read or names what is no address.
    """
    if isinstance(source, tuple):
        return _distinct(source)
    if isinstance(source, Path):
        return _checked(_lines(source), of=f"the file {source}")
    try:
        given = source()
        addresses = [given] if isinstance(given, str) else list(given)
    except Exception as error:  # The caller's code, which may raise anything.
        raise ConfigError(
            f"{source_text(source)} failed: {type(error).__name__}: {error}"
        ) from error
    return _checked(addresses, of=source_text(source))


def source_text(source: NodeSource) -> str:
    """For messages: where the addresses come from."""
    if isinstance(source, tuple):
        return "the list of addresses"
    if isinstance(source, Path):
        return f"the file {source}"
    if isinstance(source, DnsName):
        return str(source)
    name = getattr(source, "__qualname__", type(source).__qualname__)
    return f"the callable {name}, which returns the addresses,"


def check_base_url(base_url: object, *, setting: str = _SETTING) -> None:
    """Raises ``ConfigError`` that names ``setting`` and says what an address must be."""
    if not isinstance(base_url, str):
        raise ConfigError(f"{setting} must be text, not {base_url!r:.100}")
    if "," in base_url:
        # Not repeated either, for the same reason as below.
        raise ConfigError(
            f"{setting} has a comma, and is one address: those of a fleet go into Client(...), "
            "EXECBOX_URL, or ClientConfig(nodes=...)"
        )
    try:
        parts = urlsplit(base_url)
        port = parts.port  # Raises where it is not a number from 0 to 65535.
    except ValueError as error:
        raise ConfigError(f"{setting} is not a URL: {error}") from error
    if parts.username is not None or parts.password is not None:
        # The URL is not repeated here: it would put the password into a log.
        raise ConfigError(f"{setting} must hold no credentials; use the API key for them")
    if parts.scheme not in ("http", "https"):
        problem = "it must begin with http:// or https://"
    elif not parts.hostname or port == 0:
        problem = "it names no host or no port"
    elif not is_host_name(parts.hostname):
        problem = NO_HOST_NAME
    elif parts.query or parts.fragment:
        problem = "it must end with its path, without ? or #"
    else:
        return
    raise ConfigError(f"{setting} {base_url!r} cannot be used: {problem}")


def _of_dns(text: str) -> DnsName:
    found = dns_name(text.removeprefix(_DNS).strip())
    if found is None:
        raise ConfigError(
            f"{_SETTING} is {text!r:.200}: it must be dns:NAME:PORT, and nothing else"
        )
    if not is_host_name(found.host):
        raise ConfigError(f"{_SETTING} {text!r:.200} cannot be used: {NO_HOST_NAME}")
    return found


def is_host_name(name: str) -> bool:
    """Whether the parts between the dots have lengths that can be looked up: what has not raises
    UnicodeError there. Says nothing about names beyond ASCII, which httpx checks."""
    try:
        name.encode("idna" if name.isascii() else "utf-8")
    except UnicodeError:
        return False
    return True


def _of_list(given_addresses: Iterable[str], *, given: str) -> str | tuple[str, ...]:
    stripped = [address.strip() for address in given_addresses]
    addresses = _distinct(address for address in stripped if address)
    if not addresses:
        raise ConfigError(f"{_SETTING} is {given}, which names no address")
    return addresses[0] if len(addresses) == 1 else addresses


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES_MAX + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise ConfigError(
            f"the file of addresses {path} cannot be read: {error.strerror or error}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the file of addresses {path} is not UTF-8: {error}") from error
    if len(content) > _FILE_BYTES_MAX:
        raise ConfigError(
            f"the file of addresses {path} has more than {_FILE_BYTES_MAX} bytes: is it one?"
        )
    stripped = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in stripped if line]


def _checked(addresses: Sequence[object], *, of: str) -> tuple[str, ...]:
    for address in addresses:
        check_base_url(address, setting=f"an address from {of}")
    return _distinct(str(address).strip() for address in addresses)


def _distinct(addresses: Iterable[str]) -> tuple[str, ...]:
    # A node that is named twice, in whatever way, would get twice its share.
    found: dict[object, str] = {}
    for address in addresses:
        found.setdefault(_place(address), address)
    return tuple(found.values())


def _place(address: str) -> object:
    """What is equal for addresses of one service: scheme, host, port and root."""
    try:
        parts = urlsplit(service_root(address))
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return address  # The client of it refuses it, and says what is wrong.
    host = parts.hostname or ""
    with contextlib.suppress(ValueError):  # Of a name.
        host = ipaddress.ip_address(host).compressed
    return parts.scheme, host, port, parts.path.rstrip("/")


def service_root(base_url: str) -> str:
    """What the paths of the API are appended to: the URL, without the ``/v1`` they begin with."""
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/")
    return parts._replace(path=path[:-3]).geturl() if path.endswith("/v1") else base_url


def is_loopback(base_url: str) -> bool:
    """Whether the URL names this machine by its loopback, where no proxy can reach it."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
