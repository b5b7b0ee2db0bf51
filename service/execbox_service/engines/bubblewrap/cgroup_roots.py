"""Where control groups for sandboxes may be made: found, and with version 2 made fit for it.

Making, limiting and removing groups is done by ``cgroups``. Blocking.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from execbox_service.engines.base import Lacking
from execbox_service.engines.bubblewrap import container_flags

SERVICE_LEAF: Final = "execbox_service"
"""Where the service moves itself in a group of its own, with version 2."""
_REQUIRED_V1 = ("memory", "pids", "cpu", "cpuacct")
_REQUIRED_V2 = ("memory", "pids")
_MOVES_MAX: Final = 5

REMEDY_ROOTLESS = (
    "start the service where systemd hands it a group of its own: "
    "systemd-run --user --scope -p Delegate=yes execbox serve"
)
REMEDY_ROOT = "start the service as root, or in a systemd unit with Delegate=yes"


class NoCgroups(Lacking):
    """Groups cannot be made here: without them no limit on memory, so no sandbox."""


@dataclass(frozen=True)
class Roots:
    """Where sandboxes' groups go: each controller's directory, absolute. With version 2, one."""

    version: int
    directories: dict[str, str]
    cpu_limited: bool = True

    @property
    def all(self) -> tuple[str, ...]:
        """Each directory once; the memory controller's first."""
        ordered = [self.directories["memory"], *self.directories.values()]
        return tuple(dict.fromkeys(ordered))


def find_roots(*, move: bool = True) -> Roots:
    """Look where this process may make groups. Raises NoCgroups.

    With version 2 and a group that is this process's alone, it moves itself into a leaf of it,
    unless told not to: then this only says whether it could.
    """
    mounts = parse_mounts(Path("/proc/self/mountinfo").read_text("utf-8"))
    own = parse_own_groups(Path("/proc/self/cgroup").read_text("utf-8"))
    if "memory" in mounts:
        return _find_v1(mounts, own)
    if "" in mounts:
        return _find_v2(mounts[""], own, move=move)
    raise NoCgroups(
        "no control groups are mounted, so a function's memory could not be limited",
        remedy="mount them at /sys/fs/cgroup, or use Docker",
    )


def parse_mounts(mountinfo: str) -> dict[str, tuple[str, str]]:
    """Controller to (mount point, the group it shows at its top); "" is version 2's hierarchy.

    Of several on one mount point the last, which covers the others.
    """
    found: dict[str, tuple[str, str]] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _source, options) = before.split(), after.split(maxsplit=2)
        place = (fields[4], fields[3])
        if kind not in ("cgroup", "cgroup2"):
            continue
        for name in [""] if kind == "cgroup2" else options.split(","):
            if found.get(name, place)[0] == place[0]:
                found[name] = place
    return found


def parse_own_groups(text: str) -> dict[str, str]:
    """Controller to this process's group; "" is version 2's."""
    found = {}
    for line in text.splitlines():
        _number, names, path = line.split(":", 2)
        for name in names.split(","):
            found[name] = path
    return found


def own_directory(place: tuple[str, str], own: str) -> str:
    """The directory that shows a group, below a mount that may show only part of the tree."""
    mount_point, top = place
    below = os.path.relpath(own, top)
    # The kernel writes ".." for a group outside of what a cgroup namespace shows.
    if ".." in own.split("/") or below.startswith(".."):
        return mount_point
    return os.path.normpath(os.path.join(mount_point, below))


def _find_v1(mounts: dict[str, tuple[str, str]], own: dict[str, str]) -> Roots:
    directories = {}
    for name in _REQUIRED_V1:
        if name not in mounts:
            raise NoCgroups(
                f"the kernel's control groups have no {name} controller",
                remedy="mount it below /sys/fs/cgroup, or use Docker",
            )
        directory = own_directory(mounts[name], own.get(name, "/"))
        if not os.access(directory, os.W_OK):
            raise NoCgroups(
                f"no control groups may be made in {directory}",
                remedy=_remedy(directory, container_flags.CGROUPS_V1),
            )
        directories[name] = directory
    return Roots(version=1, directories=directories)


