"""PID 1 of a container: takes jobs from the service, has zygotes run them, reports what happened.

Standard library only. It never parses what a job wrote. One execution at a time: a container has
one memory cgroup, so two at once could give each other false verdicts. Which zygotes there are is
decided in ``zygotes``.
"""

from __future__ import annotations

import fcntl
import os
import platform
import resource
import select
import signal
import sys
import time
from typing import Any, NoReturn

from . import as_user, families, meters, program_files, user_ids, zygote, zygote_link
from .execution import (
    Allowance,
    Execution,
    MachineOutOfMemory,
    Outcome,
    ServiceGone,
)
from .held_job import HeldJob, has_source
from .job import REHEARSED
from .live_output import LiveOutput
from .memory_baseline import MemoryBaseline, slack_bytes
from .protocol import PROTOCOL, Kind, StreamClosed, read_frame, write_frame
from .session_watch import SessionProcess
from .zygote_link import ZygoteLost
from .zygotes import Zygotes

IDLE_MAX_S = 900
"""A container nobody speaks to ends by itself, whatever has become of the service."""
SESSION_IDLE_MAX_S = 4 * 3600
"""The same for one that holds a session, whose idle time the service bounds more closely."""
_UNTIDY_IDLE_MAX_S = 0.5
"""The same for one in which something was left: long enough for a call on its way to be refused, so
that it is run elsewhere at once."""
_SESSION_CPU_S = 10.0**6
"""For the kernel's own limit, which counts over all cells: the supervisor's are closer."""
_FAMILY_DEADLINE_S = 10.0
_FAMILY_PAUSE_S = 0.002
_REHEARSED_JOB = {"packages": [], "profile": "default", "runner_bytes": 1 << 40, "kept": False}
_REHEARSED_CALL = {
    "allowance": {
        "cpu_time_ns": 10**10,
        "wall_time_ns": 10**10,
        "output_bytes": 1024,
        "stdout_bytes": 1024,
        "cpu_count": 1.0,
    }
}


