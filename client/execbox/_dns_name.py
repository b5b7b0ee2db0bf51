"""``DnsName``: a fleet whose nodes are what one name resolves to. When it is asked again is decided
in ``_fleet.address_book``, as of any callable."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

__all__ = ["DnsName", "dns_name"]

_FORM = re.compile(r"(?P<host>[^\s:/?#@,]+):(?P<port>[0-9]{1,5})", re.ASCII)
_NAMES_NOTHING = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
"""A name that is not there, or has no addresses: as a headless Service without a ready pod."""


@dataclass(frozen=True, slots=True)
class DnsName:
    """Called, gives the addresses that the name has now, over plain HTTP."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"the name {self.host}"

    def __call__(self) -> list[str]:
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno in _NAMES_NOTHING:
                return []
            raise
        # Sorted, because resolvers change the order; one machine may come twice.
        return sorted({self._url(str(address[0])) for *_, address in found})

    def _url(self, address: str) -> str:
        host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{self.port}"


def dns_name(text: str) -> DnsName | None:
    """What ``NAME:PORT`` says; None where it is not of that form."""
    match = _FORM.fullmatch(text)
    if match is None or not 0 < int(match["port"]) < 65536:
        return None
    return DnsName(match["host"], int(match["port"]))
