"""A started service on every engine there is, for the suite that all engines must pass.

An engine that is not there is skipped with the reason, or fails where EXECBOX_REQUIRE_DOCKER or
EXECBOX_REQUIRE_BUBBLEWRAP is set, so that CI cannot pass by skipping.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from harness.bench import Bench, started_bench

from execbox_service.doctor import Check, checks

_REQUIRED = {name: f"EXECBOX_REQUIRE_{name.upper()}" for name in ("docker", "bubblewrap")}


def missing(engine: str, found: list[Check]) -> str | None:
    """What an engine lacks here, in words; None where it should start."""
    lacking = [check for check in found if check.name.startswith(engine) and not check.ok]
    return "; ".join(f"{check.name}: {check.found}" for check in lacking) or None


def skip_or_fail(engine: str) -> None:
    """End the test that needs an engine which is not there."""
    lacking = missing(engine, checks())
    if lacking is None:
        return
    if os.environ.get(_REQUIRED[engine]):
        pytest.fail(f"{_REQUIRED[engine]} is set, but {lacking}", pytrace=False)
    pytest.skip(lacking)


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["docker", "bubblewrap"])
async def any_bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """A started service, once on each engine; tests need the session's loop."""
    skip_or_fail(request.param)
    async with started_bench(
        engine=request.param, pool_size="1", profiles_allowed="default,processes"
    ) as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bubblewrap_bench() -> AsyncIterator[Bench]:
    """A started service on bubblewrap."""
    skip_or_fail("bubblewrap")
    async with started_bench(engine="bubblewrap", pool_size="1") as started:
        yield started
