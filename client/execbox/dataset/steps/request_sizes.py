"""Dividing many calls into requests of a size the service takes; sending is up to the steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

__all__ = ["request_sized"]

_CALLS_PER_REQUEST = 500
_BYTES_PER_REQUEST = 4 * 1024 * 1024

_ItemT = TypeVar("_ItemT")


def request_sized(
    items: Sequence[_ItemT], *, sent: Callable[[_ItemT], object]
) -> Iterator[Sequence[_ItemT]]:
    """``items`` in their order, as many at a time as one request takes; never none.

    ``sent`` is the JSON that is sent of an item. One that is too large alone comes alone.
    """
    chunk: list[_ItemT] = []
    chunk_bytes = 0
    for item in items:
        size_bytes = len(json.dumps(sent(item)))
        if chunk and (
            len(chunk) == _CALLS_PER_REQUEST or chunk_bytes + size_bytes > _BYTES_PER_REQUEST
        ):
            yield chunk
            chunk, chunk_bytes = [], 0
        chunk.append(item)
        chunk_bytes += size_bytes
    if chunk:
        yield chunk
