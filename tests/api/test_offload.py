"""Large documents are read beside the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from execbox_service.api.logs import request_id
from execbox_service.api.validation import decoded
from execbox_service.failures import CallerMistake
from execbox_service.scheduling.offload import ASIDE_BYTES, read_aside


async def test_large_document_is_read_while_the_loop_goes_on() -> None:
    """What is read waits here for something that only the loop can do."""
    gone_on = threading.Event()
    reading = asyncio.create_task(read_aside(ASIDE_BYTES, gone_on.wait, 10))
    await asyncio.sleep(0)
    gone_on.set()
    assert await reading is True


async def test_small_document_is_read_at_once() -> None:
    """Without waiting for those who read large ones."""
    assert await read_aside(ASIDE_BYTES - 1, threading.get_ident) == threading.get_ident()


async def test_large_document_that_is_refused_is_refused_as_any_other() -> None:
    """The caller's mistake, with the request's id in whatever is logged."""
    token = request_id.set("here")
    try:
        assert await read_aside(ASIDE_BYTES, request_id.get) == "here"
        with pytest.raises(CallerMistake, match="twice"):
            await read_aside(ASIDE_BYTES, decoded, b'{"a":1,"a":2}')
    finally:
        request_id.reset(token)


async def test_objects_by_the_hundred_thousand_let_the_loop_in_many_times() -> None:
    """A request beside them is not held up until the last one."""
    body = b"[" + b'{"a":1},' * 300_000 + b"1]"
    reading = asyncio.create_task(read_aside(len(body), decoded, body))
    turn_count = 0
    while not reading.done():
        await asyncio.sleep(0.001)
        turn_count += 1
    assert len(await reading) == 300_001
    assert turn_count > 5
