"""Every place in a text that may be its answer: objects, fenced blocks, boxes, tags, labels. Pure.

Which of them is the answer is decided in ``extraction``; how one value is read is in ``literals``
and ``marked_values``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import Any, Final, Literal, TypeAlias

from execbox_service.answers.literals import Allowance, Broken, Completed, read_literal
from execbox_service.answers.marked_values import NOTHING, marked_value, without_latex
from execbox_service.answers.spans import Spans

__all__ = ["Candidate", "Kind", "Tier", "candidates", "own_key"]

JSON: TypeAlias = Any
Kind: TypeAlias = Literal["input", "output"]

_FENCES_TRIED_MAX = 64
_CLOSERS_TRIED_MAX = 4
_MARKS_TRIED_MAX = 16
_LABELS_TRIED_MAX = 32
_LABEL_CHARS_MAX = 80
_LABELLED_CHARS_MAX = 2000
_SHOWN_CHARS_MAX = 40

_JSON_LABELS = frozenset({"json", "json5", "jsonc", "jsonl"})
_CODE_LABELS: Final = frozenset(
    (
        *("python", "py", "python3", "pycon", "java", "javascript", "js", "typescript", "ts"),
        *("c", "cpp", "c++", "csharp", "cs", "go", "rust", "ruby", "php", "swift", "kotlin"),
        *("bash", "sh", "shell", "console", "sql", "r", "scala", "haskell", "lua", "perl"),
    )
)
_FENCE = re.compile(r"```+")
_LABEL = re.compile(r"[ \t]*+([A-Za-z0-9_+.#-]*+)")
# What can begin an object: a lookahead, so that runs of braces cost nothing.
_OBJECT_START = re.compile(
    "\\{(?=\\s*+(?:[\"'\u201c\u201d\u2018\u2019}(0-9+\\-.\u2212/#]|[A-Za-z_]\\w*+\\s*+:))"
)
_PLACEHOLDER = re.compile(
    "\\{\\s*+[\"'\u201c]?(?:input|output)[\"'\u201d]?\\s*+:\\s*+"
    "\\[?(?:<[^<>\\n]{1,80}>|\\.\\.\\.|\u2026|your[ _][\\w ]{1,80})\\]?\\s*+\\}",
    re.IGNORECASE,
)
_PLACEHOLDER_TEXT = re.compile(
    r"<\s*(?:the |your )[^<>\n]{1,80}>|your[ _](?:input|output|answer)(?:[ _]here)?",
    re.IGNORECASE,
)
# What functions also return; the words before it, or what else is in the text, tell.
_PERHAPS_PLACEHOLDER = re.compile(r"<(?:input|output|answer)>|\.\.\.|…", re.IGNORECASE)
_SHAPE = re.compile(
    r"\b(?:format(?:ted)?|form|template|placeholder|schema|shape|structure|like this|such as"
    r"|for example|e\.g\.)(?:\W|\Z)",
    re.IGNORECASE,
)
_SHAPE_CHARS = 80
_PRINTED = re.compile(
    "\\{\\s*+[\"'\u201c]?(?P<key>input|output)[\"'\u201d]?\\s*+:"
    "(?P<number>[-+\u2212 \\d,./]{1,80})\\}",
    re.IGNORECASE,
)
_ALIASES = frozenset({"answer", "final_answer", "final answer"})
_BOXED = re.compile(r"\\f?boxed\s*+\{")
_BRACES = re.compile(r"(?<!\\)[{}]")
# Both begin with a set of characters in their own case, which `re` looks for many times as fast as
# for an alternative or a boundary; what stands before is asked afterwards.
_TAGGED = re.compile(
    r"[<\[](?i:(?<=<)(?=[afio])(answer|final_answer|input|output)\s*+>|(?<=\[)(answer)\])"
)
_LABELLED = re.compile(
    r"(?P<word>[AaOoIi](?i:(?<=\ba)nswer|(?<=\bo)utput|(?<=\bi)nput))"
    r"(?i:\b[*_`]*+[ \t]*+(?:is\b[ \t]*+:?|:))"
)
_BEFORE_LABEL = re.compile(
    r"[ \t>*_#`-]*+(?:(?:so|thus|therefore|hence)\b[, \t]*+)?(?:(?:the|my)[ \t]++)?"
    r"(?P<final>final[ \t]++)?",
    re.IGNORECASE,
)


class Tier(IntEnum):
    """How much a place says that it is the answer; within one tier, the last place counts."""

    ANSWER = 1
    """An object with the asked-for key, a box, a tag, a JSON block, "final answer:"."""
    LIKELY = 2
    """A label such as "Output:", or an object without the key in a block of its own."""
    OBJECT = 3
    """Any other object, and what is printed inside code."""
    BLOCK = 4
    """An array or a scalar in a block that does not say it is JSON."""
    PLACEHOLDER = 5
    """An object whose value is also how prompts leave a place open, such as "..."."""
    NOTHING = 6
    """Not readable, and no attempt at an answer: kept for the reason."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place in the text. With ``reason``, an attempt that cannot be read, and why."""

    start: int
    end: int
    tier: Tier
    value: JSON = None
    reason: str | None = None


