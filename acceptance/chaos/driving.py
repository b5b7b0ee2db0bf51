"""Faults, one after the other, while the work of a run of chaos is done, and how long it took until
all was well again. What the faults are is in ``kinds``, who does the work in ``clients``.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Final

from harness.measurement import say

from acceptance.chaos.clients import Clients, WorkFailed
from acceptance.chaos.kinds import KINDS, Kind
from acceptance.chaos.place import Place

__all__ = ["Done", "Recovery", "hurt"]

_LOOK_S: Final = 0.05
_RECOVERED_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """One fault: how long it was made to last, and when after its end a request was answered."""

    kind: str
    lasted_s: float
    recovered_s: float
    unanswered_count: int
    """Probes that were not answered before that."""


@dataclass
class Done:
    """What came of all faults."""

    recoveries: list[Recovery] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def hurt(
    place: Place, clients: Clients, done: Done, *, drawn: random.Random, kinds: list[Kind]
) -> None:
    """Do the next fault of ``kinds``, which is filled with all of them in a drawn order when it is
    empty, and wait until all is well. Raises ``WorkFailed``."""
    if not kinds:
        kinds += drawn.sample(KINDS, len(KINDS))
    kind = kinds.pop()
    began_s = time.monotonic()
    if kind.do_to_clients is not None:
        kind.do_to_clients(clients, drawn)
        took_s = time.monotonic() - began_s
        done.recoveries.append(Recovery(kind.name, 0.0, took_s, 0))
        say(f"{kind.name}: went on after {took_s:.2f} s")
        return
    if kind.do is not None:
        kind.do(place)
    over_s = time.monotonic()
    unanswered = 0
    while not _answers(place, done, n=drawn.randrange(10**6)):
        unanswered += 1
        if time.monotonic() - over_s > _RECOVERED_S:
            raise WorkFailed(
                f"no answer within {_RECOVERED_S:g} s after: {kind.name}\n{place.log_tail()}"
            )
        time.sleep(_LOOK_S)
    lasted_s, recovered_s = over_s - began_s, time.monotonic() - over_s
    done.recoveries.append(Recovery(kind.name, lasted_s, recovered_s, unanswered))
    say(f"{kind.name}: {lasted_s:.1f} s, answered again after {recovered_s:.2f} s")


def _answers(place: Place, done: Done, *, n: int) -> bool:
    try:
        return place.answers(n)
    except AssertionError as wrong:
        done.wrong.append(str(wrong))
        return True
