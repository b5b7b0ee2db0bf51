"""Batch after batch over one asynchronous client: its connections are used again, none is lost."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import aclosing

import pytest

from execbox import AsyncClient, ClientConfig
from tests.api.harness import running_server

BATCHES = 10


class Server:
    """Answers every line of every batch at once, and counts the connections it was given."""

    def __init__(self, *, end_after_s: float) -> None:
        self.end_after_s = end_after_s
        self.connection_count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                assert length is not None
                lines = (await reader.readexactly(int(length[1]))).splitlines()
                text = b"".join(map(answer, lines))
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(text), text)
                )
                await asyncio.sleep(self.end_after_s)
                writer.write(b"0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def answer(line: bytes) -> bytes:
    said = {"op": "verify", "items": [], "isolation": "process", "engine": "none", "image": "none"}
    return json.dumps({"id": json.loads(line)["id"]} | said).encode() + b"\n"


@pytest.mark.parametrize("end_after_s", [0.0, 0.02])
async def test_batches_one_after_another_share_one_connection(end_after_s: float) -> None:
    """Whether a stream's end comes with its last answer or after it."""
    items = [{"id": "1", "kind": "output", "prediction": 1, "output": 1}]
    ours = Server(end_after_s=end_after_s)
    server = await asyncio.start_server(ours.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = ClientConfig(base_url=f"http://127.0.0.1:{port}", connections_max=4)
    async with server, AsyncClient(config=config) as client, asyncio.timeout(30):
        for number in range(BATCHES):
            lines = [{"id": str(number), "op": "verify", "items": items}]
            results = [result async for result in client.batch(lines, concurrency=1)]
            assert [result.id for result in results] == [str(number)]
            assert results[0].error is None
    assert ours.connection_count == 1


async def test_batches_that_are_left_at_their_last_answer_lose_no_connection() -> None:
    """Nor any that is left while the end of its answer is on its way: the client goes on."""
    line = {"id": "0", "op": "execute", "function": {"code": "sleep 0"}, "calls": [{"args": [1]}]}
    with running_server() as server:
        config = ClientConfig(base_url=server.url, connections_max=2)
        async with AsyncClient(config=config) as client, asyncio.timeout(30):
            for _ in range(5 * config.connections_max):
                async with aclosing(client.batch([line])) as results:
                    result = await anext(results)
                assert result.error is None


async def test_batches_that_are_cancelled_at_any_step_lose_no_connection() -> None:
    """A task ends where it waits, so each one is let go a step further than the one before."""
    items = [{"id": "1", "kind": "output", "prediction": 1, "output": 1}]
    ours = Server(end_after_s=0.0)
    server = await asyncio.start_server(ours.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = ClientConfig(base_url=f"http://127.0.0.1:{port}", connections_max=2)
    async with server, AsyncClient(config=config) as client, asyncio.timeout(60):

        async def asked() -> list[object]:
            line = {"id": "0", "op": "verify", "items": items}
            return [result.error async for result in client.batch([line], concurrency=1)]

        for step_count in range(100):
            asking = asyncio.create_task(asked())
            for _ in range(step_count):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
        assert await asked() == [None]
