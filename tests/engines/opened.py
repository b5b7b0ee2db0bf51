"""A session on a started service of any engine, and short ways to use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from harness.bench import Bench

from execbox.wire import CellRequest, CellResponse, SessionRequest
from execbox_service.failures import CallerMistake
from execbox_service.scheduling.caller import Caller

OWN = Caller("test")


@dataclass
class Opened:
    """One session on some engine."""

    bench: Bench
    id: str

    async def cell(self, code: str, **limits: float) -> CellResponse:
        request = CellRequest.model_validate({"code": code, "limits": limits})
        return await self.bench.runtime.sessions.run(self.id, request, caller=OWN)

    async def shown(self, code: str) -> str | None:
        """What the last expression of a cell shows."""
        ended = await self.cell(code)
        assert ended.status == "ok", ended.error
        return ended.value.repr if ended.value is not None else None


@asynccontextmanager
async def opened(bench: Bench, **fields: Any) -> AsyncIterator[Opened]:
    sessions = bench.runtime.sessions
    info = await sessions.open(SessionRequest.model_validate(fields), caller=OWN)
    try:
        yield Opened(bench, info.id)
    finally:
        try:
            await sessions.close(info.id, caller=OWN)
        except CallerMistake as gone:
            assert gone.code == "session_gone"  # noqa: PT017 - it may have ended by itself
