"""``ServiceActor``: one service as a child of a Ray actor, which ends with it. Where it is placed
and how it is found is in ``fleet``.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from typing import Final

import ray

from execbox.client import Client
from execbox.config import ClientConfig, RetryPolicy
from execbox.errors import ExecboxError, ServiceUnavailable

__all__ = ["ServiceActor"]

logger = logging.getLogger(__name__)

_PORTS_TRIED: Final = 100
_POLL_S: Final = 0.2
_TOLD_LINES: Final = 30
_END_S: Final = 40.0


class ServiceActor:
    """Starts a service on this node when it is made, and ends when the service does.

    Ray then makes it again, and so starts the service again. Raises ``ServiceUnavailable`` with
    the service's own words where it does not start.
    """

    def __init__(self, *, port: int, api_key: str, start_timeout_s: float) -> None:
        self._host = ray.util.get_node_ip_address()
        self._port = _free_port(self._host, port)
        self._api_key = api_key
        self._said: deque[str] = deque(maxlen=_TOLD_LINES)
        # Settings come with the actor's environment. Should Ray or this process be killed, the
        # service ends as well: otherwise it would keep the port and the processors.
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "execbox._tied_process", str(os.getpid()), "serve"),
                *("--host", self._host, "--port", str(self._port)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        threading.Thread(target=self._listen, daemon=True).start()
        self._wait_until_ready(start_timeout_s)
        threading.Thread(target=self._end_with_it, daemon=True).start()

    def address(self, api_key: str) -> str | None:
        """Where the service is; None where it does not take this key."""
        return self._address() if api_key == self._api_key else None

    def api_key(self) -> str:
        """The key that the service takes. A program on this cluster may ask: it may run
        code here already."""
        return self._api_key

    def stop(self) -> None:
        """End the service, which lets what is running end, and then this actor for good."""
        self._process.terminate()
        try:
            self._process.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        ray.actor.exit_actor()

    def _address(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            text = line.decode("utf-8", "replace").rstrip()
            self._said.append(text)
            logger.info("service: %s", text)

    def _wait_until_ready(self, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        config = ClientConfig(self._address(), self._api_key, retry=RetryPolicy.never())
        with Client(config=config) as client:
            while self._process.poll() is None:
                try:
                    if client.readyz().ready:
                        return
                except ExecboxError:
                    pass
                if time.monotonic() > deadline_s:
                    self._process.kill()
                    raise ServiceUnavailable(f"not ready in {timeout_s:g} s: {self._told()}")
                time.sleep(_POLL_S)
        time.sleep(_POLL_S)  # For its last words to be read.
        raise ServiceUnavailable(
            f"the service ended with status {self._process.returncode}: {self._told()}"
        )

    def _told(self) -> str:
        return "\n".join(self._said) or "it said nothing"

    def _end_with_it(self) -> None:
        self._process.wait()
        logger.error("the service ended: %s", self._told())
        # Not exit_actor(), after which Ray would not start it again.
        os._exit(1)


def _free_port(host: str, first: int) -> int:
    """The first free port from ``first`` on. Raises ``ServiceUnavailable`` where none is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(first, min(first + _PORTS_TRIED, 65_536)):
        with socket.socket(family, socket.SOCK_STREAM) as trying:
            trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trying.bind((host, port))
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
                continue
            return port
    raise ServiceUnavailable(
        f"no port of {host} from {first} to {first + _PORTS_TRIED - 1} is free; give start_fleet "
        "a different port"
    )
