"""What one execution can leave for another: nothing, in the same container or beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from harness.bench import Bench, eventually, started_bench

from execbox.wire import Status
from tests.weakened import Edits, weakened

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

# Namespace numbers come back, so the moment PID 1 was started goes with them.
CONTAINER = """
import os
def main_solution(*args):
    with open("/proc/1/stat") as file:
        return [os.readlink("/proc/self/ns/pid"), file.read().rpartition(") ")[2].split()[19]]
"""

# Says what it finds of an earlier run of itself, then plants everything it looks for.
PLANTER = """
import builtins, decimal, gc, json, locale, math, os, random, resource, signal, sys, time
import warnings
counter = globals().get("counter", 0)
def main_solution(name):
    global counter
    seen = []
    def look(what, planted):
        if planted: seen.append(what)
    look("global", counter != 0 or hasattr(main_solution, "mark"))
    look("default", main_solution.__defaults__)
    look("builtins", hasattr(builtins, "bean") or builtins.len([1]) != 1)
    look("module", hasattr(json, "bean") or json.dumps.__name__ != "dumps" or math.sqrt is None)
    look("sys.modules", "bean" in sys.modules or "solution" in sys.modules.get("beans", ()))
    look("sys.path", "/bean" in sys.path)
    look("environment", os.environ.get("BEAN") or os.environ["TZ"] != "UTC")
    look("time zone", time.timezone)
    look("cwd", os.getcwd() != "/tmp")
    look("umask", os.umask(0o077) != 0o022)
    look("recursion limit", sys.getrecursionlimit() < 900)
    look("digits", sys.get_int_max_str_digits() != 4300)
    look("decimal", decimal.getcontext().prec != 28)
    look("gc", gc.get_threshold()[0] == 12345)
    look("limits", resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 100)
    look("handler", signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL)
    look("mask", signal.pthread_sigmask(signal.SIG_BLOCK, []))
    look("timer", signal.getitimer(signal.ITIMER_REAL)[0])
    look("trace", sys.gettrace() or sys.getprofile())
    look("hook", sys.excepthook is not sys.__excepthook__ or sys.stdout is not sys.__stdout__)
    look("warnings", any(f[1] and "bean" in str(f[1]) for f in warnings.filters))
    look("locale", locale.setlocale(locale.LC_ALL) not in ("C", "C.UTF-8") and
         "C.UTF-8" not in locale.setlocale(locale.LC_ALL))
    look("random", random.random() == 0.23796462709189137)
    look("priority", os.getpriority(os.PRIO_PROCESS, 0))
    for directory in ("/tmp", "/dev/shm", "/var/tmp", "/dev/mqueue", "/run", "/dev"):
        try: names = os.listdir(directory)
        except OSError: continue
        look(directory, [n for n in names if n.startswith("bean")])
    uid = os.getuid()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(pid) != os.getpid() and os.stat("/proc/" + pid).st_uid not in (0, 65534):
                seen.append("process of " + str(os.stat("/proc/" + pid).st_uid))
        except OSError: pass
    for table in ("shm", "msg", "sem"):
        with open("/proc/sysvipc/" + table) as file: look(table, len(file.readlines()) > 1)

    counter += 1
    main_solution.mark = 1
    main_solution.__defaults__ = (7,)
    builtins.bean = json.bean = 1
    sys.modules["bean"] = json
    sys.path.insert(0, "/bean")
    os.environ.update(BEAN="1", TZ="Asia/Tokyo"); time.tzset()
    sys.setrecursionlimit(120)
    sys.set_int_max_str_digits(777)
    decimal.getcontext().prec = 1
    gc.set_threshold(12345)
    warnings.filterwarnings("ignore", "bean")
    random.seed(3)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    os.setpriority(os.PRIO_PROCESS, 0, 5)
    for directory in ("/tmp", "/dev/shm", "/var/tmp", "/dev/mqueue", "/run", "/dev"):
        try: open(directory + "/bean", "w").close()
        except OSError: pass
    resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
    sys.excepthook = lambda *a: None
    json.dumps = math.sqrt = None
    builtins.len = lambda *a: 42
    os.chdir("/dev/shm")
    return [uid, seen]
