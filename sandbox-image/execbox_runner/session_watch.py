"""A session's process seen from the supervisor: one cell at a time, interrupted at its limits.

Between cells every process of the session is stopped, so that an idle session takes no CPU time.
What a cell does is in ``session``; a process that runs once and ends is ``execution``'s.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from . import meters, zygote_link
from .confine import CONFINED
from .execution import (
    RESULT_OVERHEAD_BYTES,
    Allowance,
    Inputs,
    MachineOutOfMemory,
    ServiceGone,
    Stream,
    open_output,
    open_stream,
)
from .live_output import LiveOutput
from .protocol import (
    LENGTH_BYTES,
    NONCE_BYTES,
    SESSION_READY,
    StreamClosed,
)
from .standstill import Standstill
from .zygote_link import ZygoteLost

_START_S = 30.0
_GRACE_S = 2.0
"""How long a cell that is over its limit may take to react to being interrupted."""
_SECOND_INTERRUPT_LEFT_S = 1.0
"""How much of that is left when it is interrupted once more: while a process waits in system(3), as
``os.system`` does, it ignores the signal, and only what it waits for is ended by it."""
_CHECK_MIN_S, _CHECK_MAX_S = 0.001, 0.25
_PREFIX_BYTES = NONCE_BYTES + LENGTH_BYTES
_MEDIA_BYTES = 12 * 1024 * 1024
"""Room for images beside the value's own text."""


@dataclass
class CellOutcome:
    """What was measured of one cell."""

    alive: bool
    """Whether the session lives on."""
    exit_code: int | None
    signal: int | None
    cpu_time_ns: int
    wall_time_ns: int
    peak_memory_bytes: int
    limit: str | None
    """What the cell was interrupted at, or ended: a limit, or the service's wish."""
    oom_kill_count: int


