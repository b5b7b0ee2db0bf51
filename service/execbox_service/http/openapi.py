"""The OpenAPI description: the parts FastAPI cannot know, because handlers read their own bodies.

Describes only; what is described is enforced by ``validation.py`` and the schema itself.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from execbox.wire import (
    BATCH_ANSWERS,
    BATCH_LINES,
    ErrorResponse,
    ExecuteRequest,
    FailedAnswer,
    GenerateRequest,
    VerifyRequest,
)

__all__ = ["body_of", "describe", "lines_of", "responses_of", "streamed_responses_of"]

_REFERENCE = "#/components/schemas/{model}"
_REQUESTS: Final[tuple[type[BaseModel], ...]] = (
    ExecuteRequest,
    GenerateRequest,
    VerifyRequest,
    *BATCH_LINES.values(),
)
_ANSWERS: Final[tuple[type[BaseModel], ...]] = (*BATCH_ANSWERS.values(), FailedAnswer)
_BOUNDS: Final = {
    "ge": "minimum",
    "le": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
}
_MEANINGS: Final = {
    400: "The request is no well-formed HTTP, or its body no strict JSON.",
    401: "No API key, or an unknown one.",
    408: "The request was not received in time.",
    413: "The body is too large.",
    415: "The body is not of the content type this path takes.",
    422: "The body is JSON but no acceptable request; the message names field, value and range.",
    429: "Overloaded: nothing was started. `Retry-After` says when to try again.",
    431: "The headers are too large.",
    503: "The service failed, never the code that was sent. `Retry-After` says when to try again.",
}


def responses_of(answer: type[BaseModel], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """FastAPI's ``responses``: ``answer`` for 200 and the error shape for the others."""
    responses: dict[int | str, dict[str, Any]] = {
        200: {"model": answer, "description": HTTPStatus.OK.phrase}
    }
    for status in statuses:
        responses[status] = {"model": ErrorResponse, "description": _MEANINGS[status]}
    return responses


def body_of(request: type[BaseModel]) -> dict[str, Any]:
    """FastAPI's ``openapi_extra`` for a body that the handler reads by itself."""
    schema = {"$ref": _REFERENCE.format(model=request.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def lines_of(media_type: str) -> dict[str, Any]:
    """``body_of``, for a body of which every line is an operation."""
    content = {media_type: {"schema": _one_of(*BATCH_LINES.values())}}
    return {"requestBody": {"required": True, "content": content}}


def streamed_responses_of(media_type: str, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """``responses_of``, for an answer of which every line answers a line."""
    responses = responses_of(ErrorResponse, *statuses)
    responses[200] = {
        "description": "One line for each line that was sent, in any order.",
        "content": {media_type: {"schema": _one_of(*_ANSWERS)}},
    }
    return responses


def _one_of(*models: type[BaseModel]) -> dict[str, Any]:
    return {"oneOf": [{"$ref": _REFERENCE.format(model=model.__name__)} for model in models]}


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole document, made at the first request for it and kept."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(_request_schemas())
        for name, schema in _answer_schemas().items():
            schemas.setdefault(name, schema)
        document["components"]["securitySchemes"] = {
            "api_key": {"type": "http", "scheme": "bearer", "description": "An API key."}
        }
        for path, operations in document["paths"].items():
            for operation in operations.values():
                if path.startswith("/v1/"):
                    operation["security"] = [{"api_key": []}, {}]
        app.openapi_schema = document
    return app.openapi_schema


def _request_schemas() -> dict[str, Any]:
    _, schema = models_json_schema(
        [(model, "validation") for model in _REQUESTS], ref_template=_REFERENCE
    )
    definitions: dict[str, Any] = schema["$defs"]
    for definition in definitions.values():
        for described in definition.get("properties", {}).values():
            _name_bounds(described)
    return definitions


def _answer_schemas() -> dict[str, Any]:
    _, schema = models_json_schema(
        [(model, "serialization") for model in _ANSWERS], ref_template=_REFERENCE
    )
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


def _name_bounds(described: dict[str, Any]) -> None:
    """pydantic leaves bounds that stand behind a validator under its own names, which mean
    nothing in a JSON schema."""
    for pydantic_name, name in _BOUNDS.items():
        if pydantic_name in described:
            described[name] = described.pop(pydantic_name)
