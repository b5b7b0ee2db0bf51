"""Connecting to a Docker daemon that can run sandboxes, or saying what is in the way."""

from __future__ import annotations

from typing import Final

import docker
import requests
from docker.errors import DockerException

from execbox_service.engines.base import Lacking
from execbox_service.engines.docker.address import DaemonAddress, daemon_address
from execbox_service.engines.docker.obstacles import unreachable, unsuitable
from execbox_service.engines.docker.surroundings import ask, look_around

_API_TIMEOUT_S: Final = 30
_TLS_ONLY: Final = "HTTP request to an HTTPS server"
"""What a daemon answers that was given certificates, and was asked without."""


def connect(address: str | None, *, oci_runtime: str | None = None) -> docker.APIClient:
    """A client of the daemon there, or of the docker command's own; the caller closes it.

    Blocks. Raises Lacking with what helps, or what the SDK raises.
    """
    chosen = daemon_address(address)
    if (lacking := chosen.in_the_way()) is not None:
        raise lacking
    around = look_around(chosen.url, context=chosen.context)
    # Not left to the SDK, which keeps the socket open that it could not connect.
    if around.is_unix and (lacking := unreachable(around)) is not None:
        raise lacking
    try:
        client = docker.APIClient(base_url=chosen.url, version="auto", timeout=_API_TIMEOUT_S)
    except DockerException as error:
        lacking = _why_not(error, chosen)
        if lacking is None:
            raise
        raise lacking from error
    try:
        lacking = unsuitable(ask(client), oci_runtime=oci_runtime)
        if lacking is not None:
            raise lacking
    except BaseException:
        client.close()
        raise
    return client


def _why_not(error: DockerException, chosen: DaemonAddress) -> Lacking | None:
    """None where the daemon was reached, and failed by itself."""
    if _TLS_ONLY in str(error):
        return chosen.forwarded("TLS")
    around = look_around(chosen.url, context=chosen.context)
    if not around.is_unix and not isinstance(error.__cause__, requests.ConnectionError):
        return None
    return unreachable(around)
