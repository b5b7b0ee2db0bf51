"""Services as the nodes of a fleet, each at an address of its own on this machine.

As root each has a network namespace and the port 8080, as machines have; otherwise they share the
loopback, at 127.0.0.2 and on, with a free port each. What is sent to them is elsewhere. They can be
killed, started again, and slowed down; when the ``with`` block ends, nothing of them is left.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO

from execbox import Client, ClientConfig, ExecboxError
from harness.local_service import ServiceDidNotStart, free_port

__all__ = ["KEY", "LocalNode", "local_nodes"]

KEY = "key-of-the-fleet"
"""Services that are no loopback's ask for one."""
_PORT = 8080
_READY_S = 60.0
_STOP_S = 30.0
_LOG_TAIL_BYTES = 4000
_STALL_S = 0.2
_IP_S = 20
_FIRST_LOOPBACK = 2
_NODES_MAX = 64


@dataclass(frozen=True)
class _Place:
    """Where a node is: its address, and the namespace it is in, if any."""

    host: str
    port: int
    namespace: str | None


class LocalNode:
    """One node of a fleet; its settings are those of the service by name."""

    def __init__(self, place: _Place, settings: Mapping[str, str]) -> None:
        self.url = f"http://{place.host}:{place.port}"
        self._place = place
        self._settings = settings
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end
        self._process: subprocess.Popen[bytes] | None = None
        self._is_killed = False

    def start(self) -> None:
        """Start it; does not wait until it serves."""
        self._is_killed = False
        # Not `ip netns exec`, which mounts a /sys of its own, without the control groups.
        name = self._place.namespace
        enter = ["nsenter", f"--net=/run/netns/{name}"] if name else []
        ours = ("EXECBOX_URL", "EXECBOX_API_KEY", "EXECBOX_API_KEY_HASHES")
        environment = {name: value for name, value in os.environ.items() if name not in ours}
        environment |= {f"EXECBOX_{name.upper()}": text for name, text in self._settings.items()}
        environment["EXECBOX_API_KEY_HASHES"] = f"fleet:{hashlib.sha256(KEY.encode()).hexdigest()}"
        serve = [
            "-m",
            "execbox",
            "serve",
            "--host",
            self._place.host,
            "--port",
            str(self._place.port),
        ]
        self._process = subprocess.Popen(
            [*enter, sys.executable, *serve],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_until_ready(self) -> None:
        """Raises ``ServiceDidNotStart`` with the end of its log."""
        config = ClientConfig(base_url=self.url, api_key=KEY)
        with Client(config=config) as client:
            for _ in range(round(_READY_S)):
                try:
                    client.wait_until_ready(timeout_s=1.0)
                except ExecboxError as error:
                    if self._process is None or self._process.poll() is not None:
                        raise ServiceDidNotStart(self._log_tail()) from error
                else:
                    return
        raise ServiceDidNotStart(f"not ready after {_READY_S:g} s\n{self._log_tail()}")

    def kill(self) -> None:
        """As a power failure of the service: no signal that it could handle."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._is_killed = True

    @contextmanager
    def slowed(self, *, part: float) -> Iterator[None]:
        """Its service gets to run only this part of the time, in turns of a fifth of a second."""
        over = threading.Event()

        def stall() -> None:
            while not over.wait(_STALL_S * part):
                self._signal(signal.SIGSTOP)
                over.wait(_STALL_S * (1 - part))
                self._signal(signal.SIGCONT)

        thread = threading.Thread(target=stall)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._signal(signal.SIGCONT)

    def end(self) -> None:
        """End it as an operator does; one that was killed is started once more, because that is
        what removes the containers it left."""
        if self._is_killed:
            self.start()
            self.wait_until_ready()
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._log.close()

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)

    def _log_tail(self) -> str:
        size_bytes = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size_bytes - _LOG_TAIL_BYTES))
        return self._log.read().decode(errors="replace").strip()


@contextmanager
def local_nodes(count: int, **settings: str) -> Iterator[list[LocalNode]]:
    """So many nodes, ready. Raises ``ServiceDidNotStart``."""
    with ExitStack() as stack:
        places = [stack.enter_context(_place(index)) for index in range(count)]
        nodes = [LocalNode(place, settings) for place in places]
        for node in nodes:
            stack.callback(node.end)
            node.start()
        for node in nodes:
            node.wait_until_ready()
        yield nodes


@contextmanager
def _place(index: int) -> Iterator[_Place]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        yield _Place(f"127.0.0.{_FIRST_LOOPBACK + index}", free_port(), None)
        return
    if index >= _NODES_MAX:
        raise ValueError(f"there is room for {_NODES_MAX} nodes")
    # Of this process only: names (at most 15 characters) and a network of four addresses.
    number = os.getpid() % 2**15
    name, network = f"exb{number}n{index}", f"10.{64 + (number >> 8)}.{number & 255}"
    outside, inside = f"{name}o", f"{name}i"
    own, peer = f"{network}.{4 * index + 1}", f"{network}.{4 * index + 2}"
    commands = [
        f"ip netns add {name}",
        f"ip link add {outside} type veth peer name {inside}",
        f"ip link set {inside} netns {name}",
        f"ip addr add {own}/30 dev {outside}",
        f"ip link set {outside} up",
        f"ip -n {name} addr add {peer}/30 dev {inside}",
        f"ip -n {name} link set {inside} up",
        f"ip -n {name} link set lo up",
    ]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True, timeout=_IP_S)
        yield _Place(peer, _PORT, name)
    finally:
        for command in (f"ip netns del {name}", f"ip link del {outside}"):
            subprocess.run(command.split(), check=False, capture_output=True, timeout=_IP_S)
