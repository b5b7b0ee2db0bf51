"""The job's own filter, assembled for each architecture and run by an interpreter of BPF."""

from __future__ import annotations

import errno
import json
import os
import platform
import struct
from pathlib import Path

import pytest

from execbox_runner import syscall_filter
from tests.bpf_machine import ALLOW, DENY, KILL, run

IMAGE = Path(__file__).resolve().parents[2] / "sandbox-image"
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
EPERM, ENOSYS = DENY | errno.EPERM, DENY | errno.ENOSYS
NOTHING_DONE = DENY | 0
INSTRUCTIONS_MAX = 4096
"""What the kernel takes in one program (BPF_MAXINSNS)."""

CLONE_THREAD, CLONE_OF_A_THREAD, SIGCHLD = 0x10000, 0x3D0F00, 17
CLONE_VM_AND_VFORK, CLONE_PARENT, CLONE_FILES = 0x4100, 0x8000, 0x400
F_GETLK = 5
CLOSE_RANGE_UNSHARE, CLOSE_RANGE_CLOEXEC = 2, 4


class Filter:
    """One assembled filter, and what it answers by the names of system calls."""

    def __init__(
        self,
        machine: str,
        monkeypatch: pytest.MonkeyPatch,
        *,
        allow_processes: bool = False,
        files_shared: bool = False,
    ) -> None:
        path = IMAGE / f"syscalls-{machine}.json"
        monkeypatch.setattr(platform, "machine", lambda: machine)
        self.numbers: dict[str, int] = json.loads(path.read_text())
        self.machine = machine
        self.architecture = ARCHITECTURES[machine]
        self.program = syscall_filter.build(
            syscalls_path=str(path), allow_processes=allow_processes, files_shared=files_shared
        )

    def __call__(self, name: str, *arguments: int) -> int:
        return run(
            self.program,
            number=self.numbers[name],
            architecture=self.architecture,
            arguments=arguments,
        )


@pytest.fixture(params=sorted(ARCHITECTURES))
def machine(request: pytest.FixtureRequest) -> str:
    """Each architecture the image is built for."""
    name: str = request.param
    return name


@pytest.fixture
def default(machine: str, monkeypatch: pytest.MonkeyPatch) -> Filter:
    """The filter of the default profile."""
    return Filter(machine, monkeypatch)


@pytest.fixture
def processes(machine: str, monkeypatch: pytest.MonkeyPatch) -> Filter:
    """The filter of the profile that permits processes."""
    return Filter(machine, monkeypatch, allow_processes=True)


FUNCTIONS_NEED = (
    *("read", "write", "openat", "close", "mmap", "munmap", "mprotect", "brk", "futex", "exit"),
    *("exit_group", "rt_sigaction", "clock_gettime", "nanosleep", "getrandom", "epoll_pwait"),
    *("eventfd2", "pipe2", "ppoll", "unlinkat", "mkdirat", "getdents64", "sched_yield", "kill"),
    *("wait4", "setsid", "memfd_create", "sched_setaffinity", "prlimit64", "set_robust_list"),
)
PROCESS_CALLS = ("fork", "vfork", "execve", "execveat")
DENIED = (
    *("socket", "connect", "bind", "listen", "accept4", "ptrace", "process_vm_readv", "pidfd_open"),
    *("process_vm_writev", "pidfd_getfd", "pidfd_send_signal", "setuid", "setresuid", "setgroups"),
    *("unshare", "setns", "mount", "umount2", "chroot", "pivot_root", "shmget", "semget", "msgget"),
    *("mq_open", "add_key", "keyctl", "io_uring_setup", "bpf", "perf_event_open", "userfaultfd"),
    *("seccomp", "personality", "open_by_handle_at", "name_to_handle_at", "mknodat", "capset"),
    *("sched_setscheduler", "ioprio_set", "kexec_load", "init_module", "clock_settime", "reboot"),
)


@pytest.mark.parametrize("name", FUNCTIONS_NEED)
def test_filter_lets_functions_do_their_work(default: Filter, processes: Filter, name: str) -> None:
    """Files, memory, threads, timers and signals to oneself are left alone."""
    assert default(name) == ALLOW
    assert processes(name) == ALLOW


@pytest.mark.parametrize("name", DENIED)
def test_filter_denies_what_no_function_needs(
    default: Filter, processes: Filter, name: str
) -> None:
    """Refused with an error, not a kill: code may ask, and is told no."""
    assert default(name) == EPERM
    assert processes(name) == EPERM


