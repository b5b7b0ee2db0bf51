"""An interpreter that has imported trusted packages and forks job processes. Runs no user code.

Single-threaded, its heap frozen, and it never sees a job's data: what to run travels as
descriptors that only its children read. It is the jobs' parent, so it reaps them and reports
what the kernel says they used.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import socket
from collections.abc import Callable
from os import close as _close
from os import fork as _fork
from os import pidfd_open as _pidfd_open
from os import wait4 as _wait4
from select import select as _select
from time import monotonic_ns as _monotonic_ns
from typing import Any, NoReturn

from . import job, program_files, residue
from .confine import Confinement, settle_zygote
from .protocol import RUN_MAGIC, StreamClosed, receive_bytes, send_packet

STANDARD_LIBRARY = (
    *("array", "bisect", "cmath", "collections", "contextlib", "copy", "dataclasses", "datetime"),
    *("decimal", "enum", "fractions", "functools", "heapq", "itertools", "json", "math"),
    *("numbers", "operator", "random", "re", "statistics", "string", "struct", "textwrap"),
    *("time", "typing", "types"),
)
"""What most functions import: imported once, before anybody waits. Not more than that, because
every page of it is paid for in every fork: twice as many modules made a fork half as dear again.
The rest of the standard library is imported on demand, as packages are."""
SHORT_JOB_S = 0.004
"""A job that ends sooner is told of once, with its end: the supervisor does not watch it meanwhile.
Less than the least limit of a job, on which the supervisor looks first after it."""
END = b'{"pid":%d,"started_ns":%d,"wait_status":%d,"cpu_time_us":%d,"peak_memory_kb":%d}'
"""What is said of one that has ended, as JSON."""
_FAILED_EXIT = 70


def import_trusted(names: list[str] | tuple[str, ...]) -> list[str]:
    """Import packages of the image; return those that could not be, which costs time only."""
    failed = []
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001 - a package may raise anything; the job will see it itself
            failed.append(name)
    return failed


def prepare() -> None:
    """What an interpreter does once in its life, before the first zygote is forked from it."""
    import_trusted(STANDARD_LIBRARY)
    job.rehearse()


def serve(sock: socket.socket, *, syscalls_path: str) -> NoReturn:
    """Answer the supervisor until its end of the socket closes."""
    zygote = _Zygote(sock, Confinement(syscalls_path=syscalls_path))
    settle_zygote()
    gc.collect()
    gc.freeze()
    gc.disable()
    send_packet(sock, {"pid": os.getpid()})
    try:
        while True:
            zygote.answer()
    except (StreamClosed, ConnectionError):
        os._exit(0)


class _Zygote:
    def __init__(self, sock: socket.socket, confinement: Confinement) -> None:
        self._sock = sock
        self._confinement = confinement

    def answer(self) -> None:
        request, fds = receive_bytes(self._sock)
        if request.startswith(RUN_MAGIC):
            self._run(request, fds)
            return
        message: dict[str, Any] = json.loads(request)
        try:
            match message.pop("op"):
                case "clean":
                    self._as_user(message["uid"], residue.remove_own_files)
                case "fetch":
                    self._fetch(message["uid"], fds)
                case "put":
                    self._put(message["uid"], fds)
                case "specialize":
                    self._specialize(message["packages"], message["syscalls_path"], fds)
        finally:
            for fd in fds:
                os.close(fd)

    def _run(self, request: bytes, fds: list[int]) -> None:
        """Fork a job process, and tell of its end, or of its beginning first if it goes on.

        As little as possible is done here, and what can be left to the supervisor is: it does not
        fork, and after a fork each page that is written to is paid for anew.
        """
        # Before it, or a short job could have used more time than it seems to have had.
        started_ns = _monotonic_ns()
        pid = _fork()
        if pid == 0:
            try:
                job.run(self._confinement, request, fds)
            finally:
                os._exit(_FAILED_EXIT)
        for fd in fds:
            _close(fd)
        pidfd = _pidfd_open(pid)
        if not _select((pidfd,), (), (), SHORT_JOB_S)[0]:
            send_packet(self._sock, {"pid": pid, "started_ns": started_ns}, [pidfd])
        _close(pidfd)
        self._report_end(pid, started_ns=started_ns)

    def _report_end(self, pid: int, *, started_ns: int = 0) -> None:
        """Wait until it has ended, and say how, and what the kernel says it used."""
        _pid, status, usage = _wait4(pid, 0)
        cpu_us = (usage.ru_utime + usage.ru_stime) * 1e6 + 0.5
        self._sock.send(END % (pid, started_ns, status, cpu_us, usage.ru_maxrss))

    def _as_user(
        self, uid: int, work: Callable[[], None], *, passed_fds: list[int] | None = None
    ) -> None:
        """Run trusted work in a child that has a job's identity, because we may not act for it."""
        pid = os.fork()
        if pid == 0:
            code = _FAILED_EXIT
            try:
                self._sock.close()
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                work()
                code = 0
            finally:
                os._exit(code)
        # The reader of a pipe sees its end only when nobody else holds it.
        while passed_fds:
            os.close(passed_fds.pop())
        send_packet(self._sock, {"pid": pid})
        self._report_end(pid)

    def _fetch(self, uid: int, fds: list[int]) -> None:
        request_fd, files_fd = fds

        def send() -> None:
            request = program_files.read_request(request_fd)
            program_files.send_matching(files_fd, request)

        self._as_user(uid, send, passed_fds=fds)

    def _put(self, uid: int, fds: list[int]) -> None:
        (file_fd,) = fds
        self._as_user(uid, lambda: program_files.write_put(file_fd))

    def _specialize(self, packages: list[str], syscalls_path: str, fds: list[int]) -> None:
        """Fork a zygote that has more packages; it answers on the socket that came along."""
        _reap_ended()
        if os.fork() == 0:
            try:
                self._sock.close()
                sock = socket.socket(fileno=fds[0])
                gc.enable()
                gc.unfreeze()
                import_trusted(packages)
                serve(sock, syscalls_path=syscalls_path)
            finally:
                os._exit(_FAILED_EXIT)


def _reap_ended() -> None:
    """Zygotes that had to make room are our children, and zombies count as processes."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(control_fd: int, *, syscalls_path: str) -> NoReturn:
    """Serve as an interpreter of its own, started for another hash seed or clock."""
    prepare()
    serve(socket.socket(fileno=control_fd), syscalls_path=syscalls_path)
