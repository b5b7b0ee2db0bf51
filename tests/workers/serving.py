"""A service with several fake workers, as a process of its own. No tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
from harness.local_service import free_port

from execbox import ClientConfig
from execbox_service.workers.silence import LOOK_S

_READY_S = 60.0
CODE = "def main_solution(n):\n    return n\n"


@dataclass
class Served:
    """One that answers."""

    port: int
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def config(self, **fields: Any) -> ClientConfig:
        return ClientConfig(base_url=self.url, **fields)

    def worker_pids(self) -> set[int]:
        """Of its workers that live."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return set(map(int, children.read_text().split()))

    def text(self) -> str:
        """What it has written so far."""
        self.log.seek(0)
        return self.log.read().decode()

    def metric(self, name: str) -> float:
        """One without labels, as it is exposed now."""
        lines = httpx.get(f"{self.url}/metrics", timeout=30).text.splitlines()
        (value,) = (line.split()[1] for line in lines if line.split()[0] == name)
        return float(value)

    def end(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def served(*, look_s: float = LOOK_S, **settings: str) -> Iterator[Served]:
    """Settings by name; two workers and four slots unless they say otherwise."""
    port = free_port()
    asked = {"workers": "2", "slot_count": "4", "port": str(port)} | settings
    environment = {name: text for name, text in os.environ.items() if "EXECBOX" not in name}
    environment |= {f"EXECBOX_{name.upper()}": text for name, text in asked.items()}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.workers.fake_front", str(look_s)],
            env=environment,
            cwd=Path(__file__).parents[2],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        it = Served(port, process, log)
        try:
            _wait_until_ready(it)
            yield it
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()


def _wait_until_ready(it: Served) -> None:
    ends_s = time.monotonic() + _READY_S
    while time.monotonic() < ends_s and it.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{it.url}/readyz").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"it does not serve:\n{it.text()}")


def execute_body(*calls: dict[str, Any]) -> dict[str, Any]:
    """Of ``/v1/execute``."""
    return {
        "function": {"code": CODE},
        "calls": [{"kwargs": call} for call in calls],
        "isolation": "process",
    }


def batch_line(number: int, **kwargs: Any) -> dict[str, Any]:
    """Of a batch, whose answer is its number."""
    call = {"kwargs": {"n": number} | kwargs}
    return {
        "id": str(number),
        "op": "execute",
        "function": {"code": CODE},
        "calls": [call],
        "isolation": "process",
    }


def output_of(answer: httpx.Response) -> Any:
    """Of its one call."""
    (execution,) = json.loads(answer.text)["executions"]
    return execution["output"]


def wait_until(holds: Callable[[], bool], *, within_s: float = 60.0) -> None:
    """Until a condition holds, asked a few times a second."""
    ends_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends_s, "it does not come to hold"
        time.sleep(0.1)
