"""Reading one JSON value or Python literal out of a model's text, from a given position. Pure.

Where in a text to look, and what is the answer, is decided in ``extraction.py``. Strict JSON from
machines is read by ``strict_json``; models also write single and curly quotes, True, None, tuples,
sets, keys without quotes, comments and commas before a closing bracket, and all of that is accepted
here. Nothing is evaluated: the text is taken
apart by one regular expression that cannot backtrack, with a stack of our own for the nesting.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NoReturn, TypeAlias

from execbox.strict_json import DIGITS_MAX as _DIGITS_MAX
from execbox.wire import JSON_DEPTH_MAX

__all__ = ["Allowance", "Broken", "Completed", "SearchTooLong", "read_literal"]

JSON: TypeAlias = Any

_CHARS_PER_UNIT = 64
_UNITS_PER_READING = 4
_EXCERPT_CHARS = 30

# Models also write the spaces of other scripts, and those of no width, between tokens.
_SPACE = r"[\s\x1c-\x1f\x85\u00a0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff]"
_SPACES = re.compile(_SPACE + "*+", re.ASCII)
# Atomic groups where a part of a repeated group can fail after it took something: of possessive
# ones, Python before 3.11.5 keeps what that part took (github.com/python/cpython/issues/106052).
_TOKEN = re.compile(
    rf"(?>(?:{_SPACE}++"
    r"""
      | /\*.*?\*/
      # After a whole number, // may divide by what follows.
      | //(?![ \t]*+[-+\d.(\[])[^\n]*+
      | \#[^\n]*+
    )*)(?:
      (?P<open>[{\[(])
    | (?P<close>[}\])])
    | (?P<mark>[,:])
    | (?P<string>"(?:[^"\\]++|\\.)*+"|'(?:[^'\\]++|\\.)*+'
        |[\u201c\u201d](?:[^\u201c\u201d\\]++|\\.)*+[\u201c\u201d]
        |[\u2018\u2019](?:[^\u2018\u2019\\]++|\\.)*+[\u2018\u2019])
    | (?P<number>[-+\u2212]?+(?:0[xXoObB][0-9a-fA-F_]++
        |(?:[0-9][0-9_]*+\.?+[0-9_]*+|\.[0-9][0-9_]*+)(?>(?:[eE][-+]?+[0-9]++)?))(?![\w.]))
    | (?P<word>[-+]?+[A-Za-z_]\w*+)
    | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(
    r"\\(?:u(?P<u>[0-9a-fA-F]{4})|x(?P<x>[0-9a-fA-F]{2})|U(?P<U>[0-9a-fA-F]{8})"
    r"|(?P<octal>[0-7]{1,3})|(?P<other>.))",
    re.DOTALL,
)
_ESCAPED = dict(zip("abfnrtv\\'\"\n", "\a\b\f\n\r\t\v\\'\"", strict=False)) | {"\n": "", "/": "/"}
_WORDS: Final[dict[str, JSON]] = {
    "true": True,
    "True": True,
    "false": False,
    "False": False,
    "null": None,
    "None": None,
}
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})
_QUOTES = "\"'\u201c\u201d\u2018\u2019"
_CLOSING = {"{": "}", "[": "]", "(": ")"}


class SearchTooLong(Exception):
    """The text holds more that looks like JSON than is worth looking through."""


@dataclass(slots=True)
class Allowance:
    """How much reading one text may cost: a unit is a token, or 64 characters of one."""

    unit_count: int

    def spend(self, chars: int) -> None:
        self.unit_count -= 1 + chars // _CHARS_PER_UNIT
        if self.unit_count < 0:
            raise SearchTooLong


@dataclass(frozen=True, slots=True)
class Completed:
    """A value, and where it begins and ends in the text."""

    start: int
    end: int
    value: JSON


