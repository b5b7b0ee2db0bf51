"""An attack as a cell of a session: the same code, called in its last expression; its fitting ends.

Attacks are in the modules beside this one; running one as a program is in ``as_program``.
"""

from __future__ import annotations

from typing import Final

from execbox.wire import CellResponse, Limits, SessionLimits
from harness.attacks.attack import Attack, answer_fault

_ENDS: Final = {
    # The value is shown with the namespace's own means, which the cell may have broken before.
    "ok": ("ok", "exception"),
    "unserializable": ("ok", "exception"),
    "output_too_large": ("ok", "exception", "no_result"),
    # A cell that ends its session's process; one that breaks no more than a function's report
    # leaves nothing broken in a session, which reports in a way of its own.
    "no_result": ("no_result", "ok", "exception"),
}
"""A function's status, and how a cell may end that does the same."""
_LOST: Final = frozenset({"no_result", "timeout", "memory_exceeded"})


def cell_of(attack: Attack) -> str:
    """Its source, and a call whose value is the cell's."""
    arguments = ", ".join(map(repr, attack.arguments))
    return f"{attack.code}\n\nmain_solution({arguments})\n"


def cell_statuses(attack: Attack) -> frozenset[str]:
    """How it may end as a cell."""
    ends = {end for status in attack.statuses for end in _ENDS.get(status, (status,))}
    if "os.write" in attack.code:
        # Whatever is written to the descriptor on which its end is reported ends a session.
        ends.add("no_result")
    return frozenset(ends)


def session_limits(limits: Limits) -> SessionLimits:
    """The same limits, for a session."""
    fields = limits.model_dump()
    return SessionLimits(**{name: fields[name] for name in fields if name != "job_time_s"})


def cell_fault(cell: CellResponse, attack: Attack, *, stdout_bytes: int) -> str | None:
    """What is wrong with one attack that was a cell; None where nothing is."""
    allowed = cell_statuses(attack)
    status = cell.status.value
    if status not in allowed:
        return f"status {status}, not one of {', '.join(sorted(allowed))}"
    if cell.session_lost and (status not in _LOST or not cell.lost_reason):
        return f"a session that is lost with {status} and the reason {cell.lost_reason!r}"
    return answer_fault(cell, stdout_bytes=stdout_bytes)
