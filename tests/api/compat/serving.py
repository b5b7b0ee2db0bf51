"""The whole service over an engine without containers, asked in its own process. No tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import httpx
from harness.instant_answers import MEASURED, report_frame

from execbox_service.api.app import create_app
from execbox_service.engines.base import SandboxLost
from execbox_service.runner_frames import CellMeasured, CellResult
from execbox_service.runtime import Runtime
from execbox_service.sandboxes.session_sandbox import CellTimes, SessionSandbox
from execbox_service.settings import load_settings
from tests.fake_engine import FACTS, Behaviour, FakeEngine, FakeSandbox, result_frame


@contextlib.asynccontextmanager
async def serving(engine: FakeEngine, **overrides: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service on this engine; settings besides one slot are ``overrides``."""

    async def choose(*_ignored: object) -> tuple[FakeEngine, object]:
        return engine, FACTS

    async def prove(*_ignored: object) -> None:
        pass

    settings = load_settings({"slot_count": "1", "pool_size": "1", "port": "0"} | overrides)
    runtime = Runtime(settings)
    with (
        patch("execbox_service.runtime.choose_engine", choose),
        patch("execbox_service.runtime.selftest.prove", prove),
    ):
        await runtime.start()
    transport = httpx.ASGITransport(app=create_app(settings, runtime))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client
    finally:
        await runtime.stop()


def silent(_sandbox: FakeSandbox, _header: dict[str, Any]) -> None:
    """Never answer: the slot stays taken."""


def answering(**fields: Any) -> Behaviour:
    """Answer every call so."""
    return lambda _sandbox, header: result_frame(header["seq"], **fields)


def slow(delay_s: float) -> Behaviour:
    """Answer every call after so long."""

    def behave(sandbox: FakeSandbox, header: dict[str, Any]) -> None:
        answer = result_frame(header["seq"])
        asyncio.get_running_loop().call_later(delay_s, sandbox.deliver, answer)

    return behave


def stuck_engine() -> FakeEngine:
    """None of its sandboxes ever answers."""
    return FakeEngine(behaviours=[silent] * 100)


@contextlib.asynccontextmanager
async def all_slots_taken(client: httpx.AsyncClient) -> AsyncIterator[None]:
    """While a job of the service's own API holds the only slot."""
    body = {"function": {"code": "pass"}, "calls": [{"args": [1]}]}
    holding = asyncio.create_task(client.post("/v1/execute", json=body))
    await asyncio.sleep(0.1)
    assert not holding.done()
    try:
        yield
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


class FakeInterpreter:
    """A session's sandbox in which every cell ends well at once, or none before it is closed."""

    sandbox = SimpleNamespace(name="fake-interpreter")

    def __init__(self, *, hangs: bool) -> None:
        self.times: list[CellTimes] = []
        self.files: dict[str, bytes] = {}
        self._hangs = hangs
        self._closed = asyncio.Event()

    @property
    def lost(self) -> bool:
        return self._closed.is_set()

    async def run(self, _cell: object, times: CellTimes, **_live: object) -> CellResult:
        self.times.append(times)
        if self._hangs:
            await self._closed.wait()
            raise SandboxLost("closed")
        frame = report_frame(None)
        measured = {name: MEASURED[name] for name in MEASURED if name in CellMeasured.model_fields}
        measured |= {"seq": 0, "alive": True, "limit": None, "sizes": (len(frame), 0, 0)}
        return CellResult(CellMeasured.model_validate(measured), frame, b"", b"")

    async def put(self, path: str, content: bytes) -> bool:
        self.files[path] = content
        return True

    def close(self) -> None:
        self._closed.set()


@contextlib.contextmanager
def fake_interpreters(*, first_hangs: bool = False) -> Iterator[list[FakeInterpreter]]:
    """Sessions have these meanwhile; those that were begun, in their order."""
    begun: list[FakeInterpreter] = []

    async def start(*_pool: object, **_session: object) -> FakeInterpreter:
        begun.append(FakeInterpreter(hangs=first_hangs and not begun))
        return begun[-1]

    with patch.object(SessionSandbox, "start", start):
        yield begun
