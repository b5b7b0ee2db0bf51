"""For how long nothing in this container ran: paused, or with the whole machine around it.

The supervisor sees it by its own waiting, which then takes longer than it asked for. The kernel
counts such time nowhere: who is frozen waits for no core.
"""

from __future__ import annotations

import select
import time

_NOTICED_NS = 100_000_000
"""Less than that, a busy machine or a large read takes."""


class Standstill:
    """Waits for events, and adds up by how much waits were too long."""

    def __init__(self) -> None:
        self.total_ns = 0
        self._last_ns = time.monotonic_ns()

    def within_ns(self, elapsed_ns: int, *, cpu_ns: int) -> int:
        """Of so much time, in which the code used so much CPU time: while the code ran, nothing
        stood still but the supervisor, which code at its memory limit can bring about."""
        return min(self.total_ns, max(0, elapsed_ns - cpu_ns))

    def poll(self, poll: select.poll, timeout_s: float) -> list[tuple[int, int]]:
        """What ``poll`` gives within that time."""
        events = poll.poll(timeout_s * 1000)
        self.note(timeout_s)
        return events

    def note(self, asked_s: float) -> None:
        """Something has ended that was to take no longer than this."""
        now_ns = time.monotonic_ns()
        over_ns = now_ns - self._last_ns - int(asked_s * 1e9)
        self._last_ns = now_ns
        if over_ns > _NOTICED_NS:
            self.total_ns += over_ns
