"""A service whose sandboxes give whatever a call asks for, however large. No tests.

Run as a program: it serves with the settings of its argument until SIGTERM, and then prints how
long its event loop stood still at most, and the most memory it took. Everything but the sandboxes
is the service itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from execbox_service.main import serve_runtime
from execbox_service.runner_frames import FrameKind
from execbox_service.runtime import Runtime
from execbox_service.settings import load_settings
from tests.api.harness import Server, wait_until
from tests.fake_engine import FACTS, FakeEngine, FakeSandbox, report_frame, result_frame

_PIECE_BYTES = 64 * 1024
_SMALL_BYTES = 4096


def giving(unit: str, count: int) -> dict[str, Any]:
    """The call whose output is an array of so many times this text, and a number at its end."""
    return {"args": [{"unit": unit, "count": count}]}


class GivingSandbox(FakeSandbox):
    """Answers what ``giving`` asks for, and any other call with 1; keeps nothing it is sent."""

    def send(self, frame: bytes) -> None:
        _total, kind, header_bytes = struct.unpack_from("!IBI", frame)
        if kind != FrameKind.EXECUTE or self.lost:
            return
        header = json.loads(frame[9 : 9 + header_bytes])
        call = json.loads(frame[9 + header_bytes :]) if len(frame) < _SMALL_BYTES else {}
        wanted = (call.get("args") or [None])[0]
        text = b"1"
        if isinstance(wanted, dict) and "unit" in wanted:
            text = b"[" + wanted["unit"].encode() * wanted["count"] + b"1]"
        answer = result_frame(header["seq"], frame=report_frame(text))
        asyncio.get_running_loop().call_soon(self._deliver_in_pieces, answer, 0)

    def _deliver_in_pieces(self, answer: bytes, start: int) -> None:
        self.deliver(answer[start : start + _PIECE_BYTES])
        if start + _PIECE_BYTES < len(answer):
            loop = asyncio.get_running_loop()
            loop.call_soon(self._deliver_in_pieces, answer, start + _PIECE_BYTES)


class GivingEngine(FakeEngine):
    async def create(self) -> FakeSandbox:
        sandbox = GivingSandbox(self, f"giving-{next(self._numbers)}")
        self.living.add(sandbox.name)
        return sandbox


class WatchedRuntime(Runtime):
    """Notes the longest time for which a task that wants to run every millisecond could not, in CPU
    time: what other programs take of the machine is no wait of the service's."""

    longest_s = 0.0
    _beat: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await super().start()
        self._beat = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        await super().stop()

    async def _watch(self) -> None:
        # Starting up is no wait of a caller's.
        await asyncio.sleep(1)
        while True:
            began_s = time.process_time()
            await asyncio.sleep(0.001)
            self.longest_s = max(self.longest_s, time.process_time() - began_s)


def main(settings_json: str) -> int:
    """Serve until SIGTERM; prints what was noted."""
    settings = load_settings(json.loads(settings_json))

    async def choose(*_ignored: object) -> tuple[FakeEngine, object]:
        return GivingEngine(), FACTS

    async def prove(*_ignored: object) -> None:
        pass

    runtime = WatchedRuntime(settings)
    with (
        patch("execbox_service.runtime.choose_engine", choose),
        patch("execbox_service.runtime.selftest.prove", prove),
    ):
        code = serve_runtime(settings, runtime)
    # Not getrusage: that goes on from the process which started this one.
    status = Path("/proc/self/status").read_text("utf-8")
    peak_mb = int(status.split("VmHWM:")[1].split()[0]) / 1024
    sys.stdout.write(json.dumps({"longest_s": runtime.longest_s, "peak_mb": peak_mb}) + "\n")
    return code


@dataclass
class Noted:
    """What a service noted, once it has ended."""

    longest_s: float = 0.0
    peak_mb: float = 0.0


@dataclass(frozen=True)
class HeavyService(Server):
    """One that runs."""

    noted: Noted = field(default_factory=Noted)

    def connect(self) -> socket.socket:
        """Patient: the largest requests take seconds."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=120)


@contextlib.contextmanager
def heavy_service(
    *, data_bytes_max: int = resource.RLIM_INFINITY, **overrides: str
) -> Iterator[HeavyService]:
    """Serve while the block runs, within so much memory; afterwards it has noted what it took."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"port": str(port), "log_level": "error", "receive_timeout_s": "120"} | overrides
    limits = (data_bytes_max, data_bytes_max)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.heavy_service", json.dumps(settings)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, limits),  # noqa: PLW1509
    )
    service = HeavyService(port)
    try:
        wait_until(lambda: _answers(process, service), timeout_s=60)
        time.sleep(1.5)
        yield service
        assert process.poll() is None, "the service did not survive"
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=60)
        noted = json.loads(printed.splitlines()[-1])
        service.noted.longest_s, service.noted.peak_mb = noted["longest_s"], noted["peak_mb"]
    finally:
        process.kill()
        process.wait()


def _answers(process: subprocess.Popen[str], service: Server) -> bool:
    assert process.poll() is None, "the service ended before it served"
    with contextlib.suppress(OSError, AssertionError):
        return service.get("/readyz").status == 200
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
