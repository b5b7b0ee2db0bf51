"""Taking CRUXEval predictions out of what chat models write; a bare prediction stays as it is.

Read are the benchmark's ``[ANSWER]`` tags, fenced blocks, an ``assert`` that was completed, and
code in backticks. Nothing is evaluated; judging is in ``cruxeval_judging``.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

__all__ = ["Mode", "fits_other_mode", "prediction_of"]

Mode: TypeAlias = Literal["input", "output"]

_PARSED_CHARS_MAX = 20_000
_ASSERTION_LINES_MAX = 100
_THOUGHT_NAMES = "think(?:ing)?|thoughts?|reason(?:ing)?|scratch_?pad|reflection|analysis"
# One that opens in the middle of a line may be in a string.
_THOUGHT_TAG = re.compile(
    rf"(?P<opening>^[ \t]*<(?:{_THOUGHT_NAMES})>)|</(?:{_THOUGHT_NAMES})>|\[/THOUGHT\]",
    re.IGNORECASE | re.MULTILINE,
)
_TAGGED = re.compile(r"\[ANSWER\](.*?)(?:\[/ANSWER\]|\Z)", re.DOTALL)
_CLOSING_TAG = "[/ANSWER]"
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([^`]*)")
_IN_BACKTICKS = re.compile(r"(?<!`)(`{1,2})(?!`)([^\n]{1,500}?)(?<!`)\1(?!`)")
_ASSERT = re.compile(r"^[ \t]*(?:>>>[ \t]*)?assert\b", re.MULTILINE)
_CALL = re.compile(r"f\s*\(")
_LABEL = re.compile(
    r"\A(?:the\s+)?(?:answer|output|result|value|input)\s*(?:is\b\s*:?|[:=])\s*", re.I
)


def prediction_of(text: str, *, mode: Mode) -> str:
    """The prediction in a generation: the text itself, unless it says where its answer is.

    A text that is an expression is a prediction already, whatever stands in its strings. Of tags,
    blocks and assertions the last counts: models draft. Of an assertion the side that is asked
    for is taken.
    """
    if _is_expression(text):
        return text
    rest = _without_thoughts(text)
    found, is_marked = _marked(rest, mode)
    asserted = _last_assertion(found)
    if asserted is not None:
        return _side(asserted, mode)
    if is_marked:
        return _side(_unlabelled(found), mode)
    return rest.strip() if rest != text and _is_expression(rest) else text


def fits_other_mode(generations: Mapping[str, Sequence[str]], *, mode: Mode) -> Mode | None:
    """The other mode, where most of the predictions have its form and not that of ``mode``.

    An input prediction is a call of ``f``; an output prediction never is one.
    """
    forms = Counter(
        bool(_CALL.match(prediction_of(text, mode=mode).strip()))
        for texts in generations.values()
        for text in texts
    )
    if forms[mode == "output"] * 2 > forms.total():
        return "input" if mode == "output" else "output"
    return None


def _without_thoughts(text: str) -> str:
    """What is not between tags of thoughts, before one that only closes, or behind an open one."""
    kept: list[str] = []
    start, is_open = 0, False
    for tag in _THOUGHT_TAG.finditer(text):
        if tag["opening"] is None:
            if not is_open:
                kept.clear()
            start, is_open = tag.end(), False
        elif not is_open:
            kept.append(text[start : tag.start()])
            is_open = True
    return "".join(kept) if is_open else "".join([*kept, text[start:]])


def _marked(text: str, mode: Mode) -> tuple[str, bool]:
    """The part of a text that is said to be the answer, and whether one is."""
    tagged = [found.strip() for found in _TAGGED.findall(text)]
    # The tag can be the prompt's, which the text then goes on from.
    if not tagged and _CLOSING_TAG in text:
        tagged = [text.partition(_CLOSING_TAG)[0].strip()]
    tagged = [found for found in tagged if found]
    if tagged:
        return _unfenced(tagged[-1]), True
    fenced, rest = _answer_block(text)
    if _ASSERT.search(rest):
        return rest, False
    quoted = [found[1].strip() for found in _IN_BACKTICKS.findall(rest)]
    quoted = [found for found in quoted if _is_expression(found) or _ASSERT.match(found)]
    if fenced and _is_answer(fenced, mode):
        return fenced, True
    if fenced:
        quoted = [found for found in quoted if _is_answer(found, mode)] or [fenced]
    return (quoted[-1], True) if quoted else (text, False)


def _unfenced(text: str) -> str:
    blocks = _blocks(text)
    if blocks:
        return blocks[-1][0]
    quoted = _IN_BACKTICKS.fullmatch(text)
    return quoted[2].strip() if quoted else text


def _answer_block(text: str) -> tuple[str, str]:
    """The last fenced block that says something, else the last, and the text behind it."""
    blocks = _blocks(text)
    if not blocks:
        return "", text
    block, end = next(
        (
            (block, end)
            for block, end in reversed(blocks)
            if _ASSERT.search(block) or _is_expression(_unlabelled(block))
        ),
        blocks[-1],
    )
    return block, "\n".join(text.split("\n")[end:])


def _is_answer(text: str, mode: Mode) -> bool:
    """Whether a text is a literal, or a call of ``f`` where the input is asked for."""
    side = _side(_last_assertion(text) or _unlabelled(text), mode)
    if mode == "input":
        return _CALL.match(side) is not None
    try:
        ast.literal_eval(side.strip())
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return False
    return True


def _unlabelled(text: str) -> str:
    return _LABEL.sub("", text.strip())


def _blocks(text: str) -> Sequence[tuple[str, int]]:
    """Every fenced block that is closed and not empty, and the number of the line behind it."""
    found: list[tuple[str, int]] = []
    mark, inside = "", list[str]()
    for number, line in enumerate(text.split("\n"), start=1):
        fence = _FENCE.fullmatch(line)
        if not mark and fence is not None:
            mark, inside = fence[1], []
        elif fence is not None and fence[1].startswith(mark) and not fence[2].strip():
            block = "\n".join(inside).strip()
            if block:
                found.append((block, number))
            mark = ""
        else:
            inside.append(line)
    return found


def _last_assertion(text: str) -> str | None:
    """What the last ``assert`` of a text asserts: to its end, or as many lines as make sense."""
    starts = list(_ASSERT.finditer(text))
    if not starts:
        return None
    lines = text[starts[-1].end() :].split("\n")
    for count in range(1, min(len(lines), _ASSERTION_LINES_MAX) + 1):
        candidate = "\n".join(lines[:count]).strip()
        if _is_expression(candidate):
            return candidate
    return lines[0].strip()


def _side(expression: str, mode: Mode) -> str:
    """Of an equation with a call of ``f`` on one side, the side that is asked for."""
    tree = _parsed(expression)
    if isinstance(tree, ast.Tuple) and len(tree.elts) > 1 and isinstance(tree.elts[0], ast.Compare):
        tree = tree.elts[0]  # An assertion with its message.
    match tree:
        case ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[right]):
            sides = [ast.get_source_segment(expression, node) or "" for node in (left, right)]
            if _is_call_of_f(right) and not _is_call_of_f(left):
                sides.reverse()
            elif not _is_call_of_f(left):
                return expression
            return sides[0] if mode == "input" else sides[1]
        case None if _CALL.match(expression) and "==" in expression:
            # No Python, such as a repr of an object; the benchmark's own way to cut it.
            call, _, value = expression.partition("==")
            return call.strip() if mode == "input" else value.strip()
    return expression


def _is_call_of_f(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "f"


def _is_expression(text: str) -> bool:
    return _parsed(text) is not None


def _parsed(text: str) -> ast.expr | None:
    if len(text) > _PARSED_CHARS_MAX:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
