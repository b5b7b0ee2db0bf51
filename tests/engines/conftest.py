"""A started service on every engine there is, for the suite that all engines must pass.

An engine that is not there is skipped with the reason, or fails where EXECBOX_REQUIRE_DOCKER or
EXECBOX_REQUIRE_BUBBLEWRAP is set, so that CI cannot pass by skipping.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from harness.bench import Bench, started_bench

from execbox_service.doctor import Check, checks
from tests.required import skip_or_fail


def missing(engine: str, found: list[Check]) -> str | None:
    """What an engine lacks here, in words; None where it should start."""
    lacking = [check for check in found if check.name.startswith(engine) and not check.ok]
    return "; ".join(f"{check.name}: {check.found}" for check in lacking) or None


def need_engine(engine: str) -> None:
    """End the test where the engine that it needs is not there."""
    lacking = missing(engine, checks())
    if lacking is None:
        return
    skip_or_fail(lacking, by=f"EXECBOX_REQUIRE_{engine.upper()}")


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["docker", "bubblewrap"])
async def any_bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """A started service, once on each engine; tests need the session's loop."""
    need_engine(request.param)
    async with started_bench(
        engine=request.param, pool_size="1", profiles_allowed="default,processes"
    ) as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bubblewrap_bench() -> AsyncIterator[Bench]:
    """A started service on bubblewrap."""
    need_engine("bubblewrap")
    async with started_bench(engine="bubblewrap", pool_size="1") as started:
        yield started
