"""``Silence``: how long a worker has said nothing, and what follows from it.

A worker says every quarter of a second that it is there, from the loop that answers its
connections. What is done with one that does not is in ``front``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["LOOK_S", "Silence"]

LOOK_S: Final = 1.0
_LEFT_OUT_COUNT: Final = 5
_ENDED_COUNT: Final = 30
"""As long as gunicorn waits for its workers."""


@dataclass
class Silence:
    """Counts looks and not seconds: a front that stood still itself, with all of the machine,
    comes to one look, and has read what was said meanwhile before the second."""

    look_count: int = 0
    """How many looks in a row found that nothing had been said since the look before."""

    def look(self) -> None:
        """Every ``LOOK_S``."""
        self.look_count += 1

    def heard(self) -> bool:
        """It has said something. Returns whether it had been left out."""
        left_out = self.leaves_out
        self.look_count = 0
        return left_out

    @property
    def leaves_out(self) -> bool:
        """Whether it is to be handed no connections."""
        return self.look_count >= _LEFT_OUT_COUNT

    @property
    def has_just_begun(self) -> bool:
        """Whether the last look was the first that leaves it out."""
        return self.look_count == _LEFT_OUT_COUNT

    @property
    def ends_it(self) -> bool:
        """Whether it is to be killed and started again."""
        return self.look_count >= _ENDED_COUNT
