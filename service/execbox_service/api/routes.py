"""The paths of the API: from a request to the runtime and back. Executes and judges nothing.

Operations have their paths from the registry. What holds for every path (keys, ids, errors,
logging) is in ``request_guard``; ``/v1/batch`` is in ``batch``.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

from fastapi import FastAPI, Request
from starlette.responses import Response

from execbox.wire import (
    Capabilities,
    ErrorCode,
    ErrorResponse,
    Health,
    Readiness,
)
from execbox_service.api.bodies import Bodies, until_disconnect
from execbox_service.api.error_responses import error_response
from execbox_service.api.openapi import body_of, responses_of
from execbox_service.api.request_guard import record_of
from execbox_service.api.runtime_protocol import ExecutionRuntime
from execbox_service.api.validation import parsed
from execbox_service.failures import ServiceFailure
from execbox_service.operations.registry import OPERATIONS, Operation
from execbox_service.scheduling.offload import read_aside
from execbox_service.settings import Settings

__all__ = ["Services", "add_routes", "services_of"]

_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers work with, put together in ``app.py``."""

    settings: Settings
    runtime: ExecutionRuntime
    bodies: Bodies


def add_routes(app: FastAPI, services: Services) -> None:
    app.state.services = services
    for operation in OPERATIONS.values():
        app.add_api_route(
            operation.path,
            _handler(operation),
            methods=["POST"],
            name=operation.name,
            summary=operation.summary,
            description=inspect.cleandoc(operation.description),
            responses=responses_of(operation.response, 400, 401, 408, 413, 415, 422, 429, 431, 503),
            openapi_extra=body_of(operation.request),
            response_class=Response,
        )
    _add_get(
        app,
        "/v1/capabilities",
        capabilities,
        summary="What this service permits and runs",
        responses=responses_of(Capabilities, 400, 401, 408, 431, 503),
    )
    _add_get(
        app,
        "/metrics",
        metrics,
        summary="Prometheus metrics",
        responses={
            **responses_of(ErrorResponse, 400, 401, 408, 431, 503),
            200: {"description": "Text exposition format", "content": {"text/plain": {}}},
        },
    )
    _add_get(
        app,
        "/healthz",
        health,
        summary="Whether the process is alive",
        responses=responses_of(Health, 400, 408, 431, 503),
    )
    _add_get(
        app,
        "/readyz",
        readiness,
        summary="Whether executions can run now",
        responses=responses_of(Readiness, 400, 408, 431, 503),
    )


def _add_get(
    app: FastAPI, path: str, handler: Callable[..., Awaitable[Response]], **described: Any
) -> None:
    """A path to read, which also answers HEAD, as load balancers and ``wget --spider`` ask."""
    app.add_api_route(
        path, handler, methods=["GET", "HEAD"], include_in_schema=False, response_class=Response
    )
    # Never reached: what is documented is GET, and FastAPI would document every method.
    app.add_api_route(path, handler, methods=["GET"], response_class=Response, **described)


def _handler(operation: Operation[Any, Any]) -> Callable[[Request], Awaitable[Response]]:
    """What answers the operation's path: one body in, one answer out."""

    async def handle(request: Request) -> Response:
        services, record = services_of(request), record_of(request.scope)
        async with services.bodies.received(request.scope, request.receive) as body:
            asked = await read_aside(len(body), parsed, operation.request, body)
            permitted = operation.permitted(asked, services.settings)
            work = services.runtime.perform(operation, permitted, caller=record.caller)
            answer = await until_disconnect(request.receive, work)
        record.count(operation.executions_of(answer))
        return _json(answer.model_dump_json())

    return handle


async def capabilities(request: Request) -> Response:
    """Constant while the service runs."""
    services = services_of(request)
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
    text = services_of(request).runtime.metrics.render()
    return Response(text, media_type="text/plain; version=0.0.4")


async def health() -> Response:
    """Needs no key."""
    return _json(Health().model_dump_json())


async def readiness(request: Request) -> Response:
    """Needs no key. Answers 503 while executions cannot run, and says why."""
    state = services_of(request).runtime.readiness()
    if state.ready:
        return _json(state.model_dump_json())
    reason = state.reason or "executions cannot run"
    return error_response(ServiceFailure(ErrorCode.NOT_READY, reason))


def services_of(request: Request) -> Services:
    return cast(Services, request.app.state.services)


def _json(text: str) -> Response:
    return Response(text.encode("utf-8"), status_code=HTTPStatus.OK, media_type=_JSON)
