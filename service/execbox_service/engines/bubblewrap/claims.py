"""Directories that a living process owns: claimed with a lock, abandoned when that process ends.

The lock goes with the process however it ends, so nothing depends on process ids, which mean
nothing in another pid namespace. What is done with an abandoned directory is the caller's matter.
"""

from __future__ import annotations

import contextlib
import fcntl
import os


class ClaimLost(Exception):
    """The directory was removed, or is owned by another process."""


def claim(path: str) -> int:
    """Own a directory until the descriptor returned is closed. Raises ClaimLost."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ClaimLost(f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A service that took it for abandoned may have removed it between opening and locking.
        if os.fstat(fd).st_ino != os.stat(path).st_ino:
            raise ClaimLost(f"{path} was replaced")
    except (OSError, ClaimLost) as error:
        os.close(fd)
        raise ClaimLost(f"{path} is owned by another process") from error
    return fd


def abandoned(parent: str, prefix: str) -> list[tuple[str, int]]:
    """Directories of ours in ``parent`` without an owner, now claimed: paths and descriptors.

    Only what this user owns and whose name begins with ``prefix``. The caller closes them.
    """
    found = []
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if not entry.name.startswith(prefix) or not entry.is_dir(follow_symlinks=False):
                continue
            if entry.stat(follow_symlinks=False).st_uid != os.geteuid():
                continue
            with contextlib.suppress(ClaimLost):
                found.append((entry.path, claim(entry.path)))
    return found
