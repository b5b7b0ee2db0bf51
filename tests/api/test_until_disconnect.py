"""Work that ends where its client goes, on connections of our own server's kind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from execbox_service.api.bodies import ClientGone, connection_of, until_disconnect
from execbox_service.api.connection import GuardedProtocol, protocol_class
from execbox_service.settings import load_settings

REQUEST = b"POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
SENT_AHEAD = b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Served:
    """A connection, and an application whose work lasts until it is told to end."""

    begin: asyncio.Event = field(default_factory=asyncio.Event)
    end: asyncio.Event = field(default_factory=asyncio.Event)
    outcomes: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await self.begin.wait()
        connection = connection_of(scope)
        assert connection is not None
        try:
            found = await until_disconnect(receive, self.work(), connection=connection)
        except ClientGone:
            self.outcomes.append("client gone")
            return
        self.outcomes.append(found)
        await settled()
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        self.outcomes.append("answered")

    async def work(self) -> str:
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.outcomes.append("cancelled")
            raise
        return "done"


async def settled() -> None:
    """Time for both ends to do what they have been told."""
    for _ in range(20):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def connected(served: Served) -> AsyncIterator[socket.socket]:
    """The client's end."""
    config = uvicorn.Config(served, log_config=None, ws="none", lifespan="off")
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    kind = cast("type[GuardedProtocol]", protocol_class(load_settings({})))
    with ours:
        _transport, protocol = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: kind(config, ServerState(), {}), theirs
        )
        yield ours
        protocol.transport.abort()
        await settled()


@pytest.mark.parametrize("sent", [REQUEST, REQUEST + SENT_AHEAD], ids=["one", "one sent ahead"])
async def test_work_is_cancelled_when_its_client_goes(sent: bytes) -> None:
    """It has ended before anybody hears of that, also where a further request waits."""
    served = Served()
    served.begin.set()
    async with connected(served) as client:
        client.sendall(sent)
        await settled()
        client.close()
        await settled()
        assert served.outcomes[:2] == ["cancelled", "client gone"]


async def test_work_begun_after_its_client_has_gone_is_cancelled() -> None:
    """Nobody was there to be told when the connection closed."""
    served = Served()
    async with connected(served) as client:
        client.sendall(REQUEST)
        await settled()
        client.close()
        await settled()
        served.begin.set()
        await settled()
        assert served.outcomes == ["cancelled", "client gone"]


async def test_work_that_ended_is_not_cancelled_by_a_client_that_goes_later() -> None:
    """What comes after it, such as writing the answer, ends by itself."""
    served = Served()
    served.begin.set()
    async with connected(served) as client:
        client.sendall(REQUEST)
        await settled()
        served.end.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        client.close()
        await settled()
        await settled()
        assert served.outcomes == ["done", "answered"]
