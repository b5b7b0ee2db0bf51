"""The profile ``processes``: fork and exec work, and nothing that was started is left."""

from __future__ import annotations

import time

import pytest
from harness.bench import Bench, started_bench

from execbox.wire import Status
from execbox_service.failures import ServiceFailure
from tests.weakened import Edits, weakened

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

QUICK = {"cpu_time_s": 1.0, "wall_time_s": 2.0, "memory_mb": 128}


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ("pid = os.fork()\n    if pid == 0: os._exit(7)\n    return os.waitpid(pid, 0)[1] >> 8", 7),
        ("return subprocess.run(['echo', 'hi'], capture_output=True, text=True).stdout", "hi\n"),
        (("return subprocess.run([sys.executable, '-c', 'print(6 * 7)'], capture_output=True,"
         " text=True).stdout"), "42\n"),
        ("return subprocess.getoutput('echo $((2 + 3))')", "5"),
        (("with multiprocessing.get_context('fork').Pool(2) as pool:\n"
         "        return pool.map(abs, [-1, -2])"), [1, 2]),
        (("with concurrent.futures.ProcessPoolExecutor(2) as pool:\n"
         "        return list(pool.map(abs, [-3]))"), [3]),
    ],
)  # fmt: skip
async def test_processes_can_be_started_and_waited_for(
    bench: Bench, body: str, output: object
) -> None:
    """fork, exec, subprocess and multiprocessing work where the operator permits the profile."""
    code = (
        "import concurrent.futures, multiprocessing, os, subprocess, sys\n"
        f"def main_solution():\n    {body}\n"
    )
    ended = await bench.call(code, profile="processes")
    assert (ended.status, ended.output) == (Status.OK, output), ended.error


@pytest.mark.parametrize(
    "body",
    ["os.fork()", "os.execv('/bin/true', ['true'])", "os.posix_spawn('/bin/true', ['true'], {})",
     "subprocess.run(['true'])", "os.system('true') and 1 / 0", "os.forkpty()",
     "multiprocessing.Process(target=print).start()"],
)  # fmt: skip
async def test_processes_are_refused_in_the_default_profile(bench: Bench, body: str) -> None:
    """Without the profile there is one process, and the code is told so by an exception."""
    code = f"import multiprocessing, os, subprocess\ndef main_solution():\n    {body}\n"
    ended = await bench.call(code, isolation="process")
    assert ended.status is Status.EXCEPTION


@pytest.mark.parametrize(
    "body",
    [
        "socket.socket()",
        "socket.create_connection(('127.0.0.1', 1))",
        "socket.socket(socket.AF_UNIX)",
    ],
)
async def test_processes_profile_has_no_sockets_either(bench: Bench, body: str) -> None:
    """The profile permits processes and nothing else."""
    ended = await bench.call(
        f"import socket\ndef main_solution():\n    {body}", profile="processes"
    )
    assert ended.error is not None
    assert ended.error.type == "PermissionError"


BOMBS = {
    "bomb": "while True: os.fork()",
    "treadmill": "while True:\n        if os.fork(): os._exit(0)",
    "zombies": "for _ in range(10**5):\n        if os.fork() == 0: os._exit(0)",
    "sessions": "while True:\n        try:\n            if os.fork() == 0: os.setsid()\n"
    "        except OSError: pass",
    "deaf": "for s in range(1, 65):\n        try: signal.signal(s, signal.SIG_IGN)\n"
    "        except (OSError, ValueError): pass\n"
    "    while True:\n        try: os.fork()\n        except OSError: pass",
    "killers": "while True:\n        try:\n            if os.fork() == 0:\n"
    "                while True: os.kill(-1, signal.SIGSTOP)\n        except OSError: pass",
}


@pytest.mark.parametrize("kind", BOMBS)
async def test_processes_that_multiply_are_all_ended(bench: Bench, kind: str) -> None:
    """Fork bombs of every kind end as a verdict in time, and the same key goes on working."""
    code = f"import os, signal\ndef main_solution():\n    {BOMBS[kind]}\n"
    look = """
import os
def main_solution():
    uids = {os.stat("/proc/" + pid).st_uid for pid in os.listdir("/proc") if pid.isdigit()}
    return sorted(uids - {0, os.getuid()})
"""
    started_s = time.monotonic()
    ended = await bench.call(
        code, profile="processes", limits=QUICK, isolation="process", principal="bomber"
    )
    assert ended.status in (Status.EXCEPTION, Status.TIMEOUT, Status.NO_RESULT)
    assert time.monotonic() - started_s < 15
    after = await bench.call(look, isolation="process", principal="bomber")
    assert (after.status, after.output) == (Status.OK, [])


async def test_processes_in_the_background_end_with_their_execution() -> None:
    """A daemon that left its session neither holds up the answer nor lives on, nor costs more.

    With one slot all calls follow each other in one container, as long as it lasts."""
    code = """
import os, time
def main_solution():
    uids = {os.stat("/proc/" + pid).st_uid for pid in os.listdir("/proc") if pid.isdigit()}
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True: time.sleep(0.01)
        os._exit(0)
    os.wait()
    return [os.readlink("/proc/self/ns/pid"), sorted(uids - {0, os.getuid()})]
"""
    async with started_bench(slot_count="1", profiles_allowed="default,processes") as bench:
        started_s = time.monotonic()
        executions = await bench.calls(
            code, *([] for _ in range(10)), profile="processes", isolation="process", limits=QUICK
        )
        assert time.monotonic() - started_s < 10
    assert [execution.output[1] for execution in executions] == [[]] * 10
    assert len({execution.output[0] for execution in executions}) == 1


