"""Every process of one user, seen and signalled from the supervisor. Decides nothing.

A job has a user id that nothing else in its container has: its processes are a family.
"""

from __future__ import annotations

import contextlib
import os

from . import user_ids


def signal_all_of(uid: int, number: int) -> None:
    """Signal every process of a user at once, without a new process, which may find no room.

    The kernel sends the signal to all that our effective user may signal, while none of them may
    signal us: neither our real nor our saved user is theirs. No fork can slip through in between.
    """
    os.setresuid(user_ids.REAPER_UID, uid, 0)
    try:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(-1, number)
    finally:
        os.setresuid(0, 0, 0)


def has_process(uid: int) -> bool:
    """Whether a process is left whose effective or real user this is."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == uid or _real_uid(name) == uid:
                    return True
            except (FileNotFoundError, ProcessLookupError):
                continue
    return False


def _real_uid(pid: str) -> int:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("Uid:"):
                return int(line.split()[1])
    return -1
