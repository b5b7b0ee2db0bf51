"""The attack programs of ../shared/attacks on the other engine; skipped without them."""

from __future__ import annotations

import os
from typing import Any

import pytest
from harness.attacks.attack import run_attack
from harness.attacks.lists import SHARED_PROGRAMS, attack_of, limits_of, shared_records
from harness.bench import Bench

from execbox.wire import Isolation

pytestmark = [
    pytest.mark.attacks,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not SHARED_PROGRAMS, reason="there is no ../shared/attacks"),
    pytest.mark.skipif(
        not os.environ.get("EXECBOX_REQUIRE_BUBBLEWRAP"),
        reason="takes minutes: set EXECBOX_REQUIRE_BUBBLEWRAP, as CI does",
    ),
]

NOT_HERE = {"B19": "the machine's own /usr has setuid files, mounted so that they are none"}
SLOW_HERE = {"S06": {"cpu_time_s": 30.0, "wall_time_s": 60.0}}
"""It looks at every file of /usr/lib, of which a machine has more than the image."""


@pytest.mark.parametrize("isolation", ["process", "container"])
@pytest.mark.parametrize("record", [pytest.param(r, id=r["id"]) for r in shared_records()])
async def test_shared_attack_on_bubblewrap_ends_as_it_must(
    bubblewrap_bench: Bench, record: dict[str, Any], isolation: Isolation
) -> None:
    """As with Docker: the expected status and output, a canary beside it and one after it."""
    if record["id"] in NOT_HERE:
        pytest.skip(NOT_HERE[record["id"]])
    limits = limits_of(record).model_copy(update=SLOW_HERE.get(record["id"], {}))
    await run_attack(bubblewrap_bench, attack_of(record), isolation=isolation, limits=limits)
