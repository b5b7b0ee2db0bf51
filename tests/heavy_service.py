"""A service whose sandboxes give whatever a call asks for, however large. No tests.

Run as a program: it serves with the settings of its argument until SIGTERM. At each SIGUSR1, and
at the end, it prints how long its event loop stood still at most since it last did, and the most
memory it took. Everything but the sandboxes is the service itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import resource
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness.hostile_requests import wanted_of_arguments, wanted_of_generator

from execbox_service.main import serve_runtime
from execbox_service.runner_frames import FrameKind
from execbox_service.runtime import Runtime
from execbox_service.settings import load_settings
from tests.api.harness import Server, wait_until
from tests.fake_engine import FACTS, FakeEngine, FakeSandbox, report_frame, result_frame

_PIECE_BYTES = 64 * 1024
_SMALL_BYTES = 4096


@dataclass
class GivingSandbox(FakeSandbox):
    """Answers what ``giving``, ``drawing`` or ``printing`` asks for, and any other call with 1;
    keeps nothing it is sent. What is large is made beside the event loop, as a real sandbox makes
    it."""

    drawn: Any = None
    """What the generator of the job asks for."""
    printed: dict[str, Any] | None = None
    """What the program of the job asks for, where a case has no arguments of its own."""
    _due: deque[bytes | asyncio.Future[bytes]] = field(default_factory=deque)
    _delivering: asyncio.Task[None] | None = None

    def send(self, *parts: bytes) -> None:
        head, body = parts[0], parts[1]
        _total, kind, header_bytes = struct.unpack_from("!IBI", head)
        payload = json.loads(body) if len(body) < _SMALL_BYTES else {}
        if kind == FrameKind.JOB:
            self.drawn = wanted_of_generator(payload.get("generator_code", ""))
            self.printed = wanted_of_arguments(payload.get("program", {}).get("arguments", []))
        if kind != FrameKind.EXECUTE or self.lost:
            return
        header = json.loads(head[9 : 9 + header_bytes])
        wanted = self._wanted(payload)
        if wanted is not None:
            loop = asyncio.get_running_loop()
            self._due.append(loop.run_in_executor(_maker(), _answer, header, wanted))
        else:
            plain = result_frame(header["seq"], frame=report_frame(b"1"), stdout=b"1")
            self._due.append(plain)
        if self._delivering is None or self._delivering.done():
            self._delivering = asyncio.create_task(self._deliver_all())

    def _wanted(self, payload: dict[str, Any]) -> dict[str, Any] | None:
        if "arguments" in payload:
            return wanted_of_arguments(payload["arguments"])
        if "files" in payload:
            return self.printed
        wanted = (payload.get("args") or [self.drawn])[0] if "args" in payload else payload
        return wanted if isinstance(wanted, dict) and "unit" in wanted else None

    async def _deliver_all(self) -> None:
        """One answer after the other, each in pieces, as they come over a stream."""
        while self._due:
            answer = self._due.popleft()
            if not isinstance(answer, bytes):
                answer = await answer
            for start in range(0, len(answer), _PIECE_BYTES):
                self.deliver(answer[start : start + _PIECE_BYTES])
                await asyncio.sleep(0)


def _answer(header: dict[str, Any], wanted: dict[str, Any]) -> bytes:
    text = wanted["unit"].encode() * wanted["count"]
    if "file_count" in wanted:
        files = _files(**wanted) if "fetch" in header else b""
        return result_frame(header["seq"], frame=report_frame(b"1"), stdout=text, files=files)
    last = secrets.randbits(50) if wanted.get("varies") else 1
    text = b"[%b%d]" % (text, last)
    if wanted.get("drawn"):
        text = b'{"x":%b,"n":%d}' % (text, header["surroundings"]["entropy_seed"])
    return result_frame(header["seq"], frame=report_frame(text))


def _files(*, file_count: int, file_bytes: int, **_of_stdout: Any) -> bytes:
    """What a supervisor sends of files as a program leaves them."""
    sizes = {f"made-{number}": file_bytes for number in range(file_count)}
    told = json.dumps({"sizes": sizes, "left_out": []}).encode()
    return len(told).to_bytes(4) + told + b"x" * (file_count * file_bytes)


@cache
def _maker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1)


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
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.tell)
        self._beat = asyncio.create_task(self._watch())

    def tell(self) -> None:
        """Print what was noted since the last time."""
        # Not getrusage: that goes on from the process which started this one.
        status = Path("/proc/self/status").read_text("utf-8")
        peak_mb = int(status.split("VmHWM:")[1].split()[0]) / 1024
        sys.stdout.write(json.dumps({"longest_s": self.longest_s, "peak_mb": peak_mb}) + "\n")
        sys.stdout.flush()
        self.longest_s = 0.0

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
    runtime.tell()
    return code


@dataclass
class Noted:
    """What a service noted."""

    longest_s: float = 0.0
    peak_mb: float = 0.0


@dataclass(frozen=True)
class HeavyService(Server):
    """One that runs."""

    process: subprocess.Popen[str]
    noted: Noted = field(default_factory=Noted)
    """The whole of it, once it has ended."""

    def noted_since(self) -> Noted:
        """What it noted since this was last asked, or since it began."""
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGUSR1)
        return Noted(**json.loads(self.process.stdout.readline()))

    def post_lines(self, lines: bytes) -> list[bytes]:
        """What a batch of these is answered with, line by line."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(connection):
            connection.request("POST", "/v1/batch", lines, {"Content-Type": "application/x-ndjson"})
            return [line for line in connection.getresponse().read().split(b"\n") if line]

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
    service = HeavyService(port, process)
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