def candidates(text: str, *, kind: Kind, allowance: Allowance) -> list[Candidate]:
    """All of them, in no order; those that are part of a larger one are left out."""
    blocks = list(_blocks(text))
    fenced = list(_fenced(text, blocks, kind=kind, allowance=allowance))
    code = _code_spans(text, blocks, fenced)
    read = [one for one in fenced if one.reason is None and one.tier <= Tier.OBJECT]
    objects = list(_objects(text, kind=kind, code=code, read=read, allowance=allowance))
    found = [
        *fenced,
        *objects,
        *(
            one
            for one in (
                *_boxed(text, [*read, *objects], allowance=allowance),
                *_tagged(text, objects, kind=kind, allowance=allowance),
            )
            if not _is_open_place(one.value, kind)
        ),
        *_labelled(text, kind=kind, allowance=allowance),
    ]
    return _outermost(found)


def own_key(value: JSON, kind: Kind) -> str | None:
    """The asked-for key, in whatever letters ``value`` has it; None where it has none."""
    if not isinstance(value, dict):
        return None
    if kind in value:
        return kind
    keys = [key for key in value if key.strip().lower() == kind]
    return keys[0] if len(keys) == 1 else None


def _outermost(found: list[Candidate]) -> list[Candidate]:
    """Without those that lie in a larger one that is at least as good: in a string, in an array."""
    kept: list[Candidate] = []
    reached = -1
    for one in sorted(found, key=lambda each: (each.start, -each.end, each.tier)):
        if one.end <= reached and one.reason is None:
            continue
        kept.append(one)
        if one.reason is None and one.tier <= Tier.OBJECT:
            reached = max(reached, one.end)
    return kept


# Objects


def _objects(
    text: str,
    *,
    kind: Kind,
    code: Spans,
    read: list[Candidate],
    allowance: Allowance,
) -> Iterator[Candidate]:
    """Objects inside no other one and none ``read`` before; attempts that cannot be read."""
    position = 0
    known = Spans((one.start, one.end) for one in read)
    while (match := _OBJECT_START.search(text, position)) is not None:
        start = match.start()
        read_end = known.end_around(start)
        if read_end is not None:
            # To read a large answer twice would use up the allowance.
            position = read_end
            continue
        try:
            completed = read_literal(text, start, allowance=allowance)
        except Broken as broken:
            attempt = _printed(text, start, kind, allowance) or _unreadable(text, start, broken)
            if attempt is not None:
                yield attempt
            elif broken.inner is not None:
                inner = broken.inner
                span = (inner.start, inner.end)
                yield _object(text, inner.value, span, kind=kind, code=code)
            # Everything that was open is broken with it, so nothing before that place can begin
            # an object, but what was taken for the inside of a string.
            position = max(broken.brace_in_string or broken.position, start + 1)
        else:
            position = completed.end
            if isinstance(completed.value, dict):
                span = (start, completed.end)
                yield _object(text, completed.value, span, kind=kind, code=code)


