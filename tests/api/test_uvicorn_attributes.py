"""What api/connection.py uses of uvicorn's HTTP protocol, whose attributes are not documented."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from execbox_service.api import connection

FIRST = b"POST /first?a=1 HTTP/1.1\r\nHost: a\r\nX-Case: Kept \r\nContent-Length: 4\r\n\r\nab"
REST = b"cd"
SECOND = b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n"
FROM_ASYNCIO = frozenset(
    {"connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing"}
)
"""asyncio documents these; that uvicorn's class has them is all that is asked."""


class Noting(HttpToolsProtocol):
    """uvicorn's own protocol, which notes what its parser calls."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.called: list[str] = []

    def on_message_begin(self) -> None:
        self.called.append("on_message_begin")
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self.called.append("on_url")
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.called.append("on_header")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.called.append("on_headers_complete")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.called.append("on_message_complete")
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.called.append("on_response_complete")
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self.called.append("send_400_response")
        super().send_400_response(msg)


@dataclass
class Seen:
    """One connection of an application that answers when it is told to."""

    protocol: Noting
    client: socket.socket
    answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, data: bytes) -> None:
        """Bytes of the client, and time for the server to take them."""
        await asyncio.get_running_loop().sock_sendall(self.client, data)
        for _ in range(20):
            await asyncio.sleep(0)

    async def answered(self) -> bytes:
        """Let the application answer, and read what it did."""
        self.answer.set()
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.sock_recv(self.client, 65536), 5)


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[Seen]:
    """A socket with uvicorn's protocol at its other end."""
    answer = asyncio.Event()

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await answer.wait()
        head = {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"0")],
        }
        await send(head)
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(application, log_config=None, ws="none", lifespan="off")
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours:
        _transport, protocol = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: Noting(config, ServerState(), {}), theirs
        )
        seen = Seen(protocol, ours, answer)
        yield seen
        answer.set()
        protocol.transport.abort()
        for _ in range(20):
            await asyncio.sleep(0)


Check = Callable[[Seen], bool]
BEFORE: dict[str, tuple[str, Check]] = {
    "protocol.connections": (
        "holds the open connections, this one among them",
        lambda seen: seen.protocol.connections == {seen.protocol},
    ),
    "protocol.cycle": (
        "is None before the first request",
        lambda seen: seen.protocol.cycle is None,
    ),
    "protocol.pipeline": (
        "is an empty deque before the first request",
        lambda seen: seen.protocol.pipeline == deque(),
    ),
    "protocol.access_log": (
        "is a bool that a subclass can set after __init__",
        lambda seen: isinstance(vars(seen.protocol)["access_log"], bool),
    ),
    "protocol.loop": (
        "is the running event loop",
        lambda seen: seen.protocol.loop is asyncio.get_running_loop(),
    ),
    "protocol.flow": (
        "says whether reading is paused, and begins it again",
        lambda seen: (
            seen.protocol.flow.read_paused is False and callable(seen.protocol.flow.resume_reading)
        ),
    ),
    "protocol.transport": (
        "is the transport given to connection_made",
        lambda seen: seen.protocol.transport.get_extra_info("socket") is not None,
    ),
}
HALF_SENT: dict[str, tuple[str, Check]] = {
    "protocol.scope": (
        "has a dict `state` of this request alone, made in on_message_begin",
        lambda seen: isinstance(seen.protocol.scope["state"], dict),
    ),
    "protocol.headers": (
        "is a list of (lower-case name, value) of the request that is being read",
        lambda seen: (b"content-length", b"4") in seen.protocol.headers,
    ),
    "protocol.parser": (
        "is httptools' parser, which knows version, method and upgrade",
        lambda seen: (
            seen.protocol.parser.get_http_version() == "1.1"
            and seen.protocol.parser.get_method() == b"POST"
            and not seen.protocol.parser.should_upgrade()
        ),
    ),
    "protocol.cycle": (
        "is the request that is being read, from on_headers_complete on",
        lambda seen: seen.protocol.cycle is not None,
    ),
    "cycle.more_body": (
        "is true until the body has ended",
        lambda seen: seen.protocol.cycle.more_body,
    ),
    "cycle.response_started": (
        "is false until the application answers",
        lambda seen: seen.protocol.cycle.response_started is False,
    ),
    "cycle.response_complete": (
        "is false until the answer has ended",
        lambda seen: seen.protocol.cycle.response_complete is False,
    ),
    "cycle.keep_alive": (
        "says whether the connection outlives the answer, and can be set",
        lambda seen: seen.protocol.cycle.keep_alive is True,
    ),
    "cycle.disconnected": (
        "is false while the client is there, and can be set",
        lambda seen: seen.protocol.cycle.disconnected is False,
    ),
    "cycle.message_event": (
        "is the event that wakes an application that waits for its body",
        lambda seen: isinstance(seen.protocol.cycle.message_event, asyncio.Event),
    ),
}
SENT_AHEAD: dict[str, tuple[str, Check]] = {
    "protocol.cycle": (
        "is the newest request, whether or not it is being answered",
        lambda seen: seen.protocol.cycle.scope["path"] == "/second",
    ),
    "protocol.pipeline": (
        "holds (cycle, application) of each request that waits, the newest at its left",
        lambda seen: [cycle for cycle, _app in seen.protocol.pipeline] == [seen.protocol.cycle],
    ),
    "cycle.more_body": (
        "is false once the body has ended",
        lambda seen: seen.protocol.cycle.more_body is False,
    ),
}
CALLBACKS = [
    "on_message_begin",
    "on_url",
    *["on_header"] * 3,
    "on_headers_complete",
    "on_message_complete",
    "on_message_begin",
    "on_url",
    "on_header",
    "on_headers_complete",
    "on_message_complete",
]
# That the server calls ``shutdown`` of each connection when it stops is what the stream of
# test_page_live.py shows.
OTHER_CALLBACKS = {"on_response_complete", "send_400_response", "shutdown"}


