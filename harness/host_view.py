"""A service's containers as the host sees them: processes, files and kernel objects inside each.

Reads ``/proc`` of the host and enters no container, so nothing that runs inside can know or lie.
Needs the daemon on this machine, and root. Judging what is seen is done elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from docker.errors import APIError

from execbox_service.engines.docker.policy import LABEL
from harness.docker_daemon import open_docker

WRITABLE_DIRECTORIES = ("tmp", "dev/shm")
CGROUPS = Path("/sys/fs/cgroup")
_CGROUP_PATTERNS = ("docker/*", "*/docker/*", "system.slice/docker-*", "*/system.slice/docker-*")
_CGROUP_NAME = re.compile(r"(?:docker-)?([0-9a-f]{64})(?:\.scope)?")
_SYSVIPC_TABLES = ("/proc/sysvipc/shm", "/proc/sysvipc/msg", "/proc/sysvipc/sem")


@dataclass(frozen=True)
class ContainerView:
    """One living container at one moment."""

    id: str
    init_pid: int
    process_count: int
    """Of all users in it, zombies included."""
    job_process_count: int
    """Of users other than root, which are the jobs' only; zombies included."""
    init_descriptor_count: int
    tmpfs_bytes: int
    """Used in every writable directory together."""
    tmpfs_inode_count: int
    """Used in every writable directory together, its root included."""
    queue_count: int
    """POSIX message queues."""


@dataclass(frozen=True)
class Shim:
    """The process that containerd keeps for one container."""

    container_id: str
    pid: int
    started_s: float
    """By the clock that counts from the machine's start (``CLOCK_BOOTTIME``)."""
    containerd_socket: str


class HostView:
    """Looks at the containers that carry one service's label."""

    def __init__(self, instance: str) -> None:
        self._filters = {"label": f"{LABEL}={instance}"}
        self.api = open_docker()

    def close(self) -> None:
        self.api.close()

    def containers(self) -> list[dict[str, Any]]:
        """What the daemon lists, ended containers included."""
        found: list[dict[str, Any]] = self.api.containers(all=True, filters=self._filters)
        return found

    def look(self) -> list[ContainerView]:
        """Every container that lives long enough to be looked at, by id."""
        inits = {}
        for container in self.containers():
            with contextlib.suppress(APIError):
                pid = self.api.inspect_container(container["Id"])["State"]["Pid"]
                if pid:
                    inits[container["Id"]] = pid
        members = processes_by_namespace()
        views = []
        for container_id, pid in sorted(inits.items()):
            with contextlib.suppress(OSError):
                views.append(_view(container_id, pid, members=members))
        return views


def processes_by_namespace() -> dict[str, list[int]]:
    """Every process of the machine, zombies included, by its PID namespace."""
    found = defaultdict(list)
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                found[os.readlink(f"/proc/{name}/ns/pid")].append(int(name))
    return found


def sysvipc_count(init_pid: int) -> int:
    """System V objects in the IPC namespace of a process. Raises OSError if it cannot be seen."""
    listed = subprocess.run(
        ["nsenter", "--target", str(init_pid), "--ipc", "cat", *_SYSVIPC_TABLES],
        capture_output=True,
        timeout=30,
        check=False,
    )
    if listed.returncode != 0:
        raise OSError(f"nsenter: {listed.stderr.decode(errors='replace').strip()[:200]}")
    return len(listed.stdout.splitlines()) - len(_SYSVIPC_TABLES)


def orphans(known_ids: Iterable[str]) -> set[str]:
    """What is left on the host of containers the daemon does not know: shims, cgroups, folders."""
    known = set(known_ids)
    return {f"shim of {each}" for each in {shim.container_id for shim in shims()} - known} | {
        f"cgroup of {each}" for each in cgroup_container_ids(CGROUPS) - known
    }


def cgroup_container_ids(root: Path) -> set[str]:
    """Containers that have a control group below the mount point."""
    return set(cgroup_folders(root))


def cgroup_folders(root: Path) -> dict[str, list[Path]]:
    """By container, its control groups below the mount point: of version 1, where each controller
    has a tree, or of version 2, as a directory of the daemon's own or as a scope of systemd's."""
    found = defaultdict(list)
    for pattern in _CGROUP_PATTERNS:
        for folder in root.glob(pattern):
            name = _CGROUP_NAME.fullmatch(folder.name)
            if name is not None:
                found[name[1]].append(folder)
    return found


def shims() -> list[Shim]:
    """Of every containerd of the machine."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{name}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if "containerd-shim" not in words[0]:
                continue
            said = dict(pairwise(words))
            if "-id" in said:
                started_s = _started_s(int(name))
                socket = said.get("-address", "")
                found.append(Shim(said["-id"], int(name), started_s, containerd_socket=socket))
    return found


def _started_s(pid: int) -> float:
    # Behind the program's name, which may hold anything, there are numbers only.
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(numbers[19]) / os.sysconf("SC_CLK_TCK")


def _view(container_id: str, pid: int, *, members: dict[str, list[int]]) -> ContainerView:
    inside = members[os.readlink(f"/proc/{pid}/ns/pid")]
    root = Path(f"/proc/{pid}/root")
    used_bytes = used_inode_count = 0
    for directory in WRITABLE_DIRECTORIES:
        stat = os.statvfs(root / directory)
        used_bytes += (stat.f_blocks - stat.f_bfree) * stat.f_frsize
        used_inode_count += stat.f_files - stat.f_ffree
    return ContainerView(
        id=container_id,
        init_pid=pid,
        process_count=len(inside),
        job_process_count=sum(_user_of(each) > 0 for each in inside),
        init_descriptor_count=len(os.listdir(f"/proc/{pid}/fd")),
        tmpfs_bytes=used_bytes,
        tmpfs_inode_count=used_inode_count,
        queue_count=len(os.listdir(root / "dev/mqueue")),
    )


def _user_of(pid: int) -> int:
    """The real user id of a process, 0 where it has gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith(b"Uid:"):
                return int(line.split()[1])
    return 0
