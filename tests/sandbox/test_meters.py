"""What the supervisor reads of processes and control groups, on processes of our own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from execbox_runner import memory_baseline, meters
from execbox_runner.standstill import Standstill

RUNNER = Path(meters.__file__).parent


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
    assert within(lambda: not meters.is_ready_to_run(sleeper))
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


@pytest.mark.parametrize(
    ("longest_delay_ns", "cpu_ns", "cpu_count", "kept_ns"),
    [
        pytest.param(0, 0, 1.0, 0, id="asleep"),
        pytest.param(400, 600, 1.0, 400, id="one thread beside other work"),
        pytest.param(900, 1000, 1.0, 0, id="ten threads that share a core"),
        pytest.param(950, 500, 1.0, 500, id="ten threads and other work that share a core"),
        pytest.param(300, 1400, 2.0, 300, id="threads on two cores beside other work"),
        pytest.param(700, 2000, 2.0, 0, id="threads that fill two cores"),
        pytest.param(10, 1001, 1.0, 0, id="a clock that was read later"),
        pytest.param(500, 500, 0.5, 500, id="half a core, which is throttled and does not wait"),
    ],
)
def test_time_kept_from_running_is_not_that_of_threads_that_wait_for_each_other(
    longest_delay_ns: int, cpu_ns: int, cpu_count: float, kept_ns: int
) -> None:
    """Of 1000 ns that passed."""
    found_ns = meters.kept_from_running_ns(
        longest_delay_ns, elapsed_ns=1000, cpu_ns=cpu_ns, cpu_count=cpu_count
    )
    assert found_ns == kept_ns


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


def test_standstill_of_a_process_is_what_it_was_stopped_for() -> None:
    """And nothing while it only waits: a signal stops it here, as the freezer does a container."""
    code = (
        "import select, sys\n"
        "from execbox_runner.standstill import Standstill\n"
        "standstill, poll = Standstill(), select.poll()\n"
        "poll.register(0, select.POLLIN)\n"
        "print(flush=True)\n"
        "while not standstill.poll(poll, 0.2): pass\n"
        "print(standstill.total_ns)\n"
    )
    stopped_s = 1.5
    found_s = []
    for is_stopped in (False, True):
        began_s = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=RUNNER.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            if is_stopped:
                process.send_signal(signal.SIGSTOP)
            time.sleep(stopped_s)
            process.send_signal(signal.SIGCONT)
            found_s.append(int(process.communicate(b"\n")[0]) / 1e9)
    waiting_s, halted_s = found_s
    # A machine that is busy with other work holds either up.
    assert waiting_s < stopped_s / 2
    assert stopped_s - 0.3 < halted_s < time.monotonic() - began_s


def test_counters_are_read_from_files_of_names_and_values(tmp_path: Path) -> None:
    """A counter that the kernel does not have reads as 0, a limit that is none as -1."""
    table = tmp_path / "memory.stat"
    table.write_text("anon 5\nshmem 7\noom_kill 2\n")
    assert meters.read_fields(str(table), ("shmem", "swap", "anon")) == [7, 0, 5]
    (tmp_path / "max").write_text("max\n")
    assert meters.read_number(str(tmp_path / "max")) == -1


# What a container sees below /sys/fs/cgroup: its own group, in the kernel's own words and order.

V1 = {
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    "memory/memory.usage_in_bytes": "50331648\n",
    "memory/memory.limit_in_bytes": "671088640\n",
    "memory/memory.max_usage_in_bytes": "671088640\n",
    "memory/memory.stat": "cache 4096\nrss 20000\nrss_huge 0\nshmem 3000\nmapped_file 7\n"
    "total_cache 9\ntotal_rss 9\ntotal_shmem 9\n",
    "pids/pids.current": "2\n",
    "pids/pids.max": "128\n",
    "cpuacct/cpuacct.usage": "1234567890\n",
    "cpu/cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 5000000\n",
}
V2 = {
    "memory.events": "low 0\nhigh 0\nmax 12\noom 5\noom_kill 3\noom_group_kill 1\n",
    "memory.current": "50331648\n",
    "memory.max": "671088640\n",
    "memory.stat": "anon 20000\nfile 4096\nkernel 100\nkernel_stack 1\npagetables 1\n"
    "sec_pagetables 0\npercpu 1\nsock 0\nvmalloc 0\n"
    "shmem 3000\nzswap 0\nfile_mapped 7\nanon_thp 0\nshmem_thp 0\n",
    "pids.current": "2\n",
    "pids.max": "128\n",
    "cpu.stat": "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\nnr_periods 10\n"
    "nr_throttled 4\nthrottled_usec 5000\nnr_bursts 0\nburst_usec 0\n",
}


def cgroup_of(folder: Path, files: dict[str, str]) -> meters.CgroupFiles:
    """A group made of plain files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return meters.find_cgroup(str(folder))


