"""The paths of the page: its files, each with its headers. What they do is in ``page/`` of the
repository; the numbers it shows live are streamed by ``live_stream.py``.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from typing import Final

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from execbox_service.api.page.paths import FILES, PAGE_FOLDER, wants_page

__all__ = ["add_page"]

_INDEX: Final = "index.html"
_HTML: Final = "text/html; charset=utf-8"
_METHODS: Final = ("GET", "HEAD")
# Every part comes from this service. Images in data: are what sessions drew; connections are its
# own API. Nothing is inline, so that no text that the page shows can be a script or a style.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    # Asked again each time, and answered with 304: after an update no old script meets new data.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    packed: bytes
    tag: str


@functools.cache
def _file(name: str) -> _File:
    """Read once it is asked for: hardly any process ever is."""
    content = (files("execbox_service.api.page") / "static" / name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:32]
    return _File(content, gzip.compress(content, mtime=0), tag=f'"{digest}"')


class _ForBrowsers(Route):
    """The page at ``/`` for those who ask for HTML; others find there what is there without it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and not wants_page(scope):
            return Match.NONE, {}
        return super().matches(scope)


def add_page(app: FastAPI) -> None:
    """The page and its files, none of them in the OpenAPI document. To be added before whatever
    else answers at ``/``."""
    index = _answering(_INDEX, media_type=_HTML)
    app.router.routes.append(
        _ForBrowsers("/", index, methods=list(_METHODS), include_in_schema=False)
    )
    for name, media_type in FILES.items():
        app.add_api_route(
            f"{PAGE_FOLDER}/{name}",
            _answering(name, media_type=media_type),
            methods=list(_METHODS),
            include_in_schema=False,
            response_class=Response,
        )


def _answering(name: str, *, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        file = _file(name)
        packed = _takes_gzip(request)
        tag = file.tag[:-1] + '-gzip"' if packed else file.tag
        headers = _HEADERS | {"ETag": tag, "Vary": "Accept, Accept-Encoding"}
        if tag in request.headers.get("if-none-match", "").replace(" ", "").split(","):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if packed:
            headers["Content-Encoding"] = "gzip"
        content = file.packed if packed else file.content
        return Response(content, media_type=media_type, headers=headers)

    return answer


def _takes_gzip(request: Request) -> bool:
    codings = request.headers.get("accept-encoding", "").lower().split(",")
    plain = [coding.replace(" ", "") for coding in codings]
    return any(each == "gzip" or each.startswith("gzip;q=") for each in plain) and not any(
        each in ("gzip;q=0", "gzip;q=0.0", "gzip;q=0.00", "gzip;q=0.000") for each in plain
    )