def _object(
    text: str,
    value: JSON,
    span: tuple[int, int],
    *,
    kind: Kind,
    code: Spans,
) -> Candidate:
    key = own_key(value, kind)
    is_perhaps = key is not None and _fits(_PERHAPS_PLACEHOLDER, value[key])
    if is_perhaps and not _SHAPE.search(text, max(0, span[0] - _SHAPE_CHARS), span[0]):
        return Candidate(*span, Tier.PLACEHOLDER, value)
    if key is not None and (is_perhaps or _fits(_PLACEHOLDER_TEXT, value[key])):
        tier = Tier.NOTHING
        reason = f"the last JSON object repeats the placeholder {value[key]}"
        return Candidate(*span, tier, reason=reason)
    if code.end_around(span[0]) is not None:
        tier = Tier.OBJECT
    elif key is not None:
        tier = Tier.ANSWER
    else:
        tier = Tier.LIKELY if _has_alias(value, kind) else Tier.OBJECT
    return Candidate(*span, tier, value)


def _printed(text: str, start: int, kind: Kind, allowance: Allowance) -> Candidate | None:
    """An object with a number as in print, such as ``{"output": 1,234}``."""
    match = _PRINTED.match(text, start)
    if match is None or match["key"].lower() != kind:
        return None
    value = marked_value(match["number"], allowance=allowance, words=False)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return Candidate(start, match.end(), Tier.ANSWER, {kind: value})


def _is_open_place(value: JSON, kind: Kind) -> bool:
    """Whether the object is the prompt's, or may be: in tags or a box it is no more an answer."""
    key = own_key(value, kind)
    patterns = (_PLACEHOLDER_TEXT, _PERHAPS_PLACEHOLDER)
    return key is not None and any(_fits(pattern, value[key]) for pattern in patterns)


def _fits(pattern: re.Pattern[str], value: JSON) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value.strip()) is not None


def _has_alias(value: JSON, kind: Kind) -> bool:
    return kind == "output" and len(value) == 1 and next(iter(value)).lower() in _ALIASES


def _unreadable(text: str, start: int, broken: Broken) -> Candidate | None:
    """The attempt at an answer that it was: its first key is the one, or the text cuts it off."""
    if broken.first_key is None:
        return None
    begins = " ".join(text[start : start + _SHOWN_CHARS_MAX].split())
    verb = "is cut off" if broken.truncated else "cannot be read"
    reason = f"the last JSON object, which begins with {begins}, {verb}: {broken.reason}"
    meant = broken.truncated or broken.first_key.lower() in ("input", "output")
    if _PLACEHOLDER.match(text, start):
        meant = False
    tier = Tier.ANSWER if meant else Tier.NOTHING
    return Candidate(start, max(broken.position, start + 1), tier, reason=reason)


# Fenced blocks


@dataclass(frozen=True, slots=True)
class _Block:
    label: str
    fence: int
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
            yield _Block(
                label[1].lower(), fences[index][0], label.end(), tuple(ends) or (len(text),)
            )


def _fenced(
    text: str, blocks: list[_Block], *, kind: Kind, allowance: Allowance
) -> Iterator[Candidate]:
    """Blocks that hold one value and nothing more; a JSON block that was cut off before one."""
    for block in blocks:
        for end in block.ends:
            inside = text[block.start : end]
            try:
                completed = read_literal(inside, 0, allowance=allowance)
            except Broken as broken:
                if not broken.truncated:
                    break
                if end == len(text) and block.label in _JSON_LABELS:
                    reason = "the last fenced JSON block is cut off"
                    yield Candidate(block.fence, end, Tier.ANSWER, reason=reason)
            else:
                if not inside[completed.end :].strip():
                    yield _block_value(text, block, end, value=completed.value, kind=kind)
                break


def _block_value(text: str, block: _Block, end: int, *, value: JSON, kind: Kind) -> Candidate:
    if isinstance(value, dict):
        found = _object(text, value, (block.fence, end), kind=kind, code=Spans(()))
        if found.tier is Tier.OBJECT:
            return Candidate(block.fence, end, Tier.LIKELY, value)
        return found
    tier = Tier.ANSWER if block.label in _JSON_LABELS else Tier.BLOCK
    return Candidate(block.fence, end, tier, value)


