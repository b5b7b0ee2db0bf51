"""What the service does for one execution, counted in Python calls and tasks: no figure of time.

The whole application runs in this process, on sandboxes that answer at once; their own calls are
counted as well. The bounds are a tenth above what was counted, so that a change which makes each
execution dearer has to say so here.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI

from execbox_service.api.app import create_app
from execbox_service.runtime import Runtime
from execbox_service.settings import load_settings
from tests.fake_engine import FACTS, FakeEngine

SINGLE_CALLS_MAX, LINE_CALLS_MAX, ITEM_CALLS_MAX, LARGE_JOB_CALLS_MAX = 515, 450, 265, 145
"""Of Python functions, for one execution. Before the service was made cheaper: 1191, 918, 546, 260.
"""
FUNCTION = {"code": "def main_solution(n):\n    return n\n"}


@dataclass
class Effort:
    """Python functions that were called, and tasks that were made."""

    call_count: int = 0
    task_count: int = 0
    answer: bytes = field(default=b"", repr=False)


@pytest.fixture
async def app(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FastAPI]:
    """One that serves, on fake sandboxes."""

    async def choose(*_ignored: object) -> tuple[FakeEngine, object]:
        return FakeEngine(), FACTS

    async def prove(*_ignored: object) -> None:
        pass

    monkeypatch.setattr("execbox_service.runtime.choose_engine", choose)
    monkeypatch.setattr("execbox_service.runtime.selftest.prove", prove)
    settings = load_settings({"slot_count": "2"})
    runtime = Runtime(settings)
    application = create_app(settings, runtime)
    async with application.router.lifespan_context(application):
        yield application


async def effort_of(app: FastAPI, path: str, body: bytes, *, media_type: str) -> Effort:
    """What it takes to answer one request, after one that warms up what is made once."""
    await posted(app, path, body, media_type=media_type)
    loop = asyncio.get_running_loop()
    found = Effort()

    def counted(_frame: object, event: str, _argument: object) -> None:
        found.call_count += event == "call"

    def made(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> Any:
        found.task_count += 1
        return asyncio.Task(work, loop=loop, **more)

    before = sys.getprofile()
    loop.set_task_factory(made)
    sys.setprofile(counted)
    try:
        found.answer = await posted(app, path, body, media_type=media_type)
    finally:
        sys.setprofile(before)
        loop.set_task_factory(None)
    return found


async def posted(app: FastAPI, path: str, body: bytes, *, media_type: str) -> bytes:
    """The body of the answer; the connection stays open."""
    headers = [
        (b"host", b"localhost"),
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": headers,
    }
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    pieces: list[bytes] = []

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.get_running_loop().create_future()
        return messages.pop()

    async def send(message: Any) -> None:
        pieces.append(message.get("body", b""))

    await app(scope, receive, send)
    return b"".join(pieces)


def execute_body(call_count: int) -> bytes:
    calls = [{"args": [number]} for number in range(call_count)]
    return json.dumps({"function": FUNCTION, "calls": calls, "isolation": "process"}).encode()


async def test_single_request_takes_few_calls_and_one_task(app: FastAPI) -> None:
    """The task is the one that sees whether its caller goes away."""
    # The least of three: what the service does every half second may fall into one of them.
    tries = [
        await effort_of(app, "/v1/execute", execute_body(1), media_type="application/json")
        for _ in range(3)
    ]
    found = min(tries, key=lambda each: each.call_count)
    assert found.answer.count(b'"status":"ok"') == 1
    assert found.task_count == 1
    assert found.call_count < SINGLE_CALLS_MAX


async def test_call_of_a_large_job_takes_few_calls_and_no_task(app: FastAPI) -> None:
    """But for the tasks of the further slots that it spreads over."""
    body = execute_body(1000)
    found = await effort_of(app, "/v1/execute", body, media_type="application/json")
    assert found.answer.count(b'"status":"ok"') == 1000
    assert found.task_count < 20
    assert found.call_count / 1000 < LARGE_JOB_CALLS_MAX


async def test_batch_line_takes_few_calls_and_no_task(app: FastAPI) -> None:
    """A few workers and a writer serve all of its lines."""
    line = {"op": "execute", "function": FUNCTION, "calls": [{"args": [1]}], "isolation": "process"}
    body = b"".join(
        json.dumps({"id": str(number)} | line).encode() + b"\n" for number in range(200)
    )
    found = await effort_of(app, "/v1/batch", body, media_type="application/x-ndjson")
    assert found.answer.count(b'"status":"ok"') == 200
    assert found.task_count < 20
    assert found.call_count / 200 < LINE_CALLS_MAX


async def test_verify_item_takes_few_calls_and_no_task(app: FastAPI) -> None:
    """Items of one function share jobs, and jobs share the tasks that run them."""
    items = [
        {
            "id": str(number),
            "kind": "input",
            "function": FUNCTION | {"code": f"{FUNCTION['code']}# {number // 10}"},
            "prediction": number,
            "output": number,
        }
        for number in range(200)
    ]
    body = json.dumps({"items": items, "isolation": "process"}).encode()
    found = await effort_of(app, "/v1/verify", body, media_type="application/json")
    assert found.answer.count(b'"verdict":"correct"') == 200
    assert found.task_count < 20
    assert found.call_count / 200 < ITEM_CALLS_MAX
