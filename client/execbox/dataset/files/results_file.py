"""``ResultsFile``: the file that an output leads to, and where its results are until all are there.

A packed output cannot be appended to, so its results are beside it until the run is done. Which
lines there are is in ``append_log``.
"""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from execbox.dataset.files.append_log import REMEDIES, as_dataset_error, replacing
from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.parquet import refuse_missing_pyarrow, write_parquet
from execbox.dataset.files.sources import open_source, reading_errors

__all__ = ["Packing", "ResultsFile", "packing_of", "target_of"]

Packing: TypeAlias = Literal["none", "gzip", "parquet"]


def packing_of(output: Path) -> Packing:
    """How its name says that results are packed. ``DatasetError``: what that needs is not here."""
    if output.suffix == ".parquet":
        refuse_missing_pyarrow(str(output))
        return "parquet"
    return "gzip" if output.suffix == ".gz" else "none"


def target_of(path: Path) -> Path:
    """The file that a path leads to, through any links; it need not be there yet."""
    try:
        return path.resolve()
    except RuntimeError as error:  # Links that lead to each other.
        raise DatasetError(f"{path}: {error}") from error


class ResultsFile:
    """Where results are appended to: the output, or beside it until all is done.

    They are beside a packed output, and with ``replaces`` beside any: what is there stays until
    all of what takes its place is there.
    """

    def __init__(self, output: Path, *, packing: Packing, replaces: bool = False) -> None:
        self.output = output
        self._packing = packing
        self._packed = packing != "none"
        self._replaces = replaces
        self._is_beside = self._packed or replaces
        self._appended = output.with_name(output.name + ".partial") if self._is_beside else output

    def hold_something(self) -> bool:
        """Whether an earlier run, or something else, has left anything there."""
        return _holds_something(self.output) or _holds_something(self._appended)

    def discard(self) -> None:
        """Empty what is there; the file itself, its place and permissions stay."""
        if self.output.exists():
            os.truncate(self.output, 0)
        self.discard_beside()

    def discard_beside(self) -> None:
        """Remove what was appended beside the output; that itself stays."""
        if self._is_beside:
            self._appended.unlink(missing_ok=True)

    def readable(self) -> Path:
        """The file with everything there is so far, as it is; it need not be there."""
        return self._appended if self._appended.exists() else self.output

    def unpacked(self) -> Path:
        """The file to append to, holding everything there is so far; with ``replaces`` nothing."""
        return self._appended if self._replaces else self._whole()

    def replaced(self) -> Path | None:
        """With ``replaces``, the file to read what is to be replaced from; None for nothing.

        That is what the output holds, and not what a run that was killed has appended beside it.
        """
        if _holds_something(self.output):
            self.discard_beside()
            return self._whole() if self._packed else self.output
        return self._appended if self._packed and _holds_something(self._appended) else None

    def discard_replaced(self) -> None:
        """Remove what ``replaced`` left beside the output; what nothing else holds goes into it."""
        if self._packed and not _holds_something(self.output) and self._appended.exists():
            # Version 0.2 appended to it from run to run.
            self.pack()
        self.discard_beside()

    def _whole(self) -> Path:
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
        """Bring what was appended beside the output into it; the same results are the same
        bytes."""
        if not self._is_beside:
            return
        with as_dataset_error(self.output, remedies=REMEDIES), replacing(self.output) as file:
            if self._packing == "parquet":
                write_parquet(self._lines, file, name=str(self.output))
            elif self._packing == "none":
                with self._appended.open("rb") as appended:
                    shutil.copyfileobj(appended, file)
            else:
                with (
                    self._appended.open("rb") as appended,
                    gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
                ):
                    shutil.copyfileobj(appended, packed)
        self._appended.unlink()

    def _lines(self) -> Iterator[bytes]:
        with self._appended.open("rb") as appended:
            yield from appended


def _holds_something(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
