"""A cell's answer in lines: what it needs of its connection, and what it asks of proxies."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

from starlette.types import Message

from execbox.wire import CellOutput, CellResponse
from execbox_service.api.cell_stream import CellStream
from execbox_service.api.request_guard import Record
from execbox_service.scheduling.memory import Memory
from execbox_service.settings import load_settings
from tests.api.harness import assert_error, running_server


def test_cell_stream_over_an_old_protocol_is_refused() -> None:
    """Before its cell is run; and it is said what to tell the proxy that speaks it."""
    body = json.dumps({"code": "pass", "stream": True}).encode()
    head = (
        "POST /v1/sessions/a/run HTTP/1.0\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with running_server() as server:
        answer = server.exchange(head.encode() + body)
    assert_error(answer, 400)
    assert "proxy_http_version 1.1" in answer.json["error"]["message"]


async def test_cell_stream_is_kept_together_by_no_proxy() -> None:
    """Its answer asks those that would collect it to pass it on as it comes."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def lines() -> AsyncGenerator[CellOutput | CellResponse, None]:
        yield CellOutput(stdout="a")

    settings = load_settings({})
    with Memory(bytes_max=settings.bodies_bytes_max, several_keys=False).hold("a") as hold:
        stream = CellStream(send, hold=hold, record=Record("id"), settings=settings)
        await stream.write(lines())
    assert (b"x-accel-buffering", b"no") in sent[0]["headers"]
