"""Turning a fresh fork of a zygote into a job process: everything between fork and user code.

The order matters and is the design's: descriptors, session, limits, OOM score, environment and
directory, identity, death signal, entropy, and the filter last, because each step needs something
that a later one takes away.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import elsewhere, freeze, syscall_filter, user_ids

RESULT_FD = 3
CONFINED = 1
"""Where the mark's position is once a job process is confined."""
_FD_MAX = 1 << 20
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_TMP_BYTES = 64 * 1024 * 1024


class _FilterProgram(ctypes.Structure):
    """``struct sock_fprog`` of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


@dataclass(frozen=True)
class Terms:
    """What one execution gets: the zygote passes it on from the supervisor, the job keeps to it."""

    uid: int
    cpu_time_s: float
    profile: str
    cwd: str = "/tmp"
    tz: str = "UTC"
    locale: str = "C.UTF-8"
    home: str = "/tmp"
    entropy_seed: int | None = None
    """Holds entropy still: drawing inputs, and finding a cause. None leaves it to the kernel."""
    frozen: tuple[str, ...] = ()
    """What else is held still: see ``freeze``."""
    elsewhere: tuple[str, ...] = ()
    """What is changed as on another machine: see ``elsewhere``."""
    elsewhere_number: int = 0


@dataclass(frozen=True)
class Streams:
    """Descriptors that a job gets as its own: pipes to the supervisor, and what it may read."""

    result_fd: int
    stdout_fd: int
    stderr_fd: int
    stdin_fd: int | None = None
    """A sealed memory file of this execution's own; None for an empty stdin."""
    executable_fd: int | None = None
    """A sealed memory file that holds a compiled program, for this process to become."""


class Confinement:
    """The prepared steps: everything that can be computed once is computed in the zygote."""

    def __init__(self, *, syscalls_path: str) -> None:
        self._prctl_of_libc = ctypes.CDLL(None, use_errno=True).prctl
        # Converted in C, without an object for each argument: three calls in a fresh fork, where
        # every page that is touched is copied, took 0.26 ms instead of 0.11 (measured).
        self._prctl_of_libc.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
        # Where root is not the machine's, devices could not be made and are the machine's own; with
        # bubblewrap, all of /usr is.
        files_shared = user_ids.are_mapped(_own_text("uid_map"))
        self._programs: dict[str, tuple[_FilterProgram, Any]] = {}
        for profile in ("default", "processes"):
            code = syscall_filter.build(
                syscalls_path=syscalls_path,
                allow_processes=profile == "processes",
                files_shared=files_shared,
            )
            buffer = ctypes.create_string_buffer(code, len(code))
            pointer = ctypes.cast(buffer, ctypes.c_void_p)
            self._programs[profile] = (_FilterProgram(len(code) // 8, pointer), buffer)

    def enter(
        self,
        terms: Terms,
        streams: Streams,
        *,
        mark_fd: int,
        before_filter: Callable[[], None] | None = None,
    ) -> int | None:
        """Take everything away that a job must not have. Raises if any step fails.

        Returns the descriptor of ``streams.executable_fd`` from here on.

        ``before_filter`` is called as the job's user already, and a failure of it is one of ours.

        The position of ``mark_fd`` is moved once every step is done: the supervisor shares it, and
        can tell a job that was never confined, and so never ran, from one that ended early.
        """
        mark_fd, executable_fd = _take_descriptors(streams, mark_fd)
        os.setsid()
        _limit_cpu_time(terms)
        _raise_own_oom_score()
        _set_surroundings(terms)
        os.setgroups([])
        os.setresgid(terms.uid, terms.uid, terms.uid)
        os.setresuid(terms.uid, terms.uid, terms.uid)
        # After the change of identity, which clears it.
        self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _reseed()
        if terms.elsewhere:
            elsewhere.be_elsewhere(list(terms.elsewhere), number=terms.elsewhere_number)
        if terms.frozen or terms.entropy_seed is not None:
            freeze.freeze(list(terms.frozen), entropy_seed=terms.entropy_seed)
        if before_filter is not None:
            before_filter()
        self._prctl(_PR_SET_NO_NEW_PRIVS, 1)
        program, _buffer = self._programs[terms.profile]
        self._prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))
        os.lseek(mark_fd, CONFINED, os.SEEK_SET)
        os.close(mark_fd)
        return executable_fd

    def _prctl(self, option: int, first: int = 0, second: int = 0) -> None:
        if self._prctl_of_libc(option, first, second, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl option {option}")


def _take_descriptors(streams: Streams, mark_fd: int) -> tuple[int, int | None]:
    """Have the streams in their places and nothing else open but the mark, and the executable."""
    mark_fd = fcntl.fcntl(mark_fd, fcntl.F_DUPFD, RESULT_FD + 1)
    executable_fd = streams.executable_fd
    if executable_fd is not None:
        executable_fd = fcntl.fcntl(executable_fd, fcntl.F_DUPFD_CLOEXEC, mark_fd + 1)
    os.dup2(streams.stdout_fd, 1)
    os.dup2(streams.stderr_fd, 2)
    # The zygote's stdin is one open file for all: locks and flags on it would outlive a job.
    if streams.stdin_fd is None:
        os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
    else:
        os.dup2(streams.stdin_fd, 0)
    os.dup2(streams.result_fd, RESULT_FD)
    os.closerange(RESULT_FD + 1, mark_fd)
    last_fd = mark_fd
    if executable_fd is not None:
        os.closerange(mark_fd + 1, executable_fd)
        last_fd = executable_fd
    os.closerange(last_fd + 1, _FD_MAX)
    return mark_fd, executable_fd


def settle_zygote() -> None:
    """What every job process has alike and takes nothing from a zygote: forks inherit it.

    Each step that is not taken between fork and user code is 20 to 40 us less of each execution.
    """
    os.umask(0o022)
    os.chdir(Terms.cwd)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_TMP_BYTES, _TMP_BYTES))
    # Not 0: a program that the machine has cores piped to would be started all the same.
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))


def _own_text(name: str) -> str:
    with open(f"/proc/self/{name}", encoding="ascii") as file:
        return file.read()


def _limit_cpu_time(terms: Terms) -> None:
    # Whole seconds: only the backstop. The supervisor's clock decides, well before this.
    cpu_s = int(terms.cpu_time_s) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))


def _raise_own_oom_score() -> None:
    """Make the kernel's OOM killer pick the job, never the supervisor or a zygote."""
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"1000")
    finally:
        os.close(fd)


def _set_surroundings(terms: Terms) -> None:
    """The directory, time zone and locale; the environment was clean from the start."""
    if terms.cwd != Terms.cwd:
        os.chdir(terms.cwd)
    if (terms.tz, terms.locale, terms.home) == (Terms.tz, Terms.locale, Terms.home):
        return
    for name, value in (("TZ", terms.tz), ("LANG", terms.locale), ("HOME", terms.home)):
        if os.environ.get(name) != value:
            os.environ[name] = value
            if name == "TZ":
                time.tzset()


def _reseed() -> None:
    """Give numpy's generator randomness of its own; Python's reseeds itself in every fork."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
