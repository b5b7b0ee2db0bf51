"""A cell's answer in lines: what it needs of its connection, and what it asks of proxies."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.types import Message

from execbox.wire import CellOutput, CellResponse
from execbox_service.api.cell_stream import CellStream
from execbox_service.api.request_guard import Record
from execbox_service.scheduling.memory import Memory
from execbox_service.settings import load_settings


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
