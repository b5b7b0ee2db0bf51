"""The names of a batch line that is no JSON, so that its error can be told apart from others'.

Lines that can be decoded do not come by here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

__all__ = ["names_in"]

_START: Final = re.compile(rb'["{}\[\]:,]')
_STRING_PART: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_WINDOW_BYTES: Final = 256 * 1024
"""Looked at in one step; 16 MiB in one took seconds, in which no request was served (measured)."""
_TOKEN_BYTES_MAX = 8 * 1024


def names_in(line: bytes, *names: str) -> dict[str, str]:
    """Those of ``names`` that are members of the outermost object and have a string as value.

    Whatever else is wrong with the text, strings and brackets are taken for what they are. In time
    proportional to the length.
    """
    found: dict[str, str] = {}
    depth = 0
    before = key = None
    for token in _tokens(line):
        if token in b"{[":
            depth += 1
        elif token in b"}]":
            depth -= 1
        elif depth == 1 and token[0] == ord('"'):
            if before in (b"{", b","):
                key = _text(token)
            elif before == b":" and key in names and key not in found:
                value = _text(token)
                if value is not None:
                    found[key] = value
        before = token
    return found


def _tokens(line: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(line):
        found = _START.search(line, at, at + _WINDOW_BYTES)
        if found is None:
            at += _WINDOW_BYTES
            continue
        begin, at = found.span()
        if found[0] == b'"':
            at = _string_end(line, at)
        yield line[begin:at] if at - begin <= _TOKEN_BYTES_MAX else b'"'


def _string_end(line: bytes, at: int) -> int:
    """After the closing quote, which may be missing: without that, a text of nothing but escaped
    quotes would be searched to its end from every one of them."""
    while True:
        end = _STRING_PART.match(line, at, at + _WINDOW_BYTES).end()  # type: ignore[union-attr]
        if end == at:
            return end + line.startswith(b'"', end)
        at = end


def _text(token: bytes) -> str | None:
    try:
        text = json.loads(token.decode("utf-8"))
        text.encode("utf-8")
    except ValueError:
        return None
    return text if isinstance(text, str) else None
