"""The paths of the API: from a request to the runtime and back. Executes and judges nothing.

What holds for every path (keys, ids, errors, logging) is in ``edge.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast

from fastapi import FastAPI, Request
from starlette.responses import Response

from execbox.wire import (
    Capabilities,
    ErrorResponse,
    ExecuteRequest,
    ExecuteResponse,
    GenerateRequest,
    GenerateResponse,
    Health,
    Readiness,
)
from execbox_service.api.bodies import Bodies, until_disconnect
from execbox_service.api.error_responses import error_response
from execbox_service.api.offload import read_aside
from execbox_service.api.openapi import body_of, responses_of
from execbox_service.api.request_guard import record_of
from execbox_service.api.runtime_protocol import ExecutionRuntime
from execbox_service.api.validation import parsed
from execbox_service.failures import ServiceFailure
from execbox_service.operations.policy import permitted
from execbox_service.settings import Settings

__all__ = ["Services", "add_routes"]

_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers work with, put together in ``app.py``."""

    settings: Settings
    runtime: ExecutionRuntime
    bodies: Bodies


def add_routes(app: FastAPI, services: Services) -> None:
    app.state.services = services
    app.add_api_route(
        "/v1/execute",
        execute,
        methods=["POST"],
        summary="Run one function on many calls",
        responses=responses_of(ExecuteResponse, 400, 401, 408, 413, 415, 422, 429, 431, 503),
        openapi_extra=body_of(ExecuteRequest),
        response_class=Response,
    )
    app.add_api_route(
        "/v1/generate",
        generate,
        methods=["POST"],
        summary="Sample a function's inputs and keep the pairs that hold",
        responses=responses_of(GenerateResponse, 400, 401, 408, 413, 415, 422, 429, 431, 503),
        openapi_extra=body_of(GenerateRequest),
        response_class=Response,
    )
    app.add_api_route(
        "/v1/capabilities",
        capabilities,
        methods=["GET"],
        summary="What this service permits and runs",
        responses=responses_of(Capabilities, 400, 401, 408, 431, 503),
        response_class=Response,
    )
    app.add_api_route(
        "/metrics",
        metrics,
        methods=["GET"],
        summary="Prometheus metrics",
        responses={
            **responses_of(ErrorResponse, 400, 401, 408, 431, 503),
            200: {"description": "Text exposition format", "content": {"text/plain": {}}},
        },
        response_class=Response,
    )
    app.add_api_route(
        "/healthz",
        health,
        methods=["GET"],
        summary="Whether the process is alive",
        responses=responses_of(Health, 400, 408, 431, 503),
        response_class=Response,
    )
    app.add_api_route(
        "/readyz",
        readiness,
        methods=["GET"],
        summary="Whether executions can run now",
        responses=responses_of(Readiness, 400, 408, 431, 503),
        response_class=Response,
    )


async def execute(request: Request) -> Response:
    """Answers 200 whatever the code did: each call's own outcome is its `status`.

    The body must be strict JSON: no duplicate keys, no NaN, at most 64 levels. Limits that are
    left out take their defaults, lowered to this service's maxima where those are lower.
    """
    services = _services_of(request)
    record = record_of(request.scope)
    async with services.bodies.received(request.scope, request.receive) as body:
        request_read = await read_aside(len(body), parsed, ExecuteRequest, body)
        asked = permitted(request_read, services.settings)
        principal = record.principal.name if record.principal else ""
        work = services.runtime.execute(asked, principal=principal)
        answer = await until_disconnect(request.receive, work)
    record.count_statuses([execution.status.value for execution in answer.executions])
    return _json(answer.model_dump_json())


async def generate(request: Request) -> Response:
    """The same request gives the same pairs. Every draw that gave none is counted by its reason,
    with the first example of each.
    """
    services = _services_of(request)
    record = record_of(request.scope)
    async with services.bodies.received(request.scope, request.receive) as body:
        request_read = await read_aside(len(body), parsed, GenerateRequest, body)
        asked = permitted(request_read, services.settings)
        principal = record.principal.name if record.principal else ""
        work = services.runtime.generate(asked, principal=principal)
        answer = await until_disconnect(request.receive, work)
    return _json(answer.model_dump_json())


async def capabilities(request: Request) -> Response:
    """Constant while the service runs."""
    services = _services_of(request)
    settings = services.settings
    rate_per_s = settings.key_rate_per_s or None
    able = services.runtime.capabilities().model_copy(
        update={
            "key_concurrency_max": settings.key_concurrency_limit,
            "key_rate_per_s": rate_per_s,
            "key_burst_count": settings.key_burst_limit_count if rate_per_s else None,
        }
    )
    return _json(able.model_dump_json())


async def metrics(request: Request) -> Response:
    """Needs a key where keys are set: give the scraper one of its own."""
    text = _services_of(request).runtime.metrics.render()
    return Response(text, media_type="text/plain; version=0.0.4")


async def health() -> Response:
    """Needs no key."""
    return _json(Health().model_dump_json())


async def readiness(request: Request) -> Response:
    """Needs no key. Answers 503 while executions cannot run, and says why."""
    state = _services_of(request).runtime.readiness()
    if state.ready:
        return _json(state.model_dump_json())
    reason = state.reason or "executions cannot run"
    return error_response(ServiceFailure("not_ready", reason))


def _services_of(request: Request) -> Services:
    return cast(Services, request.app.state.services)


def _json(text: str) -> Response:
    return Response(text.encode("utf-8"), status_code=HTTPStatus.OK, media_type=_JSON)
