"""What the Docker engine asks the daemon to create, as the daemon reads it: the gate permits that.

``variants`` is the one list of every kind of container this service makes. It is built with the
functions the engine itself uses, so the two cannot drift apart. Nothing here makes a container.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, cast

import docker

from execbox_service.engines.container_spec import ContainerSpec
from execbox_service.engines.docker.policy import (
    host_config,
    packages_arguments,
    sandbox_arguments,
)

JOINED_PREFIX: Final = "container:"


class ContainerKind(StrEnum):
    """What a container is for, which decides what may be done with it."""

    SANDBOX = "sandbox"
    """Attached to, started once, given a different memory limit, removed."""
    PACKAGES = "packages"
    """Read from and removed. It has none of a sandbox's options, so it must never be started."""


@dataclass(frozen=True)
class Variant:
    """One body that ``POST /containers/create`` may have."""

    kind: ContainerKind
    body: dict[str, Any]
    joins_network: bool = False
    """Whether it joins the network of a different sandbox, which ``body_joining`` names."""

    def body_joining(self, holder: str) -> dict[str, Any]:
        """The body with the one thing that varies: whose network it joins."""
        host_config = self.body["HostConfig"] | {"NetworkMode": JOINED_PREFIX + holder}
        return self.body | {"HostConfig": host_config}


def variants(spec: ContainerSpec, *, image_id: str, api_version: str) -> tuple[Variant, ...]:
    """Every body the engine sends for these settings, this image and this version of the API."""
    # With a version given, making a client does not connect.
    client = docker.APIClient(base_url="unix:///nowhere", version=api_version)
    try:
        options = host_config(client, spec)
        sandbox = _config(client, sandbox_arguments(spec, image_id=image_id), options)
        packages = _config(client, packages_arguments(spec, image_id=image_id))
        listed = [
            Variant(ContainerKind.SANDBOX, sandbox),
            Variant(ContainerKind.PACKAGES, packages),
        ]
        if spec.shared_network:
            arguments = sandbox_arguments(spec, image_id=image_id, joins_network=True)
            joining = _config(client, arguments, options | {"NetworkMode": JOINED_PREFIX})
            listed.append(Variant(ContainerKind.SANDBOX, joining, joins_network=True))
    finally:
        client.close()
    return tuple(listed)


def _config(
    client: docker.APIClient, arguments: dict[str, Any], options: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What the SDK makes of these arguments, after it was sent and parsed."""
    # Its stubs know of no create without a command, which is how all of ours are.
    make = cast("Callable[..., dict[str, Any]]", client.create_container_config)
    config = make(command=None, host_config=options, **arguments)
    body: dict[str, Any] = json.loads(
        json.dumps({name: value for name, value in config.items() if value is not None})
    )
    return body
