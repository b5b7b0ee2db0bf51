"""A failure is not a zero, through every adapter whose package is here, while something fails: the
short form of ``python -m acceptance.unknowns``, without a Docker daemon that can be killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.unknowns.__main__ import ADAPTERS, placed
from acceptance.unknowns.answer_log import AnswerLog
from acceptance.unknowns.checks import PART_COUNT, checks_of
from acceptance.unknowns.faults import FAULTS, Fault
from acceptance.unknowns.place import Place
from acceptance.unknowns.table import dishonest
from acceptance.unknowns.waves import Run, ask_all

pytestmark = pytest.mark.docker

COUNT = 48
"""A quarter of them through each adapter under each fault."""
SHORT = [each for each in FAULTS if each.name in ("containers", "queue", "network")]
ASKED = {"Client.batch", "SandboxFusion, verl", "open-instruct, stdio", "code-judge"}
"""One of each way to be told of a failure; all adapters take an hour."""


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """On the machine's own daemon, which others use."""
    with placed(daemon=False, seed=3) as place:
        yield place


@pytest.mark.parametrize("fault", SHORT, ids=lambda fault: str(fault.name))
def test_no_failure_becomes_a_verdict(place: Place, fault: Fault, tmp_path: Path) -> None:
    """Right, or unknown: never a false zero, a false one, or the caller's mistake."""
    checks = checks_of(COUNT)
    log = AnswerLog(tmp_path, checks=checks, anew=True)
    adapters = [each for each in ADAPTERS if each.name in ASKED]
    run = Run(checks=checks, in_flight=8)
    asked = list(ask_all(place, fault, adapters=adapters, log=log, run=run))
    assert {each.name for each in asked} == ASKED
    tallies = {cell: log.tally(*cell) for cell in log.cells}
    assert dishonest(tallies, ADAPTERS) == []
    assert all(tally.count == COUNT / PART_COUNT for tally in tallies.values())
    # Whatever fails, most of what is asked for is answered.
    assert sum(tally.right for tally in tallies.values()) > 0
    # And is not asked for again.
    assert list(ask_all(place, fault, adapters=adapters, log=log, run=run)) == []