@pytest.mark.parametrize(
    ("files", "cpu_ns"), [(V1, 1_234_567_890), (V2, 1_234_567_000)], ids=["v1", "v2"]
)
def test_cgroup_is_read_in_either_version(
    tmp_path: Path, files: dict[str, str], cpu_ns: int
) -> None:
    """Every figure, in bytes and nanoseconds, whatever the kernel calls it and counts it in."""
    cgroup = cgroup_of(tmp_path, files)
    assert meters.oom_counts(cgroup).killed == 3
    assert meters.held_bytes(cgroup) == 23_000
    assert meters.throttled_ns(cgroup) == 5_000_000
    assert meters.container_cpu_ns(cgroup) == cpu_ns
    assert meters.read_number(cgroup.memory_usage) == 50_331_648
    assert meters.read_number(cgroup.memory_limit) == 640 * 2**20
    assert meters.read_number(cgroup.pids) == 2
    assert meters.read_number(cgroup.pids_limit) == 128


def test_cgroup_v2_counts_kills_and_not_every_shortage(tmp_path: Path) -> None:
    """``max`` and ``oom`` go up when memory is short; only ``oom_kill`` says who ended of it."""
    files = V2 | {"memory.events": "low 0\nhigh 0\nmax 900\noom 7\noom_kill 0\n"}
    assert meters.oom_counts(cgroup_of(tmp_path, files)).killed == 0


LIMIT_BYTES = 640 * 2**20


@pytest.mark.parametrize(
    ("files", "own"),
    [
        (V1, 3),
        (V1 | {"memory/memory.max_usage_in_bytes": f"{LIMIT_BYTES - 200 * 4096}\n"}, 3),
        (V1 | {"memory/memory.max_usage_in_bytes": f"{LIMIT_BYTES - 2**22}\n"}, 0),
        (V2, 5),
        (V2 | {"memory.events": "low 0\nhigh 0\nmax 9\noom 0\noom_kill 2\n"}, 0),
    ],
    ids=["v1 at its limit", "v1 nearly", "v1 far from it", "v2 own", "v2 the machine's"],
)
def test_cgroup_tells_its_own_want_of_memory_from_the_machines(
    tmp_path: Path, files: dict[str, str], own: int
) -> None:
    """Both end a process and are counted as kills; only one is for this limit's sake."""
    assert meters.oom_counts(cgroup_of(tmp_path, files)).own == own


def test_cgroup_v2_without_limits_says_so(tmp_path: Path) -> None:
    """No limit reads as -1, which the self-test refuses; no CPU quota throttles nothing."""
    files = V2 | {"memory.max": "max\n", "pids.max": "max\n", "cpu.stat": "usage_usec 7\n"}
    cgroup = cgroup_of(tmp_path, files)
    assert meters.read_number(cgroup.memory_limit) == meters.read_number(cgroup.pids_limit) == -1
    assert meters.throttled_ns(cgroup) == 0
    assert meters.container_cpu_ns(cgroup) == 7_000


@pytest.mark.parametrize(
    ("files", "missing"),
    [(V1, "pids/pids.max"), (V2, "pids.max"), (V2, "memory.max"), (V2, "memory.events")],
)
def test_cgroup_that_limits_nothing_is_named_with_what_to_do(
    tmp_path: Path, files: dict[str, str], missing: str
) -> None:
    """A root group has no limits: there a rootless daemon on cgroup v1 leaves its containers."""
    with pytest.raises(meters.NoCgroup, match=f"{missing} is not there.*cgroup v2"):
        cgroup_of(tmp_path, {name: text for name, text in files.items() if name != missing})


def test_cgroup_figures_are_read_anew_each_time(tmp_path: Path) -> None:
    """A figure that changed is seen, however its file is kept."""
    cgroup = cgroup_of(tmp_path, V2)
    assert meters.read_number(cgroup.pids) == 2
    (tmp_path / "pids.current").write_text("15\n")
    assert meters.read_number(cgroup.pids) == 15


@pytest.mark.parametrize(
    ("cpu_count", "page_bytes", "slack_mb"), [(1, 4096, 16.25), (2, 4096, 16.5), (64, 4096, 32)]
)
def test_slack_of_the_memory_baseline_follows_the_number_of_processors(
    cpu_count: int, page_bytes: int, slack_mb: float
) -> None:
    """The kernel may be 64 pages behind for each; with 64 of them that is 16 MiB."""
    slack = memory_baseline.slack_bytes(cpu_count=cpu_count, page_bytes=page_bytes)
    assert slack == slack_mb * 2**20


@pytest.mark.parametrize("files", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize(
    ("used_mb", "held_mb", "apart_mb", "exceeded"),
    [
        pytest.param(10, 10, 0, False, id="exactly the slack"),
        pytest.param(11, 11, 0, True, id="more than the slack"),
        pytest.param(40, 3, 0, False, id="file caches"),
        pytest.param(40, 40, 35, False, id="the job's own source"),
    ],
)
def test_memory_baseline_is_exceeded_by_what_is_held_and_not_by_caches(
    tmp_path: Path,
    files: dict[str, str],
    *,
    used_mb: int,
    held_mb: int,
    apart_mb: int,
    exceeded: bool,
) -> None:
    """Megabytes beyond the baseline, of which it tolerates ten here."""
    v1 = "memory/memory.stat" in files
    usage, stat = (
        ("memory/memory.usage_in_bytes", "memory/memory.stat")
        if v1
        else ("memory.current", "memory.stat")
    )
    cgroup = cgroup_of(tmp_path, files)
    baseline = memory_baseline.MemoryBaseline(cgroup, slack=10 * 2**20)
    baseline.take(apart_bytes=0)
    (tmp_path / usage).write_text(f"{50_331_648 + used_mb * 2**20}\n")
    key = "rss" if v1 else "anon"
    (tmp_path / stat).write_text(f"{key} {23_000 + held_mb * 2**20}\nshmem 0\n")
    assert baseline.is_exceeded(apart_bytes=apart_mb * 2**20) is exceeded


@pytest.mark.parametrize(
    ("stood_still_s", "elapsed_s", "cpu_s", "counted_s"),
    [
        (0.0, 5.0, 0.0, 0.0),
        (3.0, 5.0, 1.0, 3.0),
        (3.0, 5.0, 4.0, 1.0),
        # Two cores: more CPU time than time.
        (3.0, 5.0, 8.0, 0.0),
    ],
)
def test_standstill_counts_no_time_in_which_the_code_ran(
    stood_still_s: float, elapsed_s: float, cpu_s: float, counted_s: float
) -> None:
    """What keeps only the supervisor waiting gives the code no more time."""
    found = Standstill()
    found.total_ns = int(stood_still_s * 1e9)
    within_ns = found.within_ns(int(elapsed_s * 1e9), cpu_ns=int(cpu_s * 1e9))
    assert within_ns == int(counted_s * 1e9)