class Broken(Exception):
    """What begins here is no literal.

    ``position`` is where reading stopped; ``truncated`` says that it was the end of the text.
    ``first_key`` is the outermost object's first key if a colon followed it. ``inner`` is the
    last object inside that was complete, ``brace_in_string`` the first opening brace that was
    passed over because it stood inside a string.
    """

    def __init__(self, reason: str, position: int, *, truncated: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position
        self.truncated = truncated
        self.first_key: str | None = None
        self.inner: Completed | None = None
        self.brace_in_string: int | None = None


def read_literal(text: str, start: int, *, allowance: Allowance) -> Completed:
    """The value that begins at ``start``, white space before it aside; text after it is ignored.

    Object keys that are numbers, True or None become strings, and tuples arrays, as Python's json
    module writes them. Raises Broken where there is none, SearchTooLong where ``allowance`` is
    used up; in time linear in what is read.
    """
    reader = _Reader(text, allowance)
    allowance.spend(_UNITS_PER_READING * _CHARS_PER_UNIT)
    try:
        return reader.read(start)
    except Broken as broken:
        broken.inner = reader.inner
        broken.brace_in_string = reader.brace_in_string
        broken.first_key = reader.first_key
        raise


@dataclass(slots=True)
class _Open:
    """An array, object or pair of parentheses that is not closed yet."""

    bracket: str
    start: int
    want: str
    items: list[JSON] = field(default_factory=list)
    members: dict[str, JSON] = field(default_factory=dict)
    key: str | None = None
    key_value: JSON = None
    key_is_name: bool = False
    is_set: bool = False
    comma_count: int = 0

    def value(self) -> JSON:
        if self.bracket == "{":
            return self.items if self.is_set else self.members
        if self.bracket == "(" and len(self.items) == 1 and self.comma_count == 0:
            return self.items[0]
        return self.items


class _Reader:
    """One reading. ``want`` is what may come next: a value, a key, ``:``, or ``,``."""

    def __init__(self, text: str, allowance: Allowance) -> None:
        self._text = text
        self._allowance = allowance
        self._stack: list[_Open] = []
        self.inner: Completed | None = None
        self.brace_in_string: int | None = None
        self.first_key: str | None = None
        self._is_name = False

    def read(self, start: int) -> Completed:
        position = start
        while True:
            match = _TOKEN.match(self._text, position)
            if match is None or match.lastgroup is None:
                raise self._unreadable(position)
            kind = match.lastgroup
            token_start, position = match.span(kind)
            self._allowance.spend(position - match.start())
            done = self._take(kind, match[kind], token_start)
            if done is not None:
                return Completed(done.start, position, done.value)

    def _take(self, kind: str, token: str, start: int) -> Completed | None:
        """Work one token in; the outermost value once it is complete (its end is not known)."""
        match kind:
            case "open":
                self._open(token, start)
                return None
            case "close":
                return self._close(token, start)
            case "mark":
                self._mark(token, start)
                return None
            case "end":
                raise Broken("the text ends before it is complete", start, truncated=True)
        return self._add(self._scalar(kind, token, start), start, is_scalar=True)

    def _open(self, bracket: str, start: int) -> None:
        if self._stack and self._stack[-1].want not in ("value", "value or end"):
            raise self._unexpected(bracket, start)
        if len(self._stack) >= JSON_DEPTH_MAX:
            raise Broken(f"it nests deeper than {JSON_DEPTH_MAX} levels", start)
        want = "key or end" if bracket == "{" else "value or end"
        self._stack.append(_Open(bracket, start, want))

    def _close(self, token: str, start: int) -> Completed | None:
        if not self._stack:
            raise self._unexpected(token, start)
        top = self._stack[-1]
        ends = top.want in ("key or end", "value or end", ",") or self._may_be_set(top)
        if token != _CLOSING[top.bracket] or not ends:
            raise self._unexpected(token, start)
        self._stack.pop()
        if top.want == ":":
            self._begin_set(top, start)
        if top.bracket == "{" and self._stack and not top.is_set:
            self.inner = Completed(top.start, start + 1, top.members)
        return self._add(top.value(), top.start, is_scalar=False)

    def _mark(self, mark: str, start: int) -> None:
        if not self._stack:
            raise self._unexpected(mark, start)
        top = self._stack[-1]
        if mark == "," and self._may_be_set(top):
            self._begin_set(top, start)
        if top.want != mark:
            raise self._unexpected(mark, start)
        if mark == ":":
            top.want = "value"
            if len(self._stack) == 1 and self.first_key is None:
                self.first_key = top.key
        else:
            top.comma_count += 1
            top.want = "key or end" if top.bracket == "{" and not top.is_set else "value or end"

    def _may_be_set(self, top: _Open) -> bool:
        """Whether what was read as a first key can be the first member of a set."""
        return top.bracket == "{" and top.want == ":" and not top.members and len(self._stack) > 1

    def _begin_set(self, top: _Open, start: int) -> None:
        if top.key_is_name:
            raise self._unexpected(top.key or "", start)
        top.is_set, top.want = True, ","
        top.items.append(top.key_value)

    def _add(self, value: JSON, start: int, *, is_scalar: bool) -> Completed | None:
        if not self._stack:
            return Completed(start, start, value)
        top = self._stack[-1]
        if top.want == "key or end":
            if not is_scalar:
                raise Broken("a key must be a string", start)
            top.key, top.key_value = self._key(value, top, start), value
            top.key_is_name = self._is_name
            top.want = ":"
        elif top.want in ("value", "value or end"):
            if top.bracket == "{" and not top.is_set:
                top.members[top.key or ""] = value
            else:
                top.items.append(value)
            top.want = ","
        else:
            raise self._unexpected(self._text[start : start + _EXCERPT_CHARS], start)
        return None

    def _key(self, value: JSON, top: _Open, start: int) -> str:
        key = value if isinstance(value, str) else json.dumps(value)
        if key in top.members:
            raise Broken(f"the key {_excerpt(key)} is given twice in one object", start)
        return key

    def _scalar(self, kind: str, token: str, start: int) -> JSON:
        self._is_name = False
        if kind == "number":
            return _number(token.replace("\u2212", "-"), start)
        if kind == "string":
            if self.brace_in_string is None and "{" in token:
                self.brace_in_string = start + token.index("{")
            return _string(token, start)
        if token in _WORDS:
            return _WORDS[token]
        if self._stack and self._stack[-1].want == "key or end" and token[0] not in "+-":
            self._is_name = True
            return token
        if token.lstrip("+-").lower() in _NOT_FINITE:
            raise Broken(f"{token} is no JSON number", start)
        raise self._unexpected(token, start)

    def _unexpected(self, token: str, start: int) -> Broken:
        return Broken(f"it is no valid JSON at {_excerpt(token)}", start)

    def _unreadable(self, position: int) -> Broken:
        """Neither a token nor the end: a character that begins none, or a string left open."""
        spaces = _SPACES.match(self._text, position)
        position = position if spaces is None else spaces.end()
        rest = self._text[position : position + _EXCERPT_CHARS]
        if not rest:
            return Broken("the text ends before it is complete", position, truncated=True)
        if rest[0] in _QUOTES:
            self._allowance.spend(len(self._text) - position)
            return Broken("the text ends inside a string", position, truncated=True)
        return self._unexpected(rest, position)


def _number(token: str, start: int) -> int | float:
    digits = token.lstrip("+-")
    if len(digits) > _DIGITS_MAX:
        raise Broken(f"a number has more than {_DIGITS_MAX} digits", start)
    try:
        whole = int(token, base=0)
    except ValueError:
        return _real(token, digits, start)
    if abs(whole) >= _first_too_long():
        raise Broken(f"an integer has more than {_DIGITS_MAX} digits", start)
    return whole


def _real(token: str, digits: str, start: int) -> float:
    if not set(digits).intersection(".eE") or digits[:2].lower() == "0x":
        raise Broken(f"{_excerpt(token)} is no JSON number", start)
    try:
        number = float(token)
    except ValueError as error:
        raise Broken(f"{_excerpt(token)} is no JSON number", start) from error
    if math.isinf(number):
        raise Broken(f"the number {_excerpt(token)} is beyond the range of a double", start)
    return number


@cache
def _first_too_long() -> int:
    first: int = 10**_DIGITS_MAX
    return first


def _string(token: str, start: int) -> str:
    body = token[1:-1]
    if "\\" in body:
        body = _ESCAPE.sub(_unescape(token[0], start), body)
    try:
        body.encode("utf-8")
        return body
    except UnicodeEncodeError:
        pass
    try:
        # Two escapes may be the halves of one character.
        return body.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise Broken("a string holds half of a surrogate pair", start) from error


def _unescape(quote: str, start: int) -> Callable[[re.Match[str]], str]:
    def replacement(match: re.Match[str]) -> str:
        code = match["u"] or match["x"] or match["U"]
        if code is not None:
            return _character(int(code, base=16), start)
        if match["octal"] is not None:
            return chr(int(match["octal"], base=8))
        other = match["other"]
        if other in "uxUN":
            _refuse_escape(other, start)
        if other == "/" and quote == "'":
            return "\\/"
        return _ESCAPED.get(other, "\\" + other)

    return replacement


def _character(number: int, start: int) -> str:
    if number > 0x10FFFF:
        _refuse_escape("U", start)
    return chr(number)


def _refuse_escape(letter: str, start: int) -> NoReturn:
    raise Broken(f"a string holds an incomplete escape \\{letter}", start)


def _excerpt(text: str) -> str:
    cut = text if len(text) <= _EXCERPT_CHARS else text[: _EXCERPT_CHARS - 3] + "..."
    return json.dumps(cut, ensure_ascii=False)
