"""What a container held before a job, and whether it holds more afterwards. Reads counters only."""

from __future__ import annotations

from . import meters

_ROOM_BYTES = 16 * 1024 * 1024
"""What the runner's own processes come to hold beyond it, from one call to the next."""
_GATHERED_PAGE_COUNT = 64
"""How many pages' changes the kernel keeps for each processor before it adds them to a group's
figures (MEMCG_CHARGE_BATCH)."""


def slack_bytes(*, cpu_count: int, page_bytes: int) -> int:
    """How much more a container may seem to hold although nothing was left in it."""
    return _ROOM_BYTES + cpu_count * _GATHERED_PAGE_COUNT * page_bytes


class MemoryBaseline:
    """Memory in use at one moment, to hold later moments against."""

    def __init__(self, cgroup: meters.CgroupFiles, *, slack: int) -> None:
        """``slack`` is in bytes, as ``slack_bytes`` gives it."""
        self._cgroup = cgroup
        self._slack_bytes = slack
        self._used_bytes = 0
        self._held_bytes = 0

    def take(self, *, apart_bytes: int) -> None:
        """Take what is held now, but for ``apart_bytes`` that belong to the job."""
        self._used_bytes = meters.read_number(self._cgroup.memory_usage)
        self._held_bytes = self.held_bytes(apart_bytes=apart_bytes)

    def held_bytes(self, *, apart_bytes: int) -> int:
        """What is held now, but for ``apart_bytes``."""
        return meters.held_bytes(self._cgroup) - apart_bytes

    def is_exceeded(self, *, apart_bytes: int) -> bool:
        """Whether memory is held that was not before; file caches, which come and go, aside."""
        used_bytes = meters.read_number(self._cgroup.memory_usage)
        if used_bytes <= self._used_bytes + self._slack_bytes:
            return False
        self._used_bytes = used_bytes
        return self.held_bytes(apart_bytes=apart_bytes) > self._held_bytes + self._slack_bytes
