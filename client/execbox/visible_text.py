"""Text from strangers made visible: what would move, hide or reorder text becomes an escape."""

from __future__ import annotations

import re

__all__ = ["visible"]

# Control characters but newline and tab, surrogates, line separators, and what reorders text.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def visible(text: str) -> str:
    """``text`` with everything a terminal or browser would obey, instead of show, as an escape.

    What unread code printed is shown to people: it must not be able to move the cursor, retitle
    the window or hide part of itself. It can be written as UTF-8.
    """
    return _UNSEEN.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    codepoint = ord(match.group())
    return f"\\x{codepoint:02x}" if codepoint < 0x100 else f"\\u{codepoint:04x}"
