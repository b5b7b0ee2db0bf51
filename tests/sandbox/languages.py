"""Short ways to run programs in bash and C++ on real containers. No tests."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from harness.bench import Bench, started_bench

from execbox.wire import ProgramRun, RunRequest, RunResponse
from execbox_service.operations.registry import RUN
from execbox_service.scheduling.caller import Caller

IMAGE = "execbox-sandbox:languages"
QUICK = {"cpu_time_s": 1.0, "wall_time_s": 2.0, "memory_mb": 64}
_OF_PROGRAMS = ("arguments", "stdin", "files", "fetch")


@dataclass(frozen=True)
class Languages:
    """A service whose image has bash and C++, and whose operator permits processes."""

    bench: Bench

    async def response(self, language: str, code: str, **fields: Any) -> RunResponse:
        """Run a program at level process; what belongs to a program is taken from ``fields``."""
        return await response_to(self.bench, language, code, **fields)

    async def runs(self, language: str, code: str, **fields: Any) -> list[ProgramRun]:
        """The runs of a program with these cases."""
        return list((await self.response(language, code, **fields)).runs)

    async def one(self, language: str, code: str, **fields: Any) -> ProgramRun:
        """The only run of a program without cases."""
        (run,) = await self.runs(language, code, **fields)
        return run

    def executions_count(self) -> int:
        """How many executions have ended on this service, compilers included."""
        lines = self.bench.runtime.metrics.render().decode().splitlines()
        (line,) = [each for each in lines if each.startswith("execbox_executions_ended_total ")]
        return int(float(line.split()[1]))


async def response_to(bench: Bench, language: str, code: str, **fields: Any) -> RunResponse:
    """The answer to a request as the routes would make it of what a caller sends."""
    program = {"code": code, "language": language}
    program |= {name: fields.pop(name) for name in _OF_PROGRAMS if name in fields}
    body = {"program": program, "isolation": "process", "limits": QUICK} | fields
    request = RUN.permitted(RunRequest.model_validate(body), bench.settings)
    return await bench.runtime.perform(RUN, request, caller=Caller("test"))


@contextlib.asynccontextmanager
async def started_languages(image: str) -> AsyncIterator[Languages]:
    """A service of a test's own on the image with more languages."""
    async with started_bench(
        image=image,
        pool_size="1",
        profiles_allowed="default,processes",
        container_age_max_s="86400",
    ) as started:
        yield Languages(started)
