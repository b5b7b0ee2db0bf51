"""Start-time fair queueing: which flow is served next, by the slot time each has used. Arithmetic.

After Goyal, Vin and Cheng, "Start-time Fair Queueing" (SIGCOMM 1996): each flow has a virtual
time, which its use of slots moves forward; the flow with the lowest is served next; a flow that was
idle starts at the virtual time of the flow last served, so that no flow saves up time by staying
away. Flows are API keys in one queue, and the lanes of one key in another. Who waits, and for
what, is known in ``admission``.

Plain turns would not do: a key whose executions take a second would get two hundred times the slot
time of one whose executions take five milliseconds, and the latter would wait for all of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass, field

__all__ = ["FairQueue"]

_TICK_S = 0.001
"""Slot time is counted in ticks, at least one for each use: a smaller difference is noise, and the
order of service decides."""
_IDLE_FLOWS_MAX = 64
_NEWEST_SHARE = 0.25
"""Of a flow's last use in what its next one is expected to take."""


@dataclass
class _Flow:
    """One key, or one lane of a key."""

    virtual_tick_count: int
    """Virtual time, in ticks of slot time, of the uses that have ended."""
    in_service_count: int = field(default=0, init=False)
    """Slots that the flow holds now."""
    begun_sum_s: float = field(default=0.0, init=False)
    """Sum of the times at which those slots were granted."""
    served_number: int = field(default=-1, init=False)
    """Of its last grant, among all grants of the queue; the lower one has waited longer."""
    expected_s: float = field(default=0.0, init=False)
    """How long a use of a slot lasts: a moving average of the flow's own."""

    def virtual_time_s(self, now_s: float) -> float:
        """With the use of the slots that it still holds."""
        in_service_s = self.in_service_count * now_s - self.begun_sum_s
        return self.virtual_tick_count * _TICK_S + in_service_s

    def finish_time_s(self, now_s: float) -> float:
        """Virtual time when the slots that it holds are given back, as far as can be told: with
        the time alone that they have taken so far, slots that become free together would all go
        to the flow whose virtual time is lowest by a hair."""
        in_service_s = self.in_service_count * now_s - self.begun_sum_s
        expected_s = max(in_service_s, self.in_service_count * self.expected_s)
        return self.virtual_tick_count * _TICK_S + expected_s


class FairQueue:
    """The virtual times of flows that share slots. All times are in seconds of one clock."""

    def __init__(self) -> None:
        self._flows: dict[str, _Flow] = {}
        self._virtual_time_s = 0.0
        """The highest virtual time at which a flow was served: where an idle flow starts again."""
        self._numbers = itertools.count()

    def next_of(self, names: Collection[str], *, now_s: float) -> str:
        """The flow to serve next of those that wait: ``names``, at least one."""
        if len(names) == 1:
            return next(iter(names))

        def order(name: str) -> tuple[float, int]:
            flow = self._flow(name)
            return flow.finish_time_s(now_s), flow.served_number

        return min(names, key=order)

    def arrive(self, name: str) -> None:
        """A flow begins to wait that did not wait before."""
        flow = self._flow(name)
        if not flow.in_service_count:
            flow.virtual_tick_count = max(flow.virtual_tick_count, self._start_tick_count)

    def begin(self, name: str, *, now_s: float) -> None:
        """A flow is granted a slot."""
        flow = self._flow(name)
        virtual_time_s = flow.virtual_time_s(now_s)
        if virtual_time_s > self._virtual_time_s:
            self._virtual_time_s = virtual_time_s
        flow.in_service_count += 1
        flow.begun_sum_s += now_s
        flow.served_number = next(self._numbers)

    def end(self, name: str, *, begun_s: float, now_s: float) -> None:
        """A flow gives back a slot that it was granted at ``begun_s``."""
        flow = self._flows[name]
        flow.in_service_count -= 1
        flow.begun_sum_s = flow.begun_sum_s - begun_s if flow.in_service_count else 0.0
        used_s = now_s - begun_s
        flow.expected_s += (used_s - flow.expected_s) * _NEWEST_SHARE
        flow.virtual_tick_count += round(used_s / _TICK_S) or 1

    def charge(self, name: str, *, used_s: float) -> None:
        """Count slot time that a flow used without having been granted a slot by turn."""
        self._flow(name).virtual_tick_count += round(used_s / _TICK_S)

    def forget_idle(self, active: Collection[str]) -> None:
        """Drop the flows that are not ``active`` and hold no slot.

        A flow that is ahead of the virtual time is remembered until the others have caught up, or
        going away for a moment would wipe out what it used. No more than 64 are remembered.
        """
        idle: list[tuple[int, str]] = []
        for name in self._flows.keys() - active:
            flow = self._flows[name]
            if not flow.in_service_count:
                idle.append((flow.virtual_tick_count, name))
        if not idle:
            return
        idle.sort(reverse=True)
        for place, (virtual_tick_count, name) in enumerate(idle):
            if place >= _IDLE_FLOWS_MAX or virtual_tick_count * _TICK_S <= self._virtual_time_s:
                del self._flows[name]

    def __len__(self) -> int:
        return len(self._flows)

    def _flow(self, name: str) -> _Flow:
        flow = self._flows.get(name)
        if flow is None:
            # Not only by ``arrive``: a slot can be granted to a flow that never waited for it.
            flow = self._flows[name] = _Flow(self._start_tick_count)
        return flow

    @property
    def _start_tick_count(self) -> int:
        return round(self._virtual_time_s / _TICK_S)
