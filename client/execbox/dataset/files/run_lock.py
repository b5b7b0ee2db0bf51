"""OUT.run.json as the lock of a run: one process has it at a time, and reads there what is noted.

What is noted is in ``run_note``, when it is written in ``resume``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from execbox.dataset.files.append_log import REMEDIES, as_dataset_error
from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.run_note import RunNote, noted_in

__all__ = ["locked", "note_of"]

_NOTE_BYTES_MAX: Final = 1024 * 1024


def locked(path: Path) -> int:
    """An open OUT.run.json that no other run has, to be closed. Raises ``DatasetError`` where one
    has it."""
    with as_dataset_error(path, remedies=REMEDIES):
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        import fcntl
    except ImportError:  # Not POSIX: nothing keeps two runs apart there.
        return fd
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise DatasetError(
            f"{path}: another run is writing this output; wait for it, or give another --output"
        ) from error
    except OSError as error:
        # Lustre without its mount option flock, some network and FUSE file systems.
        os.close(fd)
        raise DatasetError(
            f"{path}: its file system locks no files ({error.strerror}), so nothing would keep a "
            "second run from writing this output: give an --output on a different file system and "
            "copy it when it is done, or have this one mounted with locks"
        ) from error
    return fd


def note_of(lock_fd: int) -> tuple[RunNote | None, bool]:
    """As ``noted_in``, of an open OUT.run.json."""
    return noted_in(os.pread(lock_fd, _NOTE_BYTES_MAX, 0).decode("utf-8", "replace"))
