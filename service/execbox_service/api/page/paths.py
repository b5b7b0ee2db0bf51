"""Which requests are for the page: told by path and ``Accept`` alone. Answers none of them."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

__all__ = ["FILES", "LIVE_PATH", "PAGE_FOLDER", "is_page_file", "wants_page"]

PAGE_FOLDER: Final = "/page"
LIVE_PATH: Final = f"{PAGE_FOLDER}/live"
FILES: Final = {
    "page.js": "text/javascript; charset=utf-8",
    "records.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "licenses.txt": "text/plain; charset=utf-8",
}
"""What the page consists of besides itself."""
_FILE_PATHS: Final = frozenset(f"{PAGE_FOLDER}/{name}" for name in FILES)


def wants_page(scope: Scope) -> bool:
    """Whether this is a browser at ``/``. Programs that speak SandboxFusion's contract ask for
    ``*/*``, and browsers name HTML."""
    if scope["path"] != "/" or scope["method"] not in ("GET", "HEAD"):
        return False
    accepted = ",".join(Headers(scope=scope).getlist("accept"))
    return any(
        kind.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")
        for kind in accepted.split(",")
    )


def is_page_file(scope: Scope) -> bool:
    """Whether this asks for the page or one of its files, which hold nothing of anybody's."""
    return scope["path"] in _FILE_PATHS or wants_page(scope)
