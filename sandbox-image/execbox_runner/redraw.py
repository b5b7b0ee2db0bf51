"""What is done before a generator's draw that counts, where draws would else repeat. In a job.

Sources that fix their randomness at their top level, or keep a counter there, give the same first
value in every process. Which of the two ways around that a draw takes is the service's decision.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import random
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

_ABANDONED_AFTER_LINES = 10_000


def reseed() -> None:
    """Seed every generator of random numbers anew that the sources have made or seeded.

    From this process's entropy, which is seeded in a draw, and from what each had been seeded
    with: so that two of them stay two.
    """
    fresh = os.urandom(16)
    random.seed(_number(fresh, "random"))
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(_number(fresh, "numpy") % 2**32)
    # What was there before the sources ran is frozen, and not among these.
    for found in gc.get_objects():
        # The type, because an instance may say that its class is any.
        kind = type(found)
        with contextlib.suppress(Exception):
            if issubclass(kind, random.Random) and not issubclass(kind, random.SystemRandom):
                random.Random.seed(found, _number(fresh, found.getstate()))
            elif numpy_random is not None and issubclass(kind, numpy_random.BitGenerator):
                number = _number(fresh, found.state)
                found.state = kind(numpy_random.SeedSequence(number)).state


def call_before(target: Callable[[], object], count: int, *, passed_over: Iterable[int]) -> None:
    """Make the calls whose values are drawn by other processes, whatever becomes of them.

    Those in ``passed_over`` would never end, and are abandoned after so many lines, always at the
    same one.
    """
    abandoned = frozenset(passed_over)
    for number in range(count):
        with contextlib.suppress(BaseException):
            if number in abandoned:
                _abandon(target)
            else:
                target()


def _abandon(target: Callable[[], object]) -> None:
    left = _ABANDONED_AFTER_LINES

    def trace(_frame: FrameType, _event: str, _argument: object) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise TimeoutError("abandoned")
        return trace

    sys.settrace(trace)
    try:
        target()
    finally:
        sys.settrace(None)


def _number(fresh: bytes, of: object) -> int:
    digest = hashlib.sha256(fresh + repr(of).encode()).digest()
    return int.from_bytes(digest[:8])
