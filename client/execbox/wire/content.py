"""What stdin or a file holds: text, or bytes that JSON cannot carry as text."""

from __future__ import annotations

import binascii
from typing import Annotated, Self, TypeAlias

from pydantic import AfterValidator

from execbox.wire.fields import Request

__all__ = ["Base64Content", "Content", "content_bytes"]


def _base64(text: str) -> str:
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise ValueError(f"must be base64 with padding (RFC 4648, section 4): {error}") from error
    return text


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
    return binascii.a2b_base64(content.base64)
