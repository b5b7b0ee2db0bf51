"""Which tests run beside each other where several workers share them: all but those marked
``alone``, which run while no other does. No tests.

The workers are processes of pytest-xdist (``pytest -n 2``). Without it there is one, and nothing
to arrange.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

__all__ = ["turn"]


@contextlib.contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Wait for, and keep while the block runs, a turn beside the other workers or without them.

    ``folder`` is the same for all workers of a run, and theirs only.
    """
    with (folder / "door").open("w") as door, (folder / "room").open("w") as room:
        # Who waits for an empty room stands in the door, so that nobody comes in meanwhile.
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield
