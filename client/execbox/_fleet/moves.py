"""When one request is sent again within a fleet, and whether at once and elsewhere; pure.

How often is the request's own ``Pacing``, which counts over all nodes: a request that kills what
runs it must not go from node to node until none is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from execbox._nodes.failures import Effect, ForeignAnswer, effect_of, is_of_a_gateway
from execbox._retry import Pacing, Retrying
from execbox.config import RetryPolicy, WaitListener
from execbox.errors import (
    ConnectFailed,
    ConnectionBroken,
    ExecboxError,
    RequestTimedOut,
    ServiceError,
)

__all__ = ["EachNodeOnce", "Moves", "SingleTry", "fleet_pacing"]


class SingleTry:
    """The pacing of one try at one node, whose failure is decided about by others."""

    def __init__(self, within_s: float = math.inf) -> None:
        self._within_s = within_s

    def pause_s(self, _failure: ExecboxError) -> float | None:
        return None

    def remaining_s(self) -> float:
        return self._within_s


def fleet_pacing(policy: RetryPolicy, *, on_wait: WaitListener | None = None) -> Retrying:
    """The pacing of a request that may go to several nodes.

    A read timeout is tried again as often as a connection that broke: the time was long enough
    for the request, so it is the node that hangs, and a different one does not.
    """
    return Retrying(policy, timed_out_retries_max=policy.broken_retries_max, on_wait=on_wait)


@dataclass(slots=True)
class Moves:
    """One request's way through the fleet: which nodes have failed it, and what comes next."""

    pacing: Pacing
    tried: set[str] = field(default_factory=set)

    def pause_s(
        self, failure: ExecboxError, *, address: str | None, elsewhere: bool
    ) -> float | None:
        """How long to wait after ``failure`` at ``address`` (None where no node took the request);
        None to give up. ``elsewhere`` says whether there is a node that has not been tried."""
        if address is not None:
            self.tried.add(address)
        if elsewhere and isinstance(failure, ConnectFailed):
            # Nothing was sent, so this costs the request none of its tries.
            return 0.0
        if isinstance(failure, RequestTimedOut) and not elsewhere:
            return None
        pause_s = self.pacing.pause_s(_counted_as(failure))
        if pause_s is None or elsewhere:
            return None if pause_s is None else 0.0
        self.tried.clear()
        return pause_s


@dataclass(slots=True)
class EachNodeOnce(Moves):
    """The way of a request that its sender sends again itself: from a node that has not begun it
    to one that has not been tried, and no further."""

    pacing: Pacing = field(default_factory=SingleTry)

    def pause_s(
        self, failure: ExecboxError, *, address: str | None, elsewhere: bool
    ) -> float | None:
        if address is not None:
            self.tried.add(address)
        refused = isinstance(failure, ServiceError) and effect_of(failure) is not Effect.STRIKE
        return 0.0 if elsewhere and (refused or isinstance(failure, ConnectFailed)) else None


def _counted_as(failure: ExecboxError) -> ExecboxError:
    """A gateway's answer, or a stranger's, is as good as a connection that broke: whether anything
    ran is unknown."""
    foreign = is_of_a_gateway(failure) or isinstance(failure, ForeignAnswer)
    return ConnectionBroken(failure.message) if foreign else failure
