"""Freeing large values in steps, for a thread beside the event loop.

The interpreter frees a value in one step once nothing needs it any more: 5 million arrays kept the
event loop waiting for 0.2 s (measured).
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from execbox_service.json_steps.sizes import is_light

__all__ = ["free_in_steps"]

_BATCH_MAX: Final = 1000
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def free_in_steps(*values: Any) -> None:
    """Take apart what is large in these, which nothing needs any more: it is empty afterwards.

    Goes through models, and takes lists of them for large.
    """
    for value in values:
        if isinstance(value, BaseModel):
            free_in_steps(*vars(value).values())
        elif isinstance(value, list | dict) and (_holds_models(value) or not is_light((value,))):
            _empty(value)


def _empty(value: list[Any] | dict[str, Any]) -> None:
    if isinstance(value, dict):
        # As many as one object may have are let go of in a step that is short enough.
        members = [*value.values()]
        value.clear()
        value = members
    while value:
        batch = value[-_BATCH_MAX:]
        del value[-_BATCH_MAX:]
        if not _PLAIN.issuperset(map(type, batch)) and (
            _holds_models(batch) or not is_light(batch)
        ):
            free_in_steps(*batch)


def _holds_models(value: list[Any] | dict[str, Any]) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], BaseModel)
