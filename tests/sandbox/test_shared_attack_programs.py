"""The attack programs of ../shared/attacks as whole programs; skipped without them."""

from __future__ import annotations

from typing import Any

import pytest
from harness.attacks.as_program import run_attack_program
from harness.attacks.lists import SHARED_PROGRAMS, attack_of, limits_of, shared_records
from harness.bench import Bench

pytestmark = [
    pytest.mark.docker,
    pytest.mark.attacks,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not SHARED_PROGRAMS, reason="there is no ../shared/attacks"),
]

# All of them, at both levels, are run by `python -m acceptance.attacks`.
EVERY = 4


@pytest.mark.parametrize("record", [pytest.param(r, id=r["id"]) for r in shared_records()[::EVERY]])
async def test_shared_attack_ends_as_it_must_as_a_program(
    bench: Bench, record: dict[str, Any]
) -> None:
    """A fitting status, a canary beside it and one after it."""
    await run_attack_program(
        bench, attack_of(record), isolation="process", limits=limits_of(record)
    )
