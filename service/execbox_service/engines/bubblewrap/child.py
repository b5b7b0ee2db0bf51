"""One sandbox's process as the service holds it: starting it from a plan, ending it. Blocking.

Frames, memory and what its end means are the engine's.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from execbox_service.engines.bubblewrap.cgroups import SandboxGroup
from execbox_service.engines.bubblewrap.plan import (
    EXTRA_PID_COUNT,
    Machine,
    Parts,
    make_plan,
)
from execbox_service.engines.container_spec import ContainerSpec

_LAUNCH_PATH: Final = str(Path(__file__).with_name("launch.py"))


@dataclass(frozen=True)
class Child:
    """A started bubblewrap, and our ends of its standard streams, which others close."""

    group: SandboxGroup
    process: subprocess.Popen[bytes]
    stream: socket.socket
    """Its stdin and its stdout: one socket, connected."""
    stderr_fd: int

    def end(self) -> None:
        """End everything in it and remove its groups. Raises OSError where that fails."""
        self.process.kill()
        self.group.end()
        self.process.wait()


@dataclass(frozen=True)
class Launcher:
    """What all sandboxes of a service have in common when they are started."""

    spec: ContainerSpec
    machine: Machine
    user_namespace_fd: int
    system_call_filter: bytes

    def start(self, group: SandboxGroup, command: list[str]) -> Child:
        """Make the groups and start ``command`` in a sandbox; leaves nothing behind if it fails.

        bubblewrap ends with the thread that calls this: call it in one that lives on.
        Raises OSError.
        """
        with ExitStack() as on_failure, ExitStack() as theirs_to_close:
            on_failure.callback(group.end)
            group.make(self.spec, extra_pid_count=EXTRA_PID_COUNT)
            ours, theirs = socket.socketpair()
            on_failure.callback(ours.close)
            theirs_to_close.callback(theirs.close)
            own_errors, errors = os.pipe2(os.O_CLOEXEC)
            on_failure.callback(os.close, own_errors)
            theirs_to_close.callback(os.close, errors)
            process = self._spawn(group, command, stream_fd=theirs.fileno(), errors_fd=errors)
            on_failure.pop_all()
            return Child(group, process, stream=ours, stderr_fd=own_errors)

    def _spawn(
        self, group: SandboxGroup, command: list[str], *, stream_fd: int, errors_fd: int
    ) -> subprocess.Popen[bytes]:
        # A file of its own each time: bubblewrap reads on from where the last reader stopped.
        seccomp_fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        try:
            os.write(seccomp_fd, self.system_call_filter)
            os.lseek(seccomp_fd, 0, os.SEEK_SET)
            parts = Parts(
                procs_paths=group.procs_paths,
                group_binds=group.binds(),
                user_namespace_fd=self.user_namespace_fd,
                seccomp_fd=seccomp_fd,
            )
            plan = make_plan(self.spec, self.machine, parts=parts, command=command)
            return subprocess.Popen(
                [sys.executable, "-I", "-S", _LAUNCH_PATH, plan.to_json()],
                stdin=stream_fd,
                stdout=stream_fd,
                stderr=errors_fd,
                env={},
                pass_fds=(self.user_namespace_fd, seccomp_fd),
            )
        finally:
            os.close(seccomp_fd)