class SessionProcess:
    """Started once; runs cells until it ends, or is ended because it does not react."""

    def __init__(
        self,
        zygote: socket.socket,
        cgroup: meters.CgroupFiles,
        *,
        allowance: Allowance,
        signal_family: Callable[[int], None] | None,
    ) -> None:
        """``signal_family`` sends a signal to every process of the session, where there can be
        several; then CPU time is the whole container's."""
        self._zygote = zygote
        self._cgroup = cgroup
        self._allowance = allowance
        self._signal_family = signal_family
        self._end: zygote_link.Ended | None = None
        self._limit: str | None = None
        self._killed = False

    def start(self, terms: zygote_link.Terms, inputs: Inputs) -> None:
        """Have the zygote fork it, and wait until it can take its first cell: what it does before
        is none of that cell's time. Raises ZygoteLost where it was not confined or not started."""
        cap_bytes = self._allowance.output_bytes + _MEDIA_BYTES + RESULT_OVERHEAD_BYTES
        self.result, write_result = open_stream(cap_bytes)
        self.stdout, write_stdout = open_output(self._allowance.stdout_bytes)
        self.stderr, write_stderr = open_output(self._allowance.stdout_bytes)
        cells_read, self._cells_fd = os.pipe2(os.O_CLOEXEC)
        writes = [write_result, write_stdout, write_stderr]
        fds = [inputs.function_fd, inputs.call_fd, *writes, cells_read]
        zygote_link.run(self._zygote, terms, fds, given=("stdin_fd",))
        for fd in (*writes, cells_read):
            os.close(fd)
        started = zygote_link.started(self._zygote)
        self.pid, self._pidfd = started.pid, started.pidfd
        self._wait_until_ready()
        if os.lseek(inputs.call_fd, 0, os.SEEK_CUR) != CONFINED:
            raise ZygoteLost("a session's process could not be confined, so nothing was run")
        self._signal(signal.SIGSTOP)

    def _wait_until_ready(self) -> None:
        readable, _, _ = select.select([self.result.fd, self._zygote.fileno()], [], [], _START_S)
        if self.result.fd not in readable or os.read(self.result.fd, 1) != SESSION_READY:
            raise ZygoteLost("a session's process did not start")

    def run(
        self, cell: bytes, *, allowance: Allowance, service_fd: int, live: LiveOutput | None
    ) -> CellOutcome:
        """Run one cell to its end, or to that of the process; ``live`` sends what it writes.

        Raises ServiceGone, ZygoteLost or MachineOutOfMemory; then the container must end.
        """
        self._allowance = allowance
        oom_before = meters.oom_counts(self._cgroup)
        self._throttled_before_ns = meters.throttled_ns(self._cgroup)
        self._cpu_before_ns = self._cpu_total_ns()
        self._begin(allowance)
        self._delay_before_ns = meters.run_queue_delay_ns(self.pid)
        self._started_ns = time.monotonic_ns()
        self._standstill = Standstill()
        self._signal(signal.SIGCONT)
        self._nonce = os.urandom(NONCE_BYTES)
        self._unsent = self._nonce + len(cell).to_bytes(LENGTH_BYTES) + cell
        self._watch(service_fd, live)
        wall_time_ns = time.monotonic_ns() - self._started_ns
        cpu_time_ns = self._cpu_total_ns() - self._cpu_before_ns
        if self._end is None:
            self._signal(signal.SIGSTOP)
        oom = meters.oom_counts(self._cgroup)
        oom_kill_count = oom.killed - oom_before.killed
        if oom_kill_count and oom.own <= oom_before.own:
            raise MachineOutOfMemory(
                "the machine ran out of memory and ended a session that was within its own limit"
            )
        end = self._end
        if end is not None:
            cpu_time_ns = max(cpu_time_ns, end.cpu_time_ns - self._cpu_before_ns)
        return CellOutcome(
            alive=self._end is None,
            exit_code=None if end is None else end.exit_code,
            signal=None if end is None else end.signal,
            cpu_time_ns=max(0, cpu_time_ns),
            wall_time_ns=wall_time_ns,
            peak_memory_bytes=meters.peak_bytes(self.pid) if end is None else end.peak_memory_bytes,
            limit=self._limit,
            oom_kill_count=oom_kill_count,
        )

    def _begin(self, allowance: Allowance) -> None:
        """Room for this cell's output; what came between cells is its beginning."""
        self._limit = None
        self._interrupted_ns = 0
        # Where there is one process only, nothing keeps the first from it.
        self._interrupted_twice = self._signal_family is None
        for stream, keep_bytes in (
            (self.result, allowance.output_bytes + _MEDIA_BYTES + RESULT_OVERHEAD_BYTES),
            (self.stdout, allowance.stdout_bytes),
            (self.stderr, allowance.stdout_bytes),
        ):
            stream.data = bytearray()
            stream.keep_bytes = keep_bytes
            stream.overflowed = False

    def report(self) -> bytes:
        """The frame that the cell wrote, or what there is of it."""
        return bytes(self.result.data[_PREFIX_BYTES:])

    def _watch(self, service_fd: int, live: LiveOutput | None) -> None:
        poll = select.poll()
        by_fd = {each.fd: each for each in (self.result, self.stdout, self.stderr) if each.open}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        poll.register(self._zygote, select.POLLIN)
        # Without it, only that the service has gone is looked for.
        poll.register(service_fd, 0 if live is None else select.POLLIN)
        if self._unsent:
            os.set_blocking(self._cells_fd, False)
            poll.register(self._cells_fd, select.POLLOUT)
        while self._end is None and not self._has_report():
            wait_s = self._check_deadlines()
            if live is not None:
                wait_s = min(wait_s, live.send_due(self.stdout, self.stderr))
            for fd, _events in self._standstill.poll(poll, wait_s):
                if fd in by_fd:
                    self._read(by_fd[fd], poll)
                elif fd == self._cells_fd:
                    self._send_more(poll)
                elif fd == service_fd:
                    self._hear(live)
                else:
                    self._end = zygote_link.ended(self._zygote)
        self._drain(by_fd)

    def _hear(self, live: LiveOutput | None) -> None:
        if live is None:
            raise ServiceGone
        try:
            interrupted = live.hear()
        except (OSError, StreamClosed, ValueError) as error:
            raise ServiceGone from error
        if interrupted and self._limit is None:
            self._interrupt("interrupt")

    def _send_more(self, poll: select.poll) -> None:
        try:
            self._unsent = self._unsent[os.write(self._cells_fd, self._unsent) :]
        except BrokenPipeError:
            self._unsent = b""
        if not self._unsent:
            poll.unregister(self._cells_fd)

    def _read(self, stream: Stream, poll: select.poll) -> None:
        fd = stream.fd
        stream.read()
        if not stream.open:
            poll.unregister(fd)
        if stream is self.result:
            data = self.result.data[:NONCE_BYTES]
            if stream.overflowed or not self._nonce.startswith(data):
                self._kill("result_bytes")

    def _has_report(self) -> bool:
        data = self.result.data
        if self._killed or len(data) < _PREFIX_BYTES:
            return False
        length = int.from_bytes(data[NONCE_BYTES:_PREFIX_BYTES])
        if length > self.result.keep_bytes:
            self._kill("result_bytes")
        return len(data) >= _PREFIX_BYTES + length

    def _drain(self, by_fd: dict[int, Stream]) -> None:
        """What was written before the cell ended is in the pipes already."""
        for stream in by_fd.values():
            while stream.open:
                before = len(stream.data)
                stream.read()
                if len(stream.data) == before:
                    break

    def _cpu_total_ns(self) -> int:
        if self._signal_family is not None:
            return meters.container_cpu_ns(self._cgroup)
        return meters.process_cpu_ns(self.pid)

    def _check_deadlines(self) -> float:
        """Interrupt a cell that is over a limit, and end one that does not react to that."""
        if self._killed:
            return _CHECK_MAX_S
        allowance = self._allowance
        elapsed_ns = time.monotonic_ns() - self._started_ns
        if self._limit is not None:
            left_ns = self._interrupted_ns + int(_GRACE_S * 1e9) - time.monotonic_ns()
            if left_ns <= 0:
                return self._kill(self._limit)
            if left_ns <= _SECOND_INTERRUPT_LEFT_S * 1e9 and not self._interrupted_twice:
                self._interrupted_twice = True
                self._send_interrupt()
            return min(max(left_ns / 1e9, _CHECK_MIN_S), _CHECK_MAX_S)
        cpu_ns = self._cpu_total_ns() - self._cpu_before_ns
        cpu_left_ns = allowance.cpu_time_ns - cpu_ns
        if cpu_left_ns <= 0:
            return self._interrupt("cpu_time")
        wall_left_ns = allowance.wall_time_ns - elapsed_ns
        if wall_left_ns <= 0:
            kept_ns = meters.kept_from_running_ns(
                meters.run_queue_delay_ns(self.pid) - self._delay_before_ns,
                elapsed_ns=elapsed_ns,
                cpu_ns=cpu_ns,
                cpu_count=allowance.cpu_count,
            )
            kept_ns += meters.throttled_ns(self._cgroup) - self._throttled_before_ns
            wall_left_ns += max(kept_ns, self._standstill.within_ns(elapsed_ns, cpu_ns=cpu_ns))
            # No hard stop as for executions: a cell cannot be run again alone. The service has one.
            if wall_left_ns <= 0:
                return self._interrupt("wall_time")
        next_ns = min(cpu_left_ns / max(allowance.cpu_count, 1.0), wall_left_ns)
        return min(max(next_ns / 1e9, _CHECK_MIN_S), _CHECK_MAX_S)

    def _interrupt(self, limit: str) -> float:
        self._limit = limit
        self._interrupted_ns = time.monotonic_ns()
        self._send_interrupt()
        return _CHECK_MIN_S

    def _send_interrupt(self) -> None:
        """As Ctrl-C does it: to the process and those that it started and that stayed in its group,
        which may be what it waits for."""
        with contextlib.suppress(ProcessLookupError):
            if self._signal_family is None:
                signal.pidfd_send_signal(self._pidfd, signal.SIGINT)
            else:
                # Its own group, which it cannot leave: it began a terminal session (setsid).
                os.killpg(self.pid, signal.SIGINT)

    def _kill(self, limit: str) -> float:
        self._limit = limit
        self._killed = True
        self._signal(signal.SIGKILL)
        return _CHECK_MAX_S

    def _signal(self, number: signal.Signals) -> None:
        if self._signal_family is not None:
            self._signal_family(number)
        elif self._end is None and self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)
