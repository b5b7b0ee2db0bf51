"""The service as a process of its own on real containers, and ways to see what it uses. No tests.

Everything is as an operator runs it: settings, signals, a port. Its containers carry a label that
no other service has.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bench import bench_settings, containers_of, instance_of
from harness.meters import descriptor_count, resident_mb

from tests.api.harness import Answer, Server, execute_body, wait_until

PROGRAM = """
import json, sys
from execbox_service.main import serve
{before}
sys.exit(serve(json.loads(sys.argv[1])))
"""
# For sandboxes whose runner is another one: there is no setting for that.
OTHER_RUNNER = """
from execbox_service.engines.docker.engine import DockerEngine
honest = DockerEngine.start
async def start(self):
    facts = await honest(self)
    self._options["Binds"] = [{bind!r}]
    return facts
DockerEngine.start = start
"""
_START_S = 60


@dataclass(frozen=True)
class LiveService(Server):
    """A service that is serving, and its process."""

    process: subprocess.Popen[str]
    instance: str

    def connect(self) -> socket.socket:
        """Patient: what needs new containers takes as long as the machine needs for them."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def execute(self, code: str, *, headers: str = "", **fields: Any) -> Answer:
        """Run this function without arguments, unless ``fields`` say otherwise."""
        request = {"function": {"code": code}, "calls": [{"args": []}]} | fields
        return self.post(execute_body(**request), headers=headers)

    def containers(self) -> set[str]:
        """The ids of all its containers, ended ones included."""
        return {container["Id"] for container in containers_of(self.instance)}

    def resident_mb(self) -> float:
        """Memory the service holds now."""
        return resident_mb(self.process.pid)

    def descriptor_count(self) -> int:
        return descriptor_count(self.process.pid)


@contextlib.contextmanager
def live_service(
    overrides: Mapping[str, str], *, port: int | None = None, runner: Path | None = None
) -> Iterator[LiveService]:
    """Start one with these settings and wait until it serves; after the block it has ended, and
    removed its containers.

    ``port`` is another service's that has ended. ``runner`` is mounted over the image's own.
    """
    given = dict(overrides) | ({"port": str(port)} if port else {})
    settings = bench_settings(**given)
    values = {
        "engine": "docker",
        "image": settings.image,
        "port": str(settings.port),
        "pool_size": "2",
        # However many cores there are: what is measured of the service is of its one process.
        "workers": "1",
    }
    instance = instance_of(settings)
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _program(runner),
                json.dumps(values | given),
            ],
            stderr=log,
            text=True,
        )
        try:
            _wait_until_serving(process, settings.port)
            yield LiveService(settings.port, process, instance)
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read()[-8000:])
            raise
        finally:
            end(process)


def end(process: subprocess.Popen[str], *, number: signal.Signals = signal.SIGTERM) -> int:
    """End it and wait; its exit code."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(timeout=40)
    finally:
        process.kill()
        process.wait()


def headers_of(key: str) -> str:
    return f"Authorization: Bearer {key}\r\n"


def statuses_of(answer: Answer) -> list[str]:
    """How each execution ended."""
    return [execution["status"] for execution in answer.json["executions"]]


def _program(runner: Path | None) -> str:
    bind = f"{runner}:/usr/lib/execbox/execbox_runner:ro"
    return PROGRAM.format(before=OTHER_RUNNER.format(bind=bind) if runner else "")


def _wait_until_serving(process: subprocess.Popen[str], port: int) -> None:
    def serving() -> bool:
        assert process.poll() is None, "the service ended before it served"
        with contextlib.suppress(OSError, AssertionError):
            return Server(port).get("/readyz").status == 200
        return False

    wait_until(serving, timeout_s=_START_S)


def settings_of_attacks(**others: str) -> dict[str, str]:
    """A small service in which a hostile request is over soon."""
    return {
        "slot_count": "4",
        "isolation_allowed": "process,container",
        "cpu_time_s_max": "0.5",
        "wall_time_s_max": "1",
        "log_level": "warning",
    } | others