"""


@pytest.mark.parametrize("isolation", ["container", "process"])
async def test_state_of_one_call_is_not_seen_by_the_next(bench: Bench, isolation: str) -> None:
    """Globals, modules, builtins, environment, limits, files: every call begins from nothing."""
    executions = await bench.calls(PLANTER, *([str(n)] for n in range(4)), isolation=isolation)
    assert [execution.status for execution in executions] == [Status.OK] * 4, executions
    assert [execution.output[1] for execution in executions] == [[]] * 4
    user_ids = [execution.output[0] for execution in executions]
    assert len(set(user_ids)) == 4


async def test_state_of_one_job_is_not_seen_by_the_next(bench: Bench) -> None:
    """Jobs of one key share a container at level ``process``, and nothing else."""
    seen = [await bench.call(PLANTER, "x", isolation="process") for _ in range(3)]
    assert [execution.output[1] for execution in seen] == [[]] * 3
    assert len({execution.output[0] for execution in seen}) == 3


async def test_state_of_jobs_side_by_side_stays_apart(bench: Bench) -> None:
    """Jobs that run at the same time do not meet, at either level."""
    for isolation in ("container", "process"):
        ended = await asyncio.gather(
            *(bench.call(PLANTER, "x", isolation=isolation) for _ in range(4))
        )
        assert [execution.output[1] for execution in ended] == [[]] * 4


async def test_container_of_level_container_is_used_once_and_removed(bench: Bench) -> None:
    """Every job has a container of its own, which is gone soon after."""
    seen = [(await bench.call(CONTAINER)).output for _ in range(4)]
    assert len({tuple(container) for container in seen}) == 4
    many = await bench.calls(CONTAINER, *([n] for n in range(5)))
    assert len({tuple(execution.output) for execution in many}) == 1
    pool = bench.runtime._pool
    assert pool is not None
    await eventually(lambda: len(bench.containers()) == pool.warm_count + pool.idle_count)


async def test_container_of_level_process_is_shared_by_one_key_only(bench: Bench) -> None:
    """A key gets its own container again; no other key ever does."""
    first = [
        (await bench.call(CONTAINER, isolation="process", principal=key)).output
        for key in ("ann", "bob", "ann", "bob")
    ]
    assert first[0] == first[2]
    assert first[1] == first[3]
    assert first[0] != first[1]


async def test_container_at_another_memory_limit_is_changed_back(bench: Bench) -> None:
    """The memory limit of a shared container is that of the job that has it."""
    code = CONTAINER + (
        "def limit():\n    return int(open('/sys/fs/cgroup/memory/memory.limit_in_bytes').read())\n"
        if await _has_cgroup_v1(bench)
        else "def limit():\n    return int(open('/sys/fs/cgroup/memory.max').read())\n"
    )
    found = []
    for memory_mb in (512, 100, 512):
        response = await bench.request(
            code,
            [{"expression": "limit()"}],
            limits={"memory_mb": memory_mb},
            isolation="process",
            principal="changing",
        )
        found.append(response.executions[0].output // 2**20)
    assert found == [512 + 128, 100 + 128, 512 + 128]


async def _has_cgroup_v1(bench: Bench) -> bool:
    code = "import os\ndef main_solution(): return os.path.exists('/sys/fs/cgroup/memory')"
    found: bool = (await bench.call(code, isolation="process")).output
    return found


RESIDUE = {
    "deep tree": "for _ in range(900):\n        os.mkdir('d' * 200); os.chdir('d' * 200)",
    "wide tree": "for a in range(40):\n        for b in range(40): os.makedirs(f'w{a}/{b}')",
    "closed directories": "os.makedirs('a/b/c'); open('a/b/c/f', 'w').close()\n"
    "    os.chmod('a/b/c', 0); os.chmod('a/b', 0); os.chmod('a', 0)",
    "no search permission": "os.mkdir('s'); open('s/f', 'w').close(); os.chmod('s', 0o600)",
    "names that are not UTF-8": "os.makedirs(b'\\xff/\\xfe'); open(b'\\xff/\\x80', 'w').close()",
    "names with newlines": "open('a\\nb', 'w').close(); os.mkdir('-rf'); os.mkdir(' ')",
    "links": "os.symlink('/etc', 'l'); os.symlink('l', 'm'); os.symlink('.', 'n')\n"
    "    open('f', 'w').close(); os.link('f', 'g')",
    "unreadable files": "open('f', 'w').close(); os.chmod('f', 0)\n"
    "    open('/dev/shm/x', 'w').close(); os.chmod('/dev/shm/x', 0)",
    "large files": "open('f', 'wb').write(b'x' * 2**25); os.truncate('f', 2**25)\n"
    "    open('/dev/shm/g', 'wb').write(b'x' * 2**19)",
    "set-id bits": "os.mkdir('s', 0o700); os.chmod('s', 0o3777); open('s/f', 'w').close()",
    "open descriptors": "keep = [open(f'k{i}', 'w') for i in range(50)]; os._exit(0)",
    "an open unlinked file": "f = open('u', 'wb'); os.unlink('u'); f.write(b'x' * 2**20)\n"
    "    os._exit(0)",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def one_slot() -> AsyncIterator[Bench]:
    """A service whose jobs cannot spread: all calls of one run in the same container."""
    async with started_bench(pool_size="1", slot_count="1") as started:
        yield started


@pytest.mark.parametrize("kind", RESIDUE)
async def test_residue_of_any_kind_is_gone_and_the_container_stays(
    one_slot: Bench, kind: str
) -> None:
    """Files that are hard to remove are removed all the same, without replacing the container."""
    code = f"""
