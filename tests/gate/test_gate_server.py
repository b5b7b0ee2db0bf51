"""The gate's socket under clients that are slow, many, or gone; no daemon is needed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness.bench import bench_settings

from execbox_service.gate.__main__ import gate_server
from execbox_service.gate.daemon import Stream
from execbox_service.gate.relay import relay
from execbox_service.settings import ConfigurationError
from tests.gate.harness import read_all, started_gate


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    """The address of a daemon that is not there."""
    return f"unix://{tmp_path}/no.sock"


@pytest.mark.alone
async def test_client_that_sends_a_byte_at_a_time_is_cut_off(
    nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline is for the whole request, not for each byte; others are answered meanwhile."""
    monkeypatch.setattr("execbox_service.gate.server._RECEIVE_S", 0.5)
    async with started_gate(docker_host=nowhere) as gate:
        reader, writer = await asyncio.open_unix_connection(gate.path)
        began_s = time.monotonic()

        async def drip() -> None:
            with contextlib.suppress(OSError):
                for _ in range(100):
                    writer.write(b"G")
                    await writer.drain()
                    await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert (await gate.ask("GET", "/v1.41/info")).status == 502
        async with asyncio.timeout(5):
            assert b" 408 " in await read_all(reader)
        assert time.monotonic() - began_s < 3
        dripping.cancel()
        writer.transport.abort()


async def test_connections_beyond_the_cap_are_closed_and_within_it_answered(nowhere: str) -> None:
    """Idle connections take their places, and give them back."""
    async with started_gate(docker_host=nowhere, gate_container_count_max="1") as gate:
        idle = [await asyncio.open_unix_connection(gate.path) for _ in range(65)]
        await asyncio.sleep(0.1)
        assert (await gate.ask("GET", "/version")).status == 0
        for _, writer in idle:
            writer.transport.abort()
        await asyncio.sleep(0.1)
        assert (await gate.ask("GET", "/version")).status == 502


async def test_daemon_that_is_not_there_is_said(nowhere: str) -> None:
    """502 with the reason; the gate itself lives."""
    async with started_gate(docker_host=nowhere) as gate:
        answer = await gate.ask("GET", "/version")
    assert (answer.status, "daemon does not answer" in answer.message) == (502, True)


async def test_socket_is_for_the_gates_own_user_and_group(nowhere: str) -> None:
    """Nobody else on the machine has the gate's verbs."""
    async with started_gate(docker_host=nowhere) as gate:
        assert gate.path.stat().st_mode & 0o777 == 0o660
    assert not gate.path.exists()


def test_daemon_at_anything_but_a_unix_socket_is_refused_at_the_start() -> None:
    """The gate has no network; the message says what to set."""
    with pytest.raises(ConfigurationError, match=r"unix:///var/run/docker\.sock"):
        gate_server(bench_settings(docker_host="tcp://127.0.0.1:2375"))


async def pair() -> tuple[Stream, Stream]:
    """The two ends of a connection over a unix socket."""
    import socket

    ends = [await asyncio.open_unix_connection(sock=one) for one in socket.socketpair()]
    return Stream(*ends[0]), Stream(*ends[1])


async def test_relay_ends_both_sides_when_one_is_gone() -> None:
    """A client that closes, rather than stopping to send, ends the container's side at once."""
    client, near = await pair()
    far, container = await pair()
    relaying = asyncio.create_task(relay(near, far))
    client.writer.write(b"last words")
    await client.writer.drain()
    client.writer.transport.abort()
    async with asyncio.timeout(5):
        assert await read_all(container.reader) == b"last words"
        await relaying
    container.writer.transport.abort()


async def test_relay_holds_little_of_what_nobody_reads() -> None:
    """A sender is slowed down to its reader, rather than collected in memory."""
    client, near = await pair()
    far, container = await pair()
    relaying = asyncio.create_task(relay(near, far))
    sent = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            while sent < 64 << 20:
                container.writer.write(bytes(1 << 16))
                await container.writer.drain()
                sent += 1 << 16
    assert sent < 8 << 20
    relaying.cancel()
    for stream in (client, container):
        stream.writer.transport.abort()
    with contextlib.suppress(asyncio.CancelledError):
        await relaying


def test_process_ends_cleanly_on_sigterm_and_takes_its_socket_away(tmp_path: Path) -> None:
    """As a container's first process is ended."""
    path = tmp_path / "engine.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "execbox_service.gate"],
        env=dict(os.environ) | {"EXECBOX_GATE_SOCKET": str(path)},
        stderr=subprocess.PIPE,
    )
    try:
        deadline_s = time.monotonic() + 30
        while not path.exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        process.terminate()
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, path.exists()) == (0, False)
    assert str(path) in said.decode()


def test_process_says_where_it_cannot_listen(tmp_path: Path) -> None:
    """One line, and an exit code that tells a supervisor to try again."""
    ended = subprocess.run(
        [sys.executable, "-m", "execbox_service.gate"],
        env=dict(os.environ) | {"EXECBOX_GATE_SOCKET": str(tmp_path / "no" / "engine.sock")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert "cannot listen at" in ended.stderr
    assert "Traceback" not in ended.stderr
