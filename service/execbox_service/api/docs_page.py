"""The page at ``/docs``: Swagger UI over this service's OpenAPI document, from files that an
installed package brings. What the document says is in ``openapi.py``.

FastAPI's own page has its script and styles fetched from a public server by the reader's browser:
that fails on machines without a way out, and lets that server run what it likes in a page that
knows the API key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

__all__ = ["add_docs_page"]

_PATH: Final = "/docs"
# Of fastapi-offline nothing but its copies of Swagger UI's files is used.
_FILES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
# The page's own script and Swagger UI's styles are inline; all else comes from here, or not at all.
_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def add_docs_page(app: FastAPI) -> None:
    """The page and its files, none of them in the OpenAPI document."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=f"{app.title}: HTTP API",
        swagger_js_url=f"{_PATH}/swagger-ui-bundle.js",
        swagger_css_url=f"{_PATH}/swagger-ui.css",
        swagger_favicon_url=f"{_PATH}/favicon.png",
    ).body

    async def docs(_: Request) -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})

    app.add_route(_PATH, docs, methods=["GET"], include_in_schema=False)
    for name, media_type in _FILES.items():
        app.add_route(
            f"{_PATH}/{name}",
            _file(name, media_type=media_type),
            methods=["GET"],
            include_in_schema=False,
        )


def _file(name: str, *, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        # Read when it is asked for: hardly any process ever is.
        content = (files("fastapi_offline") / "static" / name).read_bytes()
        return Response(content, media_type=media_type, headers={"Cache-Control": "max-age=3600"})

    return answer
