"""The version of the installed distribution, and nothing else."""

from __future__ import annotations

from functools import cache
from importlib import metadata

__all__ = ["client_version"]


@cache
def client_version() -> str:
    """The version of the ``execbox`` distribution; ``0+uninstalled`` from a bare source tree."""
    try:
        return metadata.version("execbox")
    except metadata.PackageNotFoundError:
        return "0+uninstalled"
