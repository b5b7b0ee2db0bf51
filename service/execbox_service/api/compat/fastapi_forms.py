"""How numbers and failures look in the contracts whose own servers are FastAPI applications.

Numbers are taken in whatever form these servers take them, since their clients make a failure of
the code of what is refused. Which failure of ours is which HTTP status is each contract's own
business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field
from starlette.responses import Response

from execbox.wire import ErrorCode
from execbox_service.api.error_responses import headers_of
from execbox_service.failures import RequestFailed

__all__ = ["DETAIL_SCHEMA", "AnyNumber", "AnyWholeNumber", "detail_response"]


def _no_boolean(value: object) -> object:
    """Raises ValueError. No client means 1 by true, and the OpenAPI document says a number."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


AnyNumber = Annotated[float, Field(strict=False, allow_inf_nan=False), BeforeValidator(_no_boolean)]
"""A finite number, also as text."""
AnyWholeNumber = Annotated[int, Field(strict=False), BeforeValidator(_no_boolean)]
"""As ``AnyNumber``; 1024.0 is one as well."""

DETAIL_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}
    },
}
"""Of the body, in the OpenAPI document."""


def detail_response(failure: RequestFailed, *, status: int | None = None) -> Response:
    """``{"detail": …}`` with this status, or the failure's own."""
    status = status or failure.http_status
    response = Response(
        json.dumps({"detail": _detail(failure)}), status_code=status, media_type="application/json"
    )
    response.headers.update(headers_of(failure))
    return response


def _detail(failure: RequestFailed) -> object:
    """A list of problems where the body is no such request, as FastAPI has it; else a sentence."""
    if failure.code is not ErrorCode.INVALID_REQUEST:
        return failure.message
    found = failure.detail if isinstance(failure.detail, dict) else {}
    problems = found.get("problems") or [failure.message]
    return [{"type": "value_error", "loc": ["body"], "msg": problem} for problem in problems]
