"""Time stamps between the steps of an execution: this file's text is run in a container by itself.

Uses the image's own runner, with stamps put between its steps from outside, in memory that the job
process shares with the supervisor. Reads a count on standard input and answers with one JSON
object: for each stage the median of its milliseconds.
"""

from __future__ import annotations

import json
import mmap
import os
import statistics
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

_LIBRARY = "/usr/lib/execbox"
_CODE = "def main_solution(n):\n    return n * 2\n"
_STAGES = (
    *("asked", "forked", "descriptors closed", "session and limits", "identity dropped"),
    *("filter on", "compiled", "called", "serialised", "written", "reaped", "answered"),
)
_SHARED = mmap.mmap(-1, mmap.PAGESIZE)


def _stamp(stage: str) -> None:
    struct.pack_into("q", _SHARED, 8 * _STAGES.index(stage), time.monotonic_ns())


def _stamped(owner: Any, name: str, *, before: str = "", after: str = "") -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def with_stamps(*args: Any, **kwargs: Any) -> Any:
        if before:
            _stamp(before)
        found = original(*args, **kwargs)
        if after:
            _stamp(after)
        return found

    setattr(owner, name, with_stamps)


def _watch_steps() -> None:
    from execbox_runner import confine, execution, job, report, values

    _stamped(job, "_read_whole", before="forked")
    _stamped(confine, "_setsid", before="descriptors closed")
    _stamped(confine, "_setgroups", before="session and limits")
    _stamped(confine, "_setresuid", after="identity dropped")
    _stamped(confine.Confinement, "enter", after="filter on")
    _stamped(job, "_load", after="compiled")
    _stamped(values, "encode", before="called", after="serialised")
    _stamped(report, "send", after="written")
    _stamped(execution.Execution, "close", before="reaped")


def main() -> None:
    """Run the trivial function as the supervisor does, and say where the time went."""
    sys.path.insert(0, _LIBRARY)
    from execbox_runner import supervisor, zygote

    count = json.load(sys.stdin)
    zygote.prepare()
    _watch_steps()
    unread, _kept_open = os.pipe()
    one = supervisor.Supervisor(unread, os.open(os.devnull, os.O_WRONLY), library_path=_LIBRARY)
    function = {
        "code": _CODE,
        "entry_point": "main_solution",
        "prelude": "none",
        "convert": "none",
        "output_bytes": 2**20,
        "complexity": None,
    }
    job = {"packages": [], "profile": "default", "runner_bytes": 2**30}
    allowance = {
        "cpu_time_ns": 5 * 10**9,
        "wall_time_ns": 10**10,
        "output_bytes": 2**20,
        "stdout_bytes": 2**16,
        "cpu_count": 1.0,
    }
    one._start_job(job, json.dumps(function).encode())
    stamps = []
    for number in range(count):
        _stamp("asked")
        if not one._execute({"seq": number, "allowance": allowance}, b'{"args":[21]}'):
            raise SystemExit("the container is not as it was")
        _stamp("answered")
        stamps.append(struct.unpack_from(f"{len(_STAGES)}q", _SHARED))
    spans = {
        after: statistics.median(row[index + 1] - row[index] for row in stamps) / 1e6
        for index, after in enumerate(_STAGES[1:])
    }
    print(json.dumps(spans))


if __name__ == "__main__":
    main()