def _code_spans(text: str, blocks: list[_Block], fenced: list[Candidate]) -> Spans:
    """Blocks of a program: what is printed or asserted there is no answer."""
    values = {one.start for one in fenced}
    return Spans(
        (block.fence, block.ends[0])
        for block in blocks
        if block.label in _CODE_LABELS and block.fence not in values and block.ends[0] < len(text)
    )


# Boxes, tags, labels


def _boxed(text: str, objects: list[Candidate], *, allowance: Allowance) -> Iterator[Candidate]:
    """The last boxes with a value in them; those that begin in an object are part of a string."""
    read = [one for one in objects if one.reason is None]
    spans = Spans((one.start + 1, one.end) for one in read)
    boxes = [match.span() for match in _BOXED.finditer(text)]
    free = (span for span in reversed(boxes) if spans.end_around(span[0]) is None)
    by_start = {one.start: one for one in read}
    for start, inside in islice(free, _MARKS_TRIED_MAX):
        value, end = _box_value(text, inside, by_start, allowance=allowance)
        if value is not NOTHING:
            yield Candidate(start, end + 1, Tier.ANSWER, value)


def _box_value(
    text: str, inside: int, objects: dict[int, Candidate], *, allowance: Allowance
) -> tuple[JSON, int]:
    """What is inside a box, or ``NOTHING``, and where it ends; a brace in a string closes none."""
    read: Candidate | Completed | None = objects.get(inside)
    try:
        if read is None:
            read = read_literal(text, inside, allowance=allowance)
        if text[read.end : read.end + 200].lstrip().startswith("}"):
            return read.value, read.end
    except Broken:
        pass
    depth = 1
    for brace in _BRACES.finditer(text, inside):
        allowance.spend(0)
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            content = text[inside : brace.start()]
            return marked_value(content, allowance=allowance, words=True), brace.start()
    return NOTHING, inside


def _tagged(
    text: str, objects: list[Candidate], *, kind: Kind, allowance: Allowance
) -> Iterator[Candidate]:
    """What stands between answer tags, or after one to the end of the text."""
    spans = {(one.start, one.end): one for one in objects if one.reason is None}
    for tag in list(_TAGGED.finditer(text))[-_MARKS_TRIED_MAX:]:
        if (tag[1] or "").lower() in {"input", "output"} - {kind}:
            continue
        closing = re.escape(f"</{tag[1]}>" if tag[1] else f"[/{tag[2]}]")
        # Not looked for in the text in lower case, which may be longer: of İ it is two characters.
        end = re.compile(closing, re.IGNORECASE).search(text, tag.end())
        stop = len(text) if end is None else end.start()
        content = text[tag.end() : stop]
        start = stop - len(content.lstrip())
        content = content.strip()
        read = spans.get((start, start + len(content)))
        if read is not None:
            value = read.value
        else:
            content = content.strip("`").strip()
            value = marked_value(content, allowance=allowance, words=end is not None)
        if value is not NOTHING:
            yield Candidate(tag.start(), stop, Tier.ANSWER, value)


def _labelled(text: str, *, kind: Kind, allowance: Allowance) -> Iterator[Candidate]:
    """A value that fills the rest of a line after "Output:", "The answer is" and their like."""
    for match in list(_LABELLED.finditer(text))[-_LABELS_TRIED_MAX:]:
        start = text.rfind("\n", 0, match.start()) + 1
        before = _BEFORE_LABEL.fullmatch(
            text, max(start, match.start() - _LABEL_CHARS_MAX), match.start()
        )
        end = text.find("\n", match.end())
        end = end if end >= 0 else len(text)
        if not text[match.end() : end].strip(" \t*_`"):
            # A label that has a line of its own.
            end = text.find("\n", end + 1)
            end = end if end >= 0 else len(text)
        is_ours = match["word"].lower() in (kind, "answer")
        if before is None or not is_ours or end - match.end() > _LABELLED_CHARS_MAX:
            continue
        content = text[match.end() : end].strip(" \n\r\t*_`").removesuffix(".").strip(" \t*_`")
        value = marked_value(without_latex(content), allowance=allowance, words=False)
        if value is not NOTHING and not isinstance(value, dict):
            tier = Tier.ANSWER if before["final"] else Tier.LIKELY
            yield Candidate(start, end, tier, value)
