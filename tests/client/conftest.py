"""A real HTTP server on loopback that answers from a script, and an environment without ours."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.client.batch_runs import Run, run_with_async_client, run_with_client
from tests.client.cli_harness import SOURCE
from tests.environment import no_settings_from_outside  # noqa: F401 - a fixture


@dataclass(frozen=True)
class Received:
    """One request as the server saw it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ScriptedServer:
    """Answers the n-th request with the n-th scripted step, and remembers every request."""

    url: str
    received: list[Received] = field(default_factory=list)
    steps: deque[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=deque)
    stopping: threading.Event = field(default_factory=threading.Event)

    def reply(
        self, status: int, body: object, *, headers: Mapping[str, str] | None = None
    ) -> ScriptedServer:
        """Answer with ``body``: bytes as they are, anything else as JSON."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()

        def step(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in (headers or {}).items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(payload)))
            handler.end_headers()
            handler.wfile.write(payload)

        self.steps.append(step)
        return self

    def fail(
        self, status: int, code: str, *, retryable: bool, headers: Mapping[str, str] | None = None
    ) -> ScriptedServer:
        """Answer with an error in the service's shape."""
        error = {"code": code, "message": f"{code} happened", "detail": {"at": 1}}
        return self.reply(status, {"error": error | {"retryable": retryable}}, headers=headers)

    def raw(self, data: bytes) -> ScriptedServer:
        """Write ``data`` in the place of an HTTP answer, then close the connection."""

        def step(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(data)
            handler.close_connection = True

        self.steps.append(step)
        return self

    def wait_until_received(self, *, count: int = 1, within_s: float = 10.0) -> None:
        """Return once this many requests have arrived; fails if they do not within the time."""
        deadline_s = time.monotonic() + within_s
        while len(self.received) < count:
            assert time.monotonic() < deadline_s
            time.sleep(0.005)

    def stall(self) -> ScriptedServer:
        """Take the request and answer nothing until the test is over."""

        def step(handler: BaseHTTPRequestHandler) -> None:
            self.stopping.wait(30)
            handler.close_connection = True

        self.steps.append(step)
        return self


@pytest.fixture(params=[run_with_client, run_with_async_client], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Batches, through each of the clients."""
    wanted: Run = request.param
    return wanted


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer(url="")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            scripted.received.append(Received(self.command, self.path, dict(self.headers), body))
            scripted.steps.popleft()(self)

        do_POST = do_CONNECT = do_DELETE = do_GET  # noqa: N815 - the base class's naming

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
            pass

    class Server(ThreadingHTTPServer):
        # Threads are waited for, so that none outlives its test and warns in another.
        daemon_threads = False

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    http = Server(("127.0.0.1", 0), Handler)
    scripted.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=lambda: http.serve_forever(poll_interval=0.01))
    thread.start()
    yield scripted
    scripted.stopping.set()
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def connected(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    """The scripted server, as the one EXECBOX_URL names."""
    monkeypatch.setenv("EXECBOX_URL", server.url)
    return server


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Gives the command these bytes on its standard input."""

    def give(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))

    return give


@pytest.fixture
def dead_url() -> str:
    """A loopback URL nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def stopwatch() -> Callable[[], float]:
    """Seconds since the test began."""
    begun_s = time.monotonic()
    return lambda: time.monotonic() - begun_s


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A file with a function."""
    path = tmp_path / "f.py"
    path.write_text(SOURCE)
    return str(path)


@pytest.fixture(autouse=True)
def _no_service_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is installed where the tests run, the doctor looks at no engine of this machine."""
    monkeypatch.setattr("execbox.cli.doctor._SERVICE_MODULES", ("json", "no_such_package"))
