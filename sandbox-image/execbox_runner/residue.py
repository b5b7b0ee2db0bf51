"""Removing what a job left in writable places; runs in a child under the job's own identity.

Trees may be deeper than PATH_MAX, directories closed to their owner, names not UTF-8: names are
bytes, and one directory is entered at a time.
"""

from __future__ import annotations

import os
import stat

from .meters import WRITABLE_DIRECTORIES


def remove_own_files() -> None:
    """Remove everything this user owns below the writable directories."""
    uid = os.getuid()
    for root in WRITABLE_DIRECTORIES:
        for name in os.listdir(os.fsencode(root)):
            path = os.path.join(os.fsencode(root), name)
            if os.lstat(path).st_uid == uid:
                _remove(os.fsencode(root), name)


def _remove(parent: bytes, name: bytes) -> None:
    """Remove one entry. Directories inside are first moved up beside it, so no path gets long."""
    os.chdir(parent)
    if not stat.S_ISDIR(os.lstat(name).st_mode):
        os.unlink(name)
        return
    pending = [name]
    moved_count = 0
    while pending:
        directory = pending.pop()
        os.chmod(directory, 0o700)
        for entry in os.listdir(directory):
            path = os.path.join(directory, entry)
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                os.unlink(path)
                continue
            # Moving a directory needs write permission on itself: its ".." changes.
            os.chmod(path, 0o700)
            moved = b".removing-%d-%d" % (os.getpid(), moved_count)
            moved_count += 1
            os.rename(path, moved)
            pending.append(moved)
        os.rmdir(directory)