import os, stat
def main_solution(plant):
    found = sorted(os.listdir(b"/tmp") + os.listdir(b"/dev/shm"))
    where = os.readlink("/proc/self/ns/pid")
    if not plant:
        return [where, list(map(repr, found))]
    {RESIDUE[kind]}
    return [where, found]
"""
    calls: list[list[Any]] = [[False], [True], [False], [True], [False]]
    executions = await one_slot.calls(code, *calls, isolation="process", principal="residue")
    looks = [executions[index].output for index in (0, 2, 4)]
    assert [found for _where, found in looks] == [[], [], []]
    assert len({where for where, _found in looks}) == 1


# The cleaner moves directories to names of this form; a file in the way is an obstacle, as long as
# it is not removed first: what was made last is.
_RESISTS = """
import os
def main_solution(plant):
    found = os.listdir("/tmp")
    with open("/proc/1/stat") as file:
        where = [os.readlink("/proc/self/ns/pid"), file.read().rpartition(") ")[2].split()[19]]
    if plant:
        for pid in range(os.getpid(), os.getpid() + 40):
            for number in range(2): open(f"/tmp/.removing-{pid}-{number}", "w").close()
        os.makedirs("/tmp/a/b/c")
    return [where, found]
"""


async def test_residue_that_resists_costs_the_container(one_slot: Bench) -> None:
    """Where cleaning is made to fail, the next call runs in a different container."""
    executions = await one_slot.calls(
        _RESISTS, [True], [False], isolation="process", principal="resist"
    )
    (first, _), (second, found) = (execution.output for execution in executions)
    assert found == []
    assert first != second


async def test_residue_that_resists_is_gone_though_nothing_is_called_any_more() -> None:
    """The container it is in does not wait for the next call of its key to end."""
    async with started_bench(slot_count="1", pool_size="1") as bench:
        pool = bench.runtime._pool
        assert pool is not None
        await bench.call(_RESISTS, False, isolation="process")
        assert pool.idle_count == 1
        await bench.call(_RESISTS, True, isolation="process")
        await eventually(lambda: pool.idle_count == 0)


async def test_answers_keep_coming_when_every_call_costs_its_container(bench: Bench) -> None:
    """A job whose every call is out of memory still gets an answer for each, in order."""
    code = "def main_solution(n): return len(bytearray(n * 2**20)) // 2**20"
    sizes = [300, 1, 300, 300, 2]
    executions = await bench.calls(code, *([size] for size in sizes), limits={"memory_mb": 64})
    assert [execution.output for execution in executions] == [None, 1, None, None, 2]
    assert [execution.status.value for execution in executions] == [
        "memory_exceeded", "ok", "memory_exceeded", "memory_exceeded", "ok",
    ]  # fmt: skip


async def test_threads_do_not_cost_the_container(one_slot: Bench) -> None:
    """Threads end with their process; a container that ran them is used again."""
    code = CONTAINER + (
        "import threading, time\n"
        "for _ in range(30): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
    )
    executions = await one_slot.calls(code, *([n] for n in range(30)), isolation="process")
    assert len({tuple(execution.output) for execution in executions}) == 1


async def test_package_sets_come_and_go_without_leaving_processes(bench: Bench) -> None:
    """Interpreters with packages that made room for others do not pile up in a shared container."""
    modules = ["csv", "ast", "html", "uuid", "zlib", "hmac", "pprint", "calendar", "difflib",
               "secrets", "unicodedata", "base64", "queue", "timeit", "logging", "pickle",
               "shutil", "sqlite3", "tempfile"]  # fmt: skip
    counts = []
    for module in modules:
        code = (
            f"import {module}\nimport os\ndef main_solution():\n"
            "    return [p for p in os.listdir('/proc') if p.isdigit()]\n"
        )
        ended = await bench.call(code, isolation="process", principal="packages")
        assert ended.status is Status.OK
        counts.append(len(ended.output))
    # PID 1, its first zygote, twelve more, and the job: the last that made room is not reaped yet.
    assert max(counts) <= 16


async def test_user_ids_that_run_out_cost_the_container() -> None:
    """A container that has used up its user ids is replaced; no id is used twice."""
    # One is the runner's own, for the call that it tries before it is ready.
    edits = {"user_ids.py": (("USERS_MAX = 40_000", "USERS_MAX = 4"),)}
    code = CONTAINER.replace("        return [", "        return [os.getuid(), ")
    async with weakened(edits=edits) as sandboxes:
        executions = await sandboxes.calls(code, *([n] for n in range(7)))
    seen = [tuple(execution.output) for execution in executions]
    assert len(set(seen)) == 7
    assert len({container[1:] for container in seen}) == 3


LITTER = """
import os
def main_solution(n):
    found = sorted(os.listdir("/tmp"))
    for k in range(n): os.mkdir(f"/tmp/{k}")
    return found
