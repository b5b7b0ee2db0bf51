"""What a soak samples, and how much of each may come and go. Sending work is in ``soak_work``.

A sample is taken while the service is under load; a quiet one while no job runs, when nothing of
any job may be left: that is checked at once, without waiting for a slope.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.host_view import ContainerView, HostView, orphans, sysvipc_count
from harness.trend import Trend, trend_of

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MIB = 2**20


@dataclass(frozen=True)
class Gauge:
    """One series: its unit, and the growth over a whole run that is not worth a word."""

    title: str
    loaded_floor: float
    """While work is under way, when containers come and go."""
    quiet_floor: float
    shared: bool = False
    """Whether others on this machine move it too."""
    explained_by: str | None = None
    """A series it follows by design, whose share in its movement is taken out first."""


_ALL_CONTAINERS = "all_containers"
"""Running containers, ours and others': the daemon holds descriptors for each."""

GAUGES: dict[str, Gauge] = {
    "containers": Gauge("our containers", 2, 1),
    "processes": Gauge("processes in our containers", 8, 4),
    "job_processes": Gauge("job processes and zombies", 2, 0),
    "supervisor_fds": Gauge("most descriptors of a supervisor", 2, 1),
    "tmpfs_mb": Gauge("tmpfs of our containers, MiB", 8, 0),
    "tmpfs_inodes": Gauge("tmpfs inodes of our containers", 500, 2),
    "queues": Gauge("POSIX queues in our containers", 0, 0),
    # One connection for each container kept.
    "service_fds": Gauge("descriptors of the service", 8, 4, explained_by="containers"),
    "service_threads": Gauge("threads of the service", 4, 2),
    "service_rss_mb": Gauge("memory of the service, MiB", 24, 24),
    "client_fds": Gauge("descriptors of the clients' process", 12, 12),
    "orphans": Gauge("shims and cgroups without container", 1, 1),
    "daemon_fds": Gauge("descriptors of dockerd", 8, 8, shared=True, explained_by=_ALL_CONTAINERS),
    "daemon_goroutines": Gauge(
        "goroutines of dockerd", 24, 24, shared=True, explained_by=_ALL_CONTAINERS
    ),
    "engine_disk_mb": Gauge("disk of the engine, MiB", 256, 256, shared=True),
}


@dataclass(frozen=True)
class Sample:
    """All series at one moment, in seconds since the load began."""

    at_s: float
    values: Mapping[str, float]


@dataclass
class Meters:
    """Looks at the service process, its containers, and the daemon. Blocks: use a thread."""

    view: HostView
    service_pid: int
    _orphans_before: set[str] = field(default_factory=set)

    def sample(self, at_s: float) -> Sample:
        """One sample; orphans count when they were there the last time too."""
        listed = self.view.containers()
        containers = self.view.look()
        info = self.view.api.info()
        known = [each["Id"] for each in self.view.api.containers(all=True)]
        orphans_now = orphans(known)
        lasting, self._orphans_before = orphans_now & self._orphans_before, orphans_now
        disk = os.statvfs(info["DockerRootDir"])
        return Sample(
            at_s,
            {
                "containers": len(listed),
                "processes": sum(each.process_count for each in containers),
                "job_processes": sum(each.job_process_count for each in containers),
                "supervisor_fds": max(
                    (each.init_descriptor_count for each in containers), default=0
                ),
                "tmpfs_mb": sum(each.tmpfs_bytes for each in containers) / _MIB,
                "tmpfs_inodes": sum(each.tmpfs_inode_count for each in containers),
                "queues": sum(each.queue_count for each in containers),
                "orphans": len(lasting),
                "daemon_fds": info["NFd"],
                "daemon_goroutines": info["NGoroutines"],
                "engine_disk_mb": (disk.f_blocks - disk.f_bfree) * disk.f_frsize / _MIB,
                _ALL_CONTAINERS: info["ContainersRunning"],
                "client_fds": service_gauges(os.getpid())["service_fds"],
                **service_gauges(self.service_pid),
            },
        )

    def residue(self) -> list[str]:
        """What of any job is left though none runs, in words; needs a quiet service."""
        found = []
        for container in self.view.look():
            found += [f"{container.id[:12]}: {what}" for what in residue_of(container)]
        return found


def service_gauges(pid: int) -> dict[str, float]:
    """Descriptors, threads and resident memory of a process."""
    folder = Path(f"/proc/{pid}")
    return {
        "service_fds": len(os.listdir(folder / "fd")),
        "service_threads": len(os.listdir(folder / "task")),
        "service_rss_mb": int((folder / "statm").read_text().split()[1]) * _PAGE_BYTES / _MIB,
    }


def residue_of(container: ContainerView) -> list[str]:
    """What of any job is left in a container in which none runs."""
    left = {
        "job processes": container.job_process_count,
        "bytes of tmpfs": container.tmpfs_bytes,
        # Each file system has a root of its own.
        "inodes of tmpfs": container.tmpfs_inode_count - 2,
        "POSIX queues": container.queue_count,
        "System V objects": sysvipc_count(container.init_pid),
    }
    return [f"{count} {what}" for what, count in left.items() if count]


def trends_of(samples: Sequence[Sample], *, quiet: bool) -> dict[str, Trend]:
    """The trend of every gauge that has samples enough."""
    times_s = [sample.at_s for sample in samples]
    found = {}
    for name, gauge in GAUGES.items():
        trend = trend_of(
            times_s,
            [sample.values[name] for sample in samples],
            floor=gauge.quiet_floor if quiet else gauge.loaded_floor,
            explained_by=[sample.values[gauge.explained_by] for sample in samples]
            if gauge.explained_by
            else None,
        )
        if trend is not None:
            found[name] = trend
    return found
