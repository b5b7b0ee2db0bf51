"""One execution seen from the supervisor: pipes, deadlines, measuring, ending it.

Bytes a job writes are counted and kept up to a cap; nothing in them is interpreted here.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from . import meters, zygote_link
from .confine import CONFINED
from .standstill import Standstill
from .zygote_link import ZygoteLost

RESULT_OVERHEAD_BYTES = 256 * 1024
"""What a result frame may need beside the output itself: header, error message, traceback."""
HARD_STOP_FACTOR = 4
_READ_BYTES = 256 * 1024
_WRITTEN_BY_ALL = 0o622
_DRAIN_S = 1.0
_CHECK_MIN_S, _CHECK_MAX_S = 0.001, 0.25


class ServiceGone(Exception):
    """The service closed the stream while a job was running; nobody wants the answer."""


class MachineOutOfMemory(Exception):
    """The machine ran out of memory, and not this container: its kernel ended a job for that."""


@dataclass(frozen=True)
class Allowance:
    """Limits of one execution, as the service asked for them."""

    cpu_time_ns: int
    wall_time_ns: int
    output_bytes: int
    stdout_bytes: int
    cpu_count: float

    @property
    def hard_stop_ns(self) -> int:
        return HARD_STOP_FACTOR * self.wall_time_ns


@dataclass(frozen=True)
class Inputs:
    """Descriptors of the sealed memory files that a job process reads."""

    function_fd: int
    call_fd: int
    stdin_fd: int | None = None
    executable_fd: int | None = None
    """A program that has been compiled, for all executions of its job."""

    @property
    def optional_fds(self) -> dict[str, int]:
        """Those that not every execution has, by their names in ``confine.Streams``."""
        fds = {"stdin_fd": self.stdin_fd, "executable_fd": self.executable_fd}
        return {name: fd for name, fd in fds.items() if fd is not None}

    def beside(self, stream_fds: list[int]) -> list[int]:
        """All that a job gets, in the order of ``zygote``."""
        return [self.function_fd, self.call_fd, *stream_fds, *self.optional_fds.values()]

    def close(self) -> None:
        """Close those that are of one execution only."""
        os.close(self.call_fd)
        if self.stdin_fd is not None:
            os.close(self.stdin_fd)


@dataclass
class Stream:
    """One pipe that a job writes to: read to its end, kept up to a cap."""

    fd: int
    keep_bytes: int
    data: bytearray = field(default_factory=bytearray)
    overflowed: bool = False
    open: bool = True

    def read(self) -> bool:
        """Take what is there; whether there can be more at once."""
        try:
            part = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if not part:
            self.close()
            return False
        room = self.keep_bytes - len(self.data)
        self.data += part[:room] if room > 0 else b""
        self.overflowed = self.overflowed or len(part) > room
        return True

    def close(self) -> None:
        if self.open:
            self.open = False
            os.close(self.fd)


def open_stream(keep_bytes: int) -> tuple[Stream, int]:
    """A pipe to read from, and the descriptor that a job writes to."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    # Nobody else can open this end; if somebody could, he must not make a read wait.
    os.set_blocking(read_fd, False)
    return Stream(read_fd, keep_bytes), write_fd


def open_output(keep_bytes: int) -> tuple[Stream, int]:
    """The same for stdout or stderr, which programs also open by name: ``/dev/stderr``."""
    stream, write_fd = open_stream(keep_bytes)
    # A pipe has an owner and a mode as a file has. Whoever cannot see the job's descriptors cannot
    # name it, and to be read from it is nobody's but ours.
    os.fchmod(write_fd, _WRITTEN_BY_ALL)
    return stream, write_fd


@dataclass
class Outcome:
    """What was measured of one execution that has ended."""

    pid: int
    exit_code: int | None
    signal: int | None
    cpu_time_ns: int
    wall_time_ns: int
    peak_memory_bytes: int
    killed: str | None
    oom_kill_count: int
    throttled_ns: int
    drained: bool


