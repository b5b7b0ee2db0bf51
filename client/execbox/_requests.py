"""What the client takes as arguments, and the requests that are made of it.

Any form that a caller may give becomes the model of the wire, and a model the JSON of a body; only
what was given is sent. Nothing is sent here.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypedDict, Unpack

from pydantic import BaseModel, ValidationError

from execbox import strict_json, wire
from execbox.errors import InvalidRequest, RequestTooLarge
from execbox.wire.complaints import invalid_request

CallLike: TypeAlias = wire.Call | Mapping[str, object] | list[Any] | tuple[Any, ...]
"""One call: keyword arguments as a mapping, positional ones as a list or tuple."""

ContentLike: TypeAlias = wire.Content | bytes
"""What a file or stdin holds: text, or bytes."""
CaseLike: TypeAlias = wire.Case | Mapping[str, object] | ContentLike
"""One case: its fields as a mapping, or its stdin alone."""

_OF_PROGRAMS = ("arguments", "stdin", "files", "fetch", "language")
_NON_FINITE_ADVICE = "; to give it to the function all the same, execute with non_finite"


class ExecuteOptions(TypedDict, total=False):
    """What ``execute`` takes besides function and calls; what is left out is the service's choice.

    ``entry_point`` and ``prelude`` belong to a function given as source only.
    """

    entry_point: str | None
    prelude: str | None
    limits: wire.Limits | None
    checks: wire.Checks | None
    isolation: wire.Isolation | None
    profile: wire.Profile | None
    convert: wire.Conversion | None
    non_finite: bool | None
    give_up_after: int | None


class GenerateOptions(TypedDict, total=False):
    """What ``generate`` takes besides the two sources; what is left out is the service's choice."""

    count: int | None
    attempts: int | None
    give_up_after: int | None
    seed: int | None
    entry_point: str | None
    prelude: str | None
    limits: wire.Limits | None
    checks: wire.Checks | None
    isolation: wire.Isolation | None
    profile: wire.Profile | None
    convert: wire.Conversion | None


class VerifyOptions(TypedDict, total=False):
    """What ``verify`` takes besides the items; what is left out is the service's choice."""

    isolation: wire.Isolation | None
    profile: wire.Profile | None
    convert: wire.Conversion | None
    feedback_templates: wire.FeedbackTemplates | None


class RunOptions(TypedDict, total=False):
    """What ``run`` takes besides program and cases; what is left out is the service's choice.

    ``arguments``, ``stdin``, ``files``, ``fetch`` and ``language`` belong to a program given as
    source only.
    """

    arguments: Sequence[str] | None
    stdin: ContentLike | None
    files: Mapping[str, ContentLike] | None
    fetch: Sequence[str] | None
    language: wire.Language | None
    expected: wire.ExpectedStdout | Mapping[str, object] | str | None
    stop_at_first_failure: bool | None
    limits: wire.ProgramLimits | None
    isolation: wire.Isolation | None
    profile: wire.Profile | None


def execute_request(
    function: wire.Function | str,
    calls: Sequence[CallLike],
    **options: Unpack[ExecuteOptions],
) -> wire.ExecuteRequest:
    """A function and its calls, in any form that the client takes. Raises ``InvalidRequest``."""
    # Only what was given is sent: the service's defaults are the service's.
    given = {name: value for name, value in options.items() if value is not None}
    try:
        fields = {
            "function": _function(function, given),
            "calls": [_call(call, index) for index, call in enumerate(_checked_calls(calls))],
        }
        return wire.ExecuteRequest.model_validate(fields | given)
    except ValidationError as error:
        raise invalid_request(error) from error


def generate_request(
    function: wire.Function | str,
    input_generator: wire.InputGenerator | str,
    **options: Unpack[GenerateOptions],
) -> wire.GenerateRequest:
    """Both sources, and what goes with them. Raises ``InvalidRequest``."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        fields = {
            "function": _function(function, given),
            "input_generator": {"code": input_generator}
            if isinstance(input_generator, str)
            else input_generator,
        }
        return wire.GenerateRequest.model_validate(fields | given)
    except ValidationError as error:
        raise invalid_request(error) from error


def verify_request(
    items: Sequence[wire.VerifyItem | Mapping[str, object]], **options: Unpack[VerifyOptions]
) -> wire.VerifyRequest:
    """Items as models or as mappings. Raises ``InvalidRequest``."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        plain = [dict(item) if isinstance(item, Mapping) else item for item in items]
        return wire.VerifyRequest.model_validate({"items": plain} | given)
    except ValidationError as error:
        raise invalid_request(error) from error


def run_request(
    program: wire.Program | str,
    cases: Sequence[CaseLike] | None,
    **options: Unpack[RunOptions],
) -> wire.RunRequest:
    """A program and its cases, in any form that the client takes. Raises ``InvalidRequest``."""
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    try:
        fields = {"program": _program(program, given)}
        if cases is not None:
            fields["cases"] = [_case(case) for case in cases]
        if "expected" in given:
            given["expected"] = _expected(given["expected"])
        return wire.RunRequest.model_validate(fields | given)
    except ValidationError as error:
        raise invalid_request(error) from error