def test_filter_denies_new_processes_in_the_default_profile_only(
    default: Filter, processes: Filter
) -> None:
    """fork and exec are the difference between the two profiles."""
    for name in PROCESS_CALLS:
        if name in default.numbers:
            assert default(name) == EPERM
            assert processes(name) == ALLOW
    assert default("clone", SIGCHLD) == EPERM
    assert processes("clone", SIGCHLD) == ALLOW


def test_filter_lets_threads_be_made_and_no_process_in_their_guise(default: Filter) -> None:
    """clone passes for threads only, which the kernel lets share memory and signal handlers."""
    assert default("clone", CLONE_OF_A_THREAD) == ALLOW
    assert default("clone", CLONE_THREAD | CLONE_FILES) == ALLOW
    for flags in (0, SIGCHLD, CLONE_OF_A_THREAD & ~CLONE_THREAD, 0x10000000, 1 << 48, 0x4000):
        assert default("clone", flags) == EPERM


def test_filter_lets_no_thread_have_a_table_of_open_files_of_its_own(
    default: Filter, processes: Filter
) -> None:
    """The limit is one for each table: no thread is made with its own, nor gets one later."""
    for program in (default, processes):
        assert program("clone", CLONE_OF_A_THREAD) == ALLOW
        assert program("clone", CLONE_OF_A_THREAD & ~CLONE_FILES) == EPERM
        assert program("close_range", 3, 2**32 - 1, CLOSE_RANGE_CLOEXEC) == ALLOW
        assert program("close_range", 3, 2**32 - 1, CLOSE_RANGE_UNSHARE) == EPERM
        assert program("close_range", 3, 5, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) == EPERM


@pytest.mark.parametrize(
    "command",
    [36, 37, 38, 1024, 1026],
    ids=["OFD look", "OFD", "OFD wait", "lease", "notify"],
)
def test_filter_denies_locks_and_notices_of_open_files(
    default: Filter, processes: Filter, command: int
) -> None:
    """Kernel memory that nobody is charged for, and signals of what others read."""
    assert default("fcntl", 3, command) == processes("fcntl", 3, command) == EPERM


@pytest.mark.parametrize("command", [6, 7], ids=["lock", "lock and wait"])
def test_filter_makes_no_lock_of_a_process(
    default: Filter, processes: Filter, command: int
) -> None:
    """Alone, a process cannot tell that it has none; with others it is told that it has none."""
    assert default("fcntl", 3, command) == NOTHING_DONE
    assert processes("fcntl", 3, command) == EPERM


def test_filter_lets_descriptors_be_looked_at_and_copied(default: Filter) -> None:
    """What Python and its libraries use fcntl for."""
    for command in (0, 1, 2, 3, 5, 8, 9, 10, 11, 1030, 1031, 1032, 1033, 1034):
        assert default("fcntl", 3, command) == ALLOW
    assert default("fcntl", 3, 4, os.O_NONBLOCK | os.O_APPEND) == ALLOW


def test_filter_lets_no_file_be_read_past_the_page_cache(
    default: Filter, processes: Filter
) -> None:
    """Not when opened, not later, not for one read; and nothing is thrown out of the cache."""
    o_direct = {"x86_64": 0o40000, "aarch64": 0o200000}[default.machine]
    for program in (default, processes):
        if "open" in program.numbers:
            assert program("open", 0, o_direct) == EPERM
            assert program("open", 0, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC) == ALLOW
        assert program("openat", 0, 0, o_direct | os.O_CLOEXEC) == EPERM
        assert program("openat", 0, 0, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC) == ALLOW
        assert program("openat2", 0, 0, 0) == ENOSYS
        assert program("fcntl", 3, 4, o_direct) == EPERM
        assert program("fadvise64", 3, 0, 0, 4) == EPERM
        assert program("fadvise64", 3, 0, 0, 3) == ALLOW
        for call in ("preadv2", "pwritev2"):
            assert program(call, 3, 0, 1, 0, 0, 0x80) == EPERM
            assert program(call, 3, 0, 1, 0, 0, 0x8) == ALLOW


@pytest.mark.parametrize("name", ["fsync", "fdatasync", "sync_file_range", "msync"])
def test_filter_has_no_disk_flushed(default: Filter, processes: Filter, name: str) -> None:
    """What a job writes is memory, and needs no disk to be as safe as it can be."""
    assert default(name, 3) == processes(name, 3) == NOTHING_DONE


