"""Bytes to a request of the schema, and what is wrong with them in words a caller can act on.

Knows pydantic's errors and nothing of any one request. What the operator permits is in
``execbox_service.operations.policy``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final, TypeVar, get_args

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from execbox.strict_json import JSON, Reason, StrictJSONError, path_text, shortened
from execbox.wire import CALLS_MAX, ErrorCode
from execbox_service.api.long_arrays import with_models
from execbox_service.failures import CallerMistake
from execbox_service.json_steps import LARGE_BYTES, decode_any, free_in_steps

__all__ = ["decoded", "parsed", "problems", "validated", "validated_in_steps"]

PROBLEMS_SHOWN_MAX: Final = 10
_PROBLEM_CHARS_MAX = 280
_PROBLEMS_BYTES_MAX = 2200
# pydantic makes a Python object of every error; a body full of unknown fields has a million.
_ERRORS_MAX = 20_000
_UNKNOWN_MAX = 1000
_MEMBERS_KEPT = 64
_DEPTH_KEPT = 3
_UNSHOWN_FIELDS = frozenset({"code", "expression", "stdin", "response", "prediction"})
_KINDS = {
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be an array",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_parsing_size": "must be a smaller integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
}

_ADVICE = {
    Reason.NOT_FINITE: '; an execute request with "non_finite": true may have it in its arguments'
}

_M = TypeVar("_M", bound=BaseModel)
_Path = tuple[str | int, ...]


def parsed(model: type[_M], body: bytes) -> _M:
    """``body`` as a ``model``; raises CallerMistake, 400 if it is no JSON and 422 if it is no
    such request."""
    document = decoded(body)
    if len(body) < LARGE_BYTES:
        return validated(model, document)
    return validated_in_steps(model, document)


def decoded(body: bytes) -> JSON:
    """The document ``body`` holds; raises CallerMistake if it is no strict JSON."""
    try:
        return decode_any(body)
    except StrictJSONError as error:
        if error.reason is Reason.NOT_FINITE and (found := _non_finite_document(body)) is not None:
            return found
        raise CallerMistake(
            ErrorCode.INVALID_JSON,
            f"the body is no acceptable JSON: {error.message}{_ADVICE.get(error.reason, '')}",
            detail={"reason": error.reason.value},
        ) from error


def _non_finite_document(body: bytes) -> JSON | None:
    """The document, if it says itself that it may hold NaN and infinities."""
    try:
        document = decode_any(body, non_finite=True)
    except StrictJSONError:
        return None
    permits = isinstance(document, dict) and document.get("non_finite") is True
    return document if permits else None


def validated_in_steps(model: type[_M], document: JSON) -> _M:
    """As ``validated``, for what was read from a large body and nothing else has use for."""
    try:
        _refuse_crowds(model, document)
        mixed = with_models(model, document)
        made = validated(model, mixed.document)
        return validated(model, document) if mixed.faulty else made
    except CallerMistake:
        # The exception holds on to the document, and is dropped by the event loop.
        free_in_steps(document)
        raise


def validated(model: type[_M], document: JSON) -> _M:
    """``document`` as a ``model``; raises CallerMistake if it is no such request."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _mistake(problems(model, document, error), count=error.error_count()) from error


def _refuse_crowds(model: type[BaseModel], document: JSON) -> None:
    """Raises CallerMistake for more unknown fields than anybody sends who means it: pydantic makes
    an error of every one, all in one step."""
    crowds = [each for each in _objects((model,), document, path=()) if each.unknown_count]
    count = sum(each.unknown_count for each in crowds)
    if count > _UNKNOWN_MAX:
        paths = islice(chain.from_iterable(each.unknown() for each in crowds), PROBLEMS_SHOWN_MAX)
        sentences = [f"{path_text(path)}: {_unknown_field(model, path)}" for path in paths]
        raise _mistake([each[:_PROBLEM_CHARS_MAX] for each in sentences], count=count)


@dataclass(frozen=True, slots=True)
class _Object:
    """An object of a document where the schema has a model, or one of a few."""

    path: _Path
    members: dict[str, JSON]
    fields: Mapping[str, FieldInfo]

    @property
    def known(self) -> list[str]:
        return [name for name in self.fields if name in self.members]

    @property
    def unknown_count(self) -> int:
        return len(self.members) - len(self.known)

    def unknown(self) -> Iterator[_Path]:
        return ((*self.path, name) for name in self.members if name not in self.fields)


def _objects(models: Sequence[type[BaseModel]], value: JSON, *, path: _Path) -> Iterator[_Object]:
    if isinstance(value, list):
        for index, each in enumerate(islice(value, CALLS_MAX)):
            yield from _objects(models, each, path=(*path, index))
    elif isinstance(value, dict):
        fields = {name: field for each in models for name, field in each.model_fields.items()}
        found = _Object(path, value, fields)
        yield found
        for name in found.known:
            if isinstance(value[name], list | dict):
                inner = tuple(_models_in(fields[name].annotation))
                if inner:
                    yield from _objects(inner, value[name], path=(*path, name))


def problems(model: type[BaseModel], document: JSON, error: ValidationError) -> list[str]:
    """At most ten sentences, each with a field's path, its value and what is permitted."""
    details = _details(model, document, error)
    sentences: dict[_Path, str] = {}
    for item in details:
        path, value = _located(document, item)
        what = _requirement(model, path, item)
        if path in sentences:
            # Both branches of a union complain about the same value.
            sentences[path] = f"{sentences[path]}, or {what}"
        elif len(sentences) < PROBLEMS_SHOWN_MAX:
            sentences[path] = (
                f"{path_text(path, whole='the body')}: {_shown(path, value, item)}{what}"
            )
    return [
        sentence[:_PROBLEM_CHARS_MAX]
        for path, sentence in sentences.items()
        if not any(other[: len(path)] == path and len(other) > len(path) for other in sentences)
    ]


