"""A clock that can be set for some processes only: what ``date -s`` does to a whole machine.

It takes a C compiler. Who runs by it, and when it is set, is its caller's business.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = ["MovedClock", "NoMovedClock"]

_SOURCE: Final = Path(__file__).with_suffix(".c")
_OFFSET: Final = struct.Struct("=q")


class NoMovedClock(Exception):
    """There can be none here; the message says why."""


class MovedClock:
    """Inside the ``with`` block, processes that are started with ``environment`` have its date.
    Entering raises ``NoMovedClock``."""

    def __init__(self) -> None:
        self._folder = Path()
        self._mapped: mmap.mmap | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to have it, besides what it has anyway."""
        return {
            "LD_PRELOAD": str(self._folder / "moved_clock.so"),
            "MOVED_CLOCK": str(self._folder / "offset"),
        }

    def set_back_or_on(self, offset_s: float) -> None:
        """From now on its date is so far from the machine's, on or (negative) back."""
        if self._mapped is None:
            raise RuntimeError("the clock is not set outside of its block")
        # In one piece: a reader never sees half of it.
        self._mapped[: _OFFSET.size] = _OFFSET.pack(round(offset_s * 1e9))

    def __enter__(self) -> Self:
        compiler = shutil.which("cc")
        if compiler is None:
            raise NoMovedClock("building the preload that moves a process's date takes cc (gcc)")
        self._folder = Path(tempfile.mkdtemp(prefix="execbox-clock-"))
        words = ["-shared", "-fPIC", "-O1", "-o", str(self._folder / "moved_clock.so")]
        try:
            built = subprocess.run(
                [compiler, *words, str(_SOURCE), "-ldl"],
                capture_output=True,
                text=True,
                check=False,
            )
            if built.returncode != 0:
                raise NoMovedClock(f"the preload is not built: {built.stderr}")
            (self._folder / "offset").write_bytes(bytes(_OFFSET.size))
            fd = os.open(self._folder / "offset", os.O_RDWR)
            try:
                self._mapped = mmap.mmap(fd, _OFFSET.size)
            finally:
                os.close(fd)
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._mapped is not None:
            self._mapped.close()
        shutil.rmtree(self._folder)
