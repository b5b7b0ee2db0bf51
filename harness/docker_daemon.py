"""The Docker daemon as programs beside the service reach it: the one that the docker command uses.

Looks at what a service made and interferes with it; the service has an engine for its own use.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import docker

from execbox_service.engines.docker.address import daemon_address

_DEFAULT_URL = "unix:///var/run/docker.sock"
_API_TIMEOUT_S = 60


@contextlib.contextmanager
def docker_client(url: str | None = None) -> Iterator[docker.APIClient]:
    """A connection to the daemon, or to the one at ``url``, for the length of a block."""
    client = open_docker() if url is None else docker.APIClient(url, timeout=_API_TIMEOUT_S)
    try:
        yield client
    finally:
        client.close()


def open_docker() -> docker.APIClient:
    """A connection to the daemon; the caller closes it."""
    api: docker.APIClient = docker.from_env(timeout=_API_TIMEOUT_S).api
    return api


def daemon_url() -> str:
    """Where the daemon is asked to be found."""
    return daemon_address(None).url or _DEFAULT_URL


def daemon_socket() -> str | None:
    """The path of the daemon's unix socket; None where it is reached in a different way."""
    scheme, _, path = daemon_url().partition("://")
    return path if scheme == "unix" else None
