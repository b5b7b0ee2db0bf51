"""What holds for every answer that is sent while its work goes on: its headers, and the protocol.

What is written, and when, is in ``batch_stream.py``, ``cell_stream.py`` and
``page/live_stream.py``.
"""

from __future__ import annotations

from starlette.types import Scope

from execbox.wire import ErrorCode
from execbox_service.failures import CallerMistake

__all__ = ["require_http_1_1", "stream_headers"]


def stream_headers(media_type: str) -> list[tuple[bytes, bytes]]:
    """Of an answer whose parts are to arrive as they are written."""
    return [
        (b"content-type", media_type.encode("ascii")),
        # For a proxy that would otherwise collect the answer until it is complete.
        (b"x-accel-buffering", b"no"),
    ]


def require_http_1_1(scope: Scope, what: str) -> None:
    """Raises CallerMistake, which begins with ``what``, for a request in HTTP/1.0: that has no way
    to say where a stream ends."""
    if scope.get("http_version") == "1.0":
        raise CallerMistake(
            ErrorCode.BAD_REQUEST,
            f"{what} needs HTTP/1.1, and this request came in HTTP/1.0; if a proxy is on the way, "
            "have it speak 1.1 (nginx: proxy_http_version 1.1)",
        )
