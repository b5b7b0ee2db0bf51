"""Why the Docker engine cannot be used on a machine, and the command that helps. Pure: looking at
the machine and the daemon is in ``docker/surroundings.py``.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import Final

from execbox_service.engines.base import Lacking

API_VERSION_MIN: Final = (1, 41)
"""Of Docker 20.10, the oldest that execbox is tested with."""
FREE_BYTES_MIN: Final = 64 * 2**20
"""A container's own files take some hundred kilobytes; many are made and removed at once."""
_DELEGATE: Final = (
    "sudo mkdir -p /etc/systemd/system/user@.service.d && printf "
    r"'[Service]\nDelegate=cpu cpuset io memory pids\n' | "
    "sudo tee /etc/systemd/system/user@.service.d/delegate.conf && "
    "sudo systemctl daemon-reload, then log in again"
)
_MEMORY_CONTROLLER: Final = (
    "sudo sed -i 's/^GRUB_CMDLINE_LINUX=\"/&cgroup_enable=memory /' /etc/default/grub && "
    "sudo update-grub && sudo reboot (on a Raspberry Pi put cgroup_enable=memory into "
    "/boot/firmware/cmdline.txt)"
)
_OTHER_KERNEL: Final = (
    "boot a kernel that has it, as distributions' own have (CONFIG_CGROUP_PIDS, "
    "CONFIG_CFS_BANDWIDTH), or use bubblewrap"
)
_SELINUX: Final = (
    "sudo ausearch -m AVC -ts recent says what it denied and to whom; a container that is given "
    "the socket needs --security-opt label=disable"
)


@dataclass(frozen=True)
class Surroundings:
    """What was seen of this machine when the daemon did not answer."""

    address: str
    """Of the daemon, as the settings or the environment have it."""
    error_number: int = 0
    """``errno`` of connecting to its unix socket; 0 where that worked, or there is none."""
    is_unix: bool = True
    is_chosen: bool = False
    """Whether somebody named the address; else it is the one that Docker uses itself."""
    context: str | None = None
    """The docker command's context that has the address, where one has."""
    mode_permits: bool = False
    """Whether owner, group and mode of the socket let this process in."""
    is_selinux_enforcing: bool = False
    user_name: str = "root"
    is_listed_in_group: bool = False
    """Whether the user is in the socket's group by now, though this login is not."""
    is_daemon_installed: bool = False
    has_systemd: bool = False
    has_apt: bool = False
    has_dnf: bool = False
    rootless_socket: str | None = None
    """The socket of a daemon of this user's own, where there is one."""

    @property
    def daemon(self) -> str:
        """Where the daemon should be, in words."""
        if self.context is None:
            return self.address
        return f"{self.address} (of the Docker context {self.context})"

    @property
    def start_or_leave(self) -> str:
        """What helps where an address was chosen at which nobody answers."""
        if self.context is None:
            return (
                "start that daemon, or unset DOCKER_HOST and EXECBOX_DOCKER_HOST to use this "
                "machine's own"
            )
        return (
            "start that daemon, or leave the context to use this machine's own: docker context "
            "use default, and unset DOCKER_CONTEXT"
        )


@dataclass(frozen=True)
class DaemonFacts:
    """What a daemon says of itself; None for what it does not say, as the gate does not."""

    api_version: str
    version: str = ""
    components: tuple[str, ...] = ()
    is_rootless: bool = False
    limits_memory: bool | None = None
    limits_processes: bool | None = None
    limits_cpu: bool | None = None
    oci_runtimes: tuple[str, ...] | None = None
    data_root: str = ""
    free_bytes: int | None = None
    """Of the disk of its data root; None where that is not on this machine."""


def unreachable(around: Surroundings) -> Lacking | None:
    """What keeps this process from the daemon; None where its socket is not the trouble."""
    if not around.is_unix:
        return Lacking(f"no Docker daemon answers at {around.daemon}", remedy=around.start_or_leave)
    match around.error_number:
        case 0:
            return None
        case errno.EACCES | errno.EPERM:
            return _forbidden(around)
        case _:
            return _silent(around)


def _forbidden(around: Surroundings) -> Lacking:
    found = f"{around.user_name} has no permission to use the Docker socket {around.daemon}"
    if around.mode_permits and around.is_selinux_enforcing:
        return Lacking(
            f"SELinux denies {around.user_name} the Docker socket {around.daemon}",
            remedy=_SELINUX,
        )
    if around.is_listed_in_group:
        return Lacking(
            f"{found}: the user is in its group since after this login",
            remedy="newgrp docker, or log in again",
        )
    return Lacking(found, remedy=f"sudo usermod -aG docker {around.user_name}, then log in again")