def complaint(name: str, promise: str) -> str:
    """What a person who upgrades uvicorn needs to know."""
    return (
        f"uvicorn {uvicorn.__version__}: {name} no longer is what api/connection.py takes it for: "
        f"it {promise}. Read uvicorn/protocols/http/httptools_impl.py, adapt connection.py and "
        f"this table, then raise the cap on uvicorn in pyproject.toml."
    )


@pytest.mark.parametrize("name", BEFORE)
async def test_uvicorn_attribute_before_a_request_is_as_relied_on(name: str) -> None:
    """Each attribute that is read when a connection opens."""
    promise, holds = BEFORE[name]
    async with connected() as seen:
        assert holds(seen), complaint(name, promise)


@pytest.mark.parametrize("name", HALF_SENT)
async def test_uvicorn_attribute_within_a_request_is_as_relied_on(name: str) -> None:
    """Each attribute that is read while a body is on its way."""
    promise, holds = HALF_SENT[name]
    async with connected() as seen:
        await seen.send(FIRST)
        assert holds(seen), complaint(name, promise)


@pytest.mark.parametrize("name", SENT_AHEAD)
async def test_uvicorn_attribute_with_a_request_sent_ahead_is_as_relied_on(name: str) -> None:
    """Each attribute that is read where a second request waits for the first one's answer."""
    promise, holds = SENT_AHEAD[name]
    async with connected() as seen:
        await seen.send(FIRST)
        await seen.send(REST + SECOND)
        assert holds(seen), complaint(name, promise)


async def test_uvicorn_parser_calls_the_protocol_in_the_order_relied_on() -> None:
    """The callbacks that connection.py extends, and none between them."""
    async with connected() as seen:
        await seen.send(FIRST)
        await seen.send(REST + SECOND)
        assert seen.protocol.called == CALLBACKS, complaint("order of callbacks", str(CALLBACKS))


async def test_uvicorn_tells_of_each_answer_and_sets_what_has_been_sent() -> None:
    """`on_response_complete` is looked up on the protocol, `response_complete` and
    `response_started` are set before it."""
    async with connected() as seen:
        await seen.send(FIRST + REST)
        cycle = seen.protocol.cycle
        assert (await seen.answered()).startswith(b"HTTP/1.1 200")
        assert seen.protocol.called[-1] == "on_response_complete", complaint(
            "protocol.on_response_complete", "is called after each answer"
        )
        assert cycle.response_started
        assert cycle.response_complete


async def test_uvicorn_answers_what_is_no_http_through_send_400_response() -> None:
    """Also what a callback raises ends there."""
    async with connected() as seen:
        await seen.send(b"no http at all\r\n\r\n")
        assert "send_400_response" in seen.protocol.called, complaint(
            "protocol.send_400_response", "is what answers a parse error"
        )


async def test_uvicorn_sets_keep_alive_from_a_subclass() -> None:
    """A cycle whose `keep_alive` is set to false closes the connection after its answer."""
    async with connected() as seen:
        await seen.send(FIRST + REST)
        seen.protocol.cycle.keep_alive = False
        assert b"connection: close" in await seen.answered(), complaint(
            "cycle.keep_alive", "closes the connection after the answer where it is set to false"
        )


def used_attributes() -> set[str]:
    """What GuardedProtocol takes of uvicorn, read from its source."""
    tree = ast.parse(inspect.getsource(connection.GuardedProtocol)).body[0]
    assert isinstance(tree, ast.ClassDef)
    own = {"execbox", "room"} | {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef)
    }
    used = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        match node.value:
            case ast.Name(id="self") if node.attr not in own and node.attr[0] != "_":
                used.add(f"protocol.{node.attr}")
            case ast.Call(func=ast.Name(id="super")) if node.attr != "__init__":
                used.add(f"protocol.{node.attr}")
            case ast.Name(id="newest" | "last") | ast.Attribute(attr="cycle"):
                used.add(f"cycle.{node.attr}")
    return used


def test_every_attribute_that_connection_uses_is_in_a_table_here() -> None:
    """What is added to connection.py is looked at here, too."""
    named = {*BEFORE, *HALF_SENT, *SENT_AHEAD}
    named |= {f"protocol.{name}" for name in {*CALLBACKS, *OTHER_CALLBACKS, *FROM_ASYNCIO}}
    used = used_attributes()
    assert used - named == set()
    assert {"protocol.pipeline", "cycle.more_body", "protocol.on_url"} <= used


@pytest.mark.parametrize("name", sorted(FROM_ASYNCIO))
def test_uvicorn_protocol_has_what_asyncio_calls(name: str) -> None:
    """connection.py calls them with super()."""
    assert callable(getattr(HttpToolsProtocol, name, None)), complaint(
        f"protocol.{name}", "is a method of asyncio's protocols"
    )