def _mistake(sentences: list[str], *, count: int) -> CallerMistake:
    shown: list[str] = []
    size_bytes = 0
    for sentence in sentences:
        size_bytes += len(json.dumps(sentence))
        if shown and size_bytes > _PROBLEMS_BYTES_MAX:
            break
        shown.append(sentence)
    first = shown[0] if shown else "the request does not fit the schema at /openapi.json"
    more = f" (and {len(shown) - 1} more, see detail)" if len(shown) > 1 else ""
    return CallerMistake(
        ErrorCode.INVALID_REQUEST, first + more, detail={"problems": shown, "problem_count": count}
    )


def _details(
    model: type[BaseModel], document: JSON, error: ValidationError
) -> Sequence[ErrorDetails]:
    if error.error_count() <= _ERRORS_MAX:
        return error.errors(include_url=False)
    try:
        model.model_validate(_excerpt(document, depth=_DEPTH_KEPT))
    except ValidationError as fewer:
        # Only these are sure to be as true of the document as they are of the excerpt.
        return [
            item for item in fewer.errors(include_url=False) if item["type"] == "extra_forbidden"
        ]
    return []


def _excerpt(value: JSON, *, depth: int) -> JSON:
    if depth == 0:
        return value
    if isinstance(value, dict):
        members = zip(range(_MEMBERS_KEPT), value.items(), strict=False)
        return {key: _excerpt(member, depth=depth - 1) for _, (key, member) in members}
    if isinstance(value, list):
        return [_excerpt(member, depth=depth - 1) for member in value[:_MEMBERS_KEPT]]
    return value


def _located(document: JSON, item: ErrorDetails) -> tuple[_Path, JSON]:
    """Where in the document the problem is: pydantic's location without the names of its union
    branches, which are no fields."""
    path: list[str | int] = []
    value = document
    for piece in item["loc"]:
        if _has(value, piece):
            value = value[piece]
        elif item["type"] != "missing" or piece != item["loc"][-1]:
            continue
        path.append(piece)
    return tuple(path), value


def _has(value: JSON, piece: str | int) -> bool:
    if isinstance(value, dict):
        return piece in value
    return isinstance(value, list) and isinstance(piece, int) and piece < len(value)


def _requirement(model: type[BaseModel], path: _Path, item: ErrorDetails) -> str:
    kind = item["type"]
    if kind == "extra_forbidden":
        return _unknown_field(model, path)
    if kind == "missing":
        return "is required"
    if kind == "literal_error":
        return f"must be {item['ctx']['expected']}"
    field = _field(model, path)
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    if kind == "value_error" and (field is None or _is_text(field)):
        return message
    permitted_range = _range(field) if field else None
    if permitted_range:
        return f"must be {permitted_range}"
    return _KINDS.get(kind) or ("must " + message if message.startswith("be ") else message)


def _unknown_field(model: type[BaseModel], path: _Path) -> str:
    known = ", ".join(sorted(_field_names(model, path[:-1])))
    return f"unknown field; remove it (known here: {known})"


def _is_text(field: FieldInfo) -> bool:
    return field.annotation is str or str in get_args(field.annotation)


def _range(field: FieldInfo) -> str | None:
    """What a number, string or array may be, from the schema itself so that it cannot differ."""
    bounds: dict[type, Any] = {type(bound): bound for bound in field.metadata}
    if Ge in bounds and Le in bounds:
        noun = "an integer" if field.annotation is int else "a number"
        return f"{noun} from {_number(bounds[Ge].ge)} to {_number(bounds[Le].le)}"
    if MinLen in bounds and MaxLen in bounds:
        noun, unit = ("string", "characters") if field.annotation is str else ("array", "items")
        shortest, longest = bounds[MinLen].min_length, bounds[MaxLen].max_length
        return f"a {noun} of {shortest} to {longest} {unit}".replace("a array", "an array")
    return None


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _field(model: type[BaseModel], path: _Path) -> FieldInfo | None:
    names = [piece for piece in path if isinstance(piece, str)]
    if not names or (path and isinstance(path[-1], int)):
        return None
    owners: list[type[BaseModel]] = [model]
    field = None
    for name in names:
        field = next((m.model_fields[name] for m in owners if name in m.model_fields), None)
        if field is None:
            return None
        owners = list(_models_in(field.annotation))
    return field


def _field_names(model: type[BaseModel], path: _Path) -> set[str]:
    if not any(isinstance(piece, str) for piece in path):
        return set(model.model_fields)
    names = tuple(piece for piece in path if isinstance(piece, str))
    field = _field(model, names)
    owners = _models_in(field.annotation) if field else ()
    return {name for owner in owners for name in owner.model_fields}


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _shown(path: _Path, value: JSON, item: ErrorDetails) -> str:
    """The value and a space, if it is short enough to help and not the caller's program."""
    if item["type"] in ("missing", "extra_forbidden") or _UNSHOWN_FIELDS.intersection(path):
        return ""
    if isinstance(value, dict):
        return "an object: "
    if isinstance(value, list):
        return f"an array of {len(value)}: "
    if isinstance(value, str):
        return f"{shortened(value)} "
    digits = json.dumps(value)
    return f"{digits if len(digits) <= 60 else digits[:57] + '...'} "
