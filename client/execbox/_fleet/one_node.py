"""What the clients of one node are set up with, and what a probe of it may take. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from execbox.config import ClientConfig
from execbox.errors import ExecboxError, TransportError

__all__ = ["PROBE_S", "config_of_node", "probe_failure"]

PROBE_S: Final = 5.0
"""For each of a probe's two requests, connecting included."""


def config_of_node(config: ClientConfig, address: str) -> ClientConfig:
    """The fleet's settings, for the one node at ``address``."""
    return replace(config, base_url=address, nodes=None)


def probe_failure(error: Exception, address: str) -> ExecboxError:
    """Whatever ended a probe, as the reason for which the node is out."""
    if isinstance(error, ExecboxError):
        return error
    return TransportError(f"cannot talk to {address}: {type(error).__name__}: {error}")
