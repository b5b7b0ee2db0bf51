"""PID 1 of a container: takes jobs from the service, has zygotes run them, reports what happened.

Standard library only. It never parses what a job wrote. One execution at a time: a container has
one memory cgroup, so two at once could give each other false verdicts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import resource
import select
import signal
import socket
import sys
import time
from dataclasses import asdict
from typing import Any, NoReturn

from . import meters, zygote
from .execution import Allowance, Execution, Outcome, ServiceGone, ZygoteLost
from .protocol import Kind, StreamClosed, read_frame, receive_packet, send_packet, write_frame

FIRST_UID = 20_000
LAST_UID = 60_000
"""User ids are used once in a container's life; when they run out, so does the container."""
IDLE_MAX_S = 900
"""A container nobody speaks to ends by itself, whatever has become of the service."""
_CLEAN_DEADLINE_S = 10.0
_FAMILY_DEADLINE_S = 10.0
_FAMILY_PAUSE_S = 0.002
_REAPER_UID = FIRST_UID - 1
"""No job ever has it: see ``_kill_all_of``."""
_MEMORY_SLACK_BYTES = 16 * 1024 * 1024
_ZYGOTES_MAX = 4
_INTERPRETERS_MAX = 2
"""Interpreters beside the first: the one that varies everything, and one that finds a cause."""
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Supervisor:
    """The container's state: its zygotes, the current function, the next user id."""

    def __init__(self, service_in: int, service_out: int, *, library_path: str) -> None:
        self._in = service_in
        self._out = service_out
        self._library_path = library_path
        self._syscalls_path = os.path.join(library_path, "syscalls.json")
        self._cgroup = meters.find_cgroup()
        self._zygotes: dict[tuple[Any, ...], socket.socket] = {}
        self._function_fd = -1
        self._job: dict[str, Any] = {}
        self._next_uid = FIRST_UID
        self._free_space = meters.free_space()
        self._memory_bytes = 0
        self._held_bytes = 0

    def serve(self) -> None:
        """Answer frames until the service closes the stream, or a job has left a trace."""
        self._base_zygote()
        write_frame(self._out, Kind.READY, self._describe())
        while True:
            if not select.select([self._in], [], [], IDLE_MAX_S)[0]:
                return
            kind, header, body = read_frame(self._in)
            if kind == Kind.JOB:
                self._start_job(header, body)
            elif kind == Kind.EXECUTE:
                if not self._execute(header, body):
                    return
            elif kind == Kind.PREPARE:
                self._zygote_for(header["packages"], header["interpreter"])
            else:
                raise StreamClosed(f"a frame of kind {kind} from the service")

    def _describe(self) -> dict[str, Any]:
        """Facts about this container that the service holds against what it asked for."""
        status = {}
        with open("/proc/self/status", encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(":")
                status[key] = value.strip()
        return {
            "python": platform.python_version(),
            "pid": os.getpid(),
            "capabilities": status["CapEff"],
            "no_new_privileges": status["NoNewPrivs"] == "1",
            "seccomp": status["Seccomp"] == "2",
            "memory_limit_bytes": meters.read_number(self._cgroup.memory_limit),
            "process_count_max": meters.read_number(self._cgroup.pids_limit),
            "interfaces": _interfaces(),
            "open_file_count": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            "core_bytes": resource.getrlimit(resource.RLIMIT_CORE)[1],
        }

    # Jobs

    def _start_job(self, header: dict[str, Any], body: bytes) -> None:
        if self._function_fd >= 0:
            os.close(self._function_fd)
        self._function_fd = _sealed_memory("function", body)
        self._job = header

    def _execute(self, header: dict[str, Any], body: bytes) -> bool:
        """Run one call and answer; say whether this container may be used again."""
        control = self._zygote_for(self._job["packages"], header.get("interpreter") or {})
        process_count = meters.read_number(self._cgroup.pids)
        uid = self._next_uid
        self._next_uid += 1
        allowance = Allowance(**header["allowance"])
        profile = self._job["profile"]
        execution = Execution(
            control,
            self._cgroup,
            allowance=allowance,
            end_family=(lambda: self._end_family(uid)) if profile == "processes" else None,
        )
        call_fd = _sealed_memory("call", body)
        terms = {
            "uid": uid,
            "profile": profile,
            "cpu_time_s": allowance.cpu_time_ns / 1e9,
            **(header.get("surroundings") or {}),
        }
        try:
            outcome = execution.run(
                terms, function_fd=self._function_fd, call_fd=call_fd, service_fd=self._in
            )
        finally:
            os.close(call_fd)
        clean = meters.free_space() == self._free_space or self._clean(uid)
        reusable = (
            clean
            and outcome.drained
            and outcome.oom_kill_count == 0
            and self._next_uid < LAST_UID
            and meters.read_number(self._cgroup.pids) <= process_count
            and not self._holds_more_memory()
        )
        self._answer(header["seq"], execution, outcome, reusable=reusable)
        return reusable

    def _note_memory(self) -> None:
        """Take what the container holds now, with a new zygote in it, for the baseline."""
        self._memory_bytes = meters.read_number(self._cgroup.memory_usage)
        self._held_bytes = self._held_now_bytes()

    def _held_now_bytes(self) -> int:
        function_bytes = os.fstat(self._function_fd).st_size if self._function_fd >= 0 else 0
        return meters.held_bytes(self._cgroup) - function_bytes

    def _holds_more_memory(self) -> bool:
        """Whether memory is held that was not before; file caches, which come and go, aside."""
        memory_bytes = meters.read_number(self._cgroup.memory_usage)
        if memory_bytes <= self._memory_bytes + _MEMORY_SLACK_BYTES:
            return False
        self._memory_bytes = memory_bytes
        return self._held_now_bytes() > self._held_bytes + _MEMORY_SLACK_BYTES

    def _answer(self, seq: int, execution: Execution, outcome: Outcome, *, reusable: bool) -> None:
        result, stdout, stderr = execution.result, execution.stdout, execution.stderr
        header = {
            "seq": seq,
            **asdict(outcome),
            "reusable": reusable,
            "memory_bytes": meters.read_number(self._cgroup.memory_usage),
            "result_overflowed": result.overflowed,
            "stdout_truncated": stdout.overflowed,
            "stderr_truncated": stderr.overflowed,
            "sizes": [len(result.data), len(stdout.data), len(stderr.data)],
        }
        write_frame(self._out, Kind.RESULT, header, result.data, stdout.data, stderr.data)

    # Cleaning up after a job

    def _clean(self, uid: int) -> bool:
        """Have the job's own identity remove its files; say whether everything is as before."""
        code = self._as_user("clean", uid)
        return code == 0 and meters.free_space() == self._free_space

    def _end_family(self, uid: int) -> None:
        """End every process of a user and see that none is left."""
        deadline_s = time.monotonic() + _FAMILY_DEADLINE_S
        while True:
            _kill_all_of(uid)
            self._reap_orphans()
            if not _has_process(uid):
                return
            if time.monotonic() > deadline_s:
                raise ZygoteLost(f"processes of user {uid} could not be ended")
            time.sleep(_FAMILY_PAUSE_S)

    def _as_user(self, operation: str, uid: int) -> int | None:
        control = self._base_zygote()
        send_packet(control, {"op": operation, "uid": uid})
        pid = _receive(control)["pid"]
        if not select.select([control], [], [], _CLEAN_DEADLINE_S)[0]:
            os.kill(pid, signal.SIGKILL)
        code: int | None = _receive(control)["exit_code"]
        return code

    def _reap_orphans(self) -> None:
        while True:
            try:
                pid, _status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return

    # Zygotes

    def _base_zygote(self) -> socket.socket:
        """The zygote forked from this very interpreter, before it has seen any job."""
        control = self._zygotes.get(())
        if control is None:
            control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            if os.fork() == 0:
                try:
                    control.close()
                    os.close(self._in)
                    os.close(self._out)
                    zygote.serve(other, syscalls_path=self._syscalls_path)
                finally:
                    os._exit(1)
            other.close()
            _receive(control)
            self._zygotes[()] = control
            self._note_memory()
        return control

    def _zygote_for(self, packages: list[str], interpreter: dict[str, str]) -> socket.socket:
        """The zygote that has these packages, in an interpreter with this environment."""
        root = self._base_zygote() if not interpreter else self._interpreter(interpreter)
        if not packages:
            return root
        key = (tuple(sorted(interpreter.items())), tuple(packages))
        control = self._zygotes.get(key)
        if control is None:
            self._make_room(_ZYGOTES_MAX, key_length=2)
            control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            request = {
                "op": "specialize",
                "packages": packages,
                "syscalls_path": self._syscalls_path,
            }
            send_packet(root, request, [other.fileno()])
            other.close()
            _receive(control)
            self._note_memory()
        else:
            del self._zygotes[key]
        self._zygotes[key] = control  # last in the dict: most recently used
        return control

    def _interpreter(self, environment: dict[str, str]) -> socket.socket:
        """A zygote in an interpreter of its own, started with other environment variables."""
        key = (tuple(sorted(environment.items())),)
        control = self._zygotes.get(key)
        if control is None:
            control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            other.set_inheritable(True)
            start = os.path.join(self._library_path, "start.py")
            own = {
                name: value.replace("{library}", self._library_path)
                for name, value in environment.items()
            }
            os.posix_spawn(
                sys.executable,
                [sys.executable, "-s", "-P", start, "zygote", str(other.fileno())],
                {**os.environ, **own},
                file_actions=[(os.POSIX_SPAWN_CLOSE, fd) for fd in (self._in, self._out)],
            )
            other.close()
            _receive(control)
            self._note_memory()
            self._make_room(_INTERPRETERS_MAX, key_length=1)
        else:
            del self._zygotes[key]
        self._zygotes[key] = control
        return control

    def _make_room(self, count_max: int, *, key_length: int) -> None:
        """Let the least recently used zygote of a kind end: it sees its socket close."""
        kind = [key for key in self._zygotes if len(key) == key_length]
        if len(kind) >= count_max:
            self._zygotes.pop(kind[0]).close()
        self._reap_orphans()


def _interfaces() -> list[str]:
    with open("/proc/net/dev", encoding="utf-8") as file:
        return sorted(line.partition(":")[0].strip() for line in file if ":" in line)


def _receive(control: socket.socket) -> dict[str, Any]:
    try:
        packet, _fds = receive_packet(control)
    except (OSError, StreamClosed) as error:
        raise ZygoteLost(str(error)) from error
    return packet


def _sealed_memory(name: str, data: bytes) -> int:
    """A memory file that nobody can change any more: jobs inherit it, one after another."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


def _kill_all_of(uid: int) -> None:
    """Kill every process of a user at once, without a new process, which there may be no room for.

    The kernel sends the signal to all that our effective user may signal, while none of them may
    signal us: neither our real nor our saved user is theirs. No fork can slip through in between.
    """
    os.setresuid(_REAPER_UID, uid, 0)
    try:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(-1, signal.SIGKILL)
    finally:
        os.setresuid(0, 0, 0)


def _has_process(uid: int) -> bool:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == uid or _real_uid(name) == uid:
                    return True
            except (FileNotFoundError, ProcessLookupError):
                continue
    return False


def _real_uid(pid: str) -> int:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("Uid:"):
                return int(line.split()[1])
    return -1


def main(library_path: str) -> NoReturn:
    """Take the attach stream, then run until it closes. PID 1 ending ends the container."""
    service_in = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 10)
    service_out = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 10)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    zygote.import_trusted(zygote.STANDARD_LIBRARY)
    code = 0
    try:
        Supervisor(service_in, service_out, library_path=library_path).serve()
    except (StreamClosed, ServiceGone, ConnectionError):
        pass
    except ZygoteLost as error:
        write_frame(service_out, Kind.FAULT, {"message": str(error)})
        code = 1
    sys.stderr.flush()
    os._exit(code)
