"""Making a job process look as it might on another machine, before user code runs.

The determinism check runs calls here and there and compares. This is the part of "there" that can
be changed inside one process; hash seed and date belong to the interpreter, cwd, zone and locale
to ``confine``. Nothing here protects anything: user code can undo it, and only fools itself.
"""

from __future__ import annotations

import itertools
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

_HEAP_CLASSES_BYTES = range(48, 208, 16)
_HEAP_BLOCKS = 96
_HEAP_STRIDES = (7, 11, 13, 5, 17)
_BYTES_OBJECT_BYTES = 33
_TIMER_STEP_NS = 1_300
_TIMER_ORIGIN_S = 7_919
_TIMER_ORIGIN_NS = _TIMER_ORIGIN_S * 10**9
_BLOCKS_ADDED = 300_000_007
_PAGES_ADDED = 1_000_003
_CORES = frozenset(
    name
    for text in ("SC_NPROCESSORS_ONLN", "SC_NPROCESSORS_CONF")
    for name in (text, os.sysconf_names[text])
)
_MEMORY_PAGES = frozenset(
    name for text in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES") for name in (text, os.sysconf_names[text])
)
_SWITCH_INTERVAL_S = 5e-6
DATES = frozenset({time.CLOCK_REALTIME, time.CLOCK_TAI})
"""Clocks that are the date's, and the preload's to move."""
_kept: list[bytes] = []
_heap_number = 0


def be_elsewhere(names: list[str], *, number: int) -> None:
    """Change what is named: ``heap``, ``listings``, ``host``, ``timers``, ``switching``.

    Another ``number``, another heap.
    """
    changes: dict[str, Callable[[], None]] = {
        "heap": lambda: _arm_heap(number),
        "listings": _reverse_listings,
        "host": _rename_host,
        "timers": _shift_timers,
        "switching": lambda: sys.setswitchinterval(_SWITCH_INTERVAL_S),
    }
    for name in names:
        changes[name]()


def scatter_heap() -> None:
    """Have the next objects of every small size lie elsewhere, and in another order.

    A randomized layout moves whole pages and leaves the low bits of addresses alone, and those
    decide in what order a small set holds objects that are hashed by address. Does nothing where
    the heap is to be as it is. For the last moment: what else is allocated uses it up.
    """
    if not _heap_number:
        return
    stride = _HEAP_STRIDES[_heap_number % len(_HEAP_STRIDES)]
    for size_bytes in _HEAP_CLASSES_BYTES:
        blocks = [bytes(size_bytes - _BYTES_OBJECT_BYTES) for _ in range(_HEAP_BLOCKS)]
        _kept.append(blocks.pop())
        # Handed out again in the order in which they are freed here, the last one first.
        for first in range(stride):
            blocks[first::stride] = [b""] * len(blocks[first::stride])


def _arm_heap(number: int) -> None:
    global _heap_number
    _heap_number = number
    scatter_heap()


def _reverse_listings() -> None:
    """A directory's order is its file system's, and any order is as good."""
    listdir: Callable[..., list[Any]] = os.listdir
    scandir: Callable[..., Any] = os.scandir

    def reversed_listdir(path: Any = None) -> list[Any]:
        return listdir(path)[::-1]

    def reversed_scandir(path: Any = None) -> _Entries:
        with scandir(path) as entries:
            return _Entries(list(entries)[::-1])

    os.listdir = reversed_listdir
    os.scandir = reversed_scandir  # type: ignore[assignment]


class _Entries:
    """What ``os.scandir`` returns: an iterator and a context manager."""

    def __init__(self, entries: list[Any]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._entries)

    def close(self) -> None:
        self._entries = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _rename_host() -> None:
    """Another name, kernel, number of cores, load, and other disks and memory."""
    real = os.uname()
    other = type(real)((real.sysname, "elsewhere", "5.4.0-elsewhere", "#1", real.machine))
    os.uname = lambda: other
    import _socket
    import socket

    _socket.gethostname = socket.gethostname = lambda: other.nodename
    os.environ["USER"] = "somebody"
    platform: Any = sys.modules.get("platform")
    if platform is not None:
        platform._uname_cache = None
    _add_a_core()
    _add_to_counters()


