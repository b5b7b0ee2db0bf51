"""Which zygotes a container keeps, by what they have imported; the least recently used end first.

One with more packages than a job asks for serves it for a while, and a new one is forked from the
one that has most of what it needs: what they share is imported, and held in memory, once. Starting
a job in one is ``execution``'s business; what runs inside them is in ``zygote``.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from . import zygote
from .protocol import send_packet
from .zygote_link import ZygoteLost, answer_of

_ZYGOTES_MAX = 12
_INTERPRETERS_MAX = 2
"""Interpreters beside the first: the one that varies everything, and one that finds a cause."""
_LOAN_COST_S = 0.003
"""What a fork of one with scipy takes longer than of one with numpy only (measured). One is lent
until its loans have cost what making it took: making another would have cost no more than that."""
_END_S = 2.0

_Environment = tuple[tuple[str, str], ...]
_Key = tuple[_Environment, frozenset[str]]
_BASE: _Key = ((), frozenset())


@dataclass(frozen=True)
class _Kept:
    control: socket.socket
    pid: int
    took_s: float


class Zygotes:
    """The zygotes of one container, made when they are first asked for."""

    def __init__(
        self,
        *,
        library_path: str,
        service_fds: tuple[int, int],
        held_bytes: Callable[[], int],
        on_change: Callable[[], None],
    ) -> None:
        """``held_bytes`` measures the container's memory; ``on_change`` hears of each new one."""
        self._library_path = library_path
        self._syscalls_path = os.path.join(library_path, "syscalls.json")
        self._service_fds = service_fds
        self._held_bytes = held_bytes
        self._on_change = on_change
        # Last in the dict: most recently used.
        self._kept: dict[_Key, _Kept] = {}
        self._loan_counts: dict[_Key, int] = {}

    def base(self) -> socket.socket:
        """The zygote forked from the supervisor itself, before it has seen any job."""
        kept = self._kept.get(_BASE)
        if kept is None:
            control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            if os.fork() == 0:
                try:
                    control.close()
                    for fd in self._service_fds:
                        os.close(fd)
                    zygote.serve(other, syscalls_path=self._syscalls_path)
                finally:
                    os._exit(1)
            kept = self._added(_BASE, control, other)
            self._on_change()
        return kept.control

    def having(
        self, packages: Iterable[str], *, environment: Mapping[str, str], room_bytes: int
    ) -> socket.socket:
        """One that has at least these packages, in an interpreter with this environment.

        ``room_bytes`` is what all of them may hold together: others end until they fit.
        """
        variables: _Environment = tuple(sorted(environment.items()))
        key = (variables, frozenset(packages))
        kept = self._use(key) if key in self._kept else self._lent(key)
        if kept is None:
            kept = self._make(key)
            self._make_room(key, room_bytes=room_bytes)
            self._on_change()
        return kept.control

    def _make(self, key: _Key) -> _Kept:
        if key == _BASE:
            self.base()
        elif not key[1]:
            self._start_interpreter(key)
        else:
            self._specialize(key)
        return self._kept[key]

    def _lent(self, key: _Key) -> _Kept | None:
        """One that has more, as long as that is cheaper than importing again."""
        _variables, packages = key
        more = [
            other
            for other in self._kept
            if _is_of(other, key) and other[1] > packages and not _shows(other[1], packages)
        ]
        if not more or not packages:
            return None
        lender = min(more, key=lambda other: len(other[1]))
        count = self._loan_counts.get(key, 0)
        if count * _LOAN_COST_S >= self._kept[lender].took_s:
            return None
        self._loan_counts[key] = count + 1
        return self._use(lender)

    def _use(self, key: _Key) -> _Kept:
        kept = self._kept[key] = self._kept.pop(key)
        return kept

    def for_one_process(self, packages: Iterable[str]) -> socket.socket:
        """One that no other job is run in, for a process that lives long: it waits for its end."""
        control, other = self._fork_one(((), frozenset(packages)))
        _read_ready(control, other)
        return control

    def _specialize(self, key: _Key) -> None:
        control, other = self._fork_one(key)
        self._added(key, control, other)

    def _fork_one(self, key: _Key) -> tuple[socket.socket, socket.socket]:
        """Have the one that has most of these packages fork one that has all of them."""
        variables, packages = key
        less = [other for other in self._kept if _is_of(other, key) and other[1] <= packages]
        nearest = max(less, key=lambda other: len(other[1]), default=(variables, frozenset()))
        parent = self._kept.get(nearest) or self._make(nearest)
        control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {
            "op": "specialize",
            "packages": sorted(packages - nearest[1]),
            "syscalls_path": self._syscalls_path,
        }
        send_packet(parent.control, request, [other.fileno()])
        return control, other

    def _start_interpreter(self, key: _Key) -> None:
        """Start an interpreter of its own, with other environment variables."""
        control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        other.set_inheritable(True)
        start = os.path.join(self._library_path, "start.py")
        own = {name: value.replace("{library}", self._library_path) for name, value in key[0]}
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-s", "-P", start, "zygote", str(other.fileno())],
            {**os.environ, **own},
            file_actions=[(os.POSIX_SPAWN_CLOSE, fd) for fd in self._service_fds],
        )
        self._added(key, control, other)

    def _added(self, key: _Key, control: socket.socket, other: socket.socket) -> _Kept:
        """Keep one that has been started, once it says that it is ready."""
        begun_s = time.monotonic()
        pid = _read_ready(control, other)
        kept = self._kept[key] = _Kept(control, pid, took_s=time.monotonic() - begun_s)
        return kept

    # Room

    def _make_room(self, newest: _Key, *, room_bytes: int) -> None:
        """End the least recently used, interpreters and zygotes with packages apart."""
        interpreters = [key for key in self._kept if not key[1] and key != _BASE]
        for key in interpreters[: max(0, len(interpreters) - _INTERPRETERS_MAX)]:
            self._end(key)
        specialized = [key for key in self._kept if key[1] and key != newest]
        while specialized and (len(specialized) >= _ZYGOTES_MAX or self._held_bytes() > room_bytes):
            self._end(specialized.pop(0))

    def _end(self, key: _Key) -> None:
        """It ends when it sees its socket close; only then is its memory free for jobs."""
        kept = self._kept.pop(key)
        pidfd = os.pidfd_open(kept.pid)
        try:
            kept.control.close()
            if not select.select([pidfd], [], [], _END_S)[0]:
                raise ZygoteLost(f"a zygote that had to make room is still there after {_END_S} s")
        finally:
            os.close(pidfd)


def _read_ready(control: socket.socket, other: socket.socket) -> int:
    """Wait until one that has been started says that it is ready; returns its process id."""
    other.close()
    pid: int = answer_of(control)[0]["pid"]
    return pid


def _is_of(other: _Key, key: _Key) -> bool:
    """Whether two zygotes are of the same interpreter."""
    return other[0] == key[0]


def _shows(held: frozenset[str], packages: frozenset[str]) -> bool:
    """Whether a package would have a submodule that importing it alone does not load.

    A function that uses it without importing it would do so or fail by who was there before.
    """
    return any(name.rpartition(".")[0] in packages for name in held - packages)
