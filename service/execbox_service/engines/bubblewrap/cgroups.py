"""Control groups for sandboxes that no daemon makes: making, limiting, emptying.

Where they may be made is found by ``cgroup_roots``. Memory, processes and CPU are bounded here and
nowhere else. A service owns one directory below its own group (per controller with version 1, one
in all with version 2), a sandbox one below that. Blocking, all of it; a few hundred microseconds
each.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from pathlib import Path
from typing import Final

from execbox_service.engines.bubblewrap import claims
from execbox_service.engines.bubblewrap.cgroup_roots import (
    REMEDY_ROOT,
    NoCgroups,
    Roots,
    enable_controllers,
)
from execbox_service.engines.container_spec import ContainerSpec

PREFIX: Final = "execbox-"
_PERIOD_US = 100_000
_EMPTY_S = 10.0
_REMOVE_S = 2.0
_POLL_S = 0.002
_CHARGED_AT_ONCE_BYTES = 1 << 20
"""The kernel charges processors some pages ahead, so that usage stops a little below a limit."""


class SandboxGroup:
    """The groups of one sandbox."""

    def __init__(self, name: str, roots: Roots) -> None:
        """``roots`` are the service's own directories."""
        self.name = name
        self._version = roots.version
        self._cpu_limited = roots.cpu_limited
        self._directories = {
            controller: f"{directory}/{name}" for controller, directory in roots.directories.items()
        }

    @property
    def procs_paths(self) -> list[str]:
        """What a process writes itself into to join."""
        return [f"{directory}/cgroup.procs" for directory in self._directories.values()]

    def binds(self) -> list[tuple[str, str]]:
        """Directory here and place in the sandbox, where the runner reads its own counters."""
        if self._version == 2:
            return [(self._directories["memory"], "/sys/fs/cgroup")]
        return [
            (directory, f"/sys/fs/cgroup/{controller}")
            for controller, directory in self._directories.items()
        ]

    def make(self, spec: ContainerSpec, *, extra_pid_count: int) -> None:
        """Make it and set its limits; ``extra_pid_count`` is what the engine itself needs in it."""
        for directory in self._directories.values():
            os.mkdir(directory)
        self.limit_memory(spec.memory_bytes(spec.memory_mb))
        pid_count = spec.pid_count + extra_pid_count
        quota_us = round(spec.cpu_count * _PERIOD_US)
        if self._version == 2:
            _write(self._file("memory", "pids.max"), str(pid_count))
            if self._cpu_limited:
                _write(self._file("memory", "cpu.max"), f"{quota_us} {_PERIOD_US}")
        else:
            _write(self._file("pids", "pids.max"), str(pid_count))
            _write(self._file("cpu", "cpu.cfs_period_us"), str(_PERIOD_US))
            _write(self._file("cpu", "cpu.cfs_quota_us"), str(quota_us))

    def limit_memory(self, limit_bytes: int) -> None:
        """Set the limit of memory and swap together: there is no swap for a sandbox."""
        if self._version == 2:
            _write(self._file("memory", "memory.max"), str(limit_bytes))
            with contextlib.suppress(FileNotFoundError):
                _write(self._file("memory", "memory.swap.max"), "0")
            return
        files = [self._file("memory", "memory.limit_in_bytes")]
        both = self._file("memory", "memory.memsw.limit_in_bytes")
        if os.path.exists(both):
            # The sum may never be below the part: it goes first up and last down.
            raising = limit_bytes > _number(both)
            files = [both, *files] if raising else [*files, both]
        else:
            _write(self._file("memory", "memory.swappiness"), "0")
        for file in files:
            _write(file, str(limit_bytes))

    def ran_out_of_memory(self) -> bool:
        """Whether the OOM killer ended a process in it because of its own limit.

        The kernel counts those that it ended for want of the machine's memory as well.
        """
        if self._version == 2:
            events = _fields(self._file("memory", "memory.events"))
            return events.get("oom_kill", 0) > 0 and events.get("oom", 0) > 0
        killed = _fields(self._file("memory", "memory.oom_control")).get("oom_kill", 0)
        # Version 1 does not say whose limit it was, but how near this one was ever come to.
        peak_bytes = _number(self._file("memory", "memory.max_usage_in_bytes"))
        limit_bytes = _number(self._file("memory", "memory.limit_in_bytes"))
        return killed > 0 and peak_bytes >= limit_bytes - _CHARGED_AT_ONCE_BYTES

    def process_ids(self) -> set[int]:
        """Every process in it, as this process numbers them."""
        found: set[int] = set()
        for path in self.procs_paths:
            with contextlib.suppress(OSError):
                found |= {int(word) for word in _words(path)}
        # 0 is a process that this pid namespace cannot name, nor signal.
        return found - {0}

    def end(self) -> None:
        """End everything in it and remove it. Raises OSError where that fails."""
        with contextlib.suppress(OSError):
            _write(self._file("memory", "cgroup.kill"), "1")
        deadline_s = time.monotonic() + _EMPTY_S
        while pids := self.process_ids():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"processes {sorted(pids)} of {self.name} do not end")
            time.sleep(_POLL_S)
        # The memory group last: a service that sweeps after us looks for that one.
        for directory in reversed(self._directories.values()):
            _remove(directory)

    def _file(self, controller: str, name: str) -> str:
        return f"{self._directories[controller]}/{name}"


