"""The service as a process: start, end, exit codes and what it writes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from harness.local_service import free_port

from execbox_service.main import EXIT_CONFIGURATION, serve, serve_runtime
from execbox_service.main import _bound_socket as bound_socket
from execbox_service.settings import load_settings
from tests.api.harness import FakeRuntime, as_runtime, execute_body, read_answer, wait_until

PROGRAM = """
import socket
import sys
from execbox.wire import ErrorCode
from execbox_service.failures import ServiceFailure
from execbox_service.main import serve_runtime
from execbox_service.settings import load_settings
from tests.api.harness import FakeRuntime

class Runtime(FakeRuntime):
    async def start(self):
        if {races}:
            # As a service does that was bound at the same time, and is ready first.
            self.other = socket.create_server(("127.0.0.1", {port}))
        if {fails}:
            code = ErrorCode.ENGINE_UNAVAILABLE
            raise ServiceFailure(code, "no Docker daemon answers; start one")
    async def stop(self):
        sys.stderr.write("runtime stopped\\n")

sys.exit(serve_runtime(load_settings({{"port": "{port}", "log_format": "json"}}), Runtime()))
"""


@contextlib.contextmanager
def _process(
    *, port: int = 0, fails: bool = False, races: bool = False, shutdown_grace_s: float = 5
) -> Iterator[subprocess.Popen[str]]:
    roots = [str(Path(__file__).parents[2]), *sys.path]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(root for root in roots if root),
        "EXECBOX_SHUTDOWN_GRACE_S": str(shutdown_grace_s),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(port=port, fails=fails, races=races)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _port_of(process: subprocess.Popen[str]) -> int:
    """From the one line that says where it serves."""
    assert process.stderr is not None
    line = json.loads(process.stderr.readline())
    assert line["message"] == "execbox is serving"
    assert (line["engine"], line["keys"]) == ("fake", "no")
    match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)", line["url"])
    assert match is not None
    return int(match[1])


def _send(port: int, *, code: str) -> socket.socket:
    body = execute_body(function={"code": code})
    head = (
        f"POST /v1/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(head.encode() + body)
    return connection


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_signal_when_idle_ends_cleanly(number: signal.Signals) -> None:
    """Exit code 0, the runtime stopped, and connections that merely idle do not delay it."""
    with _process() as process:
        port = _port_of(process)
        with socket.create_connection(("127.0.0.1", port)):
            started_s = time.monotonic()
            process.send_signal(number)
            _, errors = process.communicate(timeout=10)
        assert process.returncode == 0
        assert errors.splitlines()[-1] == "runtime stopped"
        assert time.monotonic() - started_s < 3


def test_serve_signal_before_the_server_listens_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever is stopped while containers are made must not serve afterwards; the handlers that
    were there are put back."""
    before = signal.getsignal(signal.SIGTERM)
    ended: list[bool] = []

    def run(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        signal.raise_signal(signal.SIGTERM)
        ended.append(server.should_exit)
        server.started = True

    monkeypatch.setattr(uvicorn.Server, "run", run)
    monkeypatch.setattr("execbox_service.main.configure_logging", lambda settings: None)
    assert serve_runtime(load_settings({"port": "0"}), as_runtime(FakeRuntime())) == 0
    assert ended == [True]
    assert signal.getsignal(signal.SIGTERM) is before


def test_serve_sigterm_lets_running_requests_end() -> None:
    """F20: what ends within the grace period is answered."""
    with _process() as process:
        port = _port_of(process)
        with _send(port, code="sleep 1") as connection:
            time.sleep(0.3)
            process.terminate()
            answer = read_answer(connection)
        assert answer.status == 200
        assert process.wait(timeout=10) == 0


def test_serve_sigterm_answers_what_does_not_end_with_503() -> None:
    """F20: retryable, so that a client goes elsewhere; never 500, never silence."""
    with _process(shutdown_grace_s=1) as process:
        port = _port_of(process)
        with _send(port, code="sleep 60") as connection:
            time.sleep(0.3)
            process.terminate()
            answer = read_answer(connection)
        assert (answer.status, answer.code) == (503, "shutting_down")
        assert answer.json["error"]["retryable"] is True
        assert process.wait(timeout=10) == 0


def test_serve_runtime_that_cannot_start_says_why_and_returns_1() -> None:
    """One line, no traceback."""
    with _process(fails=True) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors == "execbox: cannot start: no Docker daemon answers; start one\n"


def test_serve_port_in_use_says_so_and_returns_1() -> None:
    """Before anything is started that would have to be stopped."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with _process(port=port) as process:
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors.startswith(f"execbox: cannot listen on 127.0.0.1 port {port}: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("host", ["a..b", ".svc", "a" * 64 + ".example"])
def test_serve_name_that_no_host_can_have_says_so_and_returns_1(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As for a name that is not known, and no traceback."""
    settings = load_settings({"host": host, "api_key_hashes": f"a:{'0' * 64}"})
    assert serve_runtime(settings, as_runtime(FakeRuntime())) == 1
    errors = capsys.readouterr().err
    assert errors.startswith(f"execbox: cannot listen on {host} port 8080: no host can have")


def test_serve_name_of_two_addresses_is_listened_on_at_that_of_version_4(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """glibc gives ::1 first for localhost where /etc/hosts has both."""
    looked_up = socket.getaddrinfo

    def both(host: str, *args: Any, **options: Any) -> Any:
        assert host == "localhost"
        return [
            *looked_up("::1", *args, **options),
            *looked_up("127.0.0.1", *args, **options),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with bound_socket(load_settings({"host": "localhost", "port": "0"})) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_serve_port_taken_while_it_starts_says_so_and_returns_1() -> None:
    """Two services may be bound to one port as long as neither listens; what was started ends."""
    port = free_port()
    with _process(port=port, races=True) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors.startswith(
        f"runtime stopped\nexecbox: cannot listen on 127.0.0.1 port {port}: Address already in use"
    )
    assert errors.count("\n") == 2


def test_serve_request_is_logged_as_one_json_line() -> None:
    """A newline in a path cannot forge a line."""
    with _process() as process:
        port = _port_of(process)
        assert process.stderr is not None
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET /a%0Ab HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = read_answer(connection)
        line = json.loads(process.stderr.readline())
    assert (line["path"], line["status"], line["error"]) == ("/a\nb", 404, "not_found")
    assert line["request_id"] == answer.headers["x-request-id"]


def test_serve_wrong_configuration_returns_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Told on stderr, without loading an engine."""
    assert serve({"port": "http"}) == EXIT_CONFIGURATION
    assert "EXECBOX_PORT='http'" in capsys.readouterr().err


def test_serve_process_killed_leaves_its_port_free() -> None:
    """F20: the next start must not wait for connections of the last to time out."""
    with _process() as process:
        port = _port_of(process)
        with _send(port, code="sleep 60"):
            time.sleep(0.2)
            process.kill()
            process.wait()
    with _process(port=port) as again:
        wait_until(lambda: _port_of(again) == port)
