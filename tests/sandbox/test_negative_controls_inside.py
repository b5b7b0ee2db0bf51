"""Negative controls of what happens inside a container and to what leaves it.

As in ``test_negative_controls``: a protection is taken away, and what it kept from happening does.
Those that do not touch each other share a sandbox, because each costs about a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from harness.bench import Bench, eventually
from harness.docker_daemon import docker_client
from harness.host_view import HostView, processes_by_namespace

from execbox.wire import Status
from execbox_service import runner_frames
from execbox_service.failures import ServiceFailure
from execbox_service.runner_frames import JobReport, Result, SupervisorFrame, parse_report
from execbox_service.sandboxes.driver import SandboxDriver
from execbox_service.sandboxes.pool import Lease
from tests.sandbox.protections import NO_DEADLINE, NO_FILTER, NO_SECCOMP, NOT_CLEANED
from tests.sandbox.test_negative_controls import OURS
from tests.weakened import Edits, Weakened, weakened

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

# What a job does last and first: none of these steps has to do with another.

STEPS_LEFT_OUT: Edits = {
    "confine.py": (
        ("        _setsid()\n", ""),
        ('        _write(score_fd, b"1000")\n', ""),
        ('            _modules["numpy.random"].seed()\n', "            pass\n"),
        ("resource.setrlimit(resource.RLIMIT_FSIZE, (_TMP_BYTES, _TMP_BYTES))", "pass"),
        ("    os.umask(0o022)\n", "    os.umask(0o077)\n"),
    ),
    "job.py": (
        ("    _os_exit(0)\n", "    import atexit\n    atexit._run_exitfuncs()\n    _os_exit(0)\n"),
    ),
}
STEPS = {
    "a session of its own": "import os\ndef main_solution(): return os.getsid(0) == os.getpid()",
    "first to go when memory is short": "def main_solution():\n"
    "    with open('/proc/self/oom_score_adj') as file: return file.read() == '1000\\n'",
    "a bound on the size of files": "import resource\ndef main_solution():\n"
    "    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] == 2**26",
    "the usual umask": "import os\ndef main_solution(): return os.umask(0) == 0o022",
}
LAST_WORD = """
import atexit, os
def main_solution():
    atexit.register(os.write, 3, b"more")
    return 1
"""
# pandas loads numpy.random while it is imported, in the zygote; numpy itself only when it is used.
DRAW = "import numpy, pandas\ndef main_solution(n): return numpy.random.random()"


async def kept(sandboxes: Bench | Weakened) -> dict[str, bool]:
    """Which of the steps of a job process hold."""
    found = {
        name: (await sandboxes.call(code, isolation="process")).output is True
        for name, code in STEPS.items()
    }
    last = await sandboxes.call(LAST_WORD, isolation="process")
    found["no exit handler after the frame"] = (last.status, last.output) == (Status.OK, 1)
    drawn = [
        each.output for each in await sandboxes.calls(DRAW, *([n] for n in range(3)),
                                                      isolation="process")
    ]  # fmt: skip
    found["entropy of its own for numpy"] = len(set(drawn)) == 3
    return found


async def test_steps_of_a_job_process_hold(bench: Bench) -> None:
    """Session, OOM score, file size, umask, `_exit` and reseeding are as they should be."""
    assert [name for name, holds in (await kept(bench)).items() if not holds] == []


async def test_steps_of_a_job_process_are_missed_where_left_out() -> None:
    """Each of them shows when it is left out."""
    async with weakened(edits=STEPS_LEFT_OUT) as sandboxes:
        assert [name for name, holds in (await kept(sandboxes)).items() if holds] == []


# Options of a container that the self-test cannot see the effect of, by what a job can do.

OPTIONS_LEFT_OUT: dict[str, Any] = {
    "IpcMode": "host",
    "Ulimits": [{"Name": "nofile", "Soft": 256, "Hard": 256}],
    "MemorySwap": -1,
    "LogConfig": {"Type": "json-file", "Config": {}},
    "Tmpfs": {"/tmp": "rw,exec,mode=1777,size=64m,nr_inodes=4096"},
}
ABILITIES = """
import ctypes, mmap, os, resource, signal
libc = ctypes.CDLL(None, use_errno=True)
def locked():
    block = mmap.mmap(-1, 4096)
    return libc.mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(block))), 4096) == 0
