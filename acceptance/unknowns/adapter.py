"""What a way to ask is, to the run: a name, and how a worker begins to use it.

The ways themselves are in ``own_adapters`` and ``contract_adapters``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeAlias

from acceptance.unknowns.checks import Check, Said

__all__ = ["Adapter", "Ask", "said_of"]

Ask: TypeAlias = Callable[[Sequence[Check]], Sequence[Said]]
"""What is said of each check of a group, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One way to ask for verdicts."""

    name: str
    unknown_as: str
    """How the adapter tells its caller that there is no verdict."""
    opened: Callable[[str], AbstractContextManager[Ask]]
    """A worker's own, for the service at a URL; raises ImportError where it is not installed."""
    group_size: int = 1
    """Checks that a worker is given at once."""
    one_by_one: bool = False
    """Whether it asks for those of a group one after the other, as for the cells of a session."""
    workers_max: int | None = None
    """Where more get nothing but refusals: of sessions, or of a client that waits two seconds."""
    asked_last: bool = False
    """Whether its client waits so shortly that others beside it would be all that it meets."""
    takes_failures_for_zeros: bool = False
    """What is shown for comparison, and held to nothing."""

    def workers(self, in_flight: int) -> int:
        """How many have so many checks under way together."""
        each = 1 if self.one_by_one else self.group_size
        wanted = math.ceil(in_flight / each)
        return wanted if self.workers_max is None else min(wanted, self.workers_max)


def said_of(*, right: bool | None) -> Said:
    """None is unknown."""
    if right is None:
        return Said.UNKNOWN
    return Said.ONE if right else Said.ZERO
