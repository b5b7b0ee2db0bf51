"""What a model's reply holds in R1-Code-Interpreter's form: a block of code, or an answer. Pure.

Running a block is in ``interpreters``; the conversation they are parts of is in ``interpret``.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from execbox import strict_json

__all__ = ["Reply", "reply_of", "same_answer"]

_FENCE = re.compile(
    r"(?:^[ \t]*|(?=[`~]{3,}(?:python3?|py)[ \t]*$))(`{3,}|~{3,})[ \t]*([\w+-]*)[^`\n]*$",
    re.MULTILINE | re.IGNORECASE,
)
"""On a line of its own, or where Python begins at the end of a line."""
_PYTHON = frozenset({"python", "python3", "py"})
_ANSWER = re.compile(r"<<<(.*?)>>>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reply:
    """``text`` up to the end of its code, or all of it; at most one of ``code`` and ``answer``."""

    text: str
    code: str | None = None
    answer: str | None = None


def reply_of(text: str, *, is_cut: bool = False) -> Reply:
    """The first block of Python, or else the last answer.

    What stands behind a block was written before anybody knew what it prints, so it counts for
    nothing, an answer included. A block without an end is one if the text is not ``is_cut``:
    endpoints that stop at the end of a block leave its fence out. Blocks of other languages, and
    answers in any block, are neither code nor answers.
    """
    prose: list[str] = []
    at = 0
    while (fence := _FENCE.search(text, at)) is not None:
        prose.append(text[at : fence.start()])
        begin = min(fence.end() + 1, len(text))
        end = _end_of(fence[1]).search(text, begin)
        is_code = fence[2].lower() in _PYTHON and (end is not None or not is_cut)
        if is_code and _answer_in(prose) is None:
            code = text[begin:] if end is None else text[begin : end.start()]
            shown = text if end is None else text[: end.end()]
            return Reply(shown, code=textwrap.dedent(code))
        at = len(text) if end is None else end.end()
    prose.append(text[at:])
    return Reply(text, answer=_answer_in(prose))


def same_answer(answer: str, expected: object) -> bool:
    """Whether an answer's text says what is expected: the same text but for space around it, or
    JSON of the same value. A number has many ways to be written, and true is none of them."""
    text = answer.strip()
    wanted = expected.strip() if isinstance(expected, str) else expected
    if text == wanted:
        return True
    try:
        said = strict_json.decode(text)
        if isinstance(wanted, str):
            wanted = strict_json.decode(wanted)
    except strict_json.StrictJSONError:
        return False
    return _same(said, wanted)


def _same(one: object, other: object) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return one == other


def _end_of(fence: str) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*{fence}[ \t]*$", re.MULTILINE)


def _answer_in(prose: Sequence[str]) -> str | None:
    found = _ANSWER.findall("\n".join(prose))
    return found[-1].strip() if found else None
