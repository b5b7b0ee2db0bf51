"""Reading the raw answer of CodeI/O's transform step: one text with four sections, to four fields.

The model was asked for headings with a fenced block of Python under two of them; what models
really write is nearly that. Nothing is evaluated or compiled here, only lines are looked at.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from execbox.dataset.files.json_lines import BadRecord, Value

__all__ = ["ANSWER_FIELDS", "TransformedFunction", "parse_transformed", "raw_answer"]

Section: TypeAlias = Literal["code", "requirements", "generator", "problem"]

_TITLES: dict[str, Section] = {
    "main function": "code",
    "reference code": "code",
    "main solution": "code",
    "solution": "code",
    "code": "code",
    "input output description": "requirements",
    "input output descriptions": "requirements",
    "input output requirements": "requirements",
    "input and output description": "requirements",
    "input and output descriptions": "requirements",
    "input and output requirements": "requirements",
    "io requirements": "requirements",
    "input generator": "generator",
    "problem statement": "problem",
    "problem description": "problem",
    "problem": "problem",
}
_NAMES: dict[Section, str] = {
    "code": "Main Function",
    "requirements": "Input Output Description",
    "generator": "Input Generator",
    "problem": "Problem Statement",
}
_HEADING = re.compile(
    r"""\s{0,3}
    (?: \#{1,6}\s* | (?=\*\*|__|\d{1,2}[.)]\s) )   # a marked, bold or numbered line
    (?: \*\*|__ )?
    (?: (?:section|part)?\s*\d{1,2}\s*[.:)]\s* )?
    (?: \*\*|__ )?
    (?P<title> [A-Za-z][A-Za-z /&,-]{2,50}? )
    (?: \s*\([^()]*\) )?
    \s*:?\s*(?: \*\*|__ )?\s*:?\s*\#*\s*
    """,
    re.VERBOSE,
)
_HEADING_CHARS_MAX = 120
_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>[^`]*)")
_WRAPPERS = frozenset({"markdown", "md"})
_THOUGHT = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL)
ANSWER_FIELDS = ("output", "response", "completion", "answer", "text", "content")
"""Names under which files of generations keep a model's text, the likeliest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformedFunction:
    """The four sections of one answer. Code is what stood in the fences, without them."""

    code: str
    requirements: str
    generator: str
    problem: str


@dataclass(frozen=True, slots=True)
class _Block:
    """Text between headings and fences; ``info`` is None outside fences."""

    text: str
    info: str | None


@dataclass(frozen=True, slots=True)
class _Heading:
    section: Section
    line: str


def raw_answer(value: Value) -> str | None:
    """A model's text in a record that has no ``refcode`` yet; None where there is none.

    Looked for in ``output`` (what ``infer`` and CodeI/O write) and the usual other names, then in
    the last message of ``messages`` if an assistant wrote it, then in ``choices``.
    """
    for name in ANSWER_FIELDS:
        if isinstance(value.get(name), str):
            return str(value[name])
    messages = value.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        last = messages[-1]
        if last.get("role") == "assistant" and isinstance(last.get("content"), str):
            return str(last["content"])
    match value.get("choices"):
        case [{"message": {"content": str(text)}}, *_]:
            return text
    return None


def parse_transformed(
    text: str, *, entry_point: str = "main_solution", generator: str = "input_generator"
) -> TransformedFunction:
    """The four sections of an answer, in whatever order and under whichever usual heading.

    Where a heading comes twice, the last one with something under it counts: models draft. Code
    may also be recognized by what it defines. Raises ``BadRecord``, naming what is missing.
    """
    blocks_by_section = _sections(_lines_of_answer(text))
    code = _code(blocks_by_section.get("code", []), defines=entry_point)
    drawing = _code(blocks_by_section.get("generator", []), defines=generator)
    loose = [
        block.text
        for blocks in blocks_by_section.values()
        for block in blocks
        if block.info is not None
    ]
    code = code or _last_defining(loose, entry_point)
    drawing = drawing or _last_defining(loose, generator)
    found: dict[Section, str] = {
        "code": code,
        "requirements": _prose(blocks_by_section.get("requirements", [])),
        "generator": drawing,
        "problem": _prose(blocks_by_section.get("problem", [])),
    }
    _check_complete(found)
    return TransformedFunction(
        code=code,
        requirements=found["requirements"],
        generator=drawing,
        problem=found["problem"],
    )


