"""Connecting to a Docker daemon that can run sandboxes, or saying what is in the way."""

from __future__ import annotations

from typing import Final

import docker
from docker.errors import DockerException

from execbox_service.engines.base import EngineUnavailable
from execbox_service.engines.docker.address import daemon_address
from execbox_service.engines.docker.obstacles import unreachable, unsuitable
from execbox_service.engines.docker.surroundings import ask, look_around

_API_TIMEOUT_S: Final = 30
_NO_RAW_STREAM: Final = ("https:", "http+docker://ssh", "http+docker://localnpipe")


def connect(address: str | None, *, oci_runtime: str | None = None) -> docker.APIClient:
    """A client of the daemon there, or of the docker command's own; the caller closes it.

    Blocks. Raises Lacking with what helps, EngineUnavailable, or what the SDK raises.
    """
    chosen = daemon_address(address)
    around = look_around(chosen.url, context=chosen.context)
    # Not left to the SDK, which keeps the socket open that it could not connect.
    if around.is_unix and (lacking := unreachable(around)) is not None:
        raise lacking
    try:
        client = docker.APIClient(base_url=chosen.url, version="auto", timeout=_API_TIMEOUT_S)
    except DockerException as error:
        lacking = unreachable(look_around(chosen.url, context=chosen.context))
        if lacking is None:
            raise
        raise lacking from error
    try:
        if client.base_url.startswith(_NO_RAW_STREAM):
            raise EngineUnavailable(
                "containers are spoken to over the daemon's attach stream, which needs a plain "
                "unix or tcp address: forward a TLS or ssh daemon's socket to this machine, such "
                "as with: ssh -L /run/execbox-docker.sock:/var/run/docker.sock HOST"
            )
        lacking = unsuitable(ask(client), oci_runtime=oci_runtime)
        if lacking is not None:
            raise lacking
    except BaseException:
        client.close()
        raise
    return client
