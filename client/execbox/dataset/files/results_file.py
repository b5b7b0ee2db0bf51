"""``ResultsFile``: the file that an output leads to, and where its results are until all are there.

A packed output cannot be appended to, so its results are beside it until the run is done. Which
lines there are is in ``append_log``.
"""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

from execbox.dataset.files.append_log import REMEDIES, as_dataset_error, replacing
from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.sources import open_source, reading_errors

__all__ = ["ResultsFile", "target_of"]


def target_of(path: Path) -> Path:
    """The file that a path leads to, through any links; it need not be there yet."""
    try:
        return path.resolve()
    except RuntimeError as error:  # Links that lead to each other.
        raise DatasetError(f"{path}: {error}") from error


class ResultsFile:
    """Where results are appended to: the output, or beside a packed one until all is done."""

    def __init__(self, output: Path, *, packed: bool) -> None:
        self.output = output
        self._packed = packed
        self._appended = output.with_name(output.name + ".partial") if packed else output

    def hold_something(self) -> bool:
        """Whether an earlier run, or something else, has left anything there."""
        return any(
            path.exists() and path.stat().st_size > 0 for path in (self.output, self._appended)
        )

    def discard(self) -> None:
        """Empty what is there; the file itself, its place and permissions stay."""
        if self.output.exists():
            os.truncate(self.output, 0)
        if self._packed:
            self._appended.unlink(missing_ok=True)

    def unpacked(self) -> Path:
        """The file to append to, holding everything there is so far."""
        if self._packed and not self._appended.exists() and self.hold_something():
            with (
                as_dataset_error(self.output, remedies=REMEDIES),
                open_source(self.output) as source,
                reading_errors(source.name),
                replacing(self._appended) as file,
            ):
                shutil.copyfileobj(source.file, file)
        return self._appended

    def pack(self) -> None:
        """Bring what was appended into the output; the same results are the same bytes."""
        if not self._packed:
            return
        with (
            as_dataset_error(self.output, remedies=REMEDIES),
            self._appended.open("rb") as appended,
            replacing(self.output) as file,
            gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        ):
            shutil.copyfileobj(appended, packed)
        self._appended.unlink()
