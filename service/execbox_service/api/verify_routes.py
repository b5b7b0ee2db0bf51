"""``POST /v1/verify``: from a request to the runtime and back. Judges nothing.

What holds for every path is in ``edge.py``; the other paths that take one JSON body are in
``routes.py``.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import cast

from fastapi import FastAPI, Request
from starlette.responses import Response

from execbox.wire import VerifyRequest, VerifyResponse
from execbox_service.api.bodies import until_disconnect
from execbox_service.api.offload import read_aside
from execbox_service.api.openapi import body_of, responses_of
from execbox_service.api.request_guard import record_of
from execbox_service.api.routes import Services
from execbox_service.api.validation import parsed
from execbox_service.operations.policy import permitted_items

__all__ = ["add_verify_route"]


def add_verify_route(app: FastAPI) -> None:
    app.add_api_route(
        "/v1/verify",
        verify,
        methods=["POST"],
        summary="Say what predictions are worth",
        responses=responses_of(VerifyResponse, 400, 401, 408, 413, 415, 422, 429, 431, 503),
        openapi_extra=body_of(VerifyRequest),
        response_class=Response,
    )


async def verify(request: Request) -> Response:
    """A verdict and feedback for every item, in their order.

    An output prediction is compared with the known output, or with what the function gives for
    the input; an input prediction is run. Where this service fails at an item, its verdict is null
    and its error says so; the others are not affected.
    """
    services = cast(Services, request.app.state.services)
    record = record_of(request.scope)
    async with services.bodies.received(request.scope, request.receive) as body:
        request_read = await read_aside(len(body), parsed, VerifyRequest, body)
        asked = permitted_items(request_read, services.settings)
        principal = record.principal.name if record.principal else ""
        work = services.runtime.verify(asked, principal=principal)
        answer = await until_disconnect(request.receive, work)
    record.count_statuses([item.execution.status.value for item in answer.items if item.execution])
    return Response(
        answer.model_dump_json().encode("utf-8"),
        status_code=HTTPStatus.OK,
        media_type="application/json",
    )
