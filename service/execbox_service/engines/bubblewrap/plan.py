"""What a sandbox made with bubblewrap gets: the whole isolation policy, as data. Runs nothing.

The Docker engine's counterpart is ``docker/policy.py``; nothing that a client sends
reaches either. ``launch`` carries a plan out.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from execbox_service.engines.bubblewrap.host_python import HostPython
from execbox_service.engines.container_spec import ContainerSpec
from execbox_service.engines.job_room import SHM_INODE_COUNT, SHM_MB, STACK_BYTES

LIBRARY: Final = "/execbox"
EXTRA_PID_COUNT: Final = 1
"""bubblewrap's own process, which watches over the sandbox from inside its groups."""
_DEV_BYTES: Final = 65_536
# As the image's ENV.
_ENVIRONMENT: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",  # noqa: S108 - a sandbox's own
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
}
_CAPABILITIES: Final = ("SETUID", "SETGID", "KILL")
_DEVICES: Final = ("null", "zero", "full", "random", "urandom")
_DEVICE_LINKS: Final = {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
# What Docker masks too, where the kernel has it: it tells of the machine, or of other processes.
_MASKED_FILES: Final = (
    *("/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"),
    *("/proc/timer_stats", "/proc/sched_debug", "/proc/kallsyms", "/proc/kpagecount"),
    *("/proc/locks", "/proc/interrupts", "/proc/softirqs", "/proc/schedstat", "/proc/diskstats"),
    *("/proc/vmstat", "/proc/zoneinfo", "/proc/buddyinfo", "/proc/pagetypeinfo"),
    *("/proc/cgroups", "/proc/key-users"),
)
_MASKED_DIRECTORIES: Final = (
    *("/proc/acpi", "/proc/scsi", "/proc/asound", "/proc/pressure", "/proc/fs"),
)
_TOP_DIRECTORIES: Final = ("/bin", "/sbin", "/lib", "/lib32", "/libx32", "/lib64")
# What a dynamic linker and the standard library look up; nothing here is secret.
_ETC_FILES: Final = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/mime.types")


@dataclass(frozen=True)
class Machine:
    """What sandboxes are made from here: found once, at start."""

    bwrap: str
    setpriv: str
    python: HostPython
    files: Path
    """The directory of ``runner_files.RunnerFiles``."""
    library: Path
    as_root: bool
    """Whether the service is root, which in a sandbox's user namespace it is not."""


@dataclass(frozen=True)
class Plan:
    """One sandbox to make, as ``launch`` reads it; descriptors keep their numbers."""

    procs_paths: list[str]
    limits: dict[str, int | tuple[int, int | None]]
    """A number is the soft and the hard limit; with None the hard one stays what it is."""
    private_binds: list[tuple[str, str]]
    tmpfs: list[tuple[str, str]]
    user_namespace_fd: int
    command: list[str]

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Parts:
    """What differs from sandbox to sandbox."""

    procs_paths: list[str]
    group_binds: list[tuple[str, str]]
    user_namespace_fd: int
    seccomp_fd: int


def runner_command(machine: Machine) -> list[str]:
    """As the image's CMD."""
    return [machine.python.executable, "-s", "-P", "-u", f"{LIBRARY}/start.py"]


def make_plan(spec: ContainerSpec, machine: Machine, *, parts: Parts, command: list[str]) -> Plan:
    """The plan for a sandbox that runs ``command`` as its first process."""
    mounts = machine.files / "mounts"
    prefix = machine.python.prefix
    staged = str(mounts / "prefix")
    private_binds = [(prefix, staged)] if prefix and machine.as_root else []
    return Plan(
        procs_paths=parts.procs_paths,
        limits={
            "CORE": 1,
            "STACK": (STACK_BYTES, None),
            "NOFILE": spec.open_file_count,
            "MSGQUEUE": 0,
            "MEMLOCK": 0,
            "SIGPENDING": 256,
        },
        private_binds=private_binds,
        tmpfs=[
            (
                str(mounts / "tmp"),
                f"mode=1777,size={spec.tmp_mb}m,nr_inodes={spec.tmp_inode_count}",
            ),
            (str(mounts / "shm"), f"mode=1777,size={SHM_MB}m,nr_inodes={SHM_INODE_COUNT}"),
        ],
        user_namespace_fd=parts.user_namespace_fd,
        command=[
            machine.bwrap,
            *_namespaces(),
            *_privileges(parts.seccomp_fd),
            *_environment(),
            *_files(machine, prefix_source=staged if private_binds else prefix),
            *_own_directories(mounts, parts.group_binds),
            *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--"),
            *_without_ambient(machine.setpriv),
            *command,
        ],
    )


def _namespaces() -> list[str]:
    # Not the user namespace: ``launch`` is in one already, with many ids, and none can follow.
    kinds = [f"--unshare-{kind}" for kind in ("ipc", "pid", "net", "uts", "cgroup")]
    return [*kinds, "--hostname", "sandbox", "--as-pid-1", "--new-session", "--die-with-parent"]


def _privileges(seccomp_fd: int) -> list[str]:
    # Root inside only changes users and signals jobs. SETPCAP is for dropping the others from the
    # bounding set, and ends with that (``_without_ambient``).
    added = [word for name in (*_CAPABILITIES, "SETPCAP") for word in ("--cap-add", f"CAP_{name}")]
    return ["--cap-drop", "ALL", *added, "--seccomp", str(seccomp_fd)]


def _without_ambient(setpriv: str) -> list[str]:
    """bubblewrap makes capabilities ambient: taken back here, and the bounds with them."""
    kept = ",".join(f"+{name.lower()}" for name in _CAPABILITIES)
    # Bounds first: they need the capability that the other option takes away.
    return [setpriv, f"--bounding-set=-all,{kept}", "--inh-caps=-all", "--"]


def _environment() -> list[str]:
    words = [word for item in _ENVIRONMENT.items() for word in ("--setenv", *item)]
    return ["--clearenv", *words]


def _files(machine: Machine, *, prefix_source: str | None) -> list[str]:
    """What is read-only from this machine."""
    words = ["--ro-bind", "/usr", "/usr"]
    for path in _TOP_DIRECTORIES:
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            words += ["--ro-bind", path, path]
    for name in ("passwd", "group"):
        words += ["--ro-bind", str(machine.files / "etc" / name), f"/etc/{name}"]
    for path in _ETC_FILES:
        words += ["--ro-bind-try", path, path]
    if machine.python.prefix and prefix_source:
        words += ["--ro-bind", prefix_source, machine.python.prefix]
    return [*words, "--ro-bind", str(machine.library), LIBRARY]


def _own_directories(mounts: Path, group_binds: list[tuple[str, str]]) -> list[str]:
    """What is a sandbox's own: processes, devices, writable directories, its groups' counters."""
    words = ["--proc", "/proc"]
    for path in _MASKED_FILES:
        if os.path.exists(path):
            words += ["--ro-bind", "/dev/null", path]
    for path in _MASKED_DIRECTORIES:
        if os.path.exists(path):
            words += ["--tmpfs", path, "--remount-ro", path]
    words += ["--perms", "0755", "--size", str(_DEV_BYTES), "--tmpfs", "/dev"]
    for name in _DEVICES:
        words += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for name, target in _DEVICE_LINKS.items():
        words += ["--symlink", f"/proc/self/{target}", f"/dev/{name}"]
    words += ["--bind", str(mounts / "tmp"), "/tmp"]  # noqa: S108 - a sandbox's own
    words += ["--bind", str(mounts / "shm"), "/dev/shm"]  # noqa: S108 - as above
    for source, target in group_binds:
        words += ["--ro-bind", source, target]
    return words
