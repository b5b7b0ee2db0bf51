"""Where checks are made: a service on real containers, the network before it, the daemon below it.

And what can be done to each. When and how often is in ``faults``.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

from docker.errors import DockerException
from harness.docker_daemon import docker_client
from harness.local_service import LocalService
from harness.own_daemon import OwnDaemon
from harness.unsteady_network import UnsteadyNetwork

from execbox import Client, ClientConfig
from execbox_service.engines.docker.policy import LABEL

__all__ = ["Place"]

_SLOTS: Final = 4
"""More than cores, as some checks sleep; each more is two containers more that are made again after
every restart of a daemon."""
_READY_S: Final = 60.0
_GROWN_S: Final = 2.0


class Place:
    """A service that can be begun anew behind an address that stays."""

    def __init__(
        self, network: UnsteadyNetwork, daemon: OwnDaemon | None, *, seed: int, instance: str
    ) -> None:
        self.network = network
        self.daemon = daemon
        self._instance = instance
        self._drawn = random.Random(seed)
        self._settings: dict[str, str] = {}
        self._service: LocalService | None = None
        self._stack = ExitStack()

    @contextmanager
    def served(self, settings: Mapping[str, str]) -> Iterator[None]:
        """With the service inside the block."""
        self._settings = {
            "engine": "docker",
            "instance": self._instance,
            "slot_count": str(_SLOTS),
            # Of requests that do not say: a container for each would take an hour.
            "isolation_allowed": "process,container",
            # What loses the answer to its beginning is there until it has been idle for long.
            "key_session_count_max": "200",
            "session_count_max": "200",
            "log_level": "error",
            **({"docker_host": self.daemon.url} if self.daemon is not None else {}),
            **settings,
        }
        self._begin()
        try:
            yield
        finally:
            self._end()

    def _begin(self) -> None:
        self._service = self._stack.enter_context(LocalService(**self._settings))
        self.network.port = int(self._service.url.rpartition(":")[2])

    def _end(self) -> None:
        self.network.port = None
        self._stack.close()

    @property
    def service_url(self) -> str:
        """Past the network."""
        if self._service is None:
            raise RuntimeError("there is no service outside of served()")
        return self._service.url

    def wait_until_ready(self) -> None:
        """Until code can be run again, after whatever was done to it. Raises ``ExecboxError``."""
        with Client(config=ClientConfig(base_url=self.service_url)) as client:
            client.wait_until_ready(timeout_s=_READY_S)

    def restart_service(self, *, in_order: bool) -> None:
        """End it, with its requests answered or not, and begin a new one."""
        if not in_order and self._service is not None:
            self._service.kill()
        self._end()
        self._begin()

    def kill_a_container(self) -> bool:
        """One of the service's that has run for a while, whatever it does at the moment; whether
        there was one. Were new ones killed as well, a busy machine would come to none at all."""
        url = None if self.daemon is None else self.daemon.url
        with contextlib.suppress(DockerException), docker_client(url) as client:
            label = {"label": f"{LABEL}={self._instance}", "status": "running"}
            born_s = time.time() - _GROWN_S
            found = client.containers(filters=label)
            grown = [each["Id"] for each in found if each["Created"] < born_s]
            if grown:
                client.kill(self._drawn.choice(grown))
                return True
        return False
