"""Which Docker daemon is meant: the one of the settings, of the environment, or of the context that
the docker command uses. Connecting is in ``docker/connection.py``.

Contexts are read here and not by the SDK: before its version 7.2 it passes over them, and it loads
certificates, which are of no use here, and fails on those that are not there.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from execbox_service.engines.base import Lacking
from execbox_service.settings import DockerVariables, docker_variables

_NO_CONTEXT: Final = "default"
"""What the docker command calls having none."""
_LEAVE_CONTEXT: Final = "docker context use default, and unset DOCKER_CONTEXT"


@dataclass(frozen=True)
class DaemonAddress:
    """Where a daemon is, and who said so."""

    url: str | None
    """None is Docker's own default."""
    context: str | None = None
    """The docker command's context that has it; None where the settings or DOCKER_HOST have it."""
    is_tls: bool = False
    """Whether whoever named it also gave certificates for it."""

    def in_the_way(self) -> Lacking | None:
        """Why containers cannot be spoken to at such an address; None where they can.

        To be asked before connecting, which takes other packages and certificates, and fails
        with other words.
        """
        scheme, separator, _ = (self.url or "unix://").lower().partition("://")
        if scheme in ("ssh", "https", "npipe"):
            return self.forwarded(scheme)
        is_tcp = scheme in ("tcp", "http") or not separator
        return self.forwarded("TLS") if is_tcp and self.is_tls else None

    def forwarded(self, way: str) -> Lacking:
        """How to get at a daemon that is spoken to in this way."""
        return Lacking(
            f"the daemon at {self.url} is reached by {way}, and containers are spoken to over its "
            "attach stream, which needs a plain unix or tcp address",
            remedy="forward its socket with: ssh -fnNT -L ~/execbox-docker.sock:"
            f"/var/run/docker.sock {_ssh_destination(self.url or '')} and export "
            "EXECBOX_DOCKER_HOST=unix://$HOME/execbox-docker.sock",
        )


def daemon_address(setting: str | None) -> DaemonAddress:
    """The setting, else what the docker command would use, in the same order: DOCKER_HOST, then
    DOCKER_CONTEXT, then the context in its configuration.

    Raises Lacking where that context is not there, as the command then does.
    """
    if setting:
        return DaemonAddress(setting)
    variables = docker_variables()
    if variables.host:
        return DaemonAddress(variables.host, is_tls=variables.asks_for_tls)
    name = variables.context or _current_context(variables)
    if name == _NO_CONTEXT:
        return DaemonAddress(None)
    return _of_context(name, Path(variables.configuration_folder))


def settled(setting: str | None) -> str | None:
    """The address that a context has now, for all processes of a service: which context is current
    may change while they run. The setting where no context is used, or none that will do."""
    try:
        found = daemon_address(setting)
    except Lacking:
        return setting
    return found.url if found.context and found.in_the_way() is None else setting


def _current_context(variables: DockerVariables) -> str:
    try:
        text = Path(variables.configuration_folder, "config.json").read_text("utf-8")
        name = json.loads(text)["currentContext"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        # The command warns of a configuration that it cannot read, and goes on without.
        return _NO_CONTEXT
    return name if isinstance(name, str) and name else _NO_CONTEXT


def _of_context(name: str, folder: Path) -> DaemonAddress:
    key = hashlib.sha256(name.encode()).hexdigest()
    try:
        text = (folder / "contexts" / "meta" / key / "meta.json").read_text("utf-8")
        url = json.loads(text)["Endpoints"]["docker"]["Host"]
        if not isinstance(url, str) or not url:
            raise ValueError(f"its Host is {url!r}")
    except FileNotFoundError as error:
        raise Lacking(
            f"there is no Docker context {name}, which the docker command is told to use",
            remedy=f"'docker context ls' says which there are; or {_LEAVE_CONTEXT}",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Lacking(
            f"the Docker context {name} cannot be read: {error!r}",
            remedy=f"see 'docker context inspect {name}'; or {_LEAVE_CONTEXT}",
        ) from error
    is_tls = (folder / "contexts" / "tls" / key / "docker").is_dir()
    return DaemonAddress(url, context=name, is_tls=is_tls)


def _ssh_destination(url: str) -> str:
    """The machine of an address, as ssh's command line takes it."""
    try:
        parts = urlsplit(url if "://" in url else f"tcp://{url}")
        name, port = parts.hostname or "HOST", parts.port
    except ValueError:
        return "HOST"
    name = f"{parts.username}@{name}" if parts.username else name
    return f"-p {port} {name}" if port and parts.scheme == "ssh" else name
