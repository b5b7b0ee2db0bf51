"""The proxy before a daemon's socket: what it passes on, and how what it breaks looks."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.daemon_proxy import Break, DaemonProxy

ATTACH = b"POST /v1.41/containers/a/attach?stream=1 HTTP/1.1\r\n\r\n"
SAID = bytes(range(65, 91)) * 20


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[DaemonProxy]:
    """One before a daemon that says the same after whatever it is told."""
    path = tmp_path / "daemon.sock"

    def serve(connection: socket.socket) -> None:
        with connection:
            while connection.recv(65536):
                connection.sendall(SAID)

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,)).start()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            with DaemonProxy(tmp_path / "proxy.sock", str(path)) as running:
                yield running
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def connected(proxy: DaemonProxy) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(proxy.url.removeprefix("unix://"))
    return connection


def heard(connection: socket.socket, *, count: int = len(SAID)) -> bytes:
    """So many bytes, or what comes before the connection ends."""
    found = b""
    while len(found) < count:
        try:
            data = connection.recv(65536)
        except ConnectionError:
            return found
        if not data:
            return found
        found += data
    return found


def test_proxy_passes_on_what_is_said(proxy: DaemonProxy) -> None:
    """Both ways, however often."""
    with connected(proxy) as connection:
        for request in (b"GET /version", ATTACH, b"frame"):
            connection.sendall(request)
            assert heard(connection) == SAID


@pytest.mark.parametrize(
    ("how", "length"),
    [
        ("cut", len(SAID) // 2),
        ("garbled", len(SAID)),
        ("dropped", len(SAID) - 1 - len(SAID) // 8),
    ],
)
def test_proxy_breaks_streams_in_the_middle_and_requests_not_at_all(
    proxy: DaemonProxy, how: Break, length: int
) -> None:
    """What came before is whole; a request beside it is answered as it was."""
    with connected(proxy) as stream, connected(proxy) as request:
        stream.sendall(ATTACH)
        assert heard(stream) == SAID
        assert proxy.break_streams(how) == 1
        request.sendall(b"GET /containers/json")
        assert heard(request) == SAID
        stream.sendall(b"frame")
        found = heard(stream, count=length)
        middle = len(SAID) // 2
        assert (len(found), found[:middle]) == (length, SAID[:middle])
        assert found == SAID[:middle] or found[middle:] != SAID[middle:length]
        assert proxy.broken_count == 1


def test_proxy_that_is_cut_ends_connections_and_refuses_new_ones_until_it_is_restored(
    proxy: DaemonProxy,
) -> None:
    """As a daemon that ends."""
    with connected(proxy) as connection:
        connection.sendall(b"GET /version")
        assert heard(connection) == SAID
        proxy.cut()
        assert heard(connection, count=1) == b""
    with connected(proxy) as connection:
        assert heard(connection, count=1) == b""
    proxy.restore()
    with connected(proxy) as connection:
        connection.sendall(b"GET /version")
        assert heard(connection) == SAID


def test_proxy_that_is_slow_says_the_same_later(proxy: DaemonProxy) -> None:
    """In small pieces, each of which takes its time."""
    proxy.slow_down(delay_s=0.02, piece_bytes=100)
    with connected(proxy) as connection:
        began_s = time.monotonic()
        connection.sendall(b"GET /version")
        assert heard(connection) == SAID
        assert time.monotonic() - began_s > 5 * 0.02
