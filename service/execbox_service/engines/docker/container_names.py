"""The names of containers: which of a service's workers each belongs to. Asks no daemon.

A name is ``execbox-`` and 16 hexadecimal digits, as the gate demands; the first four are the
number of the worker that made it. A service that has been started anew with fewer workers, or with
none beside itself, still finds an owner for each of its containers.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

__all__ = ["belongs_to", "new_name"]

_NUMBER = re.compile(r"(?:execbox-)?([0-9a-f]{4})")
_DIGITS: Final = 4


def new_name(worker_number: int) -> str:
    """A name that no container has."""
    return f"execbox-{worker_number:0{_DIGITS}x}{secrets.token_hex(6)}"


def belongs_to(name: str, *, worker_number: int, worker_count: int) -> bool:
    """Whether a container of this service is this worker's to remove: exactly one of the workers
    has each, also those of an earlier start with more of them. ``name`` may be an id."""
    match = _NUMBER.match(name)
    number = int(match[1], 16) if match else 1
    return (number - 1) % worker_count == worker_number - 1
