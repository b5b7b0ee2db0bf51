"""``Caller``: on whose behalf work is done, and as part of what. Decides nothing.

Made where a request is received, and handed down to admission as an argument.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Final

from execbox_service.scheduling.memory import Hold

__all__ = ["BEGUN", "SINGLES", "Caller"]

SINGLES: Final = "singles"
"""The lane of requests that are no part of anything larger."""
BEGUN: Final = "begun"
"""The lane of a key's jobs that have run for a while and let other jobs pass."""

_numbers = itertools.count(1)


@dataclass(slots=True)
class Caller:
    """Who waits for a slot. Keys share the slots fairly, and so do the lanes of one key.

    A caller is never changed; the class is not frozen because each line of a batch makes one.
    """

    principal: str
    """Name of the API key."""
    lane: str = SINGLES
    """The queue within the key. Each batch has a lane of its own, and so has the rest of each
    large request."""
    admitted: bool = False
    """Whether the batch or request that the work belongs to has been let in. Such work is never
    refused and waits as long as it takes: its sender bounds how much of it there is."""

    wait_max_s: float | None = field(default=None, compare=False)
    """How long its request may wait for its first slot, where it is known how long its sender
    listens; the queue's size is then no matter. None: as long as the service has it wait."""
    hold: Hold | None = field(default=None, compare=False)
    """What the request that the work belongs to holds of the service's memory; None: not counted.
    """

    def in_lane_of_its_own(self, kind: str) -> Caller:
        """The caller of the parts of a batch or large request, whose ``kind`` names the lane.

        Parts of a part stay in the lane that they are in.
        """
        if self.admitted:
            return self
        return replace(self, lane=f"{kind} {next(_numbers)}", admitted=True)

    def holding(self, hold: Hold) -> Caller:
        """The same caller, whose request holds ``hold``."""
        return Caller(self.principal, self.lane, self.admitted, self.wait_max_s, hold)

    def begun(self) -> Caller:
        """The caller of a job that has let other jobs pass: it waits with its key's other such."""
        return replace(self, lane=BEGUN, admitted=True)
