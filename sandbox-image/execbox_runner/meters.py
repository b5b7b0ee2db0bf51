"""Reading from outside what an execution uses: clocks, run-queue delay, cgroup counters, tmpfs.

Every figure comes from the kernel; nothing here asks the job.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from dataclasses import dataclass

WRITABLE_DIRECTORIES = ("/tmp", "/dev/shm")
"""Where a job can leave files; everything else is read-only or denied."""


@dataclass(frozen=True)
class CgroupFiles:
    """Where this kernel keeps the container's counters: cgroup v1 and v2 differ in all of them."""

    oom: str
    oom_key: str | None
    """Where ``oom`` also counts how often this very limit was met and nothing could be freed."""
    memory_peak: str
    memory_usage: str
    memory_limit: str
    pids: str
    pids_limit: str
    memory_stat: str
    held_keys: tuple[str, str]
    cpu_usage: str
    cpu_usage_key: str | None
    cpu_stat: str
    throttled_key: str
    throttled_unit_ns: int


_CHARGED_AT_ONCE_BYTES = 1 << 20
"""The kernel charges processors some pages ahead, so that usage stops a little below a limit."""


class NoCgroup(Exception):
    """The container is in no control group of its own that limits it; the text says what to do."""


def find_cgroup(root: str = "/sys/fs/cgroup") -> CgroupFiles:
    """Look once which cgroup version the container has. Raises NoCgroup where it has no limits."""
    files = _files(root)
    missing = [
        path
        for path in (files.oom, files.memory_limit, files.pids_limit)
        if not os.path.exists(path)
    ]
    if missing:
        raise NoCgroup(
            f"{missing[0]} is not there: the daemon gives containers no memory or process limit "
            "of their own; a rootless one needs cgroup v2 with these controllers delegated to it"
        )
    return files


def _files(root: str) -> CgroupFiles:
    v1_oom = f"{root}/memory/memory.oom_control"
    if os.path.exists(v1_oom):
        return CgroupFiles(
            oom=v1_oom,
            oom_key=None,
            memory_peak=f"{root}/memory/memory.max_usage_in_bytes",
            memory_usage=f"{root}/memory/memory.usage_in_bytes",
            memory_limit=f"{root}/memory/memory.limit_in_bytes",
            pids=f"{root}/pids/pids.current",
            pids_limit=f"{root}/pids/pids.max",
            memory_stat=f"{root}/memory/memory.stat",
            held_keys=("rss", "shmem"),
            cpu_usage=f"{root}/cpuacct/cpuacct.usage",
            cpu_usage_key=None,
            cpu_stat=f"{root}/cpu/cpu.stat",
            throttled_key="throttled_time",
            throttled_unit_ns=1,
        )
    return CgroupFiles(
        oom=f"{root}/memory.events",
        oom_key="oom",
        memory_peak=f"{root}/memory.peak",
        memory_usage=f"{root}/memory.current",
        memory_limit=f"{root}/memory.max",
        pids=f"{root}/pids.current",
        pids_limit=f"{root}/pids.max",
        memory_stat=f"{root}/memory.stat",
        held_keys=("anon", "shmem"),
        cpu_usage=f"{root}/cpu.stat",
        cpu_usage_key="usage_usec",
        cpu_stat=f"{root}/cpu.stat",
        throttled_key="throttled_usec",
        throttled_unit_ns=1000,
    )


@functools.cache
def _descriptor(path: str) -> int:
    """Opened once: opening and closing was two thirds of the 0.2 ms an execution spent here."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def read_number(path: str) -> int:
    """One counter of a file that holds nothing else; ``max`` reads as -1."""
    text = os.pread(_descriptor(path), 64, 0).strip()
    return -1 if text == b"max" else int(text)


def read_fields(path: str, names: tuple[str, ...]) -> list[int]:
    """Counters of a file of ``name value`` lines; 0 where the kernel does not have one."""
    found = dict(line.split(b" ", 1) for line in os.pread(_descriptor(path), 4096, 0).splitlines())
    return [int(found.get(name.encode(), 0)) for name in names]


@dataclass(frozen=True)
class OomCounts:
    """How often this container ran out of memory since it was made."""

    killed: int
    """How many processes the OOM killer has ended in it, be it that the container's memory ran out
    or the machine's."""
    own: int
    """How often the container's own limit was why a process had to end, or more often."""


