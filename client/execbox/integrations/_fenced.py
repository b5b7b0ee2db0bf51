"""The code that a model wrote, out of what it wrote around it. Parses Markdown's fences only.

Fences are read as CommonMark has them, line by line, since a pattern over the whole text takes the
end of one block for the beginning of the next. Where models write what CommonMark would not take
for a block, that is read as it was meant: see ``_blocks``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["code_in"]

_PYTHON = re.compile(r"(?:python|py)[\d.]*", re.IGNORECASE)
_ITEM = r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+"
_LIST_ITEM = re.compile(_ITEM)
_OPENING = re.compile(
    rf"(?P<before>{_ITEM}|[ \t]*)(?P<fence>`{{3,}}(?=[^`]*$)|~{{3,}})(?P<info>.*)"
)
_OPENING_IN_LINE = re.compile(
    r"(?P<before>[^`]*)(?P<fence>`{3,})(?P<info>[ \t]*(?:python|py)[\d.]*\s*)$", re.IGNORECASE
)
# What stands behind the fence is text, such as </answer> or a sentence, unless it is one word: that
# may be the tag of a block in a text that the code holds.
_CLOSING = re.compile(
    r"(?P<before>[ \t]*)(?P<fence>`{3,}|~{3,})(?![ \t]*[A-Za-z][\w+#.-]*\s*$)[^`]*"
)
_CLOSED_BEHIND_CODE = re.compile(r"(?P<code>[^`]*[^`\s])[ \t]*(?P<fence>`{3,})\s*")
_INDENT_MAX = 3
"""Columns: more of them make an indented line of text, where no list has moved the margin."""


@dataclass(slots=True)
class _Block:
    fence: str
    tag: str
    margin: int
    """Columns in front of its fence."""
    lines: list[str] = field(default_factory=list)
    closed: bool = False

    @property
    def text(self) -> str:
        return "\n".join(_at_margin(self.lines) if self.margin else self.lines) + "\n"


def code_in(text: str) -> str:
    """Its last fenced block that is tagged as Python, else the last that is not tagged, else the
    text as it is. A block that is not closed goes on to the end."""
    blocks = [block for block in _blocks(text) if any(line.strip() for line in block.lines)]
    for wanted in (_PYTHON.fullmatch, lambda tag: tag == ""):
        found = [block for block in blocks if wanted(block.tag)]
        if found:
            return found[-1].text
    return text


def _blocks(text: str) -> Iterator[_Block]:
    """Besides CommonMark's: one tagged as Python may begin at the end of a line, or before the one
    around it was closed; text may follow a closing fence; and one that is never closed may end at
    the end of a line of code. A line of nothing but tildes begins none."""
    block: _Block | None = None
    margin = 0
    for line in text.split("\n"):
        opened = _opened(line, block, margin=margin)
        if opened is not None:
            if block is not None:
                yield _ended_by_itself(block)
            block = opened
        elif block is None:
            margin = _margin(line, margin)
        elif _closes(line, block):
            block.closed = True
            yield block
            block = None
        else:
            block.lines.append(line)
    if block is not None:
        yield _ended_by_itself(block)


def _opened(line: str, around: _Block | None, *, margin: int) -> _Block | None:
    """The block that a line begins, which may be inside of another."""
    found = _OPENING.fullmatch(line)
    if found is None:
        found = _OPENING_IN_LINE.fullmatch(line) if around is None else None
    if found is None:
        return None
    if found["fence"].startswith("~") and not found["info"].strip():
        # More often the line under a heading.
        return None
    before = found["before"]
    block = _Block(fence=found["fence"], tag=_tag(found["info"]), margin=_columns(before))
    if around is not None:
        is_one = _PYTHON.fullmatch(block.tag) and block.fence.startswith(around.fence)
        return block if is_one and block.margin <= around.margin + _INDENT_MAX else None
    is_text = not before.strip() and block.margin > _INDENT_MAX
    return None if is_text and not margin <= block.margin <= margin + _INDENT_MAX else block


def _tag(info: str) -> str:
    """The first word after a fence, without what some put around or behind it: ``{.python}``,
    ``python:main.py``."""
    word = re.match(r"[ \t]*\{?\.?([^\s{}:,=]*)", info)
    return word[1] if word is not None else ""


def _closes(line: str, block: _Block) -> bool:
    found = _CLOSING.fullmatch(line)
    if found is None or not found["fence"].startswith(block.fence):
        return False
    return _columns(found["before"]) <= block.margin + _INDENT_MAX


def _ended_by_itself(block: _Block) -> _Block:
    for number, line in enumerate(block.lines):
        found = _CLOSED_BEHIND_CODE.fullmatch(line)
        if found is not None and found["fence"].startswith(block.fence):
            block.lines[number:] = [found["code"]]
            break
    return block


def _margin(line: str, margin: int) -> int:
    """Where text begins below this line: behind the mark of a list, as long as it is indented."""
    if _LIST_ITEM.match(line) is not None:
        return _columns(line)
    return 0 if line.strip() and _columns(line) < margin else margin


def _at_margin(lines: list[str]) -> list[str]:
    """Without the indentation of the first line, which no program has."""
    first = next((line for line in lines if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    return [
        line[len(indent) :] if line.startswith(indent) else line.lstrip(" \t") for line in lines
    ]


def _columns(line: str) -> int:
    """Of the white space that a line begins with, and of the mark of a list."""
    found = _LIST_ITEM.match(line) or re.match(r"[ \t]*", line)
    return len(found[0].expandtabs(4)) if found is not None else 0
