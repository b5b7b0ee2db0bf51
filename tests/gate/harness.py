"""A gate of a test's own at a socket of its own, and raw requests to it. No tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bench import Bench, bench_settings, held_port, started_bench
from harness.docker_daemon import daemon_url

from execbox_service.gate.__main__ import gate_server
from execbox_service.settings import Settings


@dataclass(frozen=True)
class GateAnswer:
    """What came back on one connection."""

    status: int
    body: bytes

    @property
    def message(self) -> str:
        """Why not."""
        return str(json.loads(self.body)["message"])

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Gate:
    """A gate in this process. ``settings`` are those of the service it is for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.path = Path(settings.gate_socket)
        self.server = gate_server(settings)

    async def start(self) -> None:
        """Answer; after a stop, as a new process would."""
        self.server = gate_server(self.settings)
        await self.server.start()

    async def stop(self) -> None:
        """Break every connection and answer no more."""
        await self.server.stop()

    @property
    def url(self) -> str:
        """What the service's ``docker_host`` has to be."""
        return f"unix://{self.path}"

    async def raw(self, data: bytes) -> GateAnswer:
        """Send bytes; the answer, up to the end of the connection. Status 0: none came."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            with contextlib.suppress(OSError):
                writer.write(data)
                await writer.drain()
            async with asyncio.timeout(30):
                return parsed(await read_all(reader))
        finally:
            writer.transport.abort()

    async def ask(self, method: str, target: str, *, body: Any = None) -> GateAnswer:
        """Send one well-formed request."""
        return await self.raw(request_bytes(method, target, body=body))

    async def api(self) -> str:
        """The prefix of paths for the daemon's version of the API."""
        version = (await self.ask("GET", "/version")).json()["ApiVersion"]
        return f"/v{version}"


def request_bytes(method: str, target: str, *, body: Any = None) -> bytes:
    """One well-formed request."""
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Everything until the connection ends, however it ends."""
    data = b""
    with contextlib.suppress(OSError):
        while part := await reader.read(65536):
            data += part
    return data


def parsed(data: bytes) -> GateAnswer:
    """An answer taken apart."""
    if not data:
        return GateAnswer(0, b"")
    head, _, body = data.partition(b"\r\n\r\n")
    return GateAnswer(int(head.split(b" ")[1]), body)


def new_name() -> str:
    """A name as the engine makes them."""
    return f"execbox-{secrets.token_hex(8)}"


@contextlib.asynccontextmanager
async def started_gate(**overrides: str) -> AsyncIterator[Gate]:
    """A gate in this process; nothing of it is left afterwards."""
    with tempfile.TemporaryDirectory(prefix="execbox-gate-") as folder, held_port() as port:
        given = {"gate_socket": str(Path(folder) / "engine.sock"), "docker_host": daemon_url()}
        given["port"] = str(port)
        gate = Gate(bench_settings(**given | overrides))
        await gate.start()
        try:
            yield gate
        finally:
            await gate.stop()


@contextlib.asynccontextmanager
async def bench_behind_gate(gate: Gate, **overrides: str) -> AsyncIterator[Bench]:
    """A service that has nothing of the daemon but the gate."""
    port = str(gate.settings.port)
    async with started_bench(docker_host=gate.url, port=port, **overrides) as bench:
        yield bench
