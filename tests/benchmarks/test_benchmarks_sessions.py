"""What the benchmark of sessions finds, from measurements that are given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.sessions import Dialogues, Idle, Interrupts, findings_of

TOLD = Dialogues(taken_s=[0.005] * 19 + [0.2], first_s=[0.2])
STOPPED = Interrupts(late_s={"cpu_time": [0.01, 0.4], "wall_time": [0.02]}, lost_count=0)
IDLE = Idle(
    count=200, begun_s=50, session_mb=27, service_mb=5, call_ms=5, call_before_ms=5, lost_count=0
)


@pytest.mark.parametrize(
    ("told", "stopped", "idle", "holds"),
    [
        (TOLD, STOPPED, IDLE, [True, True, True]),
        (replace(TOLD, taken_s=[0.011]), STOPPED, IDLE, [False, True, True]),
        (TOLD, replace(STOPPED, lost_count=1), IDLE, [True, False, True]),
        (TOLD, Interrupts({"cpu_time": [0.01, 0.51]}, 0), IDLE, [True, False, True]),
        (TOLD, STOPPED, replace(IDLE, lost_count=1), [True, True, False]),
    ],
)
def test_claims_hold_only_within_their_bounds(
    told: Dialogues, stopped: Interrupts, idle: Idle, holds: list[bool]
) -> None:
    """Each by its own measurement; the run's exit code is theirs together."""
    found = findings_of({}, told, stopped, idle)
    assert [claim.holds for claim in found.claims] == holds
    assert found.hold is all(holds)