def _find_v2(place: tuple[str, str], own: dict[str, str], *, move: bool) -> Roots:
    directory = own_directory(place, own.get("", "/"))
    if os.path.basename(directory) == SERVICE_LEAF:
        directory = os.path.dirname(directory)
    elif _is_ours(directory, at_top=directory == place[0]):
        if not move:
            limited = "cpu" in _words(f"{directory}/cgroup.controllers")
            return Roots(version=2, directories={"memory": directory}, cpu_limited=limited)
        _move_into_leaf(directory)
    while not _has_controllers(directory):
        if directory == place[0] or len(directory) <= 1:
            raise NoCgroups(
                "no control group with the memory and pids controllers may be made from "
                f"{own.get('', '/')}, so a function's memory could not be limited",
                remedy=_remedy(directory, container_flags.CGROUPS_V2),
            )
        directory = os.path.dirname(directory)
    limited = _has_cpu(directory, top=place[0], enable=move)
    return Roots(version=2, directories={"memory": directory}, cpu_limited=limited)


def _has_cpu(directory: str, *, top: str, enable: bool) -> bool:
    """Whether groups below this one have the cpu controller, or may be given it.

    systemd hands memory and pids down to every slice, but cpu only where a unit asks for it; so
    root enables it, from the nearest group above that has it, unless told not to.
    """
    lacking = []
    while "cpu" not in _words(f"{directory}/cgroup.subtree_control"):
        if not os.access(f"{directory}/cgroup.subtree_control", os.W_OK):
            return False
        lacking.append(directory)
        if "cpu" in _words(f"{directory}/cgroup.controllers"):
            break
        if directory == top:
            return False
        directory = os.path.dirname(directory)
    try:
        for each in reversed(lacking if enable else []):
            _write(f"{each}/cgroup.subtree_control", "+cpu")
    except OSError:
        # Real-time processes in some group keep the kernel from it.
        return False
    return True


def _is_ours(directory: str, *, at_top: bool) -> bool:
    """Whether a group has what sandboxes need, and no process that is not this service's.

    Either it holds this process alone, or it is the top of what a container sees: then all
    processes there came with the service. The machine's own top has no ``cgroup.type``.
    """
    files = (f"{directory}/{name}" for name in ("", "cgroup.procs", "cgroup.subtree_control"))
    if not all(os.access(path, os.W_OK) for path in files):
        return False
    if not _words(f"{directory}/cgroup.controllers").issuperset(_REQUIRED_V2):
        return False
    containers_own = at_top and os.path.exists(f"{directory}/cgroup.type")
    return containers_own or _words(f"{directory}/cgroup.procs") == {str(os.getpid())}


def _move_into_leaf(directory: str) -> None:
    """Make room for groups beside these processes: version 2 allows them in leaves only."""
    leaf = f"{directory}/{SERVICE_LEAF}"
    try:
        os.makedirs(leaf, exist_ok=True)
        for left in reversed(range(_MOVES_MAX)):
            _move_processes(directory, leaf)
            try:
                enable_controllers(directory)
                break
            except OSError as error:
                # A container's health check began between moving and enabling.
                if error.errno != errno.EBUSY or left == 0:
                    raise
    except OSError as error:
        raise NoCgroups(f"{directory} cannot be divided: {error}", remedy=REMEDY_ROOT) from error


def _move_processes(directory: str, leaf: str) -> None:
    # 0 is a process of a different pid namespace; written, it would stand for this one.
    for pid in _words(f"{directory}/cgroup.procs") - {"0"}:
        with contextlib.suppress(ProcessLookupError):
            _write(f"{leaf}/cgroup.procs", pid)


def enable_controllers(directory: str) -> None:
    """Hand on to groups below what this one has of what sandboxes need. Raises OSError."""
    for name in ("memory", "pids", "cpu"):
        if name in _words(f"{directory}/cgroup.controllers"):
            _write(f"{directory}/cgroup.subtree_control", f"+{name}")


def _has_controllers(directory: str) -> bool:
    writable = all(os.access(path, os.W_OK) for path in (directory, f"{directory}/cgroup.procs"))
    return writable and _words(f"{directory}/cgroup.subtree_control").issuperset(_REQUIRED_V2)


def _remedy(directory: str, in_container: str) -> str:
    """Read-only is how containers get their groups; elsewhere it is a matter of who one is."""
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        return in_container
    return REMEDY_ROOT if os.geteuid() == 0 else REMEDY_ROOTLESS


def _words(path: str) -> set[str]:
    with open(path, encoding="ascii") as file:
        return set(file.read().split())


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
