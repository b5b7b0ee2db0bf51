"""When a fleet's addresses are looked up again, and what holds where that fails.

What they are read from is in ``_addresses``; nothing is read by itself here.
"""

from __future__ import annotations

import logging
from pathlib import Path

from execbox._addresses import NodeSource, read_addresses, source_text
from execbox.errors import ConfigError

__all__ = ["AddressBook"]

logger = logging.getLogger(__name__)

_FILE_EVERY_S = 1.0
_CALLABLE_EVERY_S = 5.0
_URGENT_EVERY_S = 0.5
"""While no node can take a request."""


class AddressBook:
    """The addresses of one fleet. ``due`` says when to ``read``, which may take its time."""

    def __init__(self, source: NodeSource) -> None:
        self._source = source
        self._asked_s: float | None = None
        self._stamp: tuple[int, ...] | None = None
        self._known: tuple[str, ...] = ()
        self.trouble: str | None = None
        """What was wrong at the last reading, whose addresses are those of an earlier one."""

    def __str__(self) -> str:
        return source_text(self._source)

    def anew(self) -> AddressBook:
        """One of the same source that has read nothing yet."""
        return AddressBook(self._source)

    def due(self, now_s: float, *, urgent: bool) -> bool:
        """Whether to read now. Says so once: the next time is counted from here."""
        if self._asked_s is not None:
            if isinstance(self._source, tuple):
                return False
            every_s = _FILE_EVERY_S if isinstance(self._source, Path) else _CALLABLE_EVERY_S
            if now_s - self._asked_s < (_URGENT_EVERY_S if urgent else every_s):
                return False
        self._asked_s = now_s
        return True

    def ask_again(self) -> None:
        """What was due has come to nothing: it is due at once, a list included."""
        self._asked_s = None

    def read(self) -> tuple[str, ...]:
        """The addresses. What was known holds where they cannot be read, or none is named; else
        raises ``ConfigError``, or gives none."""
        try:
            stamp = _stamp_of(self._source)
            if stamp is None or stamp != self._stamp or not self._known:
                # None: a file that is just being written, a registry that has been started again.
                found = read_addresses(self._source)
                self._note(None if found else f"{self} names no address")
                if found:
                    self._known, self._stamp = found, stamp
            else:
                self._note(None)  # It is again what was read from it.
        except ConfigError as error:
            # No reason to stop work on nodes that answer.
            if not self._known:
                raise
            self._note(error.message)
        return self._known

    def _note(self, trouble: str | None) -> None:
        """Log once what keeps new addresses from being known: a typing error in an added line
        would else leave its node out for good, and the user would not learn why."""
        if trouble is not None and trouble != self.trouble and self._known:
            logger.warning("%s; the addresses that were known before are used on", trouble)
        self.trouble = trouble


def _stamp_of(source: NodeSource) -> tuple[int, ...] | None:
    """What changes when a file does; None for what has to be read to be known."""
    if not isinstance(source, Path):
        return None
    try:
        status = source.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
