"""What every engine must do, in one suite: statuses, limits, isolation, and leaving nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from harness.bench import Bench

from execbox.wire import Execution, Status
from execbox_service.sandboxes import selftest

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

BURN = "def main_solution():\n    while True: pass\n"
SLEEP = "import time\ndef main_solution(): time.sleep(60)\n"
HOLD = "def main_solution(size_mb): return len(bytearray(size_mb << 20)) >> 20\n"
WRITE = """
def main_solution(directory, size_mb):
    with open(directory + "/file", "wb", buffering=0) as file:
        for _ in range(size_mb * 4):
            if file.write(bytes(1 << 18)) < 1 << 18: return "short"
    return "written"
"""
FILES = """
def main_solution(count):
    for number in range(count):
        open(f"/tmp/{number}", "w").close()
    return count
"""
THREADS = """
import threading
def main_solution(count):
    done = threading.Event()
    for _ in range(count): threading.Thread(target=done.wait, daemon=True).start()
    return count
"""
DESCRIPTORS = "import os\ndef main_solution(count): return len([os.dup(0) for _ in range(count)])\n"
MIB = 2**20
PATIENT = {"cpu_time_s": 30, "wall_time_s": 60}
"""Where memory is what ends an execution: a guest takes 30 µs of CPU for a page of 4 KiB."""


@dataclass(frozen=True)
class Case:
    """A function, its arguments, and how its execution must end."""

    code: str
    status: Status
    arguments: tuple[Any, ...] = ()
    limits: dict[str, Any] = field(default_factory=dict)
    what: str | None = None
    """The limit reached, the signal, or the type of the error."""


def _what(ended: Execution) -> str | None:
    kind = ended.error.type if ended.error is not None else None
    return ended.limit or ended.signal or kind


CASES = {
    "ok": Case("def main_solution(x): return {'x': x}", Status.OK, (1,)),
    "exception": Case(
        "def main_solution(): return 1 / 0", Status.EXCEPTION, what="ZeroDivisionError"
    ),
    "exit": Case("def main_solution(): raise SystemExit(3)", Status.EXCEPTION, what="SystemExit"),
    "invalid-code": Case("def main_solution(:", Status.INVALID_CODE, what="SyntaxError"),
    "unserializable": Case(
        "def main_solution(): return {1}", Status.UNSERIALIZABLE, what="Unserializable"
    ),
    "no-result": Case("import os\ndef main_solution(): os._exit(0)", Status.NO_RESULT),
    "signal": Case(
        "import ctypes\ndef main_solution(): ctypes.string_at(1)", Status.NO_RESULT, what="SIGSEGV"
    ),
    "cpu-time": Case(
        BURN, Status.TIMEOUT, limits={"cpu_time_s": 0.3, "wall_time_s": 5}, what="cpu_time"
    ),
    "wall-time": Case(
        SLEEP, Status.TIMEOUT, limits={"cpu_time_s": 0.3, "wall_time_s": 0.5}, what="wall_time"
    ),
    "memory-under": Case(HOLD, Status.OK, (256,), {"memory_mb": 256} | PATIENT),
    "memory-over": Case(
        HOLD, Status.MEMORY_EXCEEDED, (512,), {"memory_mb": 256} | PATIENT, what="SIGKILL"
    ),
    "memory-raised": Case(HOLD, Status.OK, (900,), {"memory_mb": 1000} | PATIENT),
    "memory-file": Case(
        "import os\ndef main_solution():\n    for _ in range(10):\n"
        "        os.write(os.memfd_create('x'), bytes(60 << 20))",
        Status.MEMORY_EXCEEDED,
        limits={"memory_mb": 64} | PATIENT,
        what="SIGKILL",
    ),
    "output-under": Case(
        "def main_solution(): return 'x' * 98", Status.OK, limits={"output_bytes": 100}
    ),
    "output-over": Case(
        "def main_solution(): return 'x' * 99",
        Status.OUTPUT_TOO_LARGE,
        limits={"output_bytes": 100},
        what="OutputTooLarge",
    ),
    "tmp-under": Case(WRITE, Status.OK, ("/tmp", 60)),
    "tmp-over": Case(WRITE, Status.EXCEPTION, ("/tmp", 65), what="OSError"),
    "shm-over": Case(WRITE, Status.EXCEPTION, ("/dev/shm", 2), what="OSError"),
    "inodes-under": Case(FILES, Status.OK, (3500,)),
    "inodes-over": Case(FILES, Status.EXCEPTION, (5000,), what="OSError"),
    "threads-under": Case(THREADS, Status.OK, (100,)),
    "threads-over": Case(THREADS, Status.EXCEPTION, (140,), what="RuntimeError"),
    "descriptors-under": Case(DESCRIPTORS, Status.OK, (200,)),
    "descriptors-over": Case(DESCRIPTORS, Status.EXCEPTION, (300,), what="OSError"),
}


@pytest.mark.parametrize("isolation", ["container", "process"])
@pytest.mark.parametrize("name", CASES)
async def test_execution_ends_as_it_must_and_the_next_is_unharmed(
    any_bench: Bench, name: str, isolation: str
) -> None:
    """Every status and every limit, just under and just over; a canary is fine after each."""
    case = CASES[name]
    ended = await any_bench.call(
        case.code, *case.arguments, limits=case.limits, isolation=isolation
    )
    assert (ended.status, _what(ended)) == (case.status, case.what)
    canary = await any_bench.call("def main_solution(x): return x * 2", 21, isolation=isolation)
    assert canary.output == 42


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_streams_are_cut_at_their_limit_and_flagged(any_bench: Bench, stream: str) -> None:
    """What is printed beyond the limit is dropped, which is no status of its own."""
    code = f"import sys\ndef main_solution(): sys.{stream}.write('x' * 3_000_000)"
    ended = await any_bench.call(code, limits={"stdout_bytes": 1000}, isolation="process")
    assert ended.status is Status.OK
    assert getattr(ended, stream) == "x" * 1000
    assert getattr(ended.truncated, stream)


async def test_isolation_facts_hold_at_both_levels(any_bench: Bench) -> None:
    """What the service checks of its own sandbox at start holds for every later job, too."""
    for isolation in ("container", "process"):
        for _ in range(2):
            facts = await any_bench.call(selftest.PROBE, entry_point="probe", isolation=isolation)
            assert facts.status is Status.OK
            assert selftest.missing_in_job(facts.output) == []


SURROUNDINGS = """
import os, sys
PLACES = ("/", "/tmp", "/dev", "/dev/shm", "/usr", "/etc", "/proc", "/sys/fs/cgroup", "/execbox",
          "/usr/lib/execbox")
