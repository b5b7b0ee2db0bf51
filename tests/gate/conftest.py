"""A gate, and a service that has nothing of the daemon but it; both for the whole run."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from harness.bench import Bench

from tests.gate.harness import Gate, bench_behind_gate, started_gate


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gate() -> AsyncIterator[Gate]:
    """A running gate; tests need the session's loop."""
    async with started_gate() as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gate_bench(gate: Gate) -> AsyncIterator[Bench]:
    """A started service behind that gate."""
    async with bench_behind_gate(gate, profiles_allowed="default,processes") as started:
        yield started
