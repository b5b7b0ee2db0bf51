"""What a run of chaos leaves behind, and whether anything piles up meanwhile. Ends and removes
nothing.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from docker.errors import DockerException
from harness.beside import beside
from harness.docker_daemon import docker_client
from harness.host_view import CGROUPS, cgroup_container_ids, orphans
from harness.meters import descriptor_count, resident_mb
from harness.trend import Trend, trend_of

from acceptance.chaos.place import Place

__all__ = ["FLOORS", "Watch", "left_in_files"]

_EVERY_S: Final = 1.0
_GONE_S: Final = 60.0
"""A busy machine's daemon takes its time to remove what it was told to; waited only while something
is there."""
FLOORS: Final[Mapping[str, tuple[str, float]]] = {
    "containers": ("containers of the service", 4),
    "cgroups": ("control groups of its containers", 4),
    "mounts": ("file systems mounted by the daemon", 8),
    "tmpfs_mb": ("what executions left in their containers' file systems, MiB", 8),
    "locks": ("locks of files", 8),
    "service_mb": ("memory of the service, MiB", 24),
    "service_descriptors": ("descriptors of the service", 12),
    "daemon_descriptors": ("descriptors of the daemon", 24),
    "own_descriptors": ("descriptors of this program", 12),
}
"""What each series is, and the growth over a run that is not worth a word: containers come and go,
and both processes are begun anew now and then."""


@dataclass
class Watch:
    """Samples everything once a second inside ``at_work``."""

    place: Place
    times_s: list[float] = field(default_factory=list)
    series: dict[str, list[float]] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    """Containers that the daemon itself lost sight of when it was killed."""
    _mounts_before: int = 0
    _is_over: bool = False

    def begin(self) -> None:
        """Note what is there without a service."""
        self._mounts_before = len(self.place.daemon.mounts())

    @contextmanager
    def at_work(self) -> Iterator[None]:
        began_s = time.monotonic()
        with beside(_EVERY_S, lambda: self._sample(time.monotonic() - began_s)):
            yield

    def end_samples(self) -> None:
        """No more of them: where nothing fails any more, containers stay that are killed otherwise,
        which would look like growth."""
        self._is_over = True

    def _sample(self, at_s: float) -> None:
        if self._is_over:
            return
        place = self.place
        pid = place.service_pid
        containers = place.containers()
        # A service that is just being begun, or a daemon that is away, has no figures.
        with suppress(OSError, ProcessLookupError, DockerException):
            if pid is None or not containers:
                return
            self.forgotten |= place.daemon.forgotten()
            known = place.container_ids - self.forgotten
            values = {
                "containers": len(containers),
                "cgroups": len(cgroup_container_ids(CGROUPS) & known),
                "mounts": len(place.daemon.mounts()),
                "tmpfs_mb": place.tmpfs_bytes(containers) / 2**20,
                "locks": len(Path("/proc/locks").read_text().splitlines()),
                "service_mb": resident_mb(pid),
                "service_descriptors": descriptor_count(pid),
                "daemon_descriptors": descriptor_count(place.daemon.pid),
                "own_descriptors": descriptor_count(),
            }
            self.times_s.append(at_s)
            for name, value in values.items():
                self.series.setdefault(name, []).append(value)

    def trends(self) -> dict[str, Trend]:
        """Of each series that has samples enough."""
        found = {}
        for name, values in self.series.items():
            trend = trend_of(self.times_s, values, floor=FLOORS[name][1])
            if trend is not None:
                found[name] = trend
        return found

    def left(self) -> list[str]:
        """What the service left, in words, looked for until all is gone, for a minute at the most.
        Containers that the killed daemon forgot do not count: the service cannot remove them."""
        deadline_s = time.monotonic() + _GONE_S
        while (found := self._found()) and time.monotonic() < deadline_s:
            time.sleep(0.5)
        return found

    def _found(self) -> list[str]:
        place = self.place
        found = [f"container {each['Id'][:12]}, {each['State']}" for each in place.containers()]
        self.forgotten |= place.daemon.forgotten()
        ours = place.container_ids - self.forgotten
        found += sorted(each for each in _orphans() if each.rpartition(" ")[2] in ours)
        mounts = len(place.daemon.mounts()) - self._mounts_before
        if mounts > 0:
            found.append(f"{mounts} mounts of the daemon's")
        return found


def _orphans() -> set[str]:
    """Shims and control groups of containers that the machine's own daemon does not know."""
    with docker_client() as api:
        known = [each["Id"] for each in api.containers(all=True)]
    return orphans(known)


def left_in_files(folder: Path) -> list[str]:
    """Half-written files, and locks that a process still holds."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.name.endswith((".execbox-new", ".partial")):
            found.append(f"{path.name} in {path.parent.name}")
        if path.name.endswith(".run.json"):
            fd = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(f"the lock of {path.name}")
            finally:
                os.close(fd)
    return found