KERNEL = ("/proc/kcore", "/proc/keys", "/proc/timer_list")
def shown(path):
    try:
        with open(path, "rb") as file:
            return file.read(16) != b""
    except OSError:
        return False
def main_solution():
    with open("/proc/self/status") as file:
        own = dict(line.strip().split(":", 1) for line in file if ":" in line)
    return {
        "environment": sorted(os.environ),
        "bounding": own["CapBnd"].strip(),
        "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
        "host name": os.uname().nodename,
        "writable": sorted(path for path in PLACES if os.access(path, os.W_OK)),
        "devices": os.listdir("/dev"),
        "kernel": [path for path in KERNEL if shown(path)],
        "home": os.access("/root", os.R_OK),
        "path": [place for place in sys.path if "execbox" in place],
    }
"""


async def test_surroundings_show_nothing_of_the_machine_that_runs_the_service(
    any_bench: Bench,
) -> None:
    """Environment, processes, devices, writable places, kernel memory: only what is the job's."""
    ended = await any_bench.call(SURROUNDINGS)
    assert ended.status is Status.OK, ended.error
    seen = dict(ended.output)
    assert "EXECBOX_ENGINE" not in seen["environment"]
    assert int(seen["bounding"], 16) & ~0xE0 == 0
    assert seen["processes"][0] == 1
    assert len(seen["processes"]) <= 4
    assert seen["host name"] == "sandbox"
    assert seen["writable"] == ["/dev/shm", "/tmp"]
    assert {"null", "random", "shm", "urandom", "zero"} <= set(seen["devices"])
    assert not {"kvm", "sda", "vda", "mem", "kmsg", "vsock"} & set(seen["devices"])
    assert (seen["kernel"], seen["home"], seen["path"]) == ([], False, [])