"""
SLOW_CLEANING: Edits = {
    "residue.py": (
        ("    uid = os.getuid()\n", "    __import__('time').sleep(5)\n    uid = os.getuid()\n"),
    )
}


@pytest.mark.alone
async def test_answer_does_not_wait_for_the_cleaning_and_the_next_call_does() -> None:
    """Cleaning made to take five seconds: only who comes next in the same container has to wait."""
    async with weakened(edits=SLOW_CLEANING) as sandboxes:
        began_s = time.monotonic()
        first = await sandboxes.call(LITTER, 3, isolation="process")
        answered_s = time.monotonic() - began_s
        second = await sandboxes.call(LITTER, 0, isolation="process")
        both_s = time.monotonic() - began_s
    assert [first.output, second.output] == [[], []]
    assert answered_s < 4
    assert both_s > 5


@pytest.mark.alone
async def test_container_used_once_is_not_cleaned_after_its_last_call() -> None:
    """Between calls it is; after the last, what was left goes with the container."""
    async with weakened(edits=SLOW_CLEANING) as sandboxes:
        began_s = time.monotonic()
        ended = await sandboxes.calls(LITTER, [1], [1], isolation="container")
        took_s = time.monotonic() - began_s
    assert [each.output for each in ended] == [[], []]
    assert 5 < took_s < 9


async def test_files_without_end_delay_no_answer(bench: Bench) -> None:
    """As many as the file systems take, in both places, and the call after it finds none."""
    code = """
import os
def main_solution(plants):
    count = len(os.listdir("/tmp")) + len(os.listdir("/dev/shm"))
    for folder in ("/tmp", "/dev/shm") if plants else ():
        try:
            for n in range(10**6): os.mkdir(f"{folder}/{n}")
        except OSError: pass
    return count
"""
    ended = await bench.calls(code, [True], [False], isolation="process")
    assert [each.output for each in ended] == [0, 0]
