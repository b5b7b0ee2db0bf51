"""From an answer's model to its JSON text, in pieces: bounded, and with no step that takes long.

Sends nothing. What is large is found by looking, so that an answer of ordinary size is written by
pydantic in one go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic import BaseModel

from execbox.wire import ErrorCode
from execbox_service.failures import CallerMistake
from execbox_service.json_steps import LIGHT_MAX, encode_in_steps, light_left

__all__ = ["answer_pieces", "small_answer_text"]

_MODEL_WEIGHT: Final = LIGHT_MAX // 200
"""Writing a model takes as long as so many members of a value: 200 are written at once, with what
they are made of."""
_PIECE_BYTES: Final = 64 * 1024


def answer_pieces(answer: BaseModel, *, bytes_max: int) -> list[bytes]:
    """The text of ``answer`` in pieces of some ten kilobytes.

    Raises CallerMistake where it is longer than ``bytes_max``, having made no more of it than that.
    """
    pieces: list[bytes] = []
    waiting: list[str] = []
    waiting_bytes = size_bytes = 0
    for part in _parts(answer):
        waiting.append(part)
        waiting_bytes += len(part)
        if waiting_bytes >= _PIECE_BYTES:
            pieces.append("".join(waiting).encode("utf-8"))
            size_bytes += len(pieces[-1])
            waiting, waiting_bytes = [], 0
        if size_bytes + waiting_bytes > bytes_max:
            raise _too_large(bytes_max)
    pieces.append("".join(waiting).encode("utf-8"))
    return pieces


def small_answer_text(answer: BaseModel, *, bytes_max: int) -> bytes:
    """``answer_pieces``, of what is known to hold little: nothing of it is looked at."""
    text = answer.model_dump_json().encode("utf-8")
    if len(text) > bytes_max:
        raise _too_large(bytes_max)
    return text


def _parts(model: BaseModel) -> Iterator[str]:
    fields = {name: getattr(model, name) for name in type(model).model_fields}
    large = {name: value for name, value in fields.items() if _is_large(value)}
    if not large:
        yield model.model_dump_json()
        return
    rest = model.model_dump_json(exclude=set(large))
    opening = rest[:-1] + ("," if len(rest) > len("{}") else "")
    for name, value in large.items():
        yield opening + json.dumps(name) + ":"
        yield from _value_parts(value)
        opening = ","
    yield "}"


def _is_large(value: Any) -> bool:
    return _left(value, LIGHT_MAX) < 0


def _left(value: Any, left: int) -> int:
    """How much more than this may be written in one go, of so much; below zero, this is more."""
    members: Iterable[Any]
    if isinstance(value, BaseModel):
        left -= _MODEL_WEIGHT
        members = (getattr(value, name) for name in type(value).model_fields)
    elif isinstance(value, list | dict) and _holds_models(value):
        members = value.values() if isinstance(value, dict) else value
    elif isinstance(value, str | list | dict):
        return left - LIGHT_MAX + light_left((value,))
    else:
        return left
    for member in members:
        if left < 0:
            break
        left = _left(member, left)
    return left


def _holds_models(value: list[Any] | dict[str, Any]) -> bool:
    first = next(iter(value.values() if isinstance(value, dict) else value), None)
    return isinstance(first, BaseModel)


def _value_parts(value: Any) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from _parts(value)
    elif isinstance(value, list) and _holds_models(value):
        opening = "["
        for each in value:
            yield opening
            yield from _parts(each)
            opening = ","
        yield "]"
    elif isinstance(value, dict) and _holds_models(value):
        opening = "{"
        for key, each in value.items():
            yield opening + json.dumps(key) + ":"
            yield from _value_parts(each)
            opening = ","
        yield "}"
    else:
        yield from encode_in_steps(value, ensure_ascii=False)


def _too_large(bytes_max: int) -> CallerMistake:
    return CallerMistake(
        ErrorCode.ANSWER_TOO_LARGE,
        f"the answer would be longer than {bytes_max} bytes, which is the most for one request; "
        "send fewer calls or items in one request, or lower limits.output_bytes and "
        "limits.stdout_bytes",
        detail={"answer_bytes_max": bytes_max},
    )
