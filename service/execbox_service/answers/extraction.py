"""The answer in a model's text: which of the places that may hold it counts, or what is missing.

Pure. Where a text may have its answer is found by ``candidates``, thoughts are taken away by
``thoughts``; the rules, and what each of them is for, are in ``docs/verify.md``. The paper's own
rule is in ``paper_rule``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from execbox.wire import JSON_DEPTH_MAX, Extraction
from execbox_service.answers.candidates import Candidate, Kind, Tier, candidates, own_key
from execbox_service.answers.large_values import TooDeep, shortened, without_marks
from execbox_service.answers.literals import Allowance, Broken, SearchTooLong, read_literal
from execbox_service.answers.marked_values import marked_value
from execbox_service.answers.paper_rule import NOT_FOUND, by_the_paper
from execbox_service.answers.thoughts import said

__all__ = ["READ_CHARS_MAX", "SEARCHED_CHARS_MAX", "Answer", "NoAnswer", "extract"]

JSON: TypeAlias = Any

READ_CHARS_MAX: Final = 1024 * 1024 + 128 * 1024
"""Only so much of the end of a text is looked at: the answer is the last thing a model writes."""
SEARCHED_CHARS_MAX: Final = 128 * 1024
"""And so much of what is left of it, when its large values are a few characters each."""

_UNITS_MIN = 13_000
_CHARS_PER_UNIT = 16
"""Of a longer text, which may hold thousands of items in Python's spelling, a unit more each."""
_ENTITIES = (
    *(("&quot;", '"'), ("&#34;", '"'), ("&#x22;", '"'), ("&apos;", "'"), ("&#39;", "'")),
    *(("&#x27;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&nbsp;", " "), ("&amp;", "&")),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model answered: bare, no longer inside ``{"input": …}`` or ``{"output": …}``."""

    value: JSON


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """There is none; ``reason`` continues the sentence "No answer was found: "."""

    reason: str


def extract(response: str, *, kind: Kind, rule: Extraction = "tolerant") -> Answer | NoAnswer:
    """The answer in ``response``; never raises, and in bounded time whatever the text is."""
    read = shortened(response[-READ_CHARS_MAX:])
    text = read.text[-SEARCHED_CHARS_MAX:]
    if not text.strip():
        return NoAnswer("the response is empty")
    try:
        found = _strict(text, kind=kind) if rule == "strict" else _tolerant(text, kind=kind)
        if isinstance(found, Answer):
            return Answer(read.restored(found.value))
        return NoAnswer(without_marks(found.reason))
    except SearchTooLong:
        return NoAnswer("the response holds too much that looks like JSON to tell the answer")
    except TooDeep:
        return NoAnswer(f"the answer nests deeper than {JSON_DEPTH_MAX} levels")


def _strict(text: str, *, kind: Kind) -> Answer | NoAnswer:
    value = by_the_paper(text, kind=kind)
    if value is NOT_FOUND:
        return NoAnswer(f'the response has no JSON object with the key "{kind}"')
    return Answer(value)


def _tolerant(text: str, *, kind: Kind) -> Answer | NoAnswer:
    allowance = Allowance(_UNITS_MIN + len(text) // _CHARS_PER_UNIT)
    visible = said(text, allowance=allowance)
    if not visible.strip():
        return NoAnswer("nothing stands outside the reasoning of the response")
    found = _find(visible, kind=kind, allowance=allowance)
    for plain in _other_spellings(visible):
        if found is not None and found.reason is None and found.tier is Tier.ANSWER:
            break
        again = _find(plain, kind=kind, allowance=allowance)
        found = min((each for each in (found, again) if each), key=_worth, default=None)
    if found is None:
        return NoAnswer(_nothing(visible))
    if found.reason is not None:
        return NoAnswer(found.reason)
    return Answer(_unwrapped(found.value, kind))


def _worth(found: Candidate) -> tuple[bool, Tier]:
    return found.reason is not None, found.tier


def _other_spellings(text: str) -> list[str]:
    """The same text with braces as LaTeX has them, or quotes as HTML has them, made plain."""
    spellings = []
    if "\\{" in text:
        spellings.append(text.replace("\\{", "{").replace("\\}", "}"))
    if any(entity in text for entity, _ in _ENTITIES[:8]):
        for entity, character in _ENTITIES:
            text = text.replace(entity, character)
        spellings.append(text)
    return spellings


def _find(text: str, *, kind: Kind, allowance: Allowance) -> Candidate | None:
    whole = _whole(text, allowance)
    if whole is not None:
        return whole
    found = candidates(text, kind=kind, allowance=allowance)
    best = min(found, key=lambda each: (each.tier, -each.start), default=None)
    keyed = [
        each
        for each in found
        if each.tier is Tier.ANSWER and each.reason is None and own_key(each.value, kind)
    ]
    if best is None or best.reason is not None or not keyed or own_key(best.value, kind):
        return best
    last = max(keyed, key=lambda each: each.start)
    return last if _restates(best, last, kind=kind, allowance=allowance) else best


def _restates(best: Candidate, keyed: Candidate, *, kind: Kind, allowance: Allowance) -> bool:
    """Whether ``best``, bare, repeats the answer of ``keyed`` or, after an input, its output."""
    if kind == "input":
        return not isinstance(best.value, dict)
    text = _unwrapped(keyed.value, kind)
    if not isinstance(text, str) or isinstance(best.value, str):
        return False
    if len(text) > best.end - best.start:
        return False
    # Not compared as text: the string "a" is in every "Final answer: 5".
    value = marked_value(text, allowance=allowance, words=False)
    return type(value) is type(best.value) and bool(value == best.value)


def _whole(text: str, allowance: Allowance) -> Candidate | None:
    """The text where it is an array or a scalar and nothing more; objects are candidates."""
    if text.lstrip().startswith("{"):
        # To read a large answer twice would use up the allowance.
        return None
    try:
        completed = read_literal(text, 0, allowance=allowance)
    except Broken:
        return None
    if text[completed.end :].strip() or isinstance(completed.value, dict):
        return None
    return Candidate(0, len(text), Tier.ANSWER, completed.value)


def _unwrapped(value: JSON, kind: Kind) -> JSON:
    key = own_key(value, kind)
    if key is not None:
        return value[key]
    if kind == "output" and isinstance(value, dict) and len(value) == 1:
        only = next(iter(value))
        if only.lower() in ("answer", "final_answer", "final answer"):
            return value[only]
    return value


def _nothing(text: str) -> str:
    if "{" not in text:
        return "the response holds no JSON object, no fenced JSON block and no \\boxed{}"
    return "the response has braces, but no valid JSON object between them"