def _add_a_core() -> None:
    cpu_count = (os.cpu_count() or 1) + 1
    affinity: Callable[[int], set[int]] = os.sched_getaffinity
    sysconf: Callable[[Any], int] = os.sysconf

    def cores_elsewhere(pid: int, /) -> set[int]:
        return affinity(pid) | {cpu_count - 1}

    def sysconf_elsewhere(name: Any, /) -> int:
        found = sysconf(name)
        if name in _CORES:
            return found + 1
        return found + _PAGES_ADDED if name in _MEMORY_PAGES else found

    os.cpu_count = lambda: cpu_count
    if hasattr(os, "process_cpu_count"):
        os.process_cpu_count = lambda: len(cores_elsewhere(0))
    os.sched_getaffinity = cores_elsewhere
    os.sysconf = sysconf_elsewhere


def _add_to_counters() -> None:
    """Of disks, the machine's load, and what this process has used."""
    getloadavg, getrusage, times = os.getloadavg, resource.getrusage, os.times

    def usage_elsewhere(who: int, /) -> Any:
        user_s, system_s, peak_kb, *rest = getrusage(who)
        moved = (user_s + _TIMER_ORIGIN_S, system_s + _TIMER_ORIGIN_S, peak_kb * 2 + 1)
        return resource.struct_rusage((*moved, *rest))

    def load_elsewhere() -> tuple[float, ...]:
        return tuple(load + 1.5 for load in getloadavg())

    for name in ("statvfs", "fstatvfs"):
        _enlarge_disks(name)
    os.getloadavg = load_elsewhere  # type: ignore[assignment]
    resource.getrusage = usage_elsewhere
    os.times = lambda: type(times())(tuple(value + _TIMER_ORIGIN_S for value in times()))


def _enlarge_disks(name: str) -> None:
    real: Callable[[Any], os.statvfs_result] = getattr(os, name)

    def larger(path: Any, /) -> os.statvfs_result:
        found = real(path)
        block, fragment, *counts = found[:8]
        return os.statvfs_result(
            (block, fragment, *(count + _BLOCKS_ADDED for count in counts), *found[8:]),
            {"f_fsid": found.f_fsid + 1},
        )

    setattr(os, name, larger)


def _shift_timers() -> None:
    """Timers for measuring start elsewhere, and time passes with every look at them.

    So nothing takes exactly as long as in the baseline, however coarse the machine's clocks are.
    What waits in C, such as sleep and locks, keeps to the real ones.
    """
    looks = itertools.count(1)
    for name in ("perf_counter", "process_time", "thread_time", "monotonic"):
        _shift_timer(name, looks)
    real_ns = time.clock_gettime_ns

    def clock_ns(clock: int, /) -> int:
        found_ns = real_ns(clock)
        return found_ns if clock in DATES else _shifted_ns(found_ns, looks)

    time.clock_gettime_ns = clock_ns
    time.clock_gettime = lambda clock, /: clock_ns(clock) / 1e9


def _shift_timer(name: str, looks: Iterator[int]) -> None:
    real_ns: Callable[[], int] = getattr(time, f"{name}_ns")

    def nanoseconds() -> int:
        return _shifted_ns(real_ns(), looks)

    def seconds() -> float:
        return nanoseconds() / 1e9

    setattr(time, f"{name}_ns", nanoseconds)
    setattr(time, name, seconds)


def _shifted_ns(found_ns: int, looks: Iterator[int]) -> int:
    return found_ns + _TIMER_ORIGIN_NS + next(looks) * _TIMER_STEP_NS