def _silent(around: Surroundings) -> Lacking:
    found = f"no Docker daemon answers at {around.daemon}"
    if around.is_chosen:
        return Lacking(found, remedy=around.start_or_leave)
    if around.rootless_socket is not None:
        return Lacking(
            f"{found}, but there is a rootless one",
            remedy=f"export DOCKER_HOST=unix://{around.rootless_socket}",
        )
    if around.is_daemon_installed:
        start = "sudo systemctl start docker" if around.has_systemd else "sudo service docker start"
        return Lacking(f"{found}: it is installed and not running", remedy=start)
    if around.has_apt:
        return Lacking(
            f"there is no Docker here: {found}",
            remedy="sudo apt install docker.io, then 'execbox image build'; or use bubblewrap",
        )
    if around.has_dnf:
        return Lacking(
            f"there is no Docker here: {found}",
            remedy="sudo dnf install moby-engine (Fedora; elsewhere Docker's own packages) && "
            "sudo systemctl enable --now docker, then 'execbox image build'; or use bubblewrap",
        )
    return Lacking(
        f"there is no Docker here: {found}",
        remedy="install Docker Engine or Docker Desktop and start it, then 'execbox image build'; "
        "or use bubblewrap",
    )


def unsuitable(facts: DaemonFacts, *, oci_runtime: str | None = None) -> Lacking | None:
    """Why a daemon that answers cannot run sandboxes; None where nothing speaks against it."""
    return (
        _other_engine(facts)
        or _too_old(facts)
        or _without_limits(facts)
        or _without_runtime(facts, oci_runtime)
        or _without_room(facts)
    )


def _other_engine(facts: DaemonFacts) -> Lacking | None:
    if not any("podman" in name.lower() for name in facts.components):
        return None
    return Lacking(
        f"the daemon is Podman {facts.version}, whose Docker socket takes a system-call profile "
        "as a file only and leaves out the masks over /proc, so that its containers would lack "
        "protections",
        remedy="use Docker, beside it if need be: sudo apt install docker.io (Fedora: sudo dnf "
        "install moby-engine); or bubblewrap, as an ordinary user if you like: "
        "EXECBOX_ENGINE=bubblewrap",
    )


def _too_old(facts: DaemonFacts) -> Lacking | None:
    numbers = tuple(int(number) for number in re.findall(r"\d+", facts.api_version)[:2])
    if numbers >= API_VERSION_MIN:
        return None
    return Lacking(
        f"the Docker daemon (version {facts.version or 'unknown'}, API {facts.api_version}) is "
        f"too old: 20.10, API {'.'.join(map(str, API_VERSION_MIN))}, is the oldest that works",
        remedy="sudo apt update && sudo apt install docker.io, or what your system calls it",
    )


def _without_limits(facts: DaemonFacts) -> Lacking | None:
    said = {
        "memory": facts.limits_memory,
        "processes": facts.limits_processes,
        "CPU share": facts.limits_cpu,
    }
    lacking = [name for name, limits in said.items() if limits is False]
    if not lacking:
        return None
    what = " and ".join(lacking)
    if facts.is_rootless:
        return Lacking(
            f"the rootless Docker daemon cannot limit its containers' {what}: that takes cgroup "
            "v2, with the controllers handed to its user",
            remedy=_DELEGATE,
        )
    return Lacking(
        f"the Docker daemon cannot limit its containers' {what}: this kernel's control groups "
        "have no controller for it",
        remedy=_MEMORY_CONTROLLER if "memory" in lacking else _OTHER_KERNEL,
    )


def _without_runtime(facts: DaemonFacts, oci_runtime: str | None) -> Lacking | None:
    """Names with a dot or a slash may be shims, which a daemon finds without having them listed."""
    if oci_runtime is None or facts.oci_runtimes is None or set(oci_runtime) & set("./"):
        return None
    if oci_runtime in facts.oci_runtimes:
        return None
    return Lacking(
        f"the Docker daemon has no OCI runtime {oci_runtime}, which EXECBOX_OCI_RUNTIME names: "
        f"it has {', '.join(facts.oci_runtimes)}",
        remedy="add it to 'runtimes' in /etc/docker/daemon.json (gVisor: sudo runsc install) and: "
        "sudo systemctl restart docker; or unset EXECBOX_OCI_RUNTIME",
    )


def _without_room(facts: DaemonFacts) -> Lacking | None:
    if facts.free_bytes is None or facts.free_bytes >= FREE_BYTES_MIN:
        return None
    return Lacking(
        f"the disk of Docker's data root {facts.data_root} is full: {facts.free_bytes >> 20} MB "
        f"are free, {FREE_BYTES_MIN >> 20} are needed",
        remedy="docker system prune",
    )
