"""Making models of a long array's members in portions.

pydantic validates a document in one step of C, in which no other thread has its turn. What is wrong
with a document is said in ``validation``, from the portion that has a fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from execbox.strict_json import JSON
from execbox.wire import CALLS_MAX

__all__ = ["Mixed", "with_models"]

_PORTION_COUNT: Final = 500
"""10,000 members with six faults each took 75 ms in one step (measured)."""


@dataclass(frozen=True)
class Mixed:
    """A document in which models stand for some members of its arrays."""

    document: Any
    faulty: bool
    """Whether an array ends with the first portion in which a member has a fault."""


def with_models(model: type[BaseModel], document: JSON) -> Mixed:
    """``document`` with models for the members of its long arrays: it validates as that does, and
    where a member has a fault, with no more faults than its portion has.

    Arrays longer than any request may have are left as they are.
    """
    if not isinstance(document, dict):
        return Mixed(document, faulty=False)
    long = [
        (name, value)
        for name, value in document.items()
        if name in model.model_fields
        and isinstance(value, list)
        and _PORTION_COUNT < len(value) <= CALLS_MAX
    ]
    made: dict[str, Any] = {name: _members(model, name, members) for name, members in long}
    faulty = any(len(made[name]) < len(members) for name, members in long)
    return Mixed(document | made, faulty=faulty)


def _members(model: type[BaseModel], name: str, members: list[JSON]) -> list[Any]:
    adapter = _adapter(model, name)
    made: list[Any] = []
    for start in range(0, len(members), _PORTION_COUNT):
        portion = members[start : start + _PORTION_COUNT]
        try:
            made += adapter.validate_python(portion)
        except ValidationError:
            return made + portion
    return made


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[list[Any]]:
    annotation: Any = model.model_fields[name].annotation
    return TypeAdapter(annotation)