def queued():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
    return all(libc.sigqueue(os.getpid(), int(signal.SIGRTMIN), None) == 0 for _ in range(300))
def swaps():
    for path in ("memory/memory.memsw.limit_in_bytes", "memory.swap.max"):
        if os.path.exists("/sys/fs/cgroup/" + path):
            with open("/sys/fs/cgroup/" + path) as file: text = file.read().strip()
            with open("/sys/fs/cgroup/memory/memory.limit_in_bytes" if "memsw" in path else os.devnull) as file:
                return text not in ("0", file.read().strip())
    return None
def runs():
    with open("/tmp/x", "wb") as file: file.write(bytes(4096))
    with open("/tmp/x", "rb") as file:
        try: mmap.mmap(file.fileno(), 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
        except OSError: return False
    return True
def main_solution():
    shm = os.statvfs("/dev/shm")
    return {
        "locks memory": locked(), "queues signals without end": queued(), "swaps": swaps(),
        "runs what it wrote": runs(), "has queues": resource.getrlimit(12)[0] != 0,
        "shares memory with the machine": shm.f_blocks * shm.f_frsize != 2**20,
    }
"""  # noqa: E501 - a program as it is


async def abilities(sandboxes: Bench | Weakened) -> dict[str, bool]:
    """What a job can do, as far as this kernel has the means to tell."""
    ended = await sandboxes.call(ABILITIES)
    assert ended.status is Status.OK, ended
    return {name: able for name, able in ended.output.items() if able is not None}


async def test_container_gives_a_job_none_of_these_abilities(bench: Bench) -> None:
    """Locked memory, endless signals, swap, programs of its own, the machine's shared memory."""
    assert [name for name, able in (await abilities(bench)).items() if able] == []


async def test_container_without_its_options_gives_a_job_all_of_them() -> None:
    """ulimits, memory = memory + swap, `noexec` and a private IPC namespace all matter."""
    async with weakened(options=OPTIONS_LEFT_OUT) as sandboxes:
        able = await abilities(sandboxes)
        assert [name for name in able if not able[name]] == []
        await eventually(lambda: sandboxes.backend.pool.warm_count > 0)
        names = [sandbox.name for sandbox, *_rest in sandboxes.backend.pool._warm]
        assert "" not in await asyncio.to_thread(logs_of, names)


async def test_log_of_a_container_keeps_nothing(bench: Bench) -> None:
    """With no log, what a job gave is nowhere on the machine's disk."""
    assert (await bench.call("def main_solution(): return 1", isolation="process")).output == 1
    names = [found["Id"] for found in bench.containers()]
    assert await asyncio.to_thread(logs_of, names) == {""}


def logs_of(names: list[str]) -> set[str]:
    """Where the daemon keeps what containers say, empty where it does not."""
    with docker_client() as client:
        return {client.inspect_container(name)["LogPath"] for name in names}


async def test_nothing_runs_where_new_privileges_are_not_given_up() -> None:
    """Without `no_new_privs` the kernel takes no filter from a job, and so no job begins."""
    edits: Edits = {"confine.py": (("prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0", "False"),)}
    async with weakened(options={"SecurityOpt": [OURS]}, edits=edits) as sandboxes:
        with pytest.raises(ServiceFailure) as failure:
            await sandboxes.call("def main_solution(): return 1")
    assert failure.value.retryable


# Files of another: the user id, used once, is what keeps them closed while they are still there.

LEFT_BEHIND = """
import os
def main_solution(plants):
    if plants:
        os.close(os.open("/tmp/private", os.O_WRONLY | os.O_CREAT, 0o600))
        return "left"
    try: return open("/tmp/private").read() == ""
    except PermissionError: return "closed"
"""


@pytest.mark.parametrize(("once", "found"), [(True, "closed"), (False, True)])
async def test_user_id_used_twice_opens_what_the_first_has_left(once: bool, found: object) -> None:
    """Where nobody cleans, a private file stays private only if its owner's id never comes back."""
    edits: dict[str, tuple[tuple[str, str], ...]] = dict(NOT_CLEANED)
    if not once:
        edits["user_ids.py"] = (("        self.used_count += 1\n", ""),)
    async with weakened(edits=edits) as sandboxes:
        executions = await sandboxes.calls(LEFT_BEHIND, [True], [False])
    assert [execution.output for execution in executions] == ["left", found]


# Measuring and judging.


async def test_memory_verdict_needs_the_kernels_own_count() -> None:
    """Without the OOM counter a job that took all the memory merely ended by a signal."""
    edits: Edits = {
        "meters.py": (('(files.oom, ("oom_kill",))', '(files.oom, ("no such counter",))'),)
    }
    code = "def main_solution(): return len(bytearray(2**30))"
    async with weakened(edits=edits) as sandboxes:
        ended = await sandboxes.call(code, limits={"memory_mb": 64})
    assert ended.status is not Status.MEMORY_EXCEEDED


async def test_cpu_time_counts_because_it_is_read_from_outside() -> None:
    """With no clock of the job's, only the kernel's own backstop of whole seconds is left."""
    reading = "            return meters.process_cpu_ns(self._pid)\n"
    edits: Edits = {"execution.py": ((reading, "            return 0\n"),)}
    code = "def main_solution():\n    while True: pass"
    limits = {"cpu_time_s": 0.05, "wall_time_s": 10}
    async with weakened(edits=edits) as sandboxes:
        ended = await sandboxes.call(code, limits=limits)
    assert ended.signal == "SIGXCPU"
    assert ended.usage is not None
    assert ended.usage.cpu_time_s > 1


async def test_second_deadline_is_what_ends_the_wait() -> None:
    """With both deadlines gone, the call is still waited for when everything else has given up."""
    code = "import time\ndef main_solution(): time.sleep(60)\n"
    async with weakened(edits=NO_DEADLINE, answer_grace_s=60) as sandboxes:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await sandboxes.call(code, limits={"wall_time_s": 0.1})


UNCAPPED: Edits = {"execution.py": (("room = self.keep_bytes - len(self.data)", "room = 1 << 40"),)}
PRINTS = "def main_solution(): print('x' * 100_000)"


async def test_output_that_the_supervisor_lets_through_stops_at_the_service() -> None:
    """A supervisor that caps nothing is taken for a liar: a failure of ours, and no output."""
    async with weakened(edits=UNCAPPED) as sandboxes:
        with pytest.raises(ServiceFailure):
            await sandboxes.call(PRINTS, limits={"stdout_bytes": 1000})


async def test_output_that_nobody_counts_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the service's own count as well, all of it arrives, and only the answer is cut."""
    arrived_bytes: list[int] = []

    async def trusting(_driver: SandboxDriver, lease: Lease, _run: object) -> SupervisorFrame:
        answer = await lease.sandbox.receive(60)
        assert isinstance(answer, Result)
        arrived_bytes.append(len(answer.stdout))
        return answer

    monkeypatch.setattr(SandboxDriver, "_receive", trusting)
    async with weakened(edits=UNCAPPED) as sandboxes:
        ended = await sandboxes.call(PRINTS, limits={"stdout_bytes": 1000})
    assert arrived_bytes == [100_001]
    assert (ended.status, len(ended.stdout)) == (Status.OK, 1000)


NO_DEATH_SIGNAL: Edits = {
    "confine.py": (("prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0) != 0", "False"),)
}


@pytest.mark.parametrize(("edits", "stays"), [(None, False), (NO_DEATH_SIGNAL, True)])
async def test_job_ends_with_its_zygote_even_where_the_supervisor_stands_still(
    edits: Edits | None, stays: bool
) -> None:
    """The kernel ends it, by the death signal; without that it would run on."""
    code = "def main_solution():\n    while True: pass"
    async with weakened(edits=edits) as sandboxes:
        calling = asyncio.create_task(sandboxes.call(code, limits={"cpu_time_s": 20}))
        try:
            instance = sandboxes.instance
            await eventually(lambda: family_of_the_one_that_runs(instance) is not None)
            found = await asyncio.to_thread(family_of_the_one_that_runs, instance)
            assert found is not None
            init, zygote, job = found
            os.kill(init, signal.SIGSTOP)
            os.kill(zygote, signal.SIGKILL)
            await asyncio.sleep(0.5)
            assert runs(job) is stays
            os.kill(init, signal.SIGKILL)
        finally:
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)


