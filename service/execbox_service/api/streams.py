"""The headers of every answer that is sent while its work goes on.

What is written, and when, is in ``batch_stream.py``, ``cell_stream.py`` and
``page/live_stream.py``.
"""

from __future__ import annotations

__all__ = ["stream_headers"]


def stream_headers(media_type: str) -> list[tuple[bytes, bytes]]:
    """Of an answer whose parts are to arrive as they are written."""
    return [
        (b"content-type", media_type.encode("ascii")),
        # For a proxy that would otherwise collect the answer until it is complete.
        (b"x-accel-buffering", b"no"),
    ]
