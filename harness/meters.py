"""What the kernel counts of processes: CPU time, memory, descriptors. Runs nothing itself."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SAMPLE_S = 0.2
_MEBIBYTE = 2**20
_CGROUP = Path("/sys/fs/cgroup")
# With Docker's cgroupfs driver all containers are below one group, whose counters keep what the
# removed ones used; version 1 first. With the systemd driver there is no such group.
_CONTAINERS_CPU = (_CGROUP / "cpuacct/docker/cpuacct.usage", _CGROUP / "docker/cpu.stat")
_CONTAINERS_MEMORY = (_CGROUP / "memory/docker/memory.stat", _CGROUP / "docker/memory.stat")


@dataclass(frozen=True)
class CpuTimes:
    """CPU seconds used so far. None where this machine does not count it."""

    machine_s: float
    service_s: float | None
    containers_s: float | None

    def since(self, before: CpuTimes) -> CpuTimes:
        return CpuTimes(
            self.machine_s - before.machine_s,
            _difference(self.service_s, before.service_s),
            _difference(self.containers_s, before.containers_s),
        )


def read_cpu_times(service_pid: int | None) -> CpuTimes:
    """Of the whole machine, of a service, and of all containers of the Docker daemon."""
    return CpuTimes(_machine_cpu_s(), _service_cpu_s(service_pid), _containers_cpu_s())


class MemoryWatch:
    """The most memory the service and the containers held together inside the ``with`` block.

    Sampled; resident memory of the service, anonymous memory of all containers beyond
    ``others_bytes``, which is what containers held that have nothing to do with this.
    """

    def __init__(self, service_pid: int | None, *, others_bytes: int) -> None:
        self.peak_bytes = 0
        self._others_bytes = others_bytes
        self._service_pid = service_pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            ours_bytes = containers_memory_bytes() - self._others_bytes
            service_mb = service_resident_mb(self._service_pid) if self._service_pid else 0.0
            held_bytes = round(service_mb * _MEBIBYTE) + ours_bytes
            self.peak_bytes = max(self.peak_bytes, held_bytes)
            if self._done.wait(_SAMPLE_S):
                return


def _difference(after_s: float | None, before_s: float | None) -> float | None:
    return None if after_s is None or before_s is None else after_s - before_s


def _machine_cpu_s() -> float:
    # proc(5): user, nice, system, idle, iowait, irq, softirq, steal
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:8]]
    return (sum(fields) - fields[3] - fields[4]) / _TICKS_PER_S


def _service_cpu_s(pid: int | None) -> float | None:
    """With children that have ended."""
    if pid is None:
        return None
    ticks = 0
    for each in service_pids(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(") ")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS_PER_S


def service_pids(pid: int) -> list[int]:
    """The service's process and its workers, where it has several: its children that run the same
    interpreter. Those of bubblewrap run ``bwrap``."""
    interpreter = os.readlink(f"/proc/{pid}/exe")
    return [pid, *(child for child in children_of(pid) if _runs(child) == interpreter)]


def children_of(pid: int) -> list[int]:
    """Of its first thread; proc(5), ``/proc/PID/task/TID/children``."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def process_cpu_s(pid: int) -> float:
    """Of all its threads, by the kernel's clock of the process: see clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def _runs(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except FileNotFoundError:
        return None


def service_resident_mb(pid: int) -> float:
    """Memory that the service holds now, its workers included."""
    return sum(map(resident_mb, service_pids(pid)))


def _containers_cpu_s() -> float | None:
    for path in _CONTAINERS_CPU:
        if path.exists():
            text = path.read_text()
            if text.startswith("usage_usec"):
                return int(text.split()[1]) / 1e6
            return int(text) / 1e9
    return None


def containers_memory_bytes() -> int:
    """Anonymous memory of all containers of the daemon; 0 where this machine does not count it."""
    for path in _CONTAINERS_MEMORY:
        if path.exists():
            found = dict(line.split() for line in path.read_text().splitlines())
            return int(found.get("total_rss", found.get("anon", "0")))
    return 0


def resident_mb(pid: int | None = None) -> float:
    """Memory that a process holds now; without an id, the one that asks."""
    pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MEBIBYTE


def peak_resident_mb(pid: int) -> float:
    """The most memory that a process has held so far."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def descriptor_count(pid: int | None = None) -> int:
    """Files that a process has open now; without an id, the one that asks."""
    return len(os.listdir(f"/proc/{pid or 'self'}/fd"))