class Supervisor:
    """The container's state: its zygotes, the current function, the next user id."""

    def __init__(self, service_in: int, service_out: int, *, library_path: str) -> None:
        self._in = service_in
        self._out = service_out
        self._cgroup = meters.find_cgroup()
        self._memory = MemoryBaseline(
            self._cgroup,
            slack=slack_bytes(cpu_count=os.cpu_count() or 1, page_bytes=os.sysconf("SC_PAGE_SIZE")),
        )
        self._zygotes = Zygotes(
            library_path=library_path,
            service_fds=(service_in, service_out),
            held_bytes=self._held_now_bytes,
            on_change=self._note_memory,
        )
        self._job = HeldJob()
        with open("/proc/self/uid_map", encoding="ascii") as file:
            self._user_ids = user_ids.choose(file.read())
        self._session: SessionProcess | None = None
        self._session_uid = -1
        self._free_space = meters.free_space()
        self._untidy_uid: int | None = None
        """Whose execution was the last, as long as nobody has looked at what it left."""
        self._tidied = True
        """Whether nothing was left at the last look."""

    def serve(self) -> None:
        """Answer frames until the service closes the stream, or a job has left a trace.

        A container that may serve further jobs is cleaned when a call has been answered; another
        one before its next call, if there is any.
        """
        self._zygotes.base()
        self._rehearse()
        write_frame(self._out, Kind.READY, self._describe())
        while True:
            if not select.select([self._in], [], [], self._idle_max_s())[0]:
                return
            kind, header, body = read_frame(self._in)
            if kind == Kind.JOB:
                self._start_job(header, body)
            elif kind == Kind.EXECUTE:
                if not self._execute(header, body):
                    return
                if self._job.header["kept"]:
                    self._tidy()
            elif kind == Kind.SESSION:
                self._start_session(header)
            elif kind == Kind.CELL:
                if not self._run_cell(header, body):
                    return
            elif kind in (Kind.PUT, Kind.FETCH):
                self._answer_with_files(kind, header, body)
            # The others are of a cell that had ended when the service did not know it yet.
            elif kind not in (Kind.CELL_MORE, Kind.CELL_INTERRUPT):
                raise StreamClosed(f"a frame of kind {kind} from the service")

    def _idle_max_s(self) -> float:
        if not self._tidied:
            return _UNTIDY_IDLE_MAX_S
        return IDLE_MAX_S if self._session is None else SESSION_IDLE_MAX_S

    def _describe(self) -> dict[str, Any]:
        """Facts about this container that the service holds against what it asked for."""
        status = {}
        with open("/proc/self/status", encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(":")
                status[key] = value.strip()
        return {
            "protocol": PROTOCOL,
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
        """Hold a job, and count a program's source as what there is without it."""
        changes_files = self._job.source_name is not None or has_source(header)
        if changes_files:
            self._tidy()
            if not self._tidied:
                # A file in the source's place could be what is left: its first call is refused.
                return
        self._job.replace(header, body)
        if changes_files:
            self._free_space = meters.free_space()
            self._note_memory()

    def _rehearse(self) -> None:
        """Run a call of our own before a job waits for one.

        The first in a container took 3.9 ms instead of 2.7 (measured): each process pays once for
        the pages that it shares with the one it was forked from.
        """
        self._start_job(_REHEARSED_JOB, REHEARSED)
        _execution, outcome, reusable = self._run_call(_REHEARSED_CALL, b'{"args": [1]}')
        if outcome.exit_code != 0 or not reusable:
            raise ZygoteLost(f"a call of our own did not end as it should: {outcome}")
        self._tidy()

    def _execute(self, header: dict[str, Any], body: bytes) -> bool:
        """Run one call and answer; say whether this container may be used again.

        What it leaves is looked at afterwards: nobody waits for the cleaning but the next call, and
        a container that there is no next call for is not cleaned.
        """
        self._tidy()
        if not self._tidied:
            write_frame(self._out, Kind.REFUSED, {"seq": header["seq"]})
            return False
        execution, outcome, reusable = self._run_call(header, body)
        files = b""
        if header.get("fetch") and self._untidy_uid is not None:
            files = self._fetched(header["fetch"], uid=self._untidy_uid)
        self._answer(header["seq"], execution, outcome, reusable=reusable, files=files)
        return reusable

    def _run_call(self, header: dict[str, Any], body: bytes) -> tuple[Execution, Outcome, bool]:
        control = self._zygotes.having(
            self._job.header["packages"],
            environment=header.get("interpreter") or {},
            room_bytes=self._job.header["runner_bytes"],
        )
        self._reap_orphans()
        process_count = meters.read_number(self._cgroup.pids)
        uid = self._user_ids.draw()
        allowance = Allowance(**header["allowance"])
        profile = self._job.header["profile"]
        execution = Execution(
            control,
            self._cgroup,
            allowance=allowance,
            end_family=(lambda: self._end_family(uid)) if profile == "processes" else None,
        )
        inputs = self._job.inputs(header, body)
        surroundings = header.get("surroundings")
        terms = zygote_link.Terms(uid, allowance.cpu_time_ns / 1e9, profile, surroundings)
        try:
            outcome = execution.run(terms, inputs, service_fd=self._in)
        finally:
            inputs.close()
        self._untidy_uid = uid
        reusable = (
            outcome.drained
            and outcome.oom_kill_count == 0
            and not self._user_ids.run_out
            and meters.read_number(self._cgroup.pids) <= process_count
        )
        return execution, outcome, reusable

    def _tidy(self) -> None:
        """Remove what the last execution left, and see whether all is as it was before it."""
        uid, self._untidy_uid = self._untidy_uid, None
        if uid is not None:
            clean = meters.free_space() == self._free_space or self._clean(uid)
            self._tidied = clean and not self._holds_more_memory()

    def _note_memory(self) -> None:
        """Take what the container holds now, with a new zygote in it, for the baseline."""
        self._memory.take(apart_bytes=self._job.memory_bytes)

    def _held_now_bytes(self) -> int:
        return self._memory.held_bytes(apart_bytes=self._job.memory_bytes)

    def _holds_more_memory(self) -> bool:
        return self._memory.is_exceeded(apart_bytes=self._job.memory_bytes)

    def _answer(
        self, seq: int, execution: Execution, outcome: Outcome, *, reusable: bool, files: bytes
    ) -> None:
        result, stdout, stderr = execution.result, execution.stdout, execution.stderr
        header = {
            "seq": seq,
            **vars(outcome),
            "reusable": reusable,
            "result_overflowed": result.overflowed,
            "stdout_truncated": stdout.overflowed,
            "stderr_truncated": stderr.overflowed,
            "sizes": [len(result.data), len(stdout.data), len(stderr.data)],
        }
        if files:
            header["files_bytes"] = len(files)
        parts = (result.data, stdout.data, stderr.data, files)
        write_frame(self._out, Kind.RESULT, header, *parts, checked=self._job.is_checked)

    # Sessions

    def _start_session(self, header: dict[str, Any]) -> None:
        control = self._zygotes.for_one_process(self._job.header["packages"])
        uid = self._session_uid = self._user_ids.draw()
        several = self._job.header["profile"] == "processes"
        self._session = SessionProcess(
            control,
            self._cgroup,
            allowance=Allowance(**header["allowance"]),
            signal_family=(lambda number: families.signal_all_of(uid, number)) if several else None,
        )
        terms = zygote_link.Terms(uid, _SESSION_CPU_S, self._job.header["profile"])
        inputs = self._job.inputs({}, b"{}")
        self._session.start(terms, inputs)
        inputs.close()

    def _run_cell(self, header: dict[str, Any], body: bytes) -> bool:
        """Run one cell and answer; say whether the session lives on."""
        session = self._session
        if session is None:
            raise StreamClosed("a cell without a session")
        allowance = Allowance(**header["allowance"])
        checked = self._job.is_checked
        live = None
        if header.get("live"):
            live = LiveOutput(self._in, self._out, seq=header["seq"], checked=checked)
        outcome = session.run(body, allowance=allowance, service_fd=self._in, live=live)
        frame, stdout, stderr = session.report(), session.stdout, session.stderr
        told = {
            "seq": header["seq"],
            **vars(outcome),
            "stdout_truncated": stdout.overflowed,
            "stderr_truncated": stderr.overflowed,
            "sizes": [len(frame), len(stdout.data), len(stderr.data)],
        }
        parts = (frame, stdout.data, stderr.data)
        write_frame(self._out, Kind.CELL_RESULT, told, *parts, checked=checked)
        return outcome.alive

    def _answer_with_files(self, kind: int, header: dict[str, Any], body: bytes) -> None:
        told, files = {"seq": header["seq"]}, b""
        uid = self._session_uid
        if kind == Kind.PUT:
            control = self._zygotes.base()
            told["written"] = as_user.put(control, uid, path=header["path"], content=body)
        else:
            files = self._fetched(header["fetch"], uid=uid)
        write_frame(self._out, Kind.FILES, told, files, checked=self._job.is_checked)

    def _fetched(self, asked: dict[str, Any], *, uid: int) -> bytes:
        request = program_files.FetchRequest(**asked, source_name=self._job.source_name)
        return as_user.fetch(self._zygotes.base(), uid, request)

    # Cleaning up after a job

    def _clean(self, uid: int) -> bool:
        """Have the job's own identity remove its files; say whether everything is as before."""
        cleaned = as_user.clean(self._zygotes.base(), uid)
        return cleaned and meters.free_space() == self._free_space

    def _end_family(self, uid: int) -> None:
        """End every process of a user and see that none is left."""
        deadline_s = time.monotonic() + _FAMILY_DEADLINE_S
        while True:
            families.signal_all_of(uid, signal.SIGKILL)
            self._reap_orphans()
            if not families.has_process(uid):
                return
            if time.monotonic() > deadline_s:
                raise ZygoteLost(f"processes of user {uid} could not be ended")
            time.sleep(_FAMILY_PAUSE_S)

    def _reap_orphans(self) -> None:
        while True:
            try:
                pid, _status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return


def _interfaces() -> list[str]:
    with open("/proc/net/dev", encoding="utf-8") as file:
        return sorted(line.partition(":")[0].strip() for line in file if ":" in line)


def fault_header(error: Exception) -> dict[str, Any]:
    """Why the supervisor gives up. That the machine ran out of memory is said apart: the engine's
    own record of the container may say no more than that a process was ended for want of memory."""
    return {
        "message": str(error),
        "machine_out_of_memory": isinstance(error, MachineOutOfMemory),
    }


def main(library_path: str) -> NoReturn:
    """Take the attach stream, then run until it closes. PID 1 ending ends the container."""
    service_in = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 10)
    service_out = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 10)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    zygote.prepare()
    code = 0
    try:
        Supervisor(service_in, service_out, library_path=library_path).serve()
    except (StreamClosed, ServiceGone, ConnectionError):
        pass
    except (ZygoteLost, MachineOutOfMemory, meters.NoCgroup) as error:
        write_frame(service_out, Kind.FAULT, fault_header(error))
        code = 1
    sys.stderr.flush()
    os._exit(code)
