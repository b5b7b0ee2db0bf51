"""A service of one's own for as long as a program needs it; what is sent to it is elsewhere.

The demonstration, benchmarks, acceptance runs and tests start one. It listens on a free port of
127.0.0.1, without keys unless its settings name some, and is ended with SIGTERM, after which none
of its containers is left.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Self

from execbox import Client, ClientConfig, ExecboxError

_READY_S = 120.0
_STOP_S = 60.0
_LOG_TAIL_BYTES = 4000
# Of the caller's settings all but these apply to the service, such as EXECBOX_ENGINE.
_OURS = frozenset({"EXECBOX_HOST", "EXECBOX_PORT", "EXECBOX_API_KEY_HASHES"})


class ServiceDidNotStart(Exception):
    """The service ended or did not become ready; the message holds the end of its log."""


class LocalService:
    """``execbox serve`` as a child process, ready to run executions inside the ``with`` block.

    Options are settings of the service by name, such as ``pool_size="8"``. Entering raises
    ServiceDidNotStart.
    """

    program: tuple[str, ...] = ("-m", "execbox", "serve")
    """What of Python's is started; the settings are in its environment."""

    def __init__(self, **settings: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.environment: Mapping[str, str] = {}
        """Variables besides the settings, which are there before it is entered."""
        self._settings = settings
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _stop
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The service's process; valid inside the ``with`` block."""
        if self._process is None:
            raise RuntimeError("the service has not been started")
        return self._process.pid

    def config(self) -> ClientConfig:
        """For a client of this service; nothing of it comes from the environment."""
        return ClientConfig(base_url=self.url)

    def __enter__(self) -> Self:
        environment = {name: value for name, value in os.environ.items() if name not in _OURS}
        settings = self._settings | {"port": self.url.rpartition(":")[2]}
        environment |= {f"EXECBOX_{name.upper()}": text for name, text in settings.items()}
        environment |= self.environment
        # In a session of its own, so that Ctrl-C reaches only us, and we end it in order.
        self._process = subprocess.Popen(
            [sys.executable, *self.program],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def kill(self) -> None:
        """End it without a warning, as a machine's out-of-memory killer does."""
        os.kill(self.pid, signal.SIGKILL)

    def log_tail(self, max_bytes: int = _LOG_TAIL_BYTES) -> str:
        """The end of what the service wrote."""
        size_bytes = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size_bytes - max_bytes))
        return self._log.read().decode(errors="replace").strip()

    def engines_not_taken(self) -> list[str]:
        """Each engine that was looked for first, why it cannot be used here, and what helps."""
        mark = "not taken: "
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        return [line.partition(mark)[2] for line in lines if mark in line]

    def _wait_until_ready(self) -> None:
        process = self._process
        with Client(config=self.config()) as client:
            for _ in range(round(_READY_S)):
                try:
                    client.wait_until_ready(timeout_s=1.0)
                except ExecboxError as error:
                    if process is None or process.poll() is not None:
                        raise ServiceDidNotStart(self.log_tail()) from error
                else:
                    return
        raise ServiceDidNotStart(f"not ready after {_READY_S:g} s\n{self.log_tail()}")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._log.close()


def free_port() -> int:
    """A port of 127.0.0.1 that no process listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
