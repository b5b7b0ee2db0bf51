"""Attacks as cells of a session: what is sent, and which answers are faults. Runs none."""

from __future__ import annotations

from typing import Any

import pytest
from harness.attacks.as_cell import cell_fault, cell_of, cell_statuses, session_limits
from harness.attacks.attack import LIMITS, Attack

from execbox.wire import CellResponse, Usage

USAGE = Usage(cpu_time_s=0, wall_time_s=0, peak_memory_bytes=0)
LOST = {"session_lost": True, "lost_reason": "why"}


def told(**error: Any) -> dict[str, Any]:
    return {"status": "exception", "error": {"type": "E", "message": "m", **error}}


def test_cell_calls_the_attack_in_its_last_expression() -> None:
    """With its arguments."""
    attack = Attack("a", "def main_solution(n, s): return n", ("ok",), arguments=(1, "x"))
    assert cell_of(attack).endswith("return n\n\nmain_solution(1, 'x')\n")


def test_session_has_the_limits_that_the_attack_is_written_for() -> None:
    """But for that of a job, which a session has none of."""
    fields = session_limits(LIMITS).model_dump()
    assert fields["cpu_time_s"] == LIMITS.cpu_time_s
    assert fields["memory_mb"] == LIMITS.memory_mb
    assert "job_time_s" not in fields


def test_attack_that_writes_to_descriptors_may_end_its_session() -> None:
    """Where its report would have been taken for a function's."""
    assert cell_statuses(Attack("a", "x", ("timeout",))) == {"timeout"}
    assert cell_statuses(Attack("a", "os.write(3, x)", ("timeout",))) == {"timeout", "no_result"}


@pytest.mark.parametrize(
    ("statuses", "cell", "fault"),
    [
        (("ok",), {"status": "ok"}, None),
        (("ok",), {"status": "no_result", **LOST}, "status no_result"),
        (("unserializable",), {"status": "ok"}, None),
        (("exception",), {"status": "ok"}, "status ok"),
        (("no_result",), {"status": "no_result", **LOST}, None),
        (("timeout",), {"status": "timeout"}, None),
        (("timeout",), {"status": "timeout", **LOST}, None),
        (("ok",), {"status": "ok", **LOST}, "lost with ok"),
        (("timeout",), {"status": "timeout", "session_lost": True}, "the reason None"),
        (("ok",), {"status": "ok", "stdout": "x" * 11}, "stdout is longer"),
        (("ok",), {"status": "ok", "stderr": "€" * 4}, "stderr is longer"),
        (("exception",), told(), None),
        (("exception",), told(traceback="in zygote.py"), "mentions zygote"),
    ],
)
def test_fault_of_a_cell_is_said(
    statuses: tuple[str, ...], cell: dict[str, Any], fault: str | None
) -> None:
    """A status that the attack must not have, a session lost without a reason, or what an answer
    must not hold."""
    answer = CellResponse.model_validate({"usage": USAGE, "cell": 1, **cell})
    found = cell_fault(answer, Attack("a", "", statuses), stdout_bytes=10)
    assert (found is None) is (fault is None)
    assert (fault or "") in (found or "")