@pytest.mark.alone
async def test_processes_count_together_against_the_limits(bench: Bench) -> None:
    """CPU time is that of all of them, and so is memory."""
    spin = """
import os
def main_solution():
    pids = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            while True: pass
        pids.append(pid)
    for pid in pids: os.waitpid(pid, 0)
"""
    # Enough time to get a second of a busy machine's CPU.
    patient = QUICK | {"wall_time_s": 8}
    ended = await bench.call(spin, profile="processes", limits=patient)
    assert (ended.status, ended.limit) == (Status.TIMEOUT, "cpu_time")
    eat = """
import os
def main_solution():
    for _ in range(4):
        if os.fork() == 0:
            block = bytearray(100 * 2**20)
            os.wait() if False else __import__("time").sleep(5)
            os._exit(0)
    os.wait()
    return 1
"""
    ended = await bench.call(eat, profile="processes", limits=QUICK)
    assert ended.status is Status.MEMORY_EXCEEDED


async def test_processes_that_outlive_the_leader_cannot_speak_for_it(bench: Bench) -> None:
    """A child that writes to the result pipe after its parent spoils the result, not more."""
    code = """
import os, time
def main_solution():
    if os.fork() == 0:
        for _ in range(200):
            os.write(3, b"forged"); time.sleep(0.001)
        os._exit(0)
    return 1
"""
    ended = await bench.call(code, profile="processes", limits=QUICK)
    assert ended.status in (Status.OK, Status.NO_RESULT)
    assert ended.output in (1, None)


ESCAPES = {
    "two forks and a new session": "if os.fork() == 0:\n        os.setsid()\n"
    "        if os.fork() == 0: stay()\n        os._exit(0)",
    "a group of its own for each": "for _ in range(20):\n        if os.fork() == 0:\n"
    "            os.setpgid(0, 0); stay()",
    "every signal ignored": "if os.fork() == 0:\n        for number in range(1, 65):\n"
    "            try: signal.signal(number, signal.SIG_IGN)\n"
    "            except (OSError, ValueError): pass\n        stay()",
    "stopped": "if os.fork() == 0:\n        os.kill(os.getpid(), signal.SIGSTOP)\n        stay()",
    "many that ended and nobody waited for": "for _ in range(60):\n"
    "        if os.fork() == 0: os._exit(0)",
    "zombies of one that stays": "if os.fork() == 0:\n        for _ in range(40):\n"
    "            if os.fork() == 0: os._exit(0)\n        stay()",
    "another program": "if os.fork() == 0: os.execv('/bin/sleep', ['sleep', '600'])",
    # On a stack of its own, in libc alone: two that ran Python on the same heap would crash.
    "sharing memory with its maker": "stack = ctypes.create_string_buffer(2**16)\n"
    "    top, asleep = ctypes.addressof(stack) + 2**16, ctypes.cast(libc.pause, ctypes.c_void_p)\n"
    "    libc.clone(asleep, ctypes.c_void_p(top), 0x100 | 17, None)",
    "without a signal at its end": "if libc.syscall(56, 0, 0, 0, 0, 0) == 0: stay()",
    "a child of the zygote's": "if libc.syscall(56, 0x8000 | 17, 0, 0, 0, 0) == 0: stay()",
    "one that holds the pipes": "if os.fork() == 0:\n        for fd in (1, 2, 3): os.dup(fd)\n"
    "        stay()",
    "one that forks on, and on": "if os.fork() == 0:\n        while True:\n"
    "            if os.fork(): os._exit(0)",
}
_ESCAPE = """
import ctypes, os, signal, time
libc = ctypes.CDLL(None, use_errno=True)
def stay():
    while True: time.sleep(1)
def left():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/status") as file: fields = dict(line.split(":", 1) for line in file)
        except OSError: continue
        uid = int(fields["Uid"].split()[0])
        if uid not in (0, os.getuid()) or fields["State"].strip()[0] in "ZXT": found.append(fields["Name"])
    return found
def main_solution(plants):
    with open("/proc/1/stat") as file: born = file.read().rpartition(") ")[2].split()[19]
    here, found = [os.readlink("/proc/self/ns/pid"), born], left()
    if plants: BODY
    return [here, found]
"""  # noqa: E501 - a program as it is


@pytest.mark.parametrize("how", ESCAPES)
async def test_processes_that_try_to_stay_are_gone_and_the_container_serves_on(
    bench: Bench, how: str
) -> None:
    """Seen from the next execution in the same container: no process, no zombie, no replacement."""
    code = _ESCAPE.replace(
        "if plants: BODY", f"if not plants: return [here, found]\n    {ESCAPES[how]}"
    )
    ended = [
        await bench.call(
            code, plants, profile="processes", isolation="process", principal=f"stays {how}"
        )
        for plants in (True, False)
    ]
    assert [each.status for each in ended] == [Status.OK, Status.OK], ended
    (first, _), (second, found) = (each.output for each in ended)
    assert found == []
    assert first == second


async def test_child_of_the_zygote_would_hold_a_container_up() -> None:
    """Where CLONE_PARENT is let through, the zygote is left with a child it does not know of."""
    edits: Edits = {
        "syscall_filter.py": (("*_if_any_bit(0, _CLONE_PARENT, _DENY), *own_table", "*own_table"),),
        "supervisor.py": (("_FAMILY_DEADLINE_S = 10.0", "_FAMILY_DEADLINE_S = 0.2"),),
    }  # fmt: skip
    code = """
import ctypes, os
def main_solution():
    if ctypes.CDLL(None).syscall(56, 0x8000 | 17, 0, 0, 0, 0) == 0: os._exit(0)
"""
    async with weakened(edits=edits) as sandboxes:
        with pytest.raises(ServiceFailure):
            await sandboxes.call(code, profile="processes")