NAMESPACES = """
import ctypes, os, platform
def main_solution():
    libc = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 56, "aarch64": 220}[platform.machine()]
    made = []
    for flag in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        pid = libc.syscall(number, flag | 17, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        if pid > 0:
            os.waitpid(pid, 0)
            made.append(hex(flag))
    return made
"""


@pytest.mark.parametrize("profile", ["default", "processes"])
async def test_namespaces_cannot_be_made_by_a_job(any_bench: Bench, profile: str) -> None:
    """Not even where processes are allowed: a user namespace would give it capabilities."""
    ended = await any_bench.call(NAMESPACES, profile=profile)
    assert (ended.status, ended.output) == (Status.OK, [])


async def test_processes_profile_runs_programs_and_ends_what_they_leave(any_bench: Bench) -> None:
    """Children may be started where that is allowed; one left behind is gone before the next."""
    code = """
import os, subprocess
def main_solution():
    subprocess.Popen(["/bin/sleep", "60"])
    return subprocess.run(["/bin/echo", "hi"], capture_output=True, text=True).stdout
def count():
    names = [open(f"/proc/{n}/comm").read() for n in os.listdir("/proc") if n.isdigit()]
    return names.count("sleep\\n")
"""
    response = await any_bench.request(
        code,
        [{"expression": "main_solution()"}, {"expression": "count()"}],
        profile="processes",
    )
    assert [ended.output for ended in response.executions] == ["hi\n", 0]


async def test_files_of_one_execution_are_gone_for_the_next(any_bench: Bench) -> None:
    """The same sandbox, another execution: nothing of the first is left, hidden or closed off."""
    code = """
import os
def main_solution():
    os.makedirs("/tmp/a/b/.c", mode=0o700)
    os.chmod("/tmp/a", 0)
    open("/dev/shm/x", "w").close()
def look():
    return os.listdir("/tmp") + os.listdir("/dev/shm")
"""
    response = await any_bench.request(
        code,
        [{"expression": "main_solution()"}, {"expression": "look()"}],
        isolation="process",
    )
    assert response.executions[1].output == []


async def test_determinism_is_checked_under_another_clock_and_hash_seed(any_bench: Bench) -> None:
    """What depends on the date or on hash order is found, and the cause is named.

    Without a C compiler bubblewrap has no other clock, says so, and certifies nothing about it.
    """
    checks = {"determinism": {"runs": 2}, "complexity": None}
    weaker = " ".join(any_bench.runtime.capabilities().weaker_than_docker)
    has_clock = "under a different clock" not in weaker
    for body, cause in (
        ("import datetime\ndef main_solution(): return datetime.date.today().isoformat()", "clock"),
        ("def main_solution(): return list({'a', 'b', 'c', 'd', 'e', 'f', 'g'})", "hash_seed"),
        ("def main_solution(): return sum(range(10))", None),
    ):
        response = await any_bench.request(body, [{"args": []}], checks=checks)
        (ended,) = response.executions
        assert ended.determinism is not None
        if cause == "clock" and not has_clock:
            assert response.certificate is not None
            assert "clock" not in response.certificate.variations
            continue
        assert (ended.determinism.deterministic, ended.determinism.cause) == (cause is None, cause)


async def test_at_once_requests_do_not_disturb_each_other(any_bench: Bench) -> None:
    """One takes all its memory, one all its time; the third at the same time is fine."""
    hungry, busy, canary = await asyncio.gather(
        any_bench.call(HOLD, 512, limits={"memory_mb": 256} | PATIENT, principal="a"),
        any_bench.call(BURN, limits={"cpu_time_s": 0.5}, principal="b"),
        any_bench.call("def main_solution(x): return x * 2", 21, principal="c"),
    )
    assert hungry.status is Status.MEMORY_EXCEEDED
    assert busy.limit == "cpu_time"
    assert canary.output == 42
