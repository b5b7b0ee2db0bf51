"""What the supervisor reads of processes and control groups, on processes of our own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from execbox_runner import execution, meters


def started(code: str) -> subprocess.Popen[bytes]:
    """A Python process of ours that says when it has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"print(flush=True)\n{code}"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.fixture
def spinner() -> Iterator[int]:
    """A process that uses a core."""
    with started("while True: pass") as process:
        yield process.pid
        process.kill()


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process that waits."""
    with started("import time; time.sleep(60)") as process:
        time.sleep(0.05)
        yield process.pid
        process.kill()


def within(condition: Callable[[], bool], *, limit_s: float = 5) -> bool:
    """Whether something holds soon."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.005)
    return True


def test_cpu_time_of_another_process_grows_while_it_runs(spinner: int) -> None:
    """The clock is the process's own, read from outside."""
    before_ns = meters.process_cpu_ns(spinner)
    assert within(lambda: meters.process_cpu_ns(spinner) > before_ns + 10_000_000)


def test_process_that_runs_is_ready_and_has_not_ended(spinner: int) -> None:
    """Running or waiting for a core is one state, and the kernel's letter for it is R."""
    assert meters.is_ready_to_run(spinner)
    assert not meters.has_ended(spinner)


def test_process_that_sleeps_is_not_ready_and_has_not_ended(sleeper: int) -> None:
    """Asleep is neither."""
    assert not meters.is_ready_to_run(sleeper)
    assert not meters.has_ended(sleeper)
    assert meters.process_cpu_ns(sleeper) > 0


def test_process_that_nobody_has_reaped_has_ended() -> None:
    """A zombie only waits to be reaped, and one that was reaped is gone."""
    process = started("")
    assert within(lambda: meters.has_ended(process.pid))
    process.communicate()
    assert meters.has_ended(process.pid)
    assert not meters.is_ready_to_run(process.pid)
    assert meters.process_cpu_ns(process.pid) == 0
    assert meters.run_queue_delay_ns(process.pid) == 0


def test_process_whose_main_thread_is_gone_goes_on() -> None:
    """The first thread of a process may end before the others: that is no end."""
    code = (
        "import ctypes, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "ctypes.CDLL(None).syscall(60, 0)\n"
    )
    with started(code) as process:
        time.sleep(0.2)
        assert not meters.has_ended(process.pid)
        process.send_signal(signal.SIGKILL)


def test_command_name_with_parentheses_does_not_hide_the_state() -> None:
    """A process may call itself anything, also something that looks like a state."""
    code = "open('/proc/self/comm', 'w').write('a) Z (b) Z')\nwhile True: pass"
    with started(code) as process:
        time.sleep(0.05)
        assert meters.is_ready_to_run(process.pid)
        process.kill()


def test_descriptor_of_a_process_that_is_gone_is_none() -> None:
    """A job may end, and be reaped, before the supervisor has asked for it."""
    process = started("")
    process.communicate()
    assert execution._open_process(process.pid) == -1
    own = execution._open_process(os.getpid())
    assert own >= 0
    os.close(own)


def test_counters_are_read_from_files_of_names_and_values(tmp_path: Path) -> None:
    """A counter that the kernel does not have reads as 0, a limit that is none as -1."""
    table = tmp_path / "memory.stat"
    table.write_text("anon 5\nshmem 7\noom_kill 2\n")
    assert meters.read_field(str(table), "shmem") == 7
    assert meters.read_field(str(table), "swap") == 0
    (tmp_path / "max").write_text("max\n")
    assert meters.read_number(str(tmp_path / "max")) == -1
