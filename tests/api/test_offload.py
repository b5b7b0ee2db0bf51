"""Large documents are read beside the event loop."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from execbox_service.api.logs import request_id
from execbox_service.api.validation import decoded
from execbox_service.failures import CallerMistake
from execbox_service.scheduling.offload import ASIDE_BYTES, collect_now_and_then, read_aside
from tests.virtual_time import now_s, run_in_virtual_time


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


@pytest.mark.parametrize(("held_bytes", "after_s"), [(0, 30), (1, 21 * 30), (2**30, 121 * 30)])
def test_garbage_is_collected_the_later_the_more_requests_hold(
    held_bytes: int, after_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking through what they hold keeps everybody waiting."""
    collected_s: list[float] = []
    monkeypatch.setattr(gc, "collect", lambda: collected_s.append(now_s()))

    async def wait() -> None:
        collecting = asyncio.create_task(collect_now_and_then(lambda: held_bytes))
        await asyncio.sleep(after_s + 1)
        collecting.cancel()

    run_in_virtual_time(wait())
    assert collected_s == [after_s]