def oom_counts(files: CgroupFiles) -> OomCounts:
    """Both, as they are now.

    Version 1 does not say whose limit it was, but how much was ever used: a process that ended for
    the machine's want of memory ended before its container had all that it may have.
    """
    if files.oom_key is not None:
        killed, own = read_fields(files.oom, ("oom_kill", files.oom_key))
        return OomCounts(killed, own)
    (killed,) = read_fields(files.oom, ("oom_kill",))
    if not killed:
        return OomCounts(0, 0)
    peak_bytes, limit_bytes = read_number(files.memory_peak), read_number(files.memory_limit)
    reached = peak_bytes >= limit_bytes - _CHARGED_AT_ONCE_BYTES
    return OomCounts(killed, killed if reached else 0)


def held_bytes(files: CgroupFiles) -> int:
    """Memory that only ending a process or removing a file frees: caches are left out."""
    return sum(read_fields(files.memory_stat, files.held_keys))


def throttled_ns(files: CgroupFiles) -> int:
    """How long the container was kept off the cores by its own CPU quota."""
    (throttled,) = read_fields(files.cpu_stat, (files.throttled_key,))
    return throttled * files.throttled_unit_ns


def container_cpu_ns(files: CgroupFiles) -> int:
    """CPU time of everything in the container, ended processes included."""
    if files.cpu_usage_key is None:
        return read_number(files.cpu_usage)
    (usage_us,) = read_fields(files.cpu_usage, (files.cpu_usage_key,))
    return usage_us * 1000


def process_cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process, 0 once it is gone.

    The clock id is what clock_getcpuclockid(3) computes: a process clock
    that every process may read.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return 0


def peak_bytes(pid: int) -> int:
    """The peak resident set of a process that lives; 0 once it is gone. proc(5): VmHWM."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb", buffering=0) as file:
        for line in file.read(8192).splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def run_queue_delay_ns(pid: int) -> int:
    """How long the process has waited for a core: that of its thread that waited longest."""
    longest = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", "rb", buffering=0) as file:
                longest = max(longest, int(file.read(128).split()[1]))
    except (OSError, IndexError):
        return longest
    return longest


def kept_from_running_ns(
    longest_delay_ns: int, *, elapsed_ns: int, cpu_ns: int, cpu_count: float
) -> int:
    """How long a process can have waited for others to leave it a core.

    No longer than its thread that waited longest, and no longer than none of its threads can have
    run: ten threads that share one core wait nine tenths of the time, for each other.
    """
    none_ran_ns = elapsed_ns - round(cpu_ns / max(cpu_count, 1.0))
    return max(0, min(longest_delay_ns, none_ran_ns))


def is_ready_to_run(pid: int) -> bool:
    """Whether a thread of the process is running or waiting for a core, and not asleep."""
    return b"R" in _thread_states(pid)


def has_ended(pid: int) -> bool:
    """Whether no thread of the process is left, though nobody may have reaped it yet."""
    return _thread_states(pid) <= {b"Z", b"X"}


def _thread_states(pid: int) -> set[bytes]:
    """The kernel's letters for what each thread is doing; proc(5)."""
    states = set()
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/stat", "rb", buffering=0) as file:
                # After the command's name, which is in parentheses and may hold some.
                states.add(file.read(512).rpartition(b") ")[2][:1])
    return states


def free_space() -> tuple[tuple[int, int], ...]:
    """Free blocks and inodes of every writable file system: any file left behind changes it."""
    found = []
    for path in WRITABLE_DIRECTORIES:
        stat = os.statvfs(path)
        found.append((stat.f_bfree, stat.f_ffree))
    return tuple(found)