def _check_complete(found: Mapping[Section, str]) -> None:
    missing = ", ".join(_NAMES[name] for name, content in found.items() if not content)
    present = ", ".join(_NAMES[name] for name, content in found.items() if content)
    if missing:
        raise BadRecord(
            f"the answer has no usable section {missing} (it has: {present or 'none'})",
            reason="missing_section",
        )


def _lines_of_answer(text: str) -> Sequence[str]:
    """Lines, without a reasoning model's thoughts and without a fence around everything."""
    # Not splitlines(), which would also split at characters that may stand in a string of code.
    lines = _THOUGHT.sub("", text).strip().replace("\r\n", "\n").split("\n")
    opening = _FENCE.fullmatch(lines[0])
    if opening is not None and opening["info"].strip().lower() in _WRAPPERS:
        lines = lines[1:]
        closing = _FENCE.fullmatch(lines[-1]) if lines else None
        # Its own end, unless that end closes the last block of code.
        if closing is not None and sum(_FENCE.fullmatch(line) is not None for line in lines) % 2:
            lines = lines[:-1]
    return lines


def _sections(lines: Sequence[str]) -> dict[Section | None, list[_Block]]:
    """Blocks under each heading; under None what comes before the first."""
    found: dict[Section | None, list[_Block]] = {}
    section: Section | None = None
    fresh: list[_Block] = []
    for piece in _pieces(lines):
        if isinstance(piece, _Block):
            fresh.append(piece)
            continue
        if piece.section == section:
            # Within a section its title again is a comment in code without a fence.
            fresh.append(_Block(piece.line, None))
            continue
        if any(block.text.strip() for block in fresh) or section not in found:
            found[section] = fresh
        section, fresh = piece.section, []
    if any(block.text.strip() for block in fresh) or section not in found:
        found[section] = fresh
    return found


def _pieces(lines: Sequence[str]) -> Iterator[_Block | _Heading]:
    """Headings and what is between them; a line of code never is a heading."""
    prose: list[str] = []
    fence: re.Match[str] | None = None
    inside: list[str] = []
    for line in lines:
        mark = _FENCE.fullmatch(line)
        if fence is not None:
            if mark is not None and _closes(mark, fence):
                text = "\n".join(inside)
                if fence["indent"]:
                    text = textwrap.dedent(text)
                yield _Block(text, fence["info"].strip().lower())
                fence, inside = None, []
            else:
                inside.append(line)
        elif mark is not None:
            yield _Block("\n".join(prose), None)
            fence, prose = mark, []
        elif (title := _title(line)) is not None:
            yield _Block("\n".join(prose), None)
            prose = []
            yield _Heading(title, line)
        else:
            prose.append(line)
    if fence is not None:
        raise BadRecord(
            "the answer ends within a block of code: it was cut off", reason="truncated_answer"
        )
    yield _Block("\n".join(prose), None)


def _closes(mark: re.Match[str], fence: re.Match[str]) -> bool:
    return (
        not mark["info"].strip()
        and mark["mark"][0] == fence["mark"][0]
        and len(mark["mark"]) >= len(fence["mark"])
    )


def _title(line: str) -> Section | None:
    heading = _HEADING.fullmatch(line) if len(line) <= _HEADING_CHARS_MAX else None
    if heading is None:
        return None
    words = re.sub(r"[/&,-]", " ", heading["title"].lower()).split()
    return _TITLES.get(" ".join(words))


def _code(blocks: Sequence[_Block], *, defines: str) -> str:
    """Fenced code up to and with the last block that defines the name; else bare code."""
    fenced = [block.text for block in blocks if block.info is not None]
    last = max((n for n, text in enumerate(fenced) if _defines(text, defines)), default=-1)
    if last >= 0:
        return "\n\n".join(fenced[: last + 1]).strip("\n")
    if fenced:
        return fenced[0].strip("\n")
    bare = "\n".join(block.text for block in blocks)
    return bare.strip("\n") if _defines(bare, defines) else ""


def _last_defining(texts: Sequence[str], name: str) -> str:
    return next((text.strip("\n") for text in reversed(texts) if _defines(text, name)), "")


def _defines(text: str, name: str) -> bool:
    return re.search(rf"^(?:async\s+)?def\s+{re.escape(name)}\s*\(", text, re.MULTILINE) is not None


def _prose(blocks: Sequence[_Block]) -> str:
    """The section's text; a block that is all of it loses its fence, others keep theirs."""
    filled = [block for block in blocks if block.text.strip()]
    if len(filled) == 1:
        return filled[0].text.strip()
    parts = [
        block.text if block.info is None else f"```{block.info}\n{block.text}\n```"
        for block in filled
    ]
    return "\n".join(parts).strip()
