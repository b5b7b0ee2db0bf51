"""Holding one source of change still in a job process, before user code runs.

Used for two things: an input generator draws from a seed, so that the same request gives the same
inputs, and the determinism check finds what a function depends on by holding one source still
at a time. Nothing here protects anything: user code can undo it.
"""

from __future__ import annotations

import _thread
import builtins
import itertools
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from . import elsewhere

_STANDING_PID = 4242
_HIDDEN_FIELDS = (
    *("st_atime", "st_mtime", "st_ctime", "st_atime_ns", "st_mtime_ns", "st_ctime_ns"),
    *("st_blksize", "st_blocks", "st_rdev"),
)
"""Of a ``stat_result``: what is not among its ten items, or more exact there."""


def freeze(names: list[str], *, entropy_seed: int | None) -> None:
    """Hold still what is named: ``timers`` and ``process``; and entropy, if a seed is given."""
    if entropy_seed is not None:
        _freeze_entropy(entropy_seed)
    if "timers" in names:
        _freeze_timers()
    if "process" in names:
        _freeze_process()


def _freeze_entropy(seed: int) -> None:
    """Whatever in Python asks the kernel for random bytes gets them from one seeded stream."""
    stream = random.Random(seed)  # noqa: S311 - it is to be predictable

    def seeded_bytes(size: int) -> bytes:
        return stream.randbytes(size)

    def seeded_getrandom(size: int, flags: int = 0) -> bytes:  # noqa: ARG001 - os.getrandom's own
        return stream.randbytes(size)

    original_seed: Callable[..., None] = random.Random.seed

    def seed_from_stream(self: random.Random, a: Any = None, version: int = 2) -> None:
        original_seed(self, stream.getrandbits(64) if a is None else a, version)

    os.urandom = seeded_bytes
    os.getrandom = seeded_getrandom
    random._urandom = seeded_bytes  # type: ignore[attr-defined]
    random.Random.seed = seed_from_stream  # type: ignore[method-assign]
    random.seed = random._inst.seed
    random.seed(seed)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(seed % 2**32)
    uuid: Any = sys.modules.get("uuid")
    if uuid is not None:
        uuid._generate_time_safe = None
        uuid._node = 0x0123456789AB


def _freeze_timers() -> None:
    """Timers for measuring stand still but for a step a call, so that loops over them end."""
    ticks = itertools.count(1)

    def seconds() -> float:
        return next(ticks) * 1e-6

    def nanoseconds() -> int:
        return next(ticks) * 1000

    for name in ("perf_counter", "process_time", "thread_time", "monotonic"):
        setattr(time, name, seconds)
        setattr(time, f"{name}_ns", nanoseconds)
    real_ns = time.clock_gettime_ns

    def clock_ns(clock: int, /) -> int:
        return real_ns(clock) if clock in elsewhere.DATES else nanoseconds()

    time.clock_gettime_ns = clock_ns
    time.clock_gettime = lambda clock, /: clock_ns(clock) / 1e9


def _freeze_process() -> None:
    os.getpid = lambda: _STANDING_PID
    os.getppid = lambda: 1
    os.getuid = os.geteuid = os.getgid = os.getegid = lambda: _STANDING_PID
    # Where ``threading`` takes it from, if user code has it imported later. Imported here it would
    # cost every fork its hook, 0.3 ms (measured), whether the job has threads or not.
    _thread.get_native_id = lambda: _STANDING_PID
    threading = sys.modules.get("threading")
    if threading is not None:
        threading.get_native_id = _thread.get_native_id  # type: ignore[attr-defined]
    builtins.id = _standing_ids()
    for name in ("stat", "lstat", "fstat"):
        _number_files_alike(name)


def _number_files_alike(name: str) -> None:
    real: Callable[..., os.stat_result] = getattr(os, name)

    def numbered_alike(*arguments: Any, **options: Any) -> os.stat_result:
        found = real(*arguments, **options)
        hidden = {field: getattr(found, field) for field in _HIDDEN_FIELDS}
        return os.stat_result((found.st_mode, _STANDING_PID, 1, *found[3:]), hidden)

    setattr(os, name, numbered_alike)


def _standing_ids() -> Callable[[object], int]:
    """id() by order of asking instead of by address; what was asked about is kept alive."""
    known: dict[int, tuple[int, object]] = {}
    real_id = id

    def standing_id(value: object, /) -> int:
        number, _kept = known.setdefault(real_id(value), (len(known) + 1, value))
        return number * 16

    return standing_id
