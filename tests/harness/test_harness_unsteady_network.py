"""The network that fails on purpose: it passes everything on, until it is to fail."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from harness.unsteady_network import IdleEnd, UnsteadyNetwork

SENT = b"x" * 100_000


@contextlib.contextmanager
def echoing() -> Iterator[int]:
    """The port of a server that sends back what it is sent, to its end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, contextlib.suppress(OSError):
                        while data := connection.recv(65536):
                            connection.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def echoed(network: UnsteadyNetwork) -> bytes | None:
    """What came back; None where the connection was reset."""
    port = int(network.url.rpartition(":")[2])
    received = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(SENT)
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65536):
                received += data
    except TimeoutError:
        raise
    except OSError:
        # Of shutdown() it is ENOTCONN, which is no ConnectionError.
        return None
    return received


def test_network_passes_everything_on_until_it_is_to_fail() -> None:
    """Every connection that fails is counted, and none brings all of it back."""
    with echoing() as port, UnsteadyNetwork(seed=1, pieces_max=6) as network:
        assert echoed(network) in (None, b"")
        network.port = port
        assert echoed(network) == SENT
        network.failing = True
        broken_before = network.broken_count
        ends = [echoed(network) for _ in range(8)]
        assert SENT not in ends
        assert network.broken_count == broken_before + 8
        # Some are reset, some look as if they had come to their end.
        assert {end is None for end in ends} == {True, False}
        network.failing = False
        assert echoed(network) == SENT


def test_network_to_nobody_refuses_connections_and_keeps_its_address() -> None:
    """As a machine does on which the service is being started again."""
    with echoing() as port, UnsteadyNetwork(seed=1, pieces_max=6) as network:
        for _ in range(3):
            network.port = port
            assert echoed(network) == SENT
            network.port = None
            host = ("127.0.0.1", int(network.url.rpartition(":")[2]))
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(host, timeout=5)


@pytest.mark.parametrize("end", ["closed", "reset", "forgotten"])
def test_network_ends_a_connection_on_which_nothing_came(end: IdleEnd) -> None:
    """One on which something comes in time it leaves alone; of a forgotten one it says nothing."""
    with echoing() as port, UnsteadyNetwork(seed=1) as network:
        network.port, network.idle_limit_s, network.idle_end = port, 0.6, end
        address = ("127.0.0.1", int(network.url.rpartition(":")[2]))
        with socket.create_connection(address, timeout=5) as connection:
            for _ in range(4):
                time.sleep(0.2)
                connection.sendall(b"x")
                assert connection.recv(1) == b"x"
            if end == "closed":
                assert connection.recv(1) == b""
            elif end == "reset":
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)
            else:
                time.sleep(1.2)
                connection.sendall(b"x")
                connection.settimeout(0.5)
                with pytest.raises(TimeoutError):
                    connection.recv(1)
        assert network.broken_count == 1