def _program(program: wire.Program | str, given: dict[str, Any]) -> Any:
    """Takes what belongs to a program out of ``given``."""
    named = {name: given.pop(name) for name in _OF_PROGRAMS if name in given}
    if isinstance(program, wire.Program):
        if named:
            raise InvalidRequest(
                f"{' and '.join(named)} cannot be given next to a wire.Program; set it there"
            )
        return program
    return {"code": program, **_run_fields(named)}


def _case(case: CaseLike) -> Any:
    if isinstance(case, wire.Case):
        return case
    if isinstance(case, Mapping):
        return _run_fields(dict(case))
    # What is left are the two forms of stdin.
    return _run_fields({"stdin": case})


def _run_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Plain Python as the schema has it: bytes as base64, any sequence of text as a list."""
    for name in ("arguments", "fetch"):
        if isinstance(fields.get(name), tuple):
            fields[name] = list(fields[name])
    if "stdin" in fields:
        fields["stdin"] = content_of(fields["stdin"])
    if isinstance(fields.get("files"), Mapping):
        fields["files"] = {path: content_of(content) for path, content in fields["files"].items()}
    if fields.get("expected") is not None:
        fields["expected"] = _expected(fields["expected"])
    return fields


def content_of(content: object) -> object:
    """What a file or stdin holds as the schema has it: bytes as base64."""
    if isinstance(content, bytes | bytearray | memoryview):
        return {"base64": b64encode(content).decode()}
    return content


def _expected(expected: object) -> object:
    return {"stdout": expected} if isinstance(expected, str) else expected


def _function(function: wire.Function | str, given: dict[str, object]) -> wire.Function:
    """Takes ``entry_point`` and ``prelude`` out of ``given``."""
    named = {name: given.pop(name) for name in ("entry_point", "prelude") if name in given}
    if isinstance(function, str):
        try:
            return wire.Function.model_validate({"code": function, **named})
        except ValidationError as error:
            raise invalid_request(error, within=("function",)) from error
    if named:
        raise InvalidRequest(
            f"{' and '.join(named)} cannot be given next to a wire.Function; set it there"
        )
    return function


def _checked_calls(calls: object) -> Sequence[object]:
    if isinstance(calls, Sequence) and not isinstance(calls, str | bytes):
        return calls
    raise InvalidRequest(
        f"calls must be a sequence of wire.Call or mappings, not a {type(calls).__name__}; "
        "for one call give a list of one"
    )


def _call(call: object, index: int) -> wire.Call:
    if isinstance(call, wire.Call):
        return call
    if isinstance(call, Mapping):
        fields: dict[str, object] = {"kwargs": dict(call)}
    elif isinstance(call, list | tuple):
        fields = {"args": list(call)}
    else:
        raise InvalidRequest(
            f"calls[{index}] must be a mapping of keyword arguments, a list or tuple of positional "
            f"ones, or a wire.Call, not {call!r:.60}; for one argument give a list of one"
        )
    try:
        return wire.Call.model_validate(fields)
    except ValidationError as error:
        raise invalid_request(error, within=("calls", index)) from error


def checked_size(body: bytes, *, remedy: str) -> bytes:
    """The body; raises ``RequestTooLarge`` with what to do where the service would not take it."""
    if len(body) > wire.BODY_BYTES_MAX:
        raise RequestTooLarge(
            f"the request is {len(body)} bytes of JSON and the service takes "
            f"{wire.BODY_BYTES_MAX}: {remedy}",
            code=wire.ErrorCode.BODY_TOO_LARGE,
        )
    return body


def encoded(request: BaseModel, **changed: object) -> bytes:
    """The JSON of a body or a line; raises ``InvalidRequest`` naming what JSON cannot carry."""
    non_finite = getattr(request, "non_finite", False)
    try:
        return strict_json.encode(set_fields(request) | changed, non_finite=non_finite)
    except strict_json.StrictJSONError as error:
        advice = _NON_FINITE_ADVICE if error.reason is strict_json.Reason.NOT_FINITE else ""
        code = wire.ErrorCode.UNSENDABLE_VALUE
        raise InvalidRequest(f"{error.message}{advice}", code=code) from error


def set_fields(model: BaseModel) -> dict[str, object]:
    """The fields that were given, by name: what is left out is the service's choice."""
    # By hand and not model_dump(): that copies every argument, and turns NaN into null.
    return {
        name: _plain(getattr(model, name))
        for name in type(model).model_fields
        if name in model.model_fields_set
    }


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return set_fields(value)
    # Only the schema's own lists hold models, and hold nothing else.
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        return [_plain(member) for member in value]
    # Of its objects, those of files.
    if isinstance(value, dict) and any(isinstance(each, BaseModel) for each in value.values()):
        return {name: _plain(member) for name, member in value.items()}
    return value
