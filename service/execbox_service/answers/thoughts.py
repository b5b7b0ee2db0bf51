"""Which part of a model's text is said and which is thought: a thought is no answer. Pure.

Knows tags, whole, cut off or half; what the answer is in what remains is ``extraction``'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from execbox_service.answers.literals import Allowance, Broken, read_literal

__all__ = ["said"]

_NAMES = (
    "think|thinking|thought|thoughts|reasoning|reason|reflection|analysis|scratchpad|"
    "chain_of_thought|cot|internal_monologue"
)
# It begins with a set of characters, which `re` looks for many times as fast as for alternatives;
# the first letter is asked before the names are.
_TAG = re.compile(
    r"[<\[\u25c1](?=/?[acirstACIRST|])(?i:"
    rf"(?<=<)(?P<end>/?)(?:seed:|antml:)?(?:{_NAMES})(?:\s[^<>\n]{{0,100}})?>"
    rf"|(?<=\[)(?P<end2>/?)(?:{_NAMES})\]"
    r"|(?<=<)\|(?P<edge>begin|end)_of_(?:thought|thinking)\|>"
    r"|(?<=\u25c1)(?P<end3>/?)think\u25b7)"
)
_MENTION = re.compile(r"[\w`'\"]\s*\Z")
_MENTIONED_END = re.compile(r"[\w,;:>][ \t]+\Z")
_QUOTES_BEFORE, _QUOTES_AFTER = "`'\"(\u201c\u2018", "`'\")\u201d\u2019"
_MENTION_CHARS = 80
_OBJECTS_TRIED_MAX = 8
_TAGS_MAX = 40


def said(text: str, *, allowance: Allowance) -> str:
    """``text`` without its thoughts; empty where it is nothing else.

    A thought that is never closed reaches to the end: it was cut off. One that is only closed
    began in the prompt, and reaches from the beginning. A tag in a string of an object is data.
    One that is never closed, or never opened, and stands within a sentence or quotes is only
    mentioned.
    """
    pieces: list[str] = []
    position, is_thought = 0, False
    for tag in _tags(text, allowance):
        if _is_end(tag):
            if not is_thought:
                if _is_mentioned_end(text, tag):
                    continue
                pieces.clear()
            position, is_thought = tag.end(), False
        elif not is_thought:
            pieces.append(text[position : tag.start()])
            is_thought = True
    if not is_thought:
        pieces.append(text[position:])
    return "\n".join(pieces) if len(pieces) > 1 else "".join(pieces)


def _tags(text: str, allowance: Allowance) -> Iterator[re.Match[str]]:
    # The last ones decide, and a text of nothing but tags must not cost more than one of words.
    tags = [
        tag
        for tag in list(_TAG.finditer(text))[-_TAGS_MAX:]
        if not _is_data(text, tag.start(), allowance)
    ]
    ends = [tag for tag in tags if _is_end(tag) and not _is_quoted(text, tag)]
    last_end = ends[-1].start() if ends else -1
    for tag in tags:
        if tag.start() <= last_end or not _is_mentioned(text, tag.start()):
            yield tag


def _is_mentioned(text: str, place: int) -> bool:
    """Whether a word or a quote mark precedes ``place`` on its line."""
    line_start = text.rfind("\n", 0, place) + 1
    before = text[max(line_start, place - _MENTION_CHARS) : place]
    return _MENTION.search(before) is not None


def _is_mentioned_end(text: str, tag: re.Match[str]) -> bool:
    """Whether a sentence goes on to this tag, or quotes it. A model that ends its thought begins a
    line with the tag, or adds it to the last word without a space."""
    line_start = text.rfind("\n", 0, tag.start()) + 1
    before = text[max(line_start, tag.start() - _MENTION_CHARS) : tag.start()]
    return _is_quoted(text, tag) or _MENTIONED_END.search(before) is not None


def _is_quoted(text: str, tag: re.Match[str]) -> bool:
    before, after = text[max(0, tag.start() - 1) : tag.start()], text[tag.end() : tag.end() + 1]
    return bool(before and after) and before in _QUOTES_BEFORE and after in _QUOTES_AFTER


def _is_end(tag: re.Match[str]) -> bool:
    edge = tag["edge"]
    if edge is not None:
        return edge.lower() == "end"
    return "/" in (tag["end"] or tag["end2"] or tag["end3"] or "")


def _is_data(text: str, place: int, allowance: Allowance) -> bool:
    """Whether ``place`` is inside an object that is complete: one of the last few before it."""
    start = place
    for _ in range(_OBJECTS_TRIED_MAX):
        start = text.rfind("{", max(0, start - 2000), start)
        if start < 0:
            return False
        try:
            if read_literal(text, start, allowance=allowance).end > place:
                return True
        except Broken:
            continue
    return False
