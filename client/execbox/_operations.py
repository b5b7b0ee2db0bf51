"""The service's operations as exchanges: a request, and how its answer is read.

Pure, and shared by both clients: nothing is sent here. Each operation of the API is one function
that returns an ``Exchange``; what a request is made of is in ``_requests``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar, Unpack

from execbox import wire
from execbox._exchange import Exchange, HttpAnswer, read_model
from execbox._nodes.sameness import merged_capabilities
from execbox._requests import (
    CallLike,
    CaseLike,
    ExecuteOptions,
    GenerateOptions,
    RunOptions,
    VerifyOptions,
    checked_size,
    encoded,
    execute_request,
    generate_request,
    run_request,
    verify_request,
)
from execbox._time_bounds import cases_bound_s, generation_bound_s, items_bound_s, job_bound_s
from execbox.errors import InvalidResponse, ServiceUnavailable

__all__ = ["capabilities", "execute", "generate", "healthz", "ready", "readyz", "run", "verify"]

T = TypeVar("T")

_PROBE_TIMEOUT_S = 5.0


def execute(
    function: wire.Function | str,
    calls: Sequence[CallLike],
    **options: Unpack[ExecuteOptions],
) -> Exchange[wire.ExecuteResponse]:
    """``POST /v1/execute``. Raises ``InvalidRequest`` or ``RequestTooLarge`` before sending."""
    request = execute_request(function, calls, **options)
    body = checked_size(encoded(request), remedy="send fewer calls per request")

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
    request = generate_request(function, input_generator, **options)
    return Exchange(
        method="POST",
        path="/v1/generate",
        body=checked_size(encoded(request), remedy="shorten the code"),
        read=lambda answer: read_model(wire.GenerateResponse, answer),
        read_timeout_s=generation_bound_s(request),
    )


def verify(
    items: Sequence[wire.VerifyItem | Mapping[str, object]], **options: Unpack[VerifyOptions]
) -> Exchange[wire.VerifyResponse]:
    """``POST /v1/verify``. Raises ``InvalidRequest`` or ``RequestTooLarge`` before sending."""
    request = verify_request(items, **options)

    def read(answer: HttpAnswer) -> wire.VerifyResponse:
        response = read_model(wire.VerifyResponse, answer)
        if [item.id for item in response.items] != [item.id for item in request.items]:
            raise InvalidResponse(f"{answer.url} answered other items than it was asked")
        return response

    return Exchange(
        method="POST",
        path="/v1/verify",
        body=checked_size(encoded(request), remedy="send fewer items per request"),
        read=read,
        read_timeout_s=items_bound_s(request),
    )


def run(
    program: wire.Program | str,
    cases: Sequence[CaseLike] | None = None,
    **options: Unpack[RunOptions],
) -> Exchange[wire.RunResponse]:
    """``POST /v1/run``. Raises ``InvalidRequest`` or ``RequestTooLarge`` before sending."""
    request = run_request(program, cases, **options)
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
        body=checked_size(encoded(request), remedy="send fewer cases or smaller files"),
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


def _get(
    path: str, read: Callable[[HttpAnswer], T], *, accepted: frozenset[int] = frozenset({200})
) -> Exchange[T]:
    return Exchange(
        method="GET", path=path, read=read, read_timeout_s=_PROBE_TIMEOUT_S, accepted=accepted
    )
