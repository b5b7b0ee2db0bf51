"""What every message of the API is built from: bounds, text and number types, the two model bases.

No message and no vocabulary is here.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from execbox.strict_json.nesting import JSON_DEPTH_MAX
from execbox.wire.complaints import invalid_request

__all__ = [
    "BODY_BYTES_MAX",
    "CALLS_MAX",
    "JSON",
    "JSON_DEPTH_MAX",
    "EntryPoint",
    "Request",
    "Response",
    "Seconds",
    "Text",
    "exactly_one_of",
]

BODY_BYTES_MAX = 16 * 1024 * 1024
"""Largest request body, counted before anything is parsed."""
CALLS_MAX = 10_000
"""Most calls in one job; longer work belongs in several requests or a batch."""

JSON: TypeAlias = Any
"""A JSON value as Python's json module decodes it. Not checked here: the strict decoder has."""


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters (U+0000)")
    return text


def _dotted_name(text: str) -> str:
    if all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split(".")):
        return text
    raise ValueError(
        "must be the name of a function, class or method, such as main_solution or "
        "Solution.twoSum; anything else is an expression, which a call can be given as"
    )


def _real_number(value: object) -> object:
    # pydantic's strict mode lets a bool through where a float is asked for; the contract does not.
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


Text = Annotated[str, AfterValidator(_no_nul)]
EntryPoint = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="What is called: a function; a method, such as Solution.twoSum, on an instance "
        "made without arguments; or a class, which stands for its one public method.",
    ),
    AfterValidator(_dotted_name),
]
Seconds = Annotated[float, BeforeValidator(_real_number), Field(allow_inf_nan=False)]


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class _RaisesOurs(ModelMetaclass):
    """A model that is made by its name raises ``InvalidRequest``, as all of the client does, and
    not pydantic's error. What reads a document (``model_validate``) never comes by here."""

    # Hidden from type checkers, which would take it for the signature of every model.
    if not TYPE_CHECKING:

        def __call__(cls, *args: object, **fields: object) -> object:  # noqa: N805 - a metaclass
            try:
                return super().__call__(*args, **fields)
            except ValidationError as error:
                raise invalid_request(error, within=(cls.__name__,)) from error


class Request(BaseModel, metaclass=_RaisesOurs):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Response(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


def exactly_one_of(*names: str) -> Callable[[dict[str, Any]], None]:
    """What a JSON schema can say of fields of which one is given, and is not null."""

    def describe(schema: dict[str, Any]) -> None:
        for name in names:
            described = schema["properties"][name]
            described.pop("default")
            for each in described.pop("anyOf", ()):
                if each["type"] != "null":
                    described.update(each)
        schema["oneOf"] = [{"required": [name]} for name in names]

    return describe
