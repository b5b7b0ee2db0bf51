"""A unix socket in front of the Docker daemon's that can be cut and restored. No tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness.docker_daemon import daemon_socket, daemon_url


class DockerProxy:
    """Passes bytes on in both directions, until it is cut: then nobody answers at its path."""

    def __init__(self, path: Path, daemon_path: str) -> None:
        self._path = path
        self._daemon_path = daemon_path
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """What ``docker_host`` has to be."""
        return f"unix://{self._path}"

    async def restore(self) -> None:
        """Let connections through (again)."""
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(self._daemon_path)
        pair = {writer, there_writer}
        self._writers |= pair
        try:
            await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
        finally:
            self._writers -= pair
            for side in pair:
                side.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


@contextlib.asynccontextmanager
async def docker_proxy(folder: Path) -> AsyncIterator[DockerProxy]:
    """A proxy that lets everything through, for the length of a block."""
    daemon_path = daemon_socket()
    if daemon_path is None:
        pytest.skip(f"the daemon has no unix socket to stand before: {daemon_url()}")
    proxy = DockerProxy(folder / "docker.sock", daemon_path)
    await proxy.restore()
    try:
        yield proxy
    finally:
        await proxy.cut()
        await asyncio.sleep(0.05)