_RUNS_CPU_S = 0.5


def family_of_the_one_that_runs(instance: str) -> tuple[int, int, int] | None:
    """Init, zygote and job process of a container in which there is a job, by the host's ids. What
    a container rehearses at its start is over before it has used so much CPU time."""
    with contextlib.closing(HostView(instance)) as view:
        inits = [each.init_pid for each in view.look() if each.job_process_count]
    members = processes_by_namespace()
    for init in inits:
        for pid in members[os.readlink(f"/proc/{init}/ns/pid")]:
            if status_of(pid, "Uid") != "0" and cpu_time_s(pid) >= _RUNS_CPU_S:
                return init, int(status_of(pid, "PPid")), pid
    return None


def cpu_time_s(pid: int) -> float:
    """What a process has used; proc(5), ``/proc/PID/stat``."""
    # Behind the name, which may hold anything: user and system time are the 12th and 13th.
    numbers = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def status_of(pid: int, key: str) -> str:
    """The first word of a line of ``/proc/PID/status``; proc(5)."""
    text = Path(f"/proc/{pid}/status").read_text("utf-8", errors="replace")
    (line,) = (line for line in text.splitlines() if line.startswith(f"{key}:"))
    return line.split()[1]


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return status_of(pid, "State") not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_frame_with_more_behind_it_would_count_if_it_were_not_counted_through(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that stops at the first frame's end believes one that a job wrote by itself."""

    def careless(frame: bytes) -> JobReport | None:
        for end in range(8, len(frame) + 1):
            report = parse_report(frame[:end])
            if report is not None:
                return report
        return None

    code = """
import json, os, struct
def main_solution():
    text = json.dumps({"status": "ok", "flags": [], "error": None, "violations": None,
                       "output_bytes": 3}).encode()
    os.write(3, struct.pack("!4sI", b"xbx1", len(text)) + text + b"666")
    return 1
"""
    assert (await bench.call(code, isolation="process")).status is Status.NO_RESULT
    monkeypatch.setattr(runner_frames, "parse_report", careless)
    forged = await bench.call(code, isolation="process")
    assert (forged.status, forged.output) == (Status.OK, 666)


async def test_calls_of_another_architecture_pass_without_filters() -> None:
    """Numbers of the 32-bit interface mean other calls: without a filter they are made."""
    code = """
import ctypes, mmap, os
def main_solution():
    # mov eax, 20 (getpid); int 0x80; ret
    code = mmap.mmap(-1, 4096, prot=7)
    code.write(bytes.fromhex("b814000000cd80c3"))
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)() == os.getpid()
"""
    async with weakened(options=NO_SECCOMP, edits=NO_FILTER) as sandboxes:
        ended = await sandboxes.call(code)
    if ended.signal == "SIGSEGV":
        pytest.skip("this kernel has no 32-bit interface")
    assert ended.output is True