class ServiceGroups:
    """This service's own directories, below which its sandboxes' groups are."""

    def __init__(self, roots: Roots) -> None:
        self._parent = roots
        self._name = f"{PREFIX}{secrets.token_hex(6)}"
        self._roots = _below(roots, self._name)
        self._claim = -1

    def open(self) -> None:
        """Make the directories and own them. Raises NoCgroups."""
        try:
            for directory in self._roots.all:
                os.mkdir(directory)
            self._claim = claims.claim(self._roots.directories["memory"])
            if self._roots.version == 2:
                enable_controllers(self._roots.directories["memory"])
        except (OSError, claims.ClaimLost) as error:
            raise NoCgroups(f"no control group can be made: {error}", remedy=REMEDY_ROOT) from error

    @property
    def cpu_limited(self) -> bool:
        """Whether a sandbox's share of the CPU is bounded."""
        return self._roots.cpu_limited

    @property
    def swap_limited(self) -> bool:
        """Whether the limit on memory covers swap, or there is none. Ask after ``open``."""
        name = "memory.swap.max" if self._roots.version == 2 else "memory.memsw.limit_in_bytes"
        if os.path.exists(f"{self._roots.directories['memory']}/{name}"):
            return True
        return len(Path("/proc/swaps").read_text("utf-8").splitlines()) <= 1

    def new(self) -> SandboxGroup:
        """A group to make; nothing happens yet."""
        return SandboxGroup(secrets.token_hex(8), self._roots)

    def close(self) -> None:
        """Remove the directories; what a sandbox still holds stays for the next service's sweep."""
        with contextlib.suppress(OSError):
            for directory in reversed(self._roots.all):
                _remove(directory)
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1

    def sweep(self) -> int:
        """End and remove what services that no longer live have left; count their sandboxes."""
        count = 0
        for path, fd in claims.abandoned(self._parent.directories["memory"], PREFIX):
            try:
                count += self._end_service(os.path.basename(path))
            finally:
                os.close(fd)
        return count

    def _end_service(self, name: str) -> int:
        roots = _below(self._parent, name)
        sandboxes = {
            entry.name
            for directory in roots.all
            if os.path.isdir(directory)
            for entry in os.scandir(directory)
            if entry.is_dir(follow_symlinks=False)
        }
        with contextlib.suppress(OSError):
            for sandbox in sandboxes:
                SandboxGroup(sandbox, roots).end()
            for directory in reversed(roots.all):
                _remove(directory)
        return len(sandboxes)


def _below(roots: Roots, name: str) -> Roots:
    directories = {key: f"{directory}/{name}" for key, directory in roots.directories.items()}
    return Roots(roots.version, directories, cpu_limited=roots.cpu_limited)


def _remove(directory: str) -> None:
    """Remove a group whose last process has just ended: for a moment the kernel calls it busy."""
    deadline_s = time.monotonic() + _REMOVE_S
    while True:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(_POLL_S)
        else:
            return


def _words(path: str) -> set[str]:
    with open(path, encoding="ascii") as file:
        return set(file.read().split())


def _fields(path: str) -> dict[str, int]:
    """A file of ``name value`` lines."""
    with open(path, encoding="ascii") as file:
        return {name: int(value) for name, value in (line.split() for line in file)}


def _number(path: str) -> int:
    return int(Path(path).read_text("ascii"))


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
