"""The service's operations as exchanges: arguments to request bodies, bodies to results.

Pure, and shared by both clients: nothing is sent here. Each operation of the API is one function
that returns an ``Exchange``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict, TypeVar, Unpack

from pydantic import BaseModel, ValidationError

from execbox import _json, wire
from execbox._exchange import Answer, Exchange, read_model
from execbox.errors import InvalidRequest, InvalidResponse, RequestTooLarge, ServiceUnavailable

__all__ = ["ExecuteOptions", "capabilities", "execute", "healthz", "ready", "readyz"]

T = TypeVar("T")

_PROBE_TIMEOUT_S = 5.0
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


def execute(
    function: wire.Function | str,
    calls: Sequence[wire.Call | Mapping[str, object]],
    **options: Unpack[ExecuteOptions],
) -> Exchange[wire.ExecuteResponse]:
    """``POST /v1/execute``. Raises ``InvalidRequest`` or ``RequestTooLarge`` before sending."""
    request = _execute_request(function, calls, **options)
    body = _json.encode(_set_fields(request) | {"calls": [_set_fields(c) for c in request.calls]})
    if len(body) > wire.BODY_BYTES_MAX:
        raise RequestTooLarge(
            f"the request is {len(body)} bytes of JSON and the service takes "
            f"{wire.BODY_BYTES_MAX}: send fewer calls per request",
            code="request_too_large",
        )

    def read(answer: Answer) -> wire.ExecuteResponse:
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


def capabilities() -> Exchange[wire.Capabilities]:
    """``GET /v1/capabilities``."""
    return _get("/v1/capabilities", lambda answer: read_model(wire.Capabilities, answer))


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

    def read(answer: Answer) -> None:
        readiness = read_model(wire.Readiness, answer)
        if not readiness.ready:
            raise ServiceUnavailable(
                f"{answer.url}: not ready: {readiness.reason or 'no reason given'}",
                code="not_ready",
                http_status=answer.http_status,
                retryable=True,
            )

    return _get("/readyz", read, accepted=frozenset({200, 503}))


def job_bound_s(request: wire.ExecuteRequest) -> float:
    """The longest a healthy service may take from the job's first execution to the answer.

    Calls stop being started after ``job_time_s``, so it is either every call at its worst or
    that plus the worst of the call under way. Time spent in the queue is not included.
    """
    limits, determinism = request.limits, request.checks.determinism
    execution_s = limits.wall_time_s * _HARD_STOP_FACTOR * _RERUN_FACTOR
    executions = 1.0
    if determinism is not None:
        executions += _VARIATION_FACTOR * (determinism.runs - 1 + _CAUSE_RUNS)
    call_s = execution_s * executions
    return min(len(request.calls) * call_s, limits.job_time_s + call_s)


def _get(
    path: str, read: Callable[[Answer], T], *, accepted: frozenset[int] = frozenset({200})
) -> Exchange[T]:
    return Exchange(
        method="GET", path=path, read=read, read_timeout_s=_PROBE_TIMEOUT_S, accepted=accepted
    )


def _execute_request(
    function: wire.Function | str,
    calls: Sequence[wire.Call | Mapping[str, object]],
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
        raise _invalid(error) from error


def _function(function: wire.Function | str, given: dict[str, object]) -> wire.Function:
    """Takes ``entry_point`` and ``prelude`` out of ``given``."""
    named = {name: given.pop(name) for name in ("entry_point", "prelude") if name in given}
    if isinstance(function, str):
        try:
            return wire.Function.model_validate({"code": function, **named})
        except ValidationError as error:
            raise _invalid(error, within=("function",)) from error
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
        try:
            return wire.Call(kwargs=dict(call))
        except ValidationError as error:
            raise _invalid(error, within=("calls", index)) from error
    raise InvalidRequest(
        f"calls[{index}] must be a wire.Call or a mapping of keyword arguments, "
        f"not a {type(call).__name__}"
    )


def _set_fields(model: BaseModel) -> dict[str, object]:
    # By hand and not model_dump(): that copies every argument, and turns NaN into null.
    body: dict[str, object] = {}
    for name in type(model).model_fields:
        if name in model.model_fields_set:
            value = getattr(model, name)
            body[name] = _set_fields(value) if isinstance(value, BaseModel) else value
    return body


def _invalid(error: ValidationError, *, within: tuple[str | int, ...] = ()) -> InvalidRequest:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    first = problems[0]
    problem = first["msg"].removeprefix("Value error, ")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidRequest(f"{_json.path_text((*within, *first['loc']))}: {problem}{more}")
