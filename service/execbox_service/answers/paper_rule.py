"""The rule of CodeI/O's own scripts for the answer in a text, for results to compare with theirs.

Its rule, not its slips: the last block labelled ``json``; without one, the last balanced braces;
else the same with round brackets as square ones; else an object in the last ``\\boxed{}``. What is
found must be JSON, ``True``, ``False`` and ``None`` aside, and an object must have the asked-for
key. The position of thoughts, drafts and corrections does not matter to it. Pure.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

from execbox.strict_json import StrictJSONError, decode

__all__ = ["NOT_FOUND", "by_the_paper"]

JSON: TypeAlias = Any

NOT_FOUND: Final = object()
"""In place of an answer, which may be None, where there is none."""

_FENCE = "```json"
_BOX = "\\boxed{"
_WORDS = {"True": "true", "False": "false", "None": "null"}
_STRING_OR_WORD = re.compile(r'"(?:[^"\\]++|\\.)*+"|\b(?:True|False|None)\b', re.DOTALL)


def by_the_paper(text: str, *, kind: str) -> JSON:
    """The value under ``kind``, or a bare value of a JSON block; ``NOT_FOUND`` without either."""
    found = _last_json(text)
    if found is NOT_FOUND:
        plain = text.replace("\\{", "{").replace("\\}", "}")
        found = _last_json(plain.replace("(", "[").replace(")", "]"))
    if found is NOT_FOUND and _BOX in text:
        found = _last_json(_last_box(text))
    if isinstance(found, dict):
        found = found.get(kind, NOT_FOUND)
    # None is what the paper's scripts take for no answer.
    return NOT_FOUND if found is None else found


def _last_json(text: str) -> JSON:
    candidate = _last_block(text) if _FENCE in text else _last_balanced(text)
    if not candidate.strip():
        return NOT_FOUND
    one_line = candidate.replace("\n", "").strip()
    for spelling in (one_line, _STRING_OR_WORD.sub(_json_word, one_line)):
        try:
            return decode(spelling)
        except StrictJSONError:
            continue
    return NOT_FOUND


def _json_word(match: re.Match[str]) -> str:
    return _WORDS.get(match[0], match[0])


def _last_block(text: str) -> str:
    start = text.rfind(_FENCE) + len(_FENCE)
    end = text.find("```", start)
    return text[start : end if end >= 0 else len(text)]


def _last_balanced(text: str) -> str:
    """From the brace that opened first to the one that closed last; quotes are not looked at."""
    depth, start, last = 0, 0, ""
    span: tuple[int, int] | None = None
    for brace in re.finditer(r"[{}]", text):
        if brace[0] == "{":
            if depth == 0:
                start = brace.start()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                span = (start, brace.end())
    if span is not None:
        last = text[span[0] : span[1]]
    return last


def _last_box(text: str) -> str:
    start = text.rfind(_BOX) + len(_BOX)
    end = text.rfind("}", start)
    content = text[start : max(end, start)].replace("\\\\", "\\")
    for latex, plain in (("\\{", "{"), ("\\}", "}"), ("\\left", ""), ("\\right", "")):
        content = content.replace(latex, plain)
    return content
