"""Which user id each execution gets: one that nothing else has had, here or in another container.

Where the container shares its user ids with the machine, the kernel counts some things by user
over all containers: queued signals, pipe buffers. Two jobs with the same id side by side would
then take them from each other, so every container begins somewhere else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

FIRST_UID = 20_000
LAST_UID = 60_000
"""Where only the usual 65536 ids are mapped: a user namespace of the engine or of the daemon."""
USERS_MAX = 40_000
"""User ids are used once in a container's life; when they run out, so does the container."""
REAPER_UID = FIRST_UID - 1
"""No job ever has it: see ``families.signal_all_of``."""
_WIDE_FIRST_UID, _WIDE_LAST_UID = 1 << 20, 1 << 31
"""Above what systems give out, below what some programs take for -1."""


@dataclass
class UserIds:
    """Ids from a range, each once, beginning anywhere and going round at its end."""

    first: int
    last: int
    offset: int
    used_count: int = 0

    @property
    def run_out(self) -> bool:
        return self.used_count >= min(USERS_MAX, self.last - self.first)

    def draw(self) -> int:
        """The next id; asked only while they have not run out."""
        index = (self.offset + self.used_count) % (self.last - self.first)
        self.used_count += 1
        return self.first + index


def choose(uid_map: str) -> UserIds:
    """Ids for this container, from the text of its ``/proc/self/uid_map``."""
    mapped = [[int(word) for word in line.split()] for line in uid_map.splitlines()]
    wide = any(
        inside <= _WIDE_FIRST_UID and inside + count >= _WIDE_LAST_UID
        for inside, _outside, count in mapped
    )
    first, last = (_WIDE_FIRST_UID, _WIDE_LAST_UID) if wide else (FIRST_UID, LAST_UID)
    return UserIds(first, last, int.from_bytes(os.urandom(8), "big") % (last - first))


def are_mapped(uid_map: str) -> bool:
    """Whether user ids here are not the machine's own: in a user namespace of the engine's."""
    return [line.split() for line in uid_map.splitlines()] != [["0", "0", str(2**32 - 1)]]
