"""Which containers nobody owns, from what a daemon lists. Asks no daemon and removes nothing.

Ages are counted from when a container was first seen here, on this process's monotonic clock: the
daemon may be a different machine's, and either clock may be set.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from execbox_service.engines.container_spec import ContainerSpec
from execbox_service.engines.docker import container_names
from execbox_service.engines.docker.policy import LABEL

__all__ = ["ABANDONED_S", "Orphans", "name_of"]

ABANDONED_S: Final = 60.0
"""A container that nobody has used for so long is nobody's: one that was just made is not there
yet for whoever makes it."""
_ENDED: Final = frozenset({"created", "exited", "dead"})


class Orphans:
    """Remembers since when each container has been there."""

    def __init__(self, spec: ContainerSpec) -> None:
        self._spec = spec
        self._first_seen_s: dict[str, float] = {}

    def found(
        self,
        listed: Iterable[Mapping[str, Any]],
        *,
        used: Collection[str],
        everything: bool,
        now_s: float,
    ) -> list[str]:
        """The names of those to be removed.

        Of this instance: those that are not among ``used`` (``everything``: however new). Of other
        instances: those that have ended or were never started, since a living service removes its
        own.
        """
        containers = {name_of(container): container for container in listed}
        self._first_seen_s = {name: self._first_seen_s.get(name, now_s) for name in containers}
        found = []
        for name, container in containers.items():
            old = now_s - self._first_seen_s[name] > ABANDONED_S
            if self.is_ours(container):
                is_orphan = name not in used and (everything or old)
            else:
                is_orphan = container["State"] in _ENDED and old
            if is_orphan and container["State"] != "removing":
                found.append(name)
        return found

    def is_ours(self, container: Mapping[str, Any]) -> bool:
        """Whether it is of this instance, and of this worker of it."""
        labels = container.get("Labels") or {}
        return labels.get(LABEL) == self._spec.instance and container_names.belongs_to(
            name_of(container),
            worker_number=self._spec.worker_number,
            worker_count=self._spec.worker_count,
        )


def name_of(container: Mapping[str, Any]) -> str:
    """Its id, where the daemon failed to remove it and it has lost its names."""
    names = container.get("Names") or [container["Id"]]
    return str(names[0]).lstrip("/")
