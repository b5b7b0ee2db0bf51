"""Text from strangers as HTML: escaped, and with what a browser would obey or reorder made visible.

Only single texts: pages and tables are made where they are shown.
"""

from __future__ import annotations

import html
import re

__all__ = ["as_html", "cut"]

# Control characters but newline and tab, surrogates, line separators, and what reorders text; the
# same that a terminal is not shown.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def as_html(text: str) -> str:
    """``text`` for the inside of an element or of a quoted attribute.

    It cannot end either, holds nothing that cannot be written as UTF-8, and shows what would move
    or hide text as an escape.
    """
    return html.escape(_UNSEEN.sub(_escape, text), quote=True)


def cut(text: str, chars_max: int) -> str:
    """``text``, or its beginning and how many characters it has."""
    if len(text) <= chars_max:
        return text
    return f"{text[:chars_max]}… ({len(text):,} characters)"


def _escape(match: re.Match[str]) -> str:
    codepoint = ord(match.group())
    return f"\\x{codepoint:02x}" if codepoint < 0x100 else f"\\u{codepoint:04x}"
