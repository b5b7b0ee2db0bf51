"""What serving needs of this machine, looked at one by one: for `execbox doctor`. Changes nothing.

The engines look for the same things when they start, with the same code; here each is told,
whether or not the one before it is there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from execbox_service.engines.base import EngineUnavailable, Lacking
from execbox_service.engines.bubblewrap import (
    cgroup_roots,
    container_flags,
    host_python,
    user_namespace,
)
from execbox_service.engines.bubblewrap.engine import find_programs
from execbox_service.engines.container_spec import ContainerSpec, container_spec
from execbox_service.settings import ConfigurationError, load_settings

__all__ = ["Check", "checks"]

_LOOK_AT_DAEMON = (
    "the daemon was reached, and failed: see whether 'docker version' answers, and what the "
    "daemon's log says: sudo journalctl -u docker -n 50"
)


@dataclass(frozen=True)
class Check:
    """One thing looked at. ``remedy`` says how to get it, where it is not there."""

    name: str
    ok: bool
    found: str
    remedy: str | None = None


def checks() -> list[Check]:
    """Settings first, then what the docker engine needs, then what the bubblewrap engine needs."""
    try:
        spec = container_spec(load_settings({}))
    except ConfigurationError as error:
        return [Check("settings", ok=False, found=str(error), remedy="correct the variables named")]
    found = [
        _check("docker engine", lambda: _docker(spec), remedy=_LOOK_AT_DAEMON),
        _check("bubblewrap", lambda: ", ".join(find_programs().values())),
    ]
    if sys.platform != "linux":
        # What else it needs is asked of Linux's own files.
        return found
    return [
        *found,
        _check("bubblewrap: Python", _python),
        _check("bubblewrap: this container", _container),
        _check("bubblewrap: control groups", _groups),
        _check("bubblewrap: user namespaces", _user_namespace),
    ]


def _check(name: str, look: Callable[[], str], *, remedy: str | None = None) -> Check:
    try:
        return Check(name, ok=True, found=look())
    except Lacking as lacking:
        return Check(name, ok=False, found=lacking.found, remedy=lacking.remedy)
    except EngineUnavailable as error:
        return Check(name, ok=False, found=str(error), remedy=remedy)


def _docker(spec: ContainerSpec) -> str:
    from execbox_service.engines.docker.engine import DockerEngine

    return f"image {spec.image} is {DockerEngine(spec).look()}"


def _python() -> str:
    python = host_python.find()
    return f"{python.executable} {python.version}"


def _container() -> str:
    for lacking in container_flags.withheld():
        raise lacking
    return "withholds nothing that is sure to be in the way"


def _groups() -> str:
    roots = cgroup_roots.find_roots(move=False)
    return f"version {roots.version}, below {roots.directories['memory']}"


def _user_namespace() -> str:
    os.close(user_namespace.make())
    return f"{user_namespace.ID_COUNT} user ids can be mapped"
