"""What a container of the Docker engine may do: its whole isolation policy, and nothing else.

Nothing a client sends reaches it. Making containers is in ``docker/engine.py``; the gate compares
what it is asked to create with the same functions (``gate/allowed_bodies.py``).
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import docker
from docker.types import LogConfig, Ulimit

from execbox_service.engines.container_spec import ContainerSpec
from execbox_service.engines.job_room import SHM_INODE_COUNT, SHM_MB, STACK_BYTES

LABEL = "org.execbox.sandbox"
PACKAGES_PATH = "/usr/lib/execbox/packages.json"
MASKED_PATHS = (
    # What the daemon masks where nothing is asked for.
    *("/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi"),
    *("/sys/firmware", "/sys/devices/virtual/powercap"),
    # Tables of the whole machine, other containers included, that no function needs. Any
    # process can put a number of its own into the first: the range of a lock.
    *("/proc/locks", "/proc/interrupts", "/proc/softirqs", "/proc/schedstat", "/proc/diskstats"),
    *("/proc/vmstat", "/proc/zoneinfo", "/proc/buddyinfo", "/proc/pagetypeinfo", "/proc/pressure"),
    *("/proc/cgroups", "/proc/key-users", "/proc/fs"),
    # The same figures by another door: all of /sys but the container's own control groups.
    *("/sys/block", "/sys/bus", "/sys/class", "/sys/dev", "/sys/devices", "/sys/hypervisor"),
    *("/sys/kernel", "/sys/module", "/sys/power", "/sys/fs/bpf", "/sys/fs/btrfs", "/sys/fs/erofs"),
    *("/sys/fs/ext4", "/sys/fs/f2fs", "/sys/fs/fuse", "/sys/fs/pstore", "/sys/fs/resctrl"),
    *("/sys/fs/selinux", "/sys/fs/smackfs", "/sys/fs/tmpfs", "/sys/fs/virtiofs", "/sys/fs/xfs"),
    # Terminals: a job could make one, and have the kernel load drivers for it.
    "/dev/pts",
)
_SOCKET_TYPES_CONNECTED = (1, 5)
"""SOCK_STREAM and SOCK_SEQPACKET. A datagram can be sent to any name in its network namespace."""
_SOCKET_TYPE_MASK = 0xF


def container_options(spec: ContainerSpec) -> dict[str, Any]:
    """The whole isolation policy of a container, as arguments of ``create_host_config``."""
    memory_bytes = spec.memory_bytes(spec.memory_mb)
    system_calls = system_call_profile(shared_network=spec.shared_network)
    return {
        "network_mode": "none",
        "read_only": True,
        # Root inside only changes users and signals jobs; it cannot even read their files.
        "cap_drop": ["ALL"],
        "cap_add": ["SETUID", "SETGID", "KILL"],
        "security_opt": ["no-new-privileges", f"seccomp={system_calls}"],
        # The same number twice: no swap, which would make memory a matter of patience.
        "mem_limit": memory_bytes,
        "memswap_limit": memory_bytes,
        "nano_cpus": int(spec.cpu_count * 1e9),
        "pids_limit": spec.pid_count,
        # What a job prints must not fill the disk of the machine.
        "log_config": LogConfig(type="none"),
        "ulimits": [
            # Not 0: a program that the machine has cores piped to would be started all the same.
            Ulimit(name="core", soft=1, hard=1),
            Ulimit(name="stack", soft=STACK_BYTES, hard=-1),
            Ulimit(name="nofile", soft=spec.open_file_count, hard=spec.open_file_count),
            Ulimit(name="msgqueue", soft=0, hard=0),
            Ulimit(name="memlock", soft=0, hard=0),
            Ulimit(name="sigpending", soft=256, hard=256),
        ],
        # With "none" there is no /dev/shm, and thread pools and locks fail.
        "ipc_mode": "private",
        "shm_size": SHM_MB * 2**20,
        "tmpfs": {
            "/tmp": tmpfs_options(spec.tmp_mb, inode_count=spec.tmp_inode_count),  # noqa: S108
            # In the place of the daemon's own, which has no limit on inodes.
            "/dev/shm": tmpfs_options(SHM_MB, inode_count=SHM_INODE_COUNT),  # noqa: S108
        },
        "auto_remove": True,
        "runtime": spec.oci_runtime,
    }


def tmpfs_options(size_mb: int, *, inode_count: int) -> str:
    """The mount options of a directory that jobs can write to."""
    return f"rw,noexec,nosuid,nodev,mode=1777,size={size_mb}m,nr_inodes={inode_count}"


def system_call_profile(*, shared_network: bool) -> str:
    """The allow-list of system calls, as the daemon takes it.

    Where containers share a network namespace they also share the names of its sockets, and the
    files that tell of it, on which they must not meet.
    """
    text = resources.files("execbox_service.engines").joinpath("seccomp.json").read_text("utf-8")
    if not shared_network:
        return text
    profile = json.loads(text)
    for rule in profile["syscalls"]:
        rule["names"] = [name for name in rule["names"] if name not in ("socketpair", "flock")]
    profile["syscalls"] += [
        {
            "comment": "pairs that are connected",
            "names": ["socketpair"],
            "action": "SCMP_ACT_ALLOW",
            "args": [
                {
                    "index": 1,
                    "value": _SOCKET_TYPE_MASK,
                    "valueTwo": kind,
                    "op": "SCMP_CMP_MASKED_EQ",
                }
            ],
        }
        for kind in _SOCKET_TYPES_CONNECTED
    ]
    return json.dumps(profile)


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
        # There is nothing in it to end in order, and PID 1 passes over SIGTERM: a daemon that is
        # stopped, or finds it when it is started again, would wait ten seconds for it.
        "stop_signal": "SIGKILL",
    }


def packages_arguments(spec: ContainerSpec, *, image_id: str) -> dict[str, Any]:
    """``create_container`` for the container that is only read, and never started."""
    return {"image": image_id, "labels": {LABEL: spec.instance}, "network_disabled": True}
