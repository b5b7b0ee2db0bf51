"""``discard_runs``: the files of several runs emptied together, for a chain that begins anew.

A single run discards its own files as it begins, which is in ``resume``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from contextlib import ExitStack
from pathlib import Path

from execbox.dataset.files.append_log import REMEDIES, as_dataset_error, write_whole
from execbox.dataset.files.results_file import ResultsFile, packing_of, target_of
from execbox.dataset.files.resume import errors_path, run_path
from execbox.dataset.files.run_lock import locked, note_of
from execbox.dataset.files.run_note import UNFINISHED

__all__ = ["discard_runs"]


def discard_runs(steps_by_output: Mapping[Path, Set[str]]) -> None:
    """Empty each output that a run of one of its steps wrote; any other is left as it is.

    The last is emptied first, so that what a killed process leaves is the beginning of a chain.
    Raises ``DatasetError``, before anything is discarded, where another run is writing one.
    """
    with ExitStack() as stack:
        ours: dict[Path, int] = {}
        for output, steps in steps_by_output.items():
            if not run_path(output).is_file():
                continue
            lock_fd = locked(run_path(output))
            stack.callback(os.close, lock_fd)
            theirs, _ = note_of(lock_fd)
            if theirs is not None and theirs.step in steps:
                ours[output] = lock_fd
        for output, lock_fd in reversed(ours.items()):
            _discard(output, lock_fd)


def _discard(output: Path, lock_fd: int) -> None:
    with as_dataset_error(output, remedies=REMEDIES):
        if note_of(lock_fd)[1]:
            write_whole(lock_fd, UNFINISHED.encode(), at_bytes=os.fstat(lock_fd).st_size)
        ResultsFile(target_of(output), packing=packing_of(output)).discard()
        errors_path(output).unlink(missing_ok=True)
