"""The OpenAPI description: the parts FastAPI cannot know, because handlers read their own bodies.

Describes only; what is described is enforced by ``validation.py`` and the schema itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from execbox.wire import (
    CellOutput,
    CellRequest,
    ErrorResponse,
    FailedAnswer,
    Limits,
    ProgramLimits,
    RunRequest,
    SessionLimits,
    SessionRequest,
    VerifyItem,
)
from execbox_service.api.auth import OPEN_PATHS
from execbox_service.operations.policy import limits_default, limits_max
from execbox_service.operations.registry import OPERATIONS
from execbox_service.settings import Settings

__all__ = ["body_of", "describe", "lines_of", "responses_of", "streamed_responses_of", "with_lines"]

_REFERENCE = "#/components/schemas/{model}"
_LINES: Final[tuple[type[BaseModel], ...]] = tuple(each.line for each in OPERATIONS.values())
_REQUESTS: Final[tuple[type[BaseModel], ...]] = (
    *(operation.request for operation in OPERATIONS.values()),
    *_LINES,
)
_DESCRIBED: Final[tuple[type[BaseModel], ...]] = (*_REQUESTS, SessionRequest, CellRequest)
"""Bodies that handlers read by themselves."""
_ANSWERS: Final[tuple[type[BaseModel], ...]] = (
    *(operation.answer for operation in OPERATIONS.values()),
    FailedAnswer,
)
_BOUNDS: Final = {
    "ge": "minimum",
    "le": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
}
_MEANINGS: Final = {
    400: "The request is no well-formed HTTP, or its body no strict JSON.",
    401: "No API key, or an unknown one.",
    404: "There is no such file.",
    410: "The session is gone, with its variables and files; the message says why.",
    408: "The request was not received in time.",
    413: "The body is too large.",
    415: "The body is not of the content type this path takes.",
    422: "The body is JSON but no acceptable request; the message names field, value and range.",
    429: "Overloaded: no result of the request is kept. `Retry-After` says when to send it again.",
    431: "The headers are too large.",
    503: "The service failed, never the code that was sent. `Retry-After` says when to try again.",
}
_RETRY_AFTER: Final = ("Retry-After", {"type": "integer", "minimum": 1})
_HEADERS: Final[dict[int, tuple[str, dict[str, Any]]]] = {
    401: ("WWW-Authenticate", {"type": "string"}),
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}
_EVERYWHERE = (
    "\n\nErrors have one shape, ErrorResponse. Besides the answers that are listed for each path: "
    "404 at a path that is not here, and 405 with `Allow` for a method that a path does not have."
)


def responses_of(answer: type[BaseModel], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """FastAPI's ``responses``: ``answer`` for 200 and the error shape for the others."""
    responses: dict[int | str, dict[str, Any]] = {
        200: {"model": answer, "description": HTTPStatus.OK.phrase}
    }
    for status in statuses:
        responses[status] = {"model": ErrorResponse, "description": _MEANINGS[status]}
        if status in _HEADERS:
            name, schema = _HEADERS[status]
            responses[status]["headers"] = {name: {"required": True, "schema": schema}}
    return responses


