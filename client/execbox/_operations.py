"""The service's operations as exchanges: arguments to request bodies, bodies to results.

Pure, and shared by both clients: nothing is sent here. Each operation of the API is one function
that returns an ``Exchange``.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack

from pydantic import BaseModel, ValidationError

from execbox import strict_json, wire
from execbox._exchange import Exchange, HttpAnswer, read_model
from execbox._nodes.sameness import merged_capabilities
from execbox.errors import InvalidRequest, InvalidResponse, RequestTooLarge, ServiceUnavailable
from execbox.wire.complaints import invalid_request

__all__ = [
    "CallLike",
    "CaseLike",
    "ContentLike",
    "ExecuteOptions",
    "GenerateOptions",
    "RunOptions",
    "VerifyOptions",
    "capabilities",
    "cases_bound_s",
    "content_of",
    "encoded",
    "execute",
    "generate",
    "generation_bound_s",
    "healthz",
    "items_bound_s",
    "job_bound_s",
    "ready",
    "readyz",
    "run",
    "set_fields",
    "verify",
]

T = TypeVar("T")

CallLike: TypeAlias = wire.Call | Mapping[str, object] | list[Any] | tuple[Any, ...]
"""One call: keyword arguments as a mapping, positional ones as a list or tuple."""

ContentLike: TypeAlias = wire.Content | bytes
"""What a file or stdin holds: text, or bytes."""
CaseLike: TypeAlias = wire.Case | Mapping[str, object] | ContentLike
"""One case: its fields as a mapping, or its stdin alone."""

_OF_PROGRAMS = ("arguments", "stdin", "files", "fetch", "language")
_NON_FINITE_ADVICE = "; to give it to the function all the same, execute with non_finite"
_PROBE_TIMEOUT_S = 5.0
_COMPARING_TIMEOUT_S = 60.0
_COMPILE_WALL_FACTOR = 2
# Of the service: an execution that the wall clock cannot judge is stopped at four times its wall
# limit and run once more, alone.
_HARD_STOP_FACTOR = 4
_RERUN_FACTOR = 2
# Variation runs get twice the limits; outputs that differ lead to one more run per known cause.
_VARIATION_FACTOR = 2
_CAUSE_RUNS = 5


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


def execute(
    function: wire.Function | str,
    calls: Sequence[CallLike],
    **options: Unpack[ExecuteOptions],
) -> Exchange[wire.ExecuteResponse]:
    """``POST /v1/execute``. Raises ``InvalidRequest`` or ``RequestTooLarge`` before sending."""
    request = _execute_request(function, calls, **options)
    body = _checked_size(encoded(request), remedy="send fewer calls per request")

    def read(answer: HttpAnswer) -> wire.ExecuteResponse:
        response = read_model(wire.ExecuteResponse, answer)
        if len(response.executions) != len(request.calls):
            raise InvalidResponse(
                f"{answer.url} answered {len(response.executions)} executions "
                f"for {len(request.calls)} calls"
            )
        return response

    return Exchange(
        method="POST",
        path="/v1/execute",
        body=body,
        read=read,
        read_timeout_s=job_bound_s(request),
    )


def generate(
    function: wire.Function | str,
    input_generator: wire.InputGenerator | str,
    **options: Unpack[GenerateOptions],
) -> Exchange[wire.GenerateResponse]:
    """``POST /v1/generate``. Raises ``InvalidRequest`` or ``RequestTooLarge`` before sending."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        fields = {
            "function": _function(function, given),
            "input_generator": {"code": input_generator}
            if isinstance(input_generator, str)
            else input_generator,
        }
        request = wire.GenerateRequest.model_validate(fields | given)
    except ValidationError as error:
        raise invalid_request(error) from error
    return Exchange(
        method="POST",
        path="/v1/generate",
        body=_checked_size(encoded(request), remedy="shorten the code"),
        read=lambda answer: read_model(wire.GenerateResponse, answer),
        read_timeout_s=generation_bound_s(request),
    )