class Execution:
    """Start one job process through a zygote and watch it until it has ended."""

    def __init__(
        self,
        zygote: socket.socket,
        cgroup: meters.CgroupFiles,
        *,
        allowance: Allowance,
        end_family: Callable[[], None] | None = None,
    ) -> None:
        """``end_family`` ends what the job started; with it, CPU time is the whole container's."""
        self._zygote = zygote
        self._cgroup = cgroup
        self._allowance = allowance
        self._end_family = end_family
        self._pid = 0
        self._pidfd = -1
        self._killed: str | None = None
        self._end: zygote_link.Ended | None = None

    def run(self, terms: zygote_link.Terms, inputs: Inputs, *, service_fd: int) -> Outcome:
        """Run to the end.

        Raises ServiceGone, ZygoteLost or MachineOutOfMemory; then the container must end.
        """
        self._oom_before = meters.oom_counts(self._cgroup)
        try:
            return self._run(terms, inputs, service_fd=service_fd)
        except ZygoteLost as error:
            self._check_machine_memory(error)
            raise

    def _run(self, terms: zygote_link.Terms, inputs: Inputs, *, service_fd: int) -> Outcome:
        self._throttled_before_ns = meters.throttled_ns(self._cgroup)
        if self._end_family is not None:
            self._container_cpu_before_ns = meters.container_cpu_ns(self._cgroup)
        self._open_streams()
        fds = inputs.beside(self._write_fds)
        zygote_link.run(self._zygote, terms, fds, given=tuple(inputs.optional_fds))
        for fd in self._write_fds:
            os.close(fd)
        started = zygote_link.started(self._zygote)
        self._pid, self._pidfd = started.pid, started.pidfd
        self._started_ns = started.started_ns
        try:
            if started.ended is not None:
                self._take_end(started.ended)
                self._read_what_is_there()
            self._watch(service_fd)
        finally:
            self.close()
        end = self._end
        if end is None:
            raise ZygoteLost("the watch ended before the execution did")
        confined = os.lseek(inputs.call_fd, 0, os.SEEK_CUR) == CONFINED
        if not confined and end.exit_code is not None and self._killed is None:
            raise ZygoteLost("a job process could not be confined, so nothing was run")
        oom_kill_count = self._check_machine_memory(None)
        return Outcome(
            pid=self._pid,
            exit_code=end.exit_code,
            signal=end.signal,
            cpu_time_ns=self._cpu_ns() if self._end_family else end.cpu_time_ns,
            wall_time_ns=self._ended_ns - self._started_ns,
            peak_memory_bytes=end.peak_memory_bytes,
            killed=self._killed,
            oom_kill_count=oom_kill_count,
            throttled_ns=meters.throttled_ns(self._cgroup) - self._throttled_before_ns,
            drained=self._drained,
        )

    def _check_machine_memory(self, cause: ZygoteLost | None) -> int:
        """How many processes were ended for want of memory; raises MachineOutOfMemory if the
        machine's was the cause, and not the limit of ours."""
        now, before = meters.oom_counts(self._cgroup), self._oom_before
        if now.killed > before.killed and now.own <= before.own:
            raise MachineOutOfMemory(
                "the machine ran out of memory and ended a process of a sandbox that was within "
                "its own limit"
            ) from cause
        return now.killed - before.killed

    def close(self) -> None:
        self._drained = not any(stream.open for stream in self._streams)
        for stream in self._streams:
            stream.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _open_streams(self) -> None:
        allowance = self._allowance
        self.result, result_fd = open_stream(allowance.output_bytes + RESULT_OVERHEAD_BYTES)
        self.stdout, stdout_fd = open_output(allowance.stdout_bytes)
        self.stderr, stderr_fd = open_output(allowance.stdout_bytes)
        self._streams = (self.result, self.stdout, self.stderr)
        self._write_fds = [result_fd, stdout_fd, stderr_fd]

    def _take_end(self, end: zygote_link.Ended) -> None:
        self._end = end
        self._ended_ns = time.monotonic_ns()
        if self._end_family is not None:
            self._end_family()

    def _read_what_is_there(self) -> None:
        """Read the pipes of a job that has ended: what it wrote, and the end of that.

        A process that outlives the job and goes on writing meets the deadline in ``_watch``.
        """
        for stream in self._streams:
            if self._read(stream):
                self._read(stream)

    def _watch(self, service_fd: int) -> None:
        if not self._goes_on():
            return
        poll = select.poll()
        by_fd = {stream.fd: stream for stream in self._streams if stream.open}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        if self._end is None:
            poll.register(self._zygote, select.POLLIN)
        # No events asked for: only a hang-up is reported, and the next call stays unread.
        poll.register(service_fd, 0)
        standstill = self._standstill = Standstill()
        while self._goes_on():
            if self._end is None:
                timeout_s = self._check_deadlines()
            else:
                drain_until_ns = self._ended_ns + int(_DRAIN_S * 1e9)
                timeout_s = max(0.0, (drain_until_ns - time.monotonic_ns()) / 1e9)
                if timeout_s == 0.0:
                    return
            for fd, _events in standstill.poll(poll, timeout_s):
                if fd in by_fd:
                    self._read(by_fd[fd])
                    if not by_fd[fd].open:
                        poll.unregister(fd)
                elif fd == service_fd:
                    raise ServiceGone
                else:
                    poll.unregister(self._zygote)
                    self._take_end(zygote_link.ended(self._zygote))

    def _goes_on(self) -> bool:
        return self._end is None or any(stream.open for stream in self._streams)

    def _read(self, stream: Stream) -> bool:
        """Whether there can be more to read."""
        more = stream.read()
        if stream is self.result and stream.overflowed:
            self._kill("result_bytes")
        return more

    def _cpu_ns(self) -> int:
        if self._end_family is None:
            return meters.process_cpu_ns(self._pid)
        return meters.container_cpu_ns(self._cgroup) - self._container_cpu_before_ns

    def _check_deadlines(self) -> float:
        """End the job if a limit is reached; else say in how many seconds one could be."""
        if self._killed is not None:
            return _CHECK_MAX_S
        allowance = self._allowance
        elapsed_ns = time.monotonic_ns() - self._started_ns
        cpu_ns = self._cpu_ns()
        cpu_left_ns = allowance.cpu_time_ns - cpu_ns
        if cpu_left_ns <= 0:
            return self._kill("cpu_time")
        wall_left_ns = allowance.wall_time_ns - elapsed_ns
        if wall_left_ns <= 0:
            # In this order: what is then counted covers all of the time that elapsed.
            all_counted = self._waits_are_counted()
            kept_ns = meters.kept_from_running_ns(
                meters.run_queue_delay_ns(self._pid),
                elapsed_ns=elapsed_ns,
                cpu_ns=cpu_ns,
                cpu_count=allowance.cpu_count,
            )
            kept_ns += meters.throttled_ns(self._cgroup) - self._throttled_before_ns
            # Not both: on a busy machine one and the same wait is seen in either way.
            wall_left_ns += max(kept_ns, self._standstill.within_ns(elapsed_ns, cpu_ns=cpu_ns))
            if meters.has_ended(self._pid):
                # It only waits to be reaped, and its counters are gone or stand still.
                return _CHECK_MAX_S
            if wall_left_ns <= 0 and all_counted:
                return self._kill("wall_time")
            if elapsed_ns >= allowance.hard_stop_ns:
                return self._kill("hard_stop")
        next_ns = min(cpu_left_ns / max(allowance.cpu_count, 1.0), wall_left_ns)
        return min(max(next_ns / 1e9, _CHECK_MIN_S), _CHECK_MAX_S)

    def _waits_are_counted(self) -> bool:
        """Whether the kernel's counters have all that the process has waited for a core so far.

        The kernel adds a wait when it ends, so a process that is ready to run may be in the middle
        of a long one, unless its clock is seen to move. If CPU time alone makes up the wall limit,
        waits do not matter.
        """
        allowance = self._allowance
        cpu_ns = meters.process_cpu_ns(self._pid)
        return (
            meters.process_cpu_ns(self._pid) > cpu_ns
            or cpu_ns >= allowance.wall_time_ns * max(allowance.cpu_count, 1.0)
            or not meters.is_ready_to_run(self._pid)
        )

    def _kill(self, reason: str) -> float:
        if self._killed is None:
            self._killed = reason
        # Without a descriptor the process was gone before we could open one.
        if self._pidfd >= 0 and self._end is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        return _CHECK_MAX_S
