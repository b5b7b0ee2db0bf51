"""The names of a batch line that is no JSON, so that its error can be told apart from others'.

Lines that can be decoded do not come by here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

__all__ = ["names_in"]

# The closing quote may be missing: without that, a text of nothing but escaped quotes would be
# searched to its end from every one of them.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|[{}\[\]:,]', re.DOTALL)
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
    for match in _TOKEN.finditer(line):
        yield match.group() if match.end() - match.start() <= _TOKEN_BYTES_MAX else b'"'


def _text(token: bytes) -> str | None:
    try:
        text = json.loads(token.decode("utf-8"))
        text.encode("utf-8")
    except ValueError:
        return None
    return text if isinstance(text, str) else None
