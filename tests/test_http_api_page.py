"""docs/http-api.md against the code: each path, each request, each error code."""

from __future__ import annotations

import re

import pytest

from execbox_service.api.app import create_app
from execbox_service.settings import Settings
from tests import http_api_page
from tests.api.harness import FakeRuntime

PAGE = http_api_page.PAGE.read_text("utf-8")
AGAIN = "run `python -m tests.http_api_page --write`"


def test_page_has_the_error_codes_of_the_code() -> None:
    """Status, fault, whether to retry, meaning and remedy of each."""
    made = http_api_page.put(PAGE, kind="made", name="errors", text=http_api_page.table_of_errors())
    assert made == PAGE, f"docs/http-api.md has different error codes than execbox.wire: {AGAIN}"


def test_page_has_a_section_for_each_path_of_the_service() -> None:
    """And none for a path that is not there; other projects' contracts have a page of their own."""
    app = create_app(Settings(), FakeRuntime())
    there = {
        f"{method.upper()} {path}"
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if method != "head" and "compat" not in operation.get("tags", ())
    }
    headings = re.findall(r"^## ((?:GET|POST|PUT|DELETE) /\S+)$", PAGE, re.MULTILINE)
    assert set(headings) == there
    assert len(headings) == len(there)


@pytest.mark.parametrize("exchange", http_api_page.EXCHANGES, ids=lambda one: str(one.name))
def test_page_shows_the_request_that_is_sent_again(exchange: http_api_page.Exchange) -> None:
    """An answer stands on the page beside the request that it is for."""
    shown = {match["name"]: match["text"] for match in http_api_page.EXCHANGE.finditer(PAGE)}
    assert f"```http\n{exchange.text()}\n```\n" in shown[exchange.name], AGAIN
