"""Making a job process look as it might on another machine, before user code runs.

The determinism check runs calls here and there and compares. This is the part of "there" that can
be changed inside one process; hash seed and date belong to the interpreter, cwd, zone and locale
to ``confine``. Nothing here protects anything: user code can undo it, and only fools itself.
"""

from __future__ import annotations

import itertools
import os
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
_TIMER_ORIGIN_NS = 7_919 * 10**9
_SWITCH_INTERVAL_S = 5e-6
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
    """Another name, kernel and number of cores."""
    real = os.uname()
    other = type(real)((real.sysname, "elsewhere", "5.4.0-elsewhere", "#1", real.machine))
    cpu_count = (os.cpu_count() or 1) + 1
    os.uname = lambda: other
    os.cpu_count = lambda: cpu_count
    import _socket
    import socket

    _socket.gethostname = socket.gethostname = lambda: other.nodename
    os.environ["USER"] = "somebody"
    platform: Any = sys.modules.get("platform")
    if platform is not None:
        platform._uname_cache = None


def _shift_timers() -> None:
    """Timers for measuring start elsewhere, and time passes with every look at them.

    So nothing takes exactly as long as in the baseline, however coarse the machine's clocks are.
    What waits in C, such as sleep and locks, keeps to the real ones.
    """
    looks = itertools.count(1)
    for name in ("perf_counter", "process_time", "thread_time", "monotonic"):
        _shift_timer(name, looks)


def _shift_timer(name: str, looks: Iterator[int]) -> None:
    real_ns: Callable[[], int] = getattr(time, f"{name}_ns")

    def nanoseconds() -> int:
        return real_ns() + _TIMER_ORIGIN_NS + next(looks) * _TIMER_STEP_NS

    def seconds() -> float:
        return nanoseconds() / 1e9

    setattr(time, f"{name}_ns", nanoseconds)
    setattr(time, name, seconds)
