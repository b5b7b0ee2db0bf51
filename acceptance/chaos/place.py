"""Where the work of a run of chaos is done: a service, what is below it and before it, and what can
be done to each.

A Docker daemon of the run's own, a proxy on its socket, the service, and a network before that.
When and how often something is done is in ``kinds`` and ``driving``.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import docker
from docker.errors import DockerException
from harness.daemon_proxy import DaemonProxy
from harness.docker_daemon import docker_client
from harness.exported import exported
from harness.local_service import LocalService
from harness.measurement import capabilities_of
from harness.moved_clock import MovedClock
from harness.own_daemon import OwnDaemon
from harness.unsteady_network import UnsteadyNetwork

from execbox import Client, ClientConfig, ExecboxError
from execbox.config import RetryPolicy
from execbox.wire import Capabilities
from execbox_service.engines.docker.policy import LABEL
from execbox_service.settings import hash_api_key

__all__ = ["Place", "placed"]

_SETTINGS: Final = {
    "engine": "docker",
    "isolation_allowed": "process,container",
    "slot_count": "2",
    "pool_size": "2",
    "sweep_interval_s": "5",
    "shutdown_grace_s": "2",
    "log_level": "error",
}
_KEYS: Final = {"work": "execbox-chaos-work", "probes": "execbox-chaos-probes"}
"""Of those who ask. A probe with the work's key would wait for its turn behind all of the work, and
say how long the queue is instead of when the service is well again."""
_PROBED: Final = "def main_solution(n):\n    return n * n\n"
_PROBE_S: Final = 10.0
"""In which a probe is answered, or counts as unanswered."""
_GROWN_S: Final = 1.0
Part = Literal["supervisor", "zygote"]


class Place:
    """A service that can be hurt and begun anew, behind an address that stays."""

    def __init__(
        self,
        daemon: OwnDaemon,
        proxy: DaemonProxy,
        network: UnsteadyNetwork,
        *,
        clock: MovedClock,
        seed: int,
    ) -> None:
        self.daemon = daemon
        self.proxy = proxy
        self.network = network
        self.clock = clock
        """The service's; clients have it as well."""
        self.instance = f"chaos-{os.getpid()}"
        self.container_ids: set[str] = set()
        """Of every container that has been seen."""
        self._drawn = random.Random(seed)
        self._stack = ExitStack()
        self._service: LocalService | None = None

    # The service

    def begin(self) -> None:
        """Start one; returns when it is ready. Raises ``ServiceDidNotStart``."""
        hashes = ",".join(f"{name}:{hash_api_key(key)}" for name, key in _KEYS.items())
        settings = _SETTINGS | {"instance": self.instance, "docker_host": self.proxy.url}
        settings["api_key_hashes"] = hashes
        service = LocalService(**settings)
        service.environment = self.clock.environment
        self._service = self._stack.enter_context(service)
        self.network.port = int(self._service.url.rpartition(":")[2])

    def end(self, *, in_order: bool = True) -> None:
        """End it: as an operator does, or as the machine's out-of-memory killer does."""
        if not in_order and self._service is not None:
            self._service.kill()
        self._stack.close()
        self._service = None
        self.network.port = None

    def stand_still(self, *, lasts_s: float) -> None:
        """The service does nothing for so long, as on a virtual machine that is moved."""
        pid = self.service_pid
        if pid is None:
            return
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(lasts_s)
        finally:
            os.kill(pid, signal.SIGCONT)

    @property
    def service_pid(self) -> int | None:
        """Of the service that runs; None while none does."""
        try:
            return None if self._service is None else self._service.pid
        except RuntimeError:
            # It is being begun or ended by a different thread.
            return None

    def log_tail(self) -> str:
        """The end of what the service that runs has written."""
        return "no service runs" if self._service is None else self._service.log_tail()

    def executions_ended(self) -> int:
        """How many executions the service that runs has made."""
        if self._service is None:
            raise RuntimeError("there is no service")
        told = exported(self._service.url, key=_KEYS["work"])
        return int(told["execbox_executions_ended_total"])

    def capabilities(self) -> Capabilities:
        """What the service that runs says of itself."""
        return capabilities_of(ClientConfig(base_url=self.network.url, api_key=_KEYS["probes"]))

    @property
    def clients_environment(self) -> dict[str, str]:
        """What the clients that do the work have besides what they have anyway."""
        return self.clock.environment | {"EXECBOX_API_KEY": _KEYS["work"]}

    def answers(self, n: int) -> bool:
        """Whether one request, sent once, is answered as it must be. Raises ``AssertionError`` for
        a wrong answer."""
        config = ClientConfig(
            base_url=self.network.url,
            api_key=_KEYS["probes"],
            read_timeout_s=_PROBE_S,
            retry=RetryPolicy.never(),
        )
        try:
            with Client(config=config) as client:
                answer = client.execute(_PROBED, [{"n": n}], isolation="process")
        except ExecboxError:
            return False
        (execution,) = answer.executions
        if execution.output != n * n:
            raise AssertionError(f"a probe was answered with {execution.model_dump_json()}")
        return True

    # Its containers

    def containers(self) -> list[dict[str, Any]]:
        """What the daemon has of it, ended ones included; nothing while the daemon is away."""
        found: list[dict[str, Any]] = []
        with contextlib.suppress(DockerException, OSError), docker_client(self.daemon.url) as api:
            found = api.containers(all=True, filters={"label": f"{LABEL}={self.instance}"})
        self.container_ids |= {each["Id"] for each in found}
        return found

    def tmpfs_bytes(self, containers: Sequence[dict[str, Any]]) -> int:
        """What their executions have left in their working directories' file systems."""
        total_bytes = 0
        with self._api() as api:
            for container in containers:
                with contextlib.suppress(DockerException, OSError):
                    pid = int(api.inspect_container(container["Id"])["State"]["Pid"])
                    found = os.statvfs(f"/proc/{pid}/root/tmp")
                    total_bytes += (found.f_blocks - found.f_bfree) * found.f_frsize
        return total_bytes

    def kill_container(self) -> None:
        """One, whatever it does at the moment."""
        with self._api() as api:
            if (chosen := self._one()) is not None:
                api.kill(chosen)

    def kill_in_container(self, part: Part) -> None:
        """The first process of one, or the first that that one has started."""
        with self._api() as api, contextlib.suppress(IndexError):
            if (chosen := self._one()) is None:
                return
            pid = int(api.inspect_container(chosen)["State"]["Pid"])
            if part == "zygote":
                pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
            os.kill(pid, signal.SIGKILL)

    def pause_containers(self, *, lasts_s: float) -> None:
        """All of them stand still for so long."""
        paused = []
        with self._api() as api:
            for container in self.containers():
                with contextlib.suppress(DockerException):
                    api.pause(container["Id"])
                    paused.append(container["Id"])
            time.sleep(lasts_s)
            for container_id in paused:
                with contextlib.suppress(DockerException):
                    api.unpause(container_id)

    def _one(self) -> str | None:
        """One that has run for a while, if there is any: were new ones hurt as well, a busy machine
        would come to none at all."""
        born_s = time.time() - _GROWN_S
        grown = [
            each["Id"]
            for each in self.containers()
            if each["State"] == "running" and each["Created"] < born_s
        ]
        return self._drawn.choice(sorted(grown)) if grown else None

    @contextmanager
    def _api(self) -> Iterator[docker.APIClient]:
        """Of the daemon, past the proxy; a container that has ended meanwhile is left out."""
        with contextlib.suppress(DockerException, OSError), docker_client(self.daemon.url) as api:
            yield api


@contextmanager
def placed(image: str, *, seed: int) -> Iterator[Place]:
    """A place with a daemon of its own, and no service yet; nothing of it is left afterwards.
    Raises ``NoOwnDaemon``, ``NoMovedClock``."""
    with ExitStack() as stack:
        daemon = stack.enter_context(OwnDaemon(image))
        socket = daemon.url.removeprefix("unix://")
        proxy = stack.enter_context(DaemonProxy(daemon.folder / "proxy.sock", socket))
        network = stack.enter_context(UnsteadyNetwork(seed=seed))
        clock = stack.enter_context(MovedClock())
        place = Place(daemon, proxy, network, clock=clock, seed=seed)
        stack.callback(place.end)
        yield place