def body_of(request: type[BaseModel]) -> dict[str, Any]:
    """FastAPI's ``openapi_extra`` for a body that the handler reads by itself."""
    schema = {"$ref": _REFERENCE.format(model=request.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def lines_of(media_type: str) -> dict[str, Any]:
    """``body_of``, for a body of which every line is an operation."""
    content = {media_type: {"schema": _one_of(*_LINES)}}
    return {"requestBody": {"required": True, "content": content}}


def streamed_responses_of(media_type: str, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """``responses_of``, for an answer of which every line answers a line."""
    responses = responses_of(ErrorResponse, *statuses)
    responses[200] = {
        "description": "One line for each line that was sent, in any order.",
        "content": {media_type: {"schema": _one_of(*_ANSWERS)}},
    }
    return responses


def with_lines(
    responses: dict[int | str, dict[str, Any]], media_type: str, *lines: type[BaseModel]
) -> dict[int | str, dict[str, Any]]:
    """``responses``, of which that for 200 can also be lines, each one of these models."""
    responses[200]["content"] = {media_type: {"schema": _one_of(*lines)}}
    return responses


def _one_of(*models: type[BaseModel]) -> dict[str, Any]:
    return {"oneOf": [{"$ref": _REFERENCE.format(model=model.__name__)} for model in models]}


def describe(
    app: FastAPI, settings: Settings, *, others: Sequence[type[BaseModel]] = ()
) -> dict[str, Any]:
    """The whole document, made at the first request for it and kept. It says what this service
    accepts, the operator's maxima included; ``others`` are bodies besides the API's own."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description + _EVERYWHERE,
            routes=app.routes,
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(_request_schemas(others))
        for name, schema in _answer_schemas().items():
            schemas.setdefault(name, schema)
        document["components"]["securitySchemes"] = {
            "api_key": {"type": "http", "scheme": "bearer", "description": "An API key."}
        }
        _name_maxima(schemas, settings)
        security: list[dict[str, list[str]]] = (
            [{"api_key": []}] if settings.api_key_hashes else [{"api_key": []}, {}]
        )
        for path, operations in document["paths"].items():
            for operation in operations.values():
                if path not in OPEN_PATHS:
                    operation["security"] = security
        app.openapi_schema = document
    return app.openapi_schema


def _request_schemas(others: Sequence[type[BaseModel]]) -> dict[str, Any]:
    _, schema = models_json_schema(
        [(model, "validation") for model in (*_DESCRIBED, *others)], ref_template=_REFERENCE
    )
    definitions: dict[str, Any] = schema["$defs"]
    for definition in definitions.values():
        for described in definition.get("properties", {}).values():
            _name_bounds(described)
    return definitions


def _name_maxima(schemas: dict[str, Any], settings: Settings) -> None:
    """What the operator permits, where that is less than the schema of every service."""
    maxima, defaults = limits_max(settings), limits_default(settings)
    for model in (Limits, ProgramLimits, SessionLimits):
        for name, described in schemas[model.__name__]["properties"].items():
            described.update(maximum=maxima[name], default=defaults[name])
    schemas[VerifyItem.__name__]["properties"]["limits"]["default"] = _of(Limits, defaults)
    session = schemas[SessionRequest.__name__]["properties"]
    session["limits"]["default"] = _of(SessionLimits, defaults)
    allowed = settings.profiles_allowed
    session["profile"].update(enum=list(allowed), default=allowed[0])
    for request in _REQUESTS:
        fields = schemas[request.__name__]["properties"]
        for name, permitted in (
            ("isolation", settings.isolation_allowed),
            ("profile", settings.profiles_allowed),
        ):
            fields[name].update(enum=list(permitted), default=permitted[0])
        for name in fields.keys() & {"calls", "items"}:
            fields[name]["maxItems"] = settings.calls_max
        if "cases" in fields:
            fields["cases"]["anyOf"][0]["maxItems"] = settings.calls_max
        if "limits" in fields:
            model = ProgramLimits if issubclass(request, RunRequest) else Limits
            fields["limits"]["default"] = _of(model, defaults)
        if "attempts" in fields:
            attempts = fields["attempts"]
            attempts["maximum"] = settings.calls_max
            attempts["default"] = min(attempts["default"], settings.calls_max)


def _of(limits: type[BaseModel], values: Mapping[str, float]) -> dict[str, float]:
    return {name: values[name] for name in limits.model_fields}


def _answer_schemas() -> dict[str, Any]:
    models: tuple[type[BaseModel], ...] = (*_ANSWERS, CellOutput)
    _, schema = models_json_schema(
        [(model, "serialization") for model in models], ref_template=_REFERENCE
    )
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


def _name_bounds(described: dict[str, Any]) -> None:
    """pydantic leaves bounds that stand behind a validator under its own names, which mean
    nothing in a JSON schema."""
    for pydantic_name, name in _BOUNDS.items():
        if pydantic_name in described:
            described[name] = described.pop(pydantic_name)
