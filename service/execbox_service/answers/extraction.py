"""The answer in a model's text: where it is looked for, in which order, and what is missing. Pure.

How one value is read is in ``literals.py``. The rules, and what each of them is for, are in
``docs/verify.md``; in short: the last fenced JSON block, else the last balanced JSON object or
``\\boxed{}``, else a text that is one value and nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from execbox_service.answers.literals import (
    Allowance,
    Broken,
    Completed,
    SearchTooLong,
    read_literal,
)

__all__ = ["SEARCHED_CHARS_MAX", "Answer", "NoAnswer", "extract"]

JSON: TypeAlias = Any
Kind: TypeAlias = Literal["input", "output"]

SEARCHED_CHARS_MAX: Final = 128 * 1024
"""Only so much of the end of a text is looked at: the answer is the last thing a model writes."""

_UNITS_MAX = 15_000
_FENCES_TRIED_MAX = 64
_CLOSERS_TRIED_MAX = 4
_BOXES_TRIED_MAX = 16
_SHOWN_CHARS_MAX = 40

_JSON_LABELS = frozenset({"json", "json5", "jsonc", "jsonl"})
_FENCE = re.compile(r"```+")
_LABEL = re.compile(r"[ \t]*+([A-Za-z0-9_+.#-]*+)")
# What can begin an object: a lookahead, so that runs of braces cost nothing.
_OBJECT_START = re.compile(r"""\{(?=\s*+["'}(0-9+\-.TFNtfn])""")
_BOXED = re.compile(r"\\f?boxed\s*+\{")
_BRACES = re.compile(r"(?<!\\)[{}]")
_LATEX_GROUP = re.compile(r"\\(?:text|texttt|textbf|mathrm|mathtt|mathbf)\s*+\{([^{}]*+)\}")
_LATEX_SPACE = re.compile(r"\\(?:left|right|displaystyle|quad|[,;:! ])")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model answered: bare, no longer inside ``{"input": …}`` or ``{"output": …}``."""

    value: JSON


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """There is none; ``reason`` continues the sentence "No answer was found: "."""

    reason: str


def extract(response: str, *, kind: Kind) -> Answer | NoAnswer:
    """The answer in ``response``; never raises, and in bounded time whatever the text is."""
    text = response[-SEARCHED_CHARS_MAX:]
    if not text.strip():
        return NoAnswer("the response is empty")
    allowance = Allowance(_UNITS_MAX)
    try:
        found = _find(text, allowance)
        if not isinstance(found, Completed) and "\\{" in text:
            # Braces as LaTeX writes them.
            plain = _find(text.replace("\\{", "{").replace("\\}", "}"), allowance)
            found = plain if isinstance(plain, Completed) else found
    except SearchTooLong:
        return NoAnswer("the response holds too much that looks like JSON to tell the answer")
    if found is None:
        return NoAnswer(_nothing(text))
    if isinstance(found, NoAnswer):
        return found
    value = found.value
    if isinstance(value, dict) and kind in value:
        value = value[kind]
    return Answer(value)


def _nothing(text: str) -> str:
    if "{" not in text:
        return "the response holds no JSON object, no fenced JSON block and no \\boxed{}"
    return "the response has braces, but no valid JSON object between them"


def _find(text: str, allowance: Allowance) -> Completed | NoAnswer | None:
    fenced = _last_fenced(text, allowance)
    if fenced is not None:
        return fenced
    whole = _whole(text, allowance)
    if whole is not None:
        return whole
    last = _last_object(text, allowance)
    boxed = _last_boxed(text, allowance, last=last)
    if boxed is not None and (last is None or boxed.end > last.start):
        return boxed
    if isinstance(last, _Unusable) and last.meant:
        return NoAnswer(last.reason)
    value = last if isinstance(last, Completed) else _last_fenced_value(text, allowance)
    if value is None and isinstance(last, _Unusable):
        return NoAnswer(last.reason)
    return value


# Fenced blocks


@dataclass(frozen=True, slots=True)
class _Block:
    label: str
    start: int
    """Of what follows the label."""
    ends: tuple[int, ...]
    """Where it may end: at the next fence, or, if that stands in a string, at a later one."""


def _blocks(text: str) -> Iterator[_Block]:
    """The last fenced blocks, last first. One that is never closed reaches to the end."""
    fences = [match.span() for match in _FENCE.finditer(text)]
    last_opening = (len(fences) - 1) // 2 * 2
    for index in range(last_opening, max(-1, last_opening - 2 * _FENCES_TRIED_MAX), -2):
        ends = [start for start, _end in fences[index + 1 : index + 1 + _CLOSERS_TRIED_MAX]]
        label = _LABEL.match(text, fences[index][1])
        if label is not None:
            yield _Block(label[1].lower(), label.end(), tuple(ends) or (len(text),))


def _last_fenced(text: str, allowance: Allowance) -> Completed | NoAnswer | None:
    for block in _blocks(text):
        if block.label in _JSON_LABELS:
            found = _in_json_block(text, block, allowance)
            if found is not None:
                return found
        elif isinstance(value := _block_value(text, block, allowance), Completed) and isinstance(
            value.value, dict
        ):
            return value
    return None


def _in_json_block(text: str, block: _Block, allowance: Allowance) -> Completed | NoAnswer | None:
    value = _block_value(text, block, allowance)
    if value is not None:
        return value
    end = block.ends[0]
    last = _last_object(text[block.start : end], allowance)
    if isinstance(last, _Unusable):
        # A model that notices may have written the answer again, without a fence.
        again = _last_object(text[end:], allowance)
        return again if isinstance(again, Completed) else NoAnswer(last.reason)
    if last is None and end == len(text):
        return NoAnswer("the last fenced JSON block is cut off")
    return last


def _block_value(text: str, block: _Block, allowance: Allowance) -> Completed | None:
    """What the block holds, if that is one value and nothing more."""
    for end in block.ends:
        try:
            return _only_value(text[block.start : end], allowance)
        except Broken as broken:
            if not broken.truncated:
                return None
    return None


def _last_fenced_value(text: str, allowance: Allowance) -> Completed | None:
    """For want of any object: an array or a scalar in a block that does not say it is JSON."""
    for block in _blocks(text):
        value = _block_value(text, block, allowance)
        if value is not None:
            return value
    return None


# Values


def _only_value(text: str, allowance: Allowance) -> Completed:
    """The value ``text`` consists of; raises Broken where there is more, or less, than one."""
    completed = read_literal(text, 0, allowance=allowance)
    if text[completed.end :].strip():
        raise Broken("something follows the value", completed.end)
    return completed


def _whole(text: str, allowance: Allowance) -> Completed | None:
    try:
        return _only_value(text, allowance)
    except Broken:
        return None


@dataclass(frozen=True, slots=True)
class _Unusable:
    """The last thing that begins like an object and cannot be read as one.

    ``meant`` as the answer: its first key is input or output, or the end of the text cuts it off.
    """

    start: int
    reason: str
    meant: bool


def _last_object(text: str, allowance: Allowance) -> Completed | _Unusable | None:
    """The last object that is inside no other one, or an attempt at an answer that comes after it.

    A brace that begins no object is prose; it is remembered only as long as there is nothing else.
    """
    last: Completed | _Unusable | None = None
    position = 0
    while (match := _OBJECT_START.search(text, position)) is not None:
        start = match.start()
        try:
            last = read_literal(text, start, allowance=allowance)
            position = last.end
        except Broken as broken:
            unusable = _unusable(text, start, broken)
            if unusable is not None and (unusable.meant or last is None):
                last = unusable
            elif broken.inner is not None:
                last = broken.inner
            # Everything that was open is broken with it, so nothing before that place can begin
            # an object, but what was taken for the inside of a string.
            position = max(broken.brace_in_string or broken.position, start + 1)
    return last


def _unusable(text: str, start: int, broken: Broken) -> _Unusable | None:
    if broken.first_key is None:
        return None
    begins = " ".join(text[start : start + _SHOWN_CHARS_MAX].split())
    verb = "is cut off" if broken.truncated else "cannot be read"
    reason = f"the last JSON object, which begins with {begins}, {verb}: {broken.reason}"
    return _Unusable(
        start, reason, meant=broken.truncated or broken.first_key in ("input", "output")
    )


# \boxed{}


def _last_boxed(
    text: str, allowance: Allowance, *, last: Completed | _Unusable | None
) -> Completed | None:
    """The last box with a value in it that is not part of the ``last`` object."""
    boxes = [match.span() for match in _BOXED.finditer(text)]
    if isinstance(last, Completed):
        # One that begins inside stands in a string.
        boxes = [box for box in boxes if not last.start < box[0] < last.end]
    for start, inside in boxes[: -_BOXES_TRIED_MAX - 1 : -1]:
        for content in _contents(text, inside, allowance):
            value = _whole(content, allowance)
            if value is not None:
                return Completed(start, inside + len(content), value.value)
    return None


def _contents(text: str, inside: int, allowance: Allowance) -> Iterator[str]:
    """What may be inside a box: as it stands (a brace in a string may not close it), and with the
    LaTeX around and inside of it taken away."""
    try:
        value = read_literal(text, inside, allowance=allowance)
        if text[value.end : value.end + 200].lstrip().startswith("}"):
            yield text[inside : value.end]
    except Broken:
        pass
    depth = 1
    for brace in _BRACES.finditer(text, inside):
        allowance.spend(0)
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            yield _without_latex(text[inside : brace.start()])
            return


def _without_latex(content: str) -> str:
    content = _LATEX_GROUP.sub(r"\1", content)
    content = _LATEX_SPACE.sub(" ", content)
    for escaped in ("\\{", "\\}", "\\_", '\\"', "\\$", "\\%", "\\#", "\\&"):
        content = content.replace(escaped, escaped[1])
    return content.strip().strip("$")
