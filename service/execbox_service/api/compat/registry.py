"""The contracts there are, and their routes in the application. What they mean is in theirs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.responses import Response

from execbox.wire import ErrorResponse
from execbox_service.api.compat.code_judge import CODE_JUDGE
from execbox_service.api.compat.contract import Compat, Path
from execbox_service.api.compat.exchange import ExchangeResponse
from execbox_service.api.compat.nemo_skills import nemo_skills
from execbox_service.api.compat.open_instruct import OPEN_INSTRUCT
from execbox_service.api.compat.sandbox_fusion import SANDBOX_FUSION
from execbox_service.api.openapi import body_of, responses_of
from execbox_service.api.request_guard import ContractTerms, record_of
from execbox_service.api.routes import services_of
from execbox_service.settings import Settings

__all__ = ["add_compat_routes", "requests_described", "terms_at"]

TAG: Final = "compat"
_COMMON: Final = (400, 401, 408, 413, 415, 431)


def _paths(settings: Settings) -> Iterator[tuple[Compat, Path]]:
    """Of the contracts that the operator has on; a path that two have is the first one's."""
    seen = set()
    for contract in (SANDBOX_FUSION, OPEN_INSTRUCT, nemo_skills(), CODE_JUDGE):
        for path in contract.paths if contract.name in settings.compat else ():
            if (path.method, path.path) not in seen:
                seen.add((path.method, path.path))
                yield contract, path


def add_compat_routes(app: FastAPI, settings: Settings) -> None:
    """Every path of every contract that is on."""
    for contract, path in _paths(settings):
        app.add_api_route(
            path.path,
            _handler(path),
            methods=[path.method],
            name=f"{contract.name} {path.path}",
            tags=[TAG],
            summary=path.summary,
            description="Answers 200 whatever the code did. See docs/integrations.md.",
            responses=_responses(contract, path),
            openapi_extra=_body_and_parameters(path),
            response_class=Response,
        )


def requests_described(settings: Settings) -> tuple[type[BaseModel], ...]:
    """The bodies that the OpenAPI document has to describe besides the API's own."""
    return tuple(path.request for _, path in _paths(settings) if path.request is not None)


def terms_at(settings: Settings) -> Callable[[str], ContractTerms | None]:
    """What is different at a path, where it is a contract's."""
    exact: dict[str, ContractTerms] = {}
    below: dict[str, ContractTerms] = {}
    for contract, path in _paths(settings):
        folder, parameter, _ = path.path.partition("{")
        (below if parameter else exact)[folder] = contract.terms_of(path)

    def terms_at_path(path: str) -> ContractTerms | None:
        if path in exact:
            return exact[path]
        for folder, terms in below.items():
            if path.startswith(folder):
                return terms
        return None

    return terms_at_path


def _handler(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        return ExchangeResponse(path.answer, services_of(request), record_of(request.scope))

    return handle


def _body_and_parameters(path: Path) -> dict[str, Any]:
    """What FastAPI cannot know, because handlers read their requests themselves."""
    found: dict[str, Any] = body_of(path.request) if path.request is not None else {}
    text = {"type": "string", "minLength": 1}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in re.findall(r"{(\w+)", path.path)
    ]
    parameters += [{"name": name, "in": "header", "schema": text} for name in path.headers]
    return found | ({"parameters": parameters} if parameters else {})


def _responses(contract: Compat, path: Path) -> dict[int | str, dict[str, Any]]:
    common = [code for code in _COMMON if path.method == "POST" or code not in (413, 415)]
    responses = responses_of(path.response or ErrorResponse, *common)
    detail = {"application/json": {"schema": contract.failure_schema}}
    for status in set(common) - {401}:
        responses[status] = {"description": responses[status]["description"], "content": detail}
    for status, meaning in contract.statuses.items():
        names_one = "{" in path.path
        if names_one if status == HTTPStatus.NOT_FOUND else path.method == "POST" or status >= 500:
            responses[status] = {"description": meaning, "content": detail}
    if path.response is None:
        responses[200] = {"description": "OK", "content": {path.media_type: {}}}
    return responses
