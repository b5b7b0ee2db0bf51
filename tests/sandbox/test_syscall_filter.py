"""The job's own filter, assembled for each architecture and run by an interpreter of BPF."""

from __future__ import annotations

import errno
import json
import platform
import struct
from pathlib import Path

import pytest

from execbox_runner import syscall_filter
from tests.bpf_machine import ALLOW, DENY, KILL, run

IMAGE = Path(__file__).resolve().parents[2] / "sandbox-image"
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
EPERM, ENOSYS = DENY | errno.EPERM, DENY | errno.ENOSYS
INSTRUCTIONS_MAX = 4096
"""What the kernel takes in one program (BPF_MAXINSNS)."""

CLONE_THREAD, CLONE_OF_A_THREAD, SIGCHLD = 0x10000, 0x3D0F00, 17
CLONE_VM_AND_VFORK, CLONE_PARENT = 0x4100, 0x8000


class Filter:
    """One assembled filter, and what it answers by the names of system calls."""

    def __init__(
        self, machine: str, monkeypatch: pytest.MonkeyPatch, *, allow_processes: bool
    ) -> None:
        path = IMAGE / f"syscalls-{machine}.json"
        monkeypatch.setattr(platform, "machine", lambda: machine)
        self.numbers: dict[str, int] = json.loads(path.read_text())
        self.architecture = ARCHITECTURES[machine]
        self.program = syscall_filter.build(
            syscalls_path=str(path), allow_processes=allow_processes
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
    return Filter(machine, monkeypatch, allow_processes=False)


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
    """clone passes with CLONE_THREAD only, which cannot be had without sharing everything."""
    assert default("clone", CLONE_OF_A_THREAD) == ALLOW
    assert default("clone", CLONE_THREAD) == ALLOW
    for flags in (0, SIGCHLD, CLONE_OF_A_THREAD & ~CLONE_THREAD, 0x10000000, 1 << 48, 0x4000):
        assert default("clone", flags) == EPERM


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
    """For each number the program ends in one of four answers, within the kernel's size."""
    for program in (default.program, processes.program):
        instructions = list(struct.iter_unpack("=HBBI", program))
        assert len(instructions) <= INSTRUCTIONS_MAX
        for at, (code, if_true, if_false, _value) in enumerate(instructions):
            if code & 0x07 == 0x05:
                assert at + 1 + max(if_true, if_false) < len(instructions)
        for number in range(1024):
            answer = run(program, number=number, architecture=default.architecture)
            assert answer in (ALLOW, EPERM, ENOSYS)


def test_filter_agrees_with_its_table(default: Filter) -> None:
    """Every denied name that the architecture has is denied, and nothing but those and the four."""
    conditional = {"clone", "clone3", "socketpair", "prctl"}
    table = {*syscall_filter._DENIED, *syscall_filter._NEW_PROCESS}
    for name in default.numbers:
        if name not in conditional:
            assert (default(name) == EPERM) is (name in table), name
