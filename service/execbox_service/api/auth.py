"""Who is calling: the API key of a request, checked before its body is read.

Knows keys by their hashes only. What a principal may do is not decided here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from execbox_service.api.error_responses import Unauthorized
from execbox_service.settings import ApiKeyHash, Settings

__all__ = ["OPEN_PATHS", "Principal", "authenticate"]

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""Answered without a key, compared exactly: any other spelling needs one."""

_ANONYMOUS = "anonymous"
# One space and visible ASCII, so that nothing lenient remains: the parser keeps trailing spaces.
_BEARER = re.compile(rb"bearer ([\x21-\x7e]+)", re.IGNORECASE)
_BASIC = re.compile(rb"basic ([A-Za-z0-9+/]+={0,2})", re.IGNORECASE)
_KEY = re.compile(rb"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Principal:
    """The name of the API key that was shown; ``anonymous`` where none is required."""

    name: str


def authenticate(headers: Iterable[tuple[bytes, bytes]], *, settings: Settings) -> Principal:
    """Raises Unauthorized, always with the same words, unless exactly one known key is shown."""
    if not settings.api_key_hashes:
        return Principal(_ANONYMOUS)
    values = [value for name, value in headers if name == b"authorization"]
    key = _shown(values[0]) if len(values) == 1 else None
    if key is None:
        raise Unauthorized
    name = _known(hashlib.sha256(key).hexdigest(), settings.api_key_hashes)
    if name is None:
        raise Unauthorized
    return Principal(name)


def _shown(value: bytes) -> bytes | None:
    """The key in the header: a bearer token, or the password of basic authentication, which every
    HTTP client makes of a URL with one and so is all that some trainers can be told to send."""
    bearer = _BEARER.fullmatch(value)
    if bearer is not None:
        return bearer[1]
    basic = _BASIC.fullmatch(value)
    if basic is None:
        return None
    try:
        _user, _colon, password = base64.b64decode(basic[1], validate=True).partition(b":")
    except binascii.Error:
        return None
    return password if _KEY.fullmatch(password) else None


def _known(shown_hash: str, key_hashes: tuple[ApiKeyHash, ...]) -> str | None:
    """Compares with every key, found or not, so that time tells nothing about them."""
    known = None
    for name, key_hash in key_hashes:
        if hmac.compare_digest(shown_hash, key_hash):
            known = name
    return known