def test_filter_denies_flock_where_files_are_shared(
    machine: str, monkeypatch: pytest.MonkeyPatch, default: Filter
) -> None:
    """Elsewhere all that can be locked is the sandbox's own, and locks work as ever."""
    shared = Filter(machine, monkeypatch, files_shared=True)
    assert default("flock", 3, 2) == default("fcntl", 3, F_GETLK) == ALLOW
    assert shared("flock", 3, 2) == shared("fcntl", 3, F_GETLK) == EPERM


@pytest.mark.parametrize("number", [0x5412, 0x541C, 0x5423], ids=["STI", "LINUX", "SETD"])
def test_filter_denies_what_changes_terminals(
    default: Filter, processes: Filter, number: int
) -> None:
    """Feeding one, and the line disciplines that the kernel would load drivers for."""
    assert default("ioctl", 0, number) == processes("ioctl", 0, number) == EPERM
    assert default("ioctl", 0, 0x541B) == ALLOW


@pytest.mark.parametrize("option", range(90))
def test_filter_lets_socket_options_set_buffers_and_time_limits_only(
    default: Filter, processes: Filter, option: int
) -> None:
    """Attached programs are memory that nobody is charged for; passed credentials give a name."""
    allowed = option in {7, 8, 20, 21, 66, 67}
    for program in (default, processes):
        assert program("setsockopt", 3, 1, option) == (ALLOW if allowed else EPERM)
        assert program("setsockopt", 3, 6, option) == EPERM


def test_filter_lets_no_process_be_made_beside_its_maker(processes: Filter) -> None:
    """With CLONE_PARENT it would be a child of the zygote's, which reaps only what it forked."""
    assert processes("clone", CLONE_VM_AND_VFORK | SIGCHLD) == ALLOW
    assert processes("clone", CLONE_OF_A_THREAD) == ALLOW
    for flags in (CLONE_PARENT, CLONE_PARENT | SIGCHLD, CLONE_PARENT | CLONE_VM_AND_VFORK):
        assert processes("clone", flags) == EPERM


def test_filter_answers_clone3_with_enosys(default: Filter, processes: Filter) -> None:
    """Its flags are out of a filter's sight; libc then falls back to clone."""
    assert default("clone3") == processes("clone3") == ENOSYS


@pytest.mark.parametrize("family", range(46))
def test_filter_lets_pairs_be_made_of_unix_sockets_only(default: Filter, family: int) -> None:
    """An event loop needs a pair; nothing else of sockets is left."""
    assert default("socketpair", family) == (ALLOW if family == 1 else EPERM)


@pytest.mark.parametrize("option", [*range(80), 0x53564D41, 0x59616D61])
def test_filter_lets_prctl_name_and_ask_only(default: Filter, option: int) -> None:
    """Threads may be named and states be read; nothing may be changed."""
    harmless = {2, 3, 15, 16, 21, 39, 0x53564D41}
    assert default("prctl", option) == (ALLOW if option in harmless else EPERM)


def test_filter_kills_calls_of_other_architectures(default: Filter, processes: Filter) -> None:
    """Their numbers mean other calls, so none of them may pass as one of ours."""
    for program in (default.program, processes.program):
        for architecture in (0x40000003, 0xC000003E, 0xC00000B7, 0):
            if architecture != default.architecture:
                assert run(program, number=0, architecture=architecture) == KILL


def test_filter_kills_calls_of_x32(default: Filter) -> None:
    """Numbers with the x32 bit, and everything above, kill."""
    for number in (0x40000000, 0x40000000 + 39, 2**32 - 1):
        assert run(default.program, number=number, architecture=default.architecture) == KILL


def test_filter_decides_every_number_and_jumps_forward_only(
    default: Filter, processes: Filter
) -> None:
    """For each number the program ends in one of five answers, within the kernel's size."""
    for program in (default.program, processes.program):
        instructions = list(struct.iter_unpack("=HBBI", program))
        assert len(instructions) <= INSTRUCTIONS_MAX
        for at, (code, if_true, if_false, _value) in enumerate(instructions):
            if code & 0x07 == 0x05:
                assert at + 1 + max(if_true, if_false) < len(instructions)
        for number in range(1024):
            answer = run(program, number=number, architecture=default.architecture)
            assert answer in (ALLOW, EPERM, ENOSYS, NOTHING_DONE)


def test_filter_agrees_with_its_table(default: Filter) -> None:
    """Every denied name that the architecture has is denied, and nothing else is by its name."""
    by_argument = {"clone", "clone3", "openat2", "socketpair", "setsockopt", "prctl"}
    table = {*syscall_filter._DENIED, *syscall_filter._NEW_PROCESS}
    for name in default.numbers:
        if name not in by_argument:
            assert (default(name) == EPERM) is (name in table), name
