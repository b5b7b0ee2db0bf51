"""The attacks in bash and C++, on real containers."""

from __future__ import annotations

import pytest
from harness.attacks.as_program import run_attack_program
from harness.attacks.attack import Attack
from harness.attacks.started import started_attacks

from tests.sandbox.languages import Languages

pytestmark = [
    pytest.mark.docker,
    pytest.mark.attacks,
    pytest.mark.asyncio(loop_scope="session"),
]

# All of them, at both levels, are run by `python -m acceptance.attacks --kind started`.
EVERY = 3
CHOSEN = (started_attacks("bash") + started_attacks("cpp"))[::EVERY]


@pytest.mark.parametrize("attack", CHOSEN, ids=lambda each: f"{each.language}-{each.name}")
async def test_attack_in_bash_or_cpp_ends_as_it_must(languages: Languages, attack: Attack) -> None:
    """A fitting status, what a probe prints, a canary beside it and one after it."""
    await run_attack_program(languages.bench, attack, isolation="process")
