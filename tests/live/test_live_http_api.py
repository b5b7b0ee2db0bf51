"""The requests of docs/http-api.md, sent again to a service on real containers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import http_api_page
from tests.http_api_page import EXCHANGES, LEFT_OUT, Exchange
from tests.live_service import LiveService, live_service

pytestmark = pytest.mark.docker

OPEN_KEYS = {"packages", "rejected", "examples", "limits", "limits_default", "limits_max"}
"""Objects whose keys are data: of these it is compared that they are objects."""


@pytest.fixture(scope="module")
def asked(_no_settings_from_outside: None) -> Iterator[LiveService]:
    """The service whose answers are compared."""
    with live_service(http_api_page.SETTINGS) as running:
        yield running


def fields_of(value: Any, path: str = "") -> set[str]:
    """The path of each field; entries of a list are one."""
    if isinstance(value, dict):
        if path.rsplit(".", 1)[-1] in OPEN_KEYS:
            return {path}
        below = (fields_of(part, f"{path}.{key}") for key, part in value.items())
        return {path}.union(*below)
    if isinstance(value, list):
        return {path}.union(*(fields_of(part, path + "[]") for part in value if part != LEFT_OUT))
    return {path}


def answer_of(shown: str) -> tuple[str, str, list[Any]]:
    """Status line, media type and JSON texts of an answer as the page shows it."""
    head, _, body = shown.partition("\n\n")
    status, _, media_type = head.partition("\n")
    if media_type.endswith("ndjson"):
        return status, media_type, [json.loads(line) for line in body.splitlines()]
    return status, media_type, [json.loads(body)] if media_type.endswith("/json") else []


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda one: str(one.name))
def test_request_of_the_page_is_answered_with_the_fields_of_the_page(
    asked: LiveService, exchange: Exchange
) -> None:
    """Status, media type and the name of every field."""
    page = http_api_page.PAGE.read_text("utf-8")
    (shown,) = (
        match["text"]
        for match in http_api_page.EXCHANGE.finditer(page)
        if match["name"] == exchange.name
    )
    written = shown.split("```http\n")[2].removesuffix("\n```\n")
    status, media_type, bodies = answer_of(written)
    now = answer_of(http_api_page.shown_answer(exchange.send(asked.url)))
    assert (now[0], now[1]) == (status, media_type)
    assert [fields_of(body) for body in now[2]] == [fields_of(body) for body in bodies]
