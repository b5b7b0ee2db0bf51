"""Composition of the HTTP layer over a runtime. Makes no runtime and reads no configuration."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

import execbox
from execbox_service.api.batch import BATCH_PATH, add_batch_route
from execbox_service.api.bodies import Bodies
from execbox_service.api.compat.registry import (
    add_compat_routes,
    requests_described,
    terms_at,
)
from execbox_service.api.docs_page import add_docs_page
from execbox_service.api.error_responses import routing_failure
from execbox_service.api.key_limits import KeyCounts, KeyLimits
from execbox_service.api.openapi import describe
from execbox_service.api.page.live import Live, Watched
from execbox_service.api.page.live_stream import add_live_stream
from execbox_service.api.page.routes import add_page
from execbox_service.api.request_guard import Edge
from execbox_service.api.routes import Services, add_routes
from execbox_service.api.runtime_protocol import ExecutionRuntime
from execbox_service.api.session_routes import add_session_routes
from execbox_service.failures import ServiceFailure
from execbox_service.operations.registry import OPERATIONS
from execbox_service.scheduling.memory import Memory
from execbox_service.scheduling.offload import collect_now_and_then
from execbox_service.settings import Settings

__all__ = ["create_app", "memory_of"]


class _Application(FastAPI):
    """FastAPI, of which requests for executions meet nothing: its own layers would take as long as
    all that admission does."""

    edge: Edge | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = None if self.edge is None else self.edge.direct_route(scope)
        if self.edge is None or route is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self.edge.serve(scope, receive, send, past_framework=route)


def create_app(
    settings: Settings,
    runtime: ExecutionRuntime,
    *,
    memory: Memory | None = None,
    key_counts: KeyCounts | None = None,
) -> FastAPI:
    """The ASGI application; its lifespan starts and stops ``runtime``.

    ``memory`` and ``key_counts`` are given where requests are counted with others than this
    application's.

    ``app.state.startup_failure`` holds the ServiceFailure that kept the runtime from starting.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            await runtime.start()
        except ServiceFailure as failure:
            app.state.startup_failure = failure
            raise
        tasks = [asyncio.create_task(collect_now_and_then(lambda: all_memory.held_bytes))]
        if live is not None:
            tasks.append(asyncio.create_task(live.run()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await runtime.stop()

    all_memory = memory_of(settings) if memory is None else memory
    app = _Application(
        title="execbox",
        description="Runs functions nobody has read, in throwaway containers, under limits.",
        version=execbox.__version__,
        lifespan=lifespan,
        docs_url=None,
        openapi_url="/openapi.json" if settings.docs_enabled else None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: _as_our_failure},
    )
    app.state.startup_failure = None
    app.openapi = functools.partial(  # type: ignore[method-assign]
        describe, app, settings, others=requests_described(settings)
    )
    if settings.page_enabled:
        # Before what else answers at /.
        add_page(app)
    add_routes(
        app,
        Services(settings=settings, runtime=runtime, bodies=Bodies(settings), memory=all_memory),
    )
    add_batch_route(app)
    add_session_routes(app)
    add_compat_routes(app, settings)
    live = _live(settings, runtime) if settings.page_enabled else None
    if live is not None:
        add_live_stream(app, live, settings)
    if settings.docs_enabled:
        add_docs_page(app)
    edge = functools.partial(
        Edge,
        settings=settings,
        metrics=runtime.metrics,
        key_limits=KeyLimits(
            concurrency_max=settings.key_concurrency_limit,
            rate_per_s=settings.key_rate_per_s,
            burst_count=settings.key_burst_limit_count,
            counts=key_counts,
        ),
        terms_at=terms_at(settings),
        direct=_direct(app),
    )
    app.add_middleware(edge)
    app.edge = edge(app)
    return app


def memory_of(settings: Settings) -> Memory:
    """The memory that requests of one process may hold."""
    several_keys = len(settings.api_key_hashes) > 1
    return Memory(bytes_max=settings.bodies_bytes_max, several_keys=several_keys)


def _live(settings: Settings, runtime: ExecutionRuntime) -> Live:
    return Live(
        Watched(
            samples=runtime.samples,
            readiness=runtime.readiness,
            queues=runtime.key_queues,
            paths=frozenset(operation.path for operation in OPERATIONS.values()),
        ),
        # Each of several workers would ask all the others, every two seconds.
        always=settings.worker_count == 1,
    )


def _direct(app: FastAPI) -> dict[str, APIRoute]:
    """The routes of what asks for executions: their handlers take the request, and nothing of the
    framework's."""
    paths = {BATCH_PATH, *(operation.path for operation in OPERATIONS.values())}
    routes = (route for route in app.routes if isinstance(route, APIRoute))
    return {route.path: route for route in routes if route.path in paths}


async def _as_our_failure(request: Request, error: Exception) -> Response:
    raise routing_failure(cast(HTTPException, error), method=request.method) from error
