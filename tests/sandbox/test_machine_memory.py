"""Whose want of memory ended a zygote under way, as the supervisor tells it; on plain files."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from execbox_runner import execution, zygote_link
from execbox_runner.protocol import receive_bytes
from tests.sandbox.test_meters import V2, cgroup_of

ALLOWANCE = execution.Allowance(
    cpu_time_ns=10**9, wall_time_ns=10**9, output_bytes=100, stdout_bytes=100, cpu_count=1.0
)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ("oom 0\noom_kill 1\n", execution.MachineOutOfMemory),
        ("oom 1\noom_kill 1\n", zygote_link.ZygoteLost),
        ("oom 0\noom_kill 0\n", zygote_link.ZygoteLost),
    ],
    ids=["the machine's", "its own", "none"],
)
def test_zygote_ended_for_want_of_memory_is_told_by_whose_it_was(
    tmp_path: Path, events: str, expected: type[Exception]
) -> None:
    """The machine's is our failure; the container's own is left to the engine's evidence."""
    cgroup = cgroup_of(tmp_path, V2 | {"memory.events": "oom 0\noom_kill 0\n"})
    ours, zygotes = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def end_zygote() -> None:
        _request, fds = receive_bytes(zygotes)
        for fd in fds:
            os.close(fd)
        (tmp_path / "memory.events").write_text(events)
        zygotes.close()

    thread = threading.Thread(target=end_zygote)
    thread.start()
    with ours, (tmp_path / "payload").open("w+") as payload:
        run = execution.Execution(ours, cgroup, allowance=ALLOWANCE)
        fd = payload.fileno()
        with pytest.raises(expected):
            run.run(zygote_link.Terms(1, 1.0, "default"), execution.Inputs(fd, fd), service_fd=fd)
        run.close()
    thread.join()
