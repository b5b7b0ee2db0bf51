"""A Docker daemon of one's own beside the machine's, which can be killed, frozen and started again.

It has its own socket, data and containerd, no network, and the sandbox image, loaded out of the
machine's daemon. It takes root. What its containers are for is its caller's business.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from docker.errors import DockerException

from harness.docker_daemon import docker_client
from harness.host_view import CGROUPS, Shim, cgroup_folders, shims

__all__ = ["NoOwnDaemon", "OwnDaemon"]

_READY_S: Final = 60.0
_STOP_S: Final = 30.0
_GONE_S: Final = 30.0
_CPU_GROUPS: Final = Path("/sys/fs/cgroup/cpu")
_SHARES_OF_ONE: Final = 1024
"""What the kernel gives a process that has no group."""


class NoOwnDaemon(Exception):
    """There can be none here; the message says why."""


class OwnDaemon:
    """A daemon that runs inside the ``with`` block and has ``image``. Entering raises
    ``NoOwnDaemon``; afterwards nothing of it is left."""

    def __init__(
        self,
        image: str,
        *,
        live_restore: bool = False,
        disk_options: str | None = None,
        cpu_weight: int = 1,
    ) -> None:
        """``live_restore``: its containers go on while it does not run. ``disk_options``: it has
        a file system of its own, in memory, mounted with these. ``cpu_weight``: its containers
        together count as so many processes where others want the CPU, too (cgroup v1 only)."""
        self._image = image
        self._cpu_weight = cpu_weight
        self._disk_options = disk_options
        self._config = {"live-restore": True} if live_restore else {}
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._killed_s: float | None = None

    @property
    def url(self) -> str:
        """What ``docker_host`` has to be."""
        return f"unix://{self._folder}/docker.sock"

    @property
    def folder(self) -> Path:
        """Where its socket and all that it keeps are."""
        return self._folder

    @property
    def pid(self) -> int:
        """Its process. Raises RuntimeError where there is none."""
        if self._process is None:
            raise RuntimeError("the daemon has not been started")
        return self._process.pid

    def mounts(self) -> list[str]:
        """What is mounted below its folder, the innermost first."""
        return _mounts_below(self._folder)

    def __enter__(self) -> Self:
        if os.geteuid() != 0 or shutil.which("dockerd") is None:
            raise NoOwnDaemon("a Docker daemon of one's own takes root and dockerd")
        try:
            with docker_client() as machines:
                # On the same file system, where its kind of storage is known to work.
                root = Path(machines.info()["DockerRootDir"]).parent
                self._folder = Path(tempfile.mkdtemp(prefix="execbox-daemon-", dir=root))
                if self._disk_options is not None:
                    words = ["mount", "-t", "tmpfs", "-o", self._disk_options, "tmpfs"]
                    subprocess.run([*words, self._folder], check=True, capture_output=True)
                self._weigh()
                self.start()
                with docker_client(self.url) as own:
                    own.load_image(machines.get_image(self._image))
                    # What is loaded by its id has no name yet.
                    own.tag(machines.inspect_image(self._image)["Id"], self._image)
        except (DockerException, OSError, subprocess.CalledProcessError) as error:
            self._end()
            raise NoOwnDaemon(f"a second Docker daemon does not work here: {error}") from error
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def start(self) -> None:
        """Start it (again) and wait until it answers. Raises ``NoOwnDaemon``."""
        folder = self._folder
        (folder / "daemon.json").write_text(json.dumps(self._config))
        # One that was killed leaves these, with numbers that are somebody else's now, or nobody's.
        for left in (folder / "pid", self._containerd_pid):
            left.unlink(missing_ok=True)
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    # A daemon without a bridge removes docker0 where it runs: the machine's own.
                    *("unshare", "--net", "--"),
                    *("dockerd", "--config-file", folder / "daemon.json", "--host", self.url),
                    *("--data-root", folder / "data", "--exec-root", folder / "run"),
                    *("--pidfile", folder / "pid", "--shutdown-timeout", "1"),
                    *("--bridge", "none", "--iptables=false", "--ip-forward=false"),
                    *("--ip-masq=false", "--log-level", "warn"),
                    *(("--cgroup-parent", self._folder.name) if self._weighs else ()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline_s = time.monotonic() + _READY_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise NoOwnDaemon(f"it does not start: {self._log_tail()}")
            time.sleep(0.05)

    def forgotten(self) -> set[str]:
        """Containers that it had when it was killed last, that it does not list since it was
        started again, and whose shims run all the same: none of its clients can remove them.

        One that is being made or removed at that moment often becomes one (docs/faults.md).
        """
        if self._killed_s is None:
            return set()
        with docker_client(self.url) as client:
            listed = {each["Id"] for each in client.containers(all=True)}
        return {
            shim.container_id
            for shim in self._shims()
            if shim.started_s < self._killed_s and shim.container_id not in listed
        }

    @property
    def _weighs(self) -> bool:
        return self._cpu_weight > 1 and (_CPU_GROUPS / "cpu.shares").exists()

    def _weigh(self) -> None:
        """Give its containers a control group of their own: the kernel shares the CPU out among
        groups, so that all of the machine's containers together otherwise count as one process."""
        if self._weighs:
            group = _CPU_GROUPS / self._folder.name
            group.mkdir(exist_ok=True)
            (group / "cpu.shares").write_text(str(self._cpu_weight * _SHARES_OF_ONE))

    def kill(self) -> None:
        """End it without a warning; its containers end when it is started again, but for those
        that it has forgotten then."""
        self._killed_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._signal(signal.SIGKILL)
        with contextlib.suppress(OSError, ValueError):
            # It is to die with it, but a new one that comes too early takes it for its own.
            os.kill(int(self._containerd_pid.read_text()), signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        """End it in order, and its containers before it."""
        self._signal(signal.SIGTERM)
        self._wait()

    def freeze(self) -> None:
        """From now on it takes connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """End a freeze."""
        self._signal(signal.SIGCONT)

    @property
    def _containerd_pid(self) -> Path:
        return self._folder / "run" / "containerd" / "containerd.pid"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _wait(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _shims(self) -> list[Shim]:
        return [each for each in shims() if each.containerd_socket.startswith(f"{self._folder}/")]

    def _answers(self) -> bool:
        with contextlib.suppress(DockerException, OSError), docker_client(self.url) as client:
            return bool(client.ping())
        return False

    def _log_tail(self) -> str:
        log = self._folder / "log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else "no log"

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            # Only one that runs ends the containers that it left when it was killed.
            with contextlib.suppress(NoOwnDaemon, OSError):
                self.start()
        self.thaw()
        self.stop()
        if self._folder == Path():
            return
        _end_shims(self._shims())
        for group in Path("/sys/fs/cgroup").glob(f"*/{self._folder.name}"):
            # What the daemon left of it; a group that is not empty has one who needs it.
            with contextlib.suppress(OSError):
                group.rmdir()
        own = [] if self._disk_options is None else [str(self._folder)]
        for mount in [*self.mounts(), *own]:
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
        shutil.rmtree(self._folder, ignore_errors=True)


def _end_shims(found: list[Shim]) -> None:
    """With what is in their containers, and the control groups of these."""
    for shim in found:
        _kill(shim.pid)
    ids = {shim.container_id for shim in found}
    folders = [
        folder
        for container_id, folders in cgroup_folders(CGROUPS).items()
        if container_id in ids
        for folder in folders
    ]
    deadline_s = time.monotonic() + _GONE_S
    while folders and time.monotonic() < deadline_s:
        for folder in folders:
            with contextlib.suppress(OSError):
                for pid in (folder / "cgroup.procs").read_text().split():
                    _kill(int(pid))
                folder.rmdir()
        folders = [folder for folder in folders if folder.exists()]
        time.sleep(0.05)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _mounts_below(folder: Path) -> list[str]:
    """The innermost first."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    points = [line.split()[1] for line in lines]
    return sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True)
