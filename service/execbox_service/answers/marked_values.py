r"""What stands in a box, between answer tags or after a label, as a value. Pure.

Beside literals, people write numbers there as in print: ``1,234``, ``\frac{1}{2}``, a minus sign
of its own; and words without quotes. Each is read only where it can mean one thing. Where such
places are in a text is found by ``candidates``.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from execbox_service.answers.literals import Allowance, Broken, read_literal

__all__ = ["NOTHING", "marked_value", "without_latex"]

JSON: TypeAlias = Any

NOTHING = object()
"""In place of a value, which may be None, where there is none."""

_WORD_CHARS_MAX = 200
_DIGITS_MAX = 300
"""Of a number as in print; longer ones are not written so, and doubles end at 309."""
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?>(?:(?:,|\{,\}|\\,)\d{3})+)(?>(?:\.\d++)?)")
_FRACTION = re.compile(
    r"(?P<sign>[-+]?)\s*+(?:\\[dt]?frac\s*+\{\s*+(?P<top>-?\d{1,15})\s*+\}"
    r"\s*+\{\s*+(?P<below>-?\d{1,15})\s*+\}"
    r"|\\[dt]?frac\s*+(?P<top1>\d)\s*+(?P<below1>\d)"
    r"|(?P<top2>\d{1,15})\s*+/\s*+(?P<below2>\d{1,15}))"
)
_WORDS = re.compile(r"[^\W\d_](?:[\w .,'!?-]*+)")
_LATEX_GROUP = re.compile(r"\\(?:text|texttt|textbf|mathrm|mathtt|mathbf)\s*+\{([^{}]*+)\}")
_LATEX_SPACE = re.compile(r"\\(?:left|right|displaystyle|quad|[,;:! ])")
_MINUS = str.maketrans({"\u2212": "-", "\u2013": "-", "\u00a0": " "})


def marked_value(content: str, *, allowance: Allowance, words: bool) -> JSON:
    """The one value that ``content`` is, or ``NOTHING``; ``words`` lets text without quotes in."""
    content = content.strip()
    for text in (content, without_latex(content)):
        value = _literal(text, allowance)
        if value is not NOTHING:
            return value
    number = _number(content.strip("$ ").translate(_MINUS))
    if number is not NOTHING:
        return number
    plain = without_latex(content).strip(" .*`")
    value = _literal(plain.translate(_MINUS), allowance)
    if value is not NOTHING:
        return value
    is_words = words and len(plain) <= _WORD_CHARS_MAX and _WORDS.fullmatch(plain) is not None
    return plain if is_words else NOTHING


def without_latex(content: str) -> str:
    """``content`` as it would be printed, as far as that is text."""
    content = _LATEX_GROUP.sub(r"\1", content)
    content = _LATEX_SPACE.sub(" ", content)
    for escaped in ("\\{", "\\}", "\\_", '\\"', "\\$", "\\%", "\\#", "\\&"):
        content = content.replace(escaped, escaped[1])
    return content.strip().strip("$").strip()


def _literal(text: str, allowance: Allowance) -> JSON:
    try:
        completed = read_literal(text, 0, allowance=allowance)
    except Broken:
        return NOTHING
    return NOTHING if text[completed.end :].strip() else completed.value


def _number(text: str) -> JSON:
    text = text.rstrip(".")
    if _THOUSANDS.fullmatch(text):
        digits = re.sub(r"[^\d.+-]", "", text)
        if len(digits) > _DIGITS_MAX:
            return NOTHING
        return float(digits) if "." in digits else int(digits)
    match = _FRACTION.fullmatch(text)
    if match is None:
        return NOTHING
    top = int(match["top"] or match["top1"] or match["top2"])
    below = int(match["below"] or match["below1"] or match["below2"])
    if below == 0:
        return NOTHING
    top = -top if match["sign"] == "-" else top
    return top // below if top % below == 0 else top / below
