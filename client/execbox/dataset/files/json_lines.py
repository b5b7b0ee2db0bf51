"""One line of JSONL: reading it strictly, its fields, writing it, and what is said where it fails.

Whole files, and the names of their records, are in ``records``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

from execbox import strict_json
from execbox.errors import ExecboxError

__all__ = [
    "RECORD_DEPTH_MAX",
    "BadRecord",
    "DatasetError",
    "Value",
    "decode_line",
    "encode_line",
    "index_field",
    "list_field",
    "object_field",
    "parse_line",
    "refuse_non_finite",
    "text_field",
]

RECORD_DEPTH_MAX = strict_json.DOCUMENT_DEPTH_MAX
"""Deepest nesting of one line; far from where Python's own recursion ends."""

_LINE_ENDS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"}

Value: TypeAlias = dict[str, object]
"""One JSON object, as ``json`` decodes it."""


class DatasetError(ExecboxError, ValueError):
    """A file cannot be read or continued; the message names it and says what to do."""


class BadRecord(ExecboxError, ValueError):
    """One record cannot be used, and the run goes on without it.

    ``reason`` is a short stable word that is counted. ``retry`` says whether the next run of the
    same command tries again (a failure of ours or of a model endpoint, or a file given beside the
    input lacks something) or not (the record is the problem, or what its code does). ``detail`` is
    JSON for programs that read the error file.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "invalid_record",
        retry: bool = False,
        detail: Value | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry = retry
        self.detail = detail


def parse_line(line: bytes, *, non_finite: bool = False) -> Value:
    """The object on one line; raises ``BadRecord`` with the reason it is not strict JSON.

    Refused are, besides what is no JSON: other values than objects, a key given twice, numbers
    beyond a double such as ``1e400``, NaN unless ``non_finite``, integers beyond 4,300 digits,
    deep nesting.
    """
    return _object_of(line, depth_max=RECORD_DEPTH_MAX, non_finite=non_finite)


def decode_line(line: bytes, *, non_finite: bool = False) -> Value:
    """As ``parse_line`` for lines written here, which may hold a record a few levels further in."""
    return _object_of(line, depth_max=2 * RECORD_DEPTH_MAX, non_finite=non_finite)


def _object_of(line: bytes, *, depth_max: int, non_finite: bool) -> Value:
    try:
        value = strict_json.decode(
            line, depth_max=depth_max, non_finite=non_finite, lone_surrogates=True
        )
    except strict_json.StrictJSONError as error:
        reason = "too_deep" if error.reason is strict_json.Reason.TOO_DEEP else "not_json"
        raise BadRecord(error.message, reason=reason) from error
    if not isinstance(value, dict):
        raise BadRecord(f"a JSON object is needed, not a {_kind(value)}", reason="not_an_object")
    return value


def encode_line(value: Mapping[str, object]) -> bytes:
    """``value`` as one line of UTF-8 JSON with its newline.

    Raises ``BadRecord`` for what strict JSON cannot carry. A lone surrogate stays the escape it
    was read from, and what some readers take for the end of a line is escaped.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False).translate(_LINE_ENDS)
        try:
            return text.encode() + b"\n"
        except UnicodeEncodeError:
            return json.dumps(value, ensure_ascii=True, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRecord(
            f"has no JSON form: {_unwritable(value, error)}", reason="not_json"
        ) from error


def refuse_non_finite(value: Mapping[str, object], *, besides: str) -> None:
    """Raise ``BadRecord`` that names where a record holds NaN or an infinity, but in one member.

    For steps that replace this member: they could not write the record.
    """
    rest = {name: member for name, member in value.items() if name != besides}
    try:
        json.dumps(rest, allow_nan=False)
    except ValueError as error:
        raise BadRecord(
            f"cannot be written again: {_unwritable(rest, error)}", reason="non_finite"
        ) from error


def _unwritable(value: Mapping[str, object], error: Exception) -> str:
    """What of a value is no JSON, and where."""
    try:
        strict_json.encode(value)
    except ValueError as found:
        return str(found)
    return str(error)


def text_field(value: Mapping[str, object], name: str) -> str:
    """A member that must be text; ``BadRecord`` says what it is instead."""
    found = value.get(name)
    if isinstance(found, str):
        return found
    raise _wrong_field(value, name, "text")


def index_field(value: Mapping[str, object], name: str) -> int:
    """A member that must be an integer, 0 or more."""
    found = value.get(name)
    if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
        return found
    raise _wrong_field(value, name, "an integer, 0 or more")


def object_field(value: Mapping[str, object], name: str) -> Value:
    """A member that must be an object."""
    found = value.get(name)
    if isinstance(found, dict):
        return found
    raise _wrong_field(value, name, "an object")


def list_field(value: Mapping[str, object], name: str) -> list[object]:
    """A member that must be an array."""
    found = value.get(name)
    if isinstance(found, list):
        return found
    raise _wrong_field(value, name, "an array")


def _wrong_field(value: Mapping[str, object], name: str, wanted: str) -> BadRecord:
    if name not in value:
        return BadRecord(f'"{name}" is missing; it must be {wanted}', reason="missing_field")
    return BadRecord(
        f'"{name}" must be {wanted}, not a {_kind(value[name])}', reason="invalid_field"
    )


def _kind(value: object) -> str:
    names = {dict: "object", list: "array", str: "text", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