def verify(
    items: Sequence[wire.VerifyItem | Mapping[str, object]], **options: Unpack[VerifyOptions]
) -> Exchange[wire.VerifyResponse]:
    """``POST /v1/verify``. Raises ``InvalidRequest`` or ``RequestTooLarge`` before sending."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        plain = [dict(item) if isinstance(item, Mapping) else item for item in items]
        request = wire.VerifyRequest.model_validate({"items": plain} | given)
    except ValidationError as error:
        raise invalid_request(error) from error

    def read(answer: HttpAnswer) -> wire.VerifyResponse:
        response = read_model(wire.VerifyResponse, answer)
        if [item.id for item in response.items] != [item.id for item in request.items]:
            raise InvalidResponse(f"{answer.url} answered other items than it was asked")
        return response

    return Exchange(
        method="POST",
        path="/v1/verify",
        body=_checked_size(encoded(request), remedy="send fewer items per request"),
        read=read,
        read_timeout_s=items_bound_s(request),
    )


def run(
    program: wire.Program | str,
    cases: Sequence[CaseLike] | None = None,
    **options: Unpack[RunOptions],
) -> Exchange[wire.RunResponse]:
    """``POST /v1/run``. Raises ``InvalidRequest`` or ``RequestTooLarge`` before sending."""
    request = _run_request(program, cases, **options)
    case_count = len(request.cases) if request.cases is not None else 1

    def read(answer: HttpAnswer) -> wire.RunResponse:
        response = read_model(wire.RunResponse, answer)
        if len(response.runs) != case_count:
            raise InvalidResponse(
                f"{answer.url} answered {len(response.runs)} runs for {case_count} cases"
            )
        return response

    return Exchange(
        method="POST",
        path="/v1/run",
        body=_checked_size(encoded(request), remedy="send fewer cases or smaller files"),
        read=read,
        read_timeout_s=cases_bound_s(request),
    )


def capabilities() -> Exchange[wire.Capabilities]:
    """``GET /v1/capabilities``; of a fleet, what holds for every node."""
    exchange = _get("/v1/capabilities", lambda answer: read_model(wire.Capabilities, answer))
    return replace(exchange, merged=merged_capabilities)


def healthz() -> Exchange[wire.Health]:
    """``GET /healthz``."""
    return _get("/healthz", lambda answer: read_model(wire.Health, answer))


def readyz() -> Exchange[wire.Readiness]:
    """``GET /readyz``; not being ready (503) is an answer here, not an error."""
    return _get(
        "/readyz",
        lambda answer: read_model(wire.Readiness, answer),
        accepted=frozenset({200, 503}),
    )


def ready() -> Exchange[None]:
    """``GET /readyz`` that fails with ``ServiceUnavailable`` while the service is not ready."""

    def read(answer: HttpAnswer) -> None:
        readiness = read_model(wire.Readiness, answer)
        if not readiness.ready:
            raise ServiceUnavailable(
                f"{answer.url}: not ready: {readiness.reason or 'no reason given'}",
                code=wire.ErrorCode.NOT_READY,
                http_status=answer.http_status,
                retryable=True,
            )

    return _get("/readyz", read, accepted=frozenset({200, 503}))


def job_bound_s(request: wire.ExecuteRequest) -> float:
    """The longest a healthy service may take from the job's first execution to the answer.

    Calls stop being started after ``job_time_s``, so it is either every call at its worst or
    that plus the worst of the call under way. Time spent in the queue is not included.
    """
    call_s = _call_bound_s(request)
    return min(len(request.calls) * call_s, _after_job_time_s(request))


def generation_bound_s(request: wire.GenerateRequest) -> float:
    """As ``job_bound_s``: no draw is made after ``job_time_s``."""
    return _after_job_time_s(request)


def items_bound_s(request: wire.VerifyRequest) -> float:
    """As ``job_bound_s``, for items that are all run at their worst, one after the other."""
    execution_s = _HARD_STOP_FACTOR * _RERUN_FACTOR
    run_s = sum(item.limits.wall_time_s * execution_s for item in request.items if item.function)
    # What is compared only takes milliseconds, but there may be ten thousand of it.
    return run_s + _COMPARING_TIMEOUT_S


def cases_bound_s(request: wire.RunRequest) -> float:
    """As ``job_bound_s``, for a program that is compiled once and run once per case."""
    limits = request.limits
    run_s = limits.wall_time_s * _HARD_STOP_FACTOR * _RERUN_FACTOR
    compile_s = 0.0
    if request.program.language == "cpp":
        compile_s = _COMPILE_WALL_FACTOR * limits.compile_time_s * _HARD_STOP_FACTOR * _RERUN_FACTOR
    bound_s = min((len(request.cases or ()) + 1) * run_s, limits.job_time_s + run_s)
    return bound_s + compile_s


def _after_job_time_s(request: wire.ExecuteRequest | wire.GenerateRequest) -> float:
    return request.limits.job_time_s + _call_bound_s(request)


def _call_bound_s(request: wire.ExecuteRequest | wire.GenerateRequest) -> float:
    """The longest that one call may take, every run of its checks included."""
    limits, determinism = request.limits, request.checks.determinism
    execution_s = limits.wall_time_s * _HARD_STOP_FACTOR * _RERUN_FACTOR
    executions = 1.0
    if determinism is not None:
        executions += _VARIATION_FACTOR * (determinism.runs - 1 + _CAUSE_RUNS)
    return execution_s * executions


def _get(
    path: str, read: Callable[[HttpAnswer], T], *, accepted: frozenset[int] = frozenset({200})
) -> Exchange[T]:
    return Exchange(
        method="GET", path=path, read=read, read_timeout_s=_PROBE_TIMEOUT_S, accepted=accepted
    )


def _execute_request(
    function: wire.Function | str,
    calls: Sequence[CallLike],
    **options: Unpack[ExecuteOptions],
) -> wire.ExecuteRequest:
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


def _run_request(
    program: wire.Program | str,
    cases: Sequence[CaseLike] | None,
    **options: Unpack[RunOptions],
) -> wire.RunRequest:
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


def _checked_size(body: bytes, *, remedy: str) -> bytes:
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
