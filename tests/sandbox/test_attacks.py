"""Our own attack programs, at both isolation levels, with a canary beside and after each."""

from __future__ import annotations

import pytest
from harness.attacks.attack import Attack, run_attack
from harness.attacks.lists import CLASSES
from harness.bench import Bench

from execbox.wire import Isolation

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("isolation", ["process", "container"])
@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(attack, id=f"{kind}: {attack.name}")
        for kind, attacks in CLASSES.items()
        for attack in attacks
    ],
)
async def test_attack_ends_in_its_status_and_disturbs_nobody(
    bench: Bench, attack: Attack, isolation: Isolation
) -> None:
    """The documented status, the documented output, and the next execution unaffected."""
    await run_attack(bench, attack, isolation=isolation)
