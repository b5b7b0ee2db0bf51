"""Text from strangers as HTML: escaped, and with what a browser would obey or reorder made visible.

Only single texts: pages and tables are made where they are shown.
"""

from __future__ import annotations

import html

from execbox.visible_text import visible

__all__ = ["as_html", "cut"]


def as_html(text: str) -> str:
    """``text`` for the inside of an element or of a quoted attribute.

    It cannot end either, holds nothing that cannot be written as UTF-8, and shows what would move
    or hide text as an escape.
    """
    return html.escape(visible(text), quote=True)


def cut(text: str, chars_max: int) -> str:
    """``text``, or its beginning and how many characters it has."""
    if len(text) <= chars_max:
        return text
    return f"{text[:chars_max]}… ({len(text):,} characters)"
