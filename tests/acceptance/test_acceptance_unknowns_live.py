"""A failure is not a zero, through every adapter whose package is here, while something fails: the
short form of ``python -m acceptance.unknowns``, without a Docker daemon that can be killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.unknowns.__main__ import ADAPTERS, placed, tallied
from acceptance.unknowns.faults import FAULTS
from acceptance.unknowns.place import Place
from acceptance.unknowns.table import dishonest

pytestmark = pytest.mark.docker

COUNT = 12
SHORT = [each for each in FAULTS if each.name in ("containers", "queue", "network")]
ASKED = {"Client.batch", "SandboxFusion, verl", "open-instruct, stdio", "code-judge"}
"""One of each way to be told of a failure; all adapters take an hour."""


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """On the machine's own daemon, which others use."""
    with placed(daemon=False, seed=3) as place:
        yield place


@pytest.mark.parametrize("fault", SHORT, ids=lambda fault: str(fault.name))
def test_no_failure_becomes_a_verdict(place: Place, fault: object) -> None:
    """Right, or unknown: never a false zero, a false one, or the caller's mistake."""
    chosen = next(each for each in FAULTS if each is fault)
    adapters = [each for each in ADAPTERS if each.name in ASKED]
    tallies = {
        (adapter.name, chosen.name): tally
        for adapter, tally in tallied(place, chosen, adapters=adapters, count=COUNT, workers=8)
    }
    assert tallies.keys() == {(name, chosen.name) for name in ASKED}
    assert dishonest(tallies, ADAPTERS) == []
    assert all(tally.count == COUNT for tally in tallies.values())
    # Whatever fails, most of what is asked for is answered.
    assert sum(tally.right for tally in tallies.values()) > 0
