"""What stdin or a file holds: text, or bytes that JSON cannot carry as text."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import Annotated, Self, TypeAlias

from pydantic import AfterValidator

from execbox.wire.fields import Request

__all__ = ["Base64Content", "Content", "content_bytes"]


_PART_CHARS = 1024 * 1024
"""A multiple of four, so that each part is whole by itself."""


def _base64(text: str) -> str:
    try:
        if len(text) % 4:
            raise ValueError(f"its length, {len(text)}, is no multiple of four")
        if "=" in text[:-2]:
            raise ValueError("data after the padding")
        for part in _parts(text):
            binascii.a2b_base64(part, strict_mode=True)
    except ValueError as error:
        raise ValueError(f"must be base64 with padding (RFC 4648, section 4): {error}") from error
    return text


def _parts(text: str) -> Iterator[str]:
    # All 16 MiB in one step keep a service's event loop waiting for 60 ms (measured).
    return (text[start : start + _PART_CHARS] for start in range(0, len(text), _PART_CHARS))


class Base64Content(Request):
    """Bytes that may be no text."""

    base64: Annotated[str, AfterValidator(_base64)]

    @classmethod
    def of(cls, data: bytes) -> Self:
        """These bytes."""
        return cls(base64=binascii.b2a_base64(data, newline=False).decode())


Content: TypeAlias = str | Base64Content
"""Text, which is sent as UTF-8, or bytes."""


def content_bytes(content: Content) -> bytes:
    """The bytes that a file or stdin holds."""
    if isinstance(content, str):
        return content.encode()
    return b"".join(map(binascii.a2b_base64, _parts(content.base64)))
