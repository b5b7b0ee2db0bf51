"""What a container of the Docker engine may do: its whole isolation policy, and nothing else.

Nothing a client sends reaches it. Making containers is in ``docker/engine.py``; the gate compares
what it is asked to create with the same functions (``gate/allowed_bodies.py``).
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import docker
from docker.types import LogConfig, Ulimit

from execbox_service.engines.container_spec import ContainerSpec

LABEL = "org.execbox.sandbox"
PACKAGES_PATH = "/usr/lib/execbox/packages.json"
MASKED_PATHS = (
    # What the daemon masks where nothing is asked for.
    *("/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi"),
    *("/sys/firmware", "/sys/devices/virtual/powercap"),
    # Tables of the whole machine, other containers included, that no function needs. Anybody can
    # put a number of his own into the first: the range of a lock.
    *("/proc/locks", "/proc/interrupts", "/proc/softirqs", "/proc/schedstat", "/proc/diskstats"),
    *("/proc/vmstat", "/proc/zoneinfo", "/proc/buddyinfo", "/proc/pagetypeinfo", "/proc/pressure"),
)


def container_options(spec: ContainerSpec) -> dict[str, Any]:
    """The whole isolation policy of a container, as arguments of ``create_host_config``."""
    memory_bytes = spec.memory_bytes(spec.memory_mb)
    seccomp = resources.files("execbox_service.engines").joinpath("seccomp.json").read_text("utf-8")
    return {
        "network_mode": "none",
        "read_only": True,
        # Root inside only changes users and signals jobs; it cannot even read their files.
        "cap_drop": ["ALL"],
        "cap_add": ["SETUID", "SETGID", "KILL"],
        "security_opt": ["no-new-privileges", f"seccomp={seccomp}"],
        # The same number twice: no swap, which would make memory a matter of patience.
        "mem_limit": memory_bytes,
        "memswap_limit": memory_bytes,
        "nano_cpus": int(spec.cpu_count * 1e9),
        "pids_limit": spec.pid_count,
        # What a job prints must not fill the disk of the machine.
        "log_config": LogConfig(type="none"),
        "ulimits": [
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="nofile", soft=spec.open_file_count, hard=spec.open_file_count),
            Ulimit(name="msgqueue", soft=0, hard=0),
            Ulimit(name="memlock", soft=0, hard=0),
            Ulimit(name="sigpending", soft=256, hard=256),
        ],
        # With "none" there is no /dev/shm, and thread pools and locks fail.
        "ipc_mode": "private",
        "shm_size": 1024 * 1024,
        "tmpfs": {
            "/tmp": f"rw,noexec,nosuid,nodev,mode=1777,size={spec.tmp_mb}m,"  # noqa: S108
            f"nr_inodes={spec.tmp_inode_count}"
        },
        "auto_remove": True,
        "runtime": spec.oci_runtime,
    }


def host_config(client: docker.APIClient, spec: ContainerSpec) -> dict[str, Any]:
    """The isolation policy as the daemon is sent it."""
    config: dict[str, Any] = client.create_host_config(**container_options(spec))
    # The SDK has no argument for it.
    return config | {"MaskedPaths": list(MASKED_PATHS)}


def sandbox_arguments(
    spec: ContainerSpec, *, image_id: str, joins_network: bool = False
) -> dict[str, Any]:
    """What a sandbox's ``create_container`` gets besides its name and its host config."""
    return {
        "image": image_id,
        "labels": {LABEL: spec.instance},
        # A container that joins another's network shares its host name, and may not ask for one.
        "hostname": None if joins_network else "sandbox",
        "stdin_open": True,
        "tty": False,
    }


def packages_arguments(spec: ContainerSpec, *, image_id: str) -> dict[str, Any]:
    """``create_container`` for the container that is only read, and never started."""
    return {"image": image_id, "labels": {LABEL: spec.instance}, "network_disabled": True}
