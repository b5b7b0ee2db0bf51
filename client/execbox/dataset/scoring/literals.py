"""Reading Python literals without evaluating anything, for texts that models and sandboxes wrote.

``ast.literal_eval`` would do, but nesting and long chains can exhaust the C stack under it; this
reader takes values only, in time linear in the text, and nests no deeper than ``DEPTH_MAX``.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Hashable
from typing import Final, TypeAlias

__all__ = [
    "DEPTH_MAX",
    "LITERAL_CHARS_MAX",
    "Literal",
    "NotALiteral",
    "equal",
    "is_plain_call",
    "parse_literal",
]

DEPTH_MAX = 64
LITERAL_CHARS_MAX = 1024 * 1024
_CALL_CHARS_MAX = 2000

Literal: TypeAlias = object
"""None, booleans, numbers, str, bytes, and lists, tuples, dicts, sets and frozensets of these."""

_SPACE = re.compile(r"(?:\s|\\\n|#[^\n]*)*")
_STRING = re.compile(
    r"(?P<prefix>[rR]?[bB]|[bB][rR]|[rRuU])?"
    r"(?:'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\"|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")",
    re.DOTALL,
)
_NUMBER = re.compile(
    r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+"
    r"|(?:\d[\d_]*\.?(?:\d[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?"
)
_NAME = re.compile(r"[A-Za-z_]\w*")
_FACTORY = re.compile(r"<[^<>\n]{1,200}>|[A-Za-z_][\w.]{0,200}")
_CONSTANTS: Final[dict[str, Literal]] = {
    "None": None,
    "True": True,
    "False": False,
    "inf": math.inf,
    "nan": math.nan,
}
# How their repr reads; all three equal a dict with the same members, so they are read as one.
_DICTS = frozenset({"Counter", "OrderedDict", "defaultdict"})
_SETS = frozenset({"set", "frozenset"})

_PLAIN_NODES = (
    *(ast.Expression, ast.Call, ast.keyword, ast.Starred, ast.Constant, ast.Name, ast.Load),
    *(ast.Store, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.UnaryOp, ast.BinOp, ast.BoolOp),
    *(ast.Compare, ast.IfExp, ast.Subscript, ast.Slice, ast.Attribute, ast.Lambda, ast.arguments),
    *(ast.arg, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.JoinedStr, ast.FormattedValue),
)
_PLAIN_BUILTINS = frozenset(
    (
        *("abs", "all", "any", "ascii", "bin", "bool", "bytearray", "bytes", "chr", "complex"),
        *("dict", "divmod", "enumerate", "filter", "float", "frozenset", "hash", "hex", "int"),
        *("iter", "len", "list", "map", "max", "min", "next", "oct", "ord", "pow", "range"),
        *("repr", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip"),
    )
)


class NotALiteral(ValueError):
    """The text is no literal, or one that is too deep or too long."""


def parse_literal(text: str) -> Literal:
    """The value of a Python literal, as ``repr`` or a person writes it.

    Also read: ``set()``, ``frozenset({...})``, and the reprs of Counter, OrderedDict and
    defaultdict, as plain dicts. Raises ``NotALiteral`` for everything else, calls and names
    included.
    """
    if len(text) > LITERAL_CHARS_MAX:
        raise NotALiteral(f"longer than {LITERAL_CHARS_MAX} characters")
    reader = _Reader(text)
    value = reader.value(0, bare_tuple=True)
    reader.end()
    return value


def equal(left: Literal, right: Literal) -> bool:
    """Whether Python calls two literals equal, NaN being equal to nothing, itself included.

    ``1 == 1.0 == True``, as in an ``assert``; lists never equal tuples, text never equals bytes.
    """
    return _has_no_nan(left) and left == right


def is_plain_call(text: str, *, name: str) -> bool:
    """Whether ``text`` is one call ``name(...)`` whose arguments can compute, and nothing else.

    They may use literals, operators, comprehensions, lambdas, methods and harmless builtins;
    nothing that rebinds a name, makes a class, imports, or reaches behind an object through an
    underscore. For arguments that are no data, such as lambdas.
    """
    if len(text) > _CALL_CHARS_MAX:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    call = tree.body
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        return False
    nodes = [node for node in ast.walk(tree) if node is not call.func]
    bound = {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    permitted = (_PLAIN_BUILTINS | bound) - {name}
    return call.func.id == name and all(_is_plain(node, permitted) for node in nodes)


def _is_plain(node: ast.AST, permitted: frozenset[str]) -> bool:
    if isinstance(node, ast.Name):
        return isinstance(node.ctx, ast.Store) or node.id in permitted
    if isinstance(node, ast.Attribute):
        # format and format_map read attributes that are named in their text.
        return not node.attr.startswith("_") and node.attr not in ("format", "format_map")
    return isinstance(node, _PLAIN_NODES)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._skip_space()

    def value(self, depth: int, *, bare_tuple: bool = False) -> Literal:
        if depth > DEPTH_MAX:
            raise NotALiteral(f"nested deeper than {DEPTH_MAX}")
        value = self._single(depth)
        if bare_tuple and self._peek() == ",":
            return (value, *self._items(depth, "", after_first=True))
        return value

    def end(self) -> None:
        if self._at != len(self._text):
            raise self._problem("something follows")

    def _single(self, depth: int) -> Literal:
        character = self._peek()
        if character == "[":
            self._take("[")
            return self._items(depth, "]")
        if character == "(":
            return self._parenthesis(depth)
        if character == "{":
            return self._braces(depth)
        if character in "+-":
            return self._signed()
        if _STRING.match(self._text, self._at):
            return self._strings()
        if character.isdecimal() or character == ".":
            return self._number()
        return self._named(depth)

    def _items(self, depth: int, closing: str, *, after_first: bool = False) -> list[Literal]:
        items: list[Literal] = []
        while True:
            if items or after_first:
                if self._peek() != ",":
                    break
                self._take(",")
            if self._peek() == closing:
                break
            items.append(self.value(depth + 1))
        self._take(closing)
        return items

    def _parenthesis(self, depth: int) -> Literal:
        self._take("(")
        if self._peek() == ")":
            self._take(")")
            return ()
        first = self.value(depth + 1)
        if self._peek() == ",":
            return (first, *self._items(depth, ")", after_first=True))
        self._take(")")
        return first

    def _braces(self, depth: int) -> Literal:
        self._take("{")
        if self._peek() == "}":
            self._take("}")
            return {}
        first = self.value(depth + 1)
        if self._peek() != ":":
            return {
                self._hashable(item) for item in [first, *self._items(depth, "}", after_first=True)]
            }
        members: dict[Hashable, Literal] = {}
        key = first
        while True:
            self._take(":")
            members[self._hashable(key)] = self.value(depth + 1)
            if self._peek() == ",":
                self._take(",")
            elif self._peek() != "}":
                raise self._problem("a comma is missing")
            if self._peek() == "}":
                self._take("}")
                return members
            key = self.value(depth + 1)

    def _hashable(self, value: Literal) -> Hashable:
        try:
            hash(value)
        except TypeError as error:
            raise self._problem("a key or set member that cannot be one") from error
        assert isinstance(value, Hashable)  # noqa: S101 - hash() has just shown it
        return value

    def _signed(self) -> Literal:
        sign = -1 if self._peek() == "-" else 1
        self._take(self._peek())
        named = _NAME.match(self._text, self._at)
        value = self._named(0) if named else self._number()
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._problem("a sign before what is no number")
        return sign * value

    def _number(self) -> int | float:
        match = _NUMBER.match(self._text, self._at)
        if match is None:
            raise self._problem("no value")
        self._advance(match.end())
        digits = match.group()
        try:
            if digits[:2].lower() in ("0x", "0o", "0b"):
                return int(digits, 0)
            return float(digits) if re.search(r"[.eE]", digits) else int(digits)
        except ValueError as error:
            raise self._problem("a number that cannot be read") from error

    def _strings(self) -> str | bytes:
        parts: list[str | bytes] = []
        while match := _STRING.match(self._text, self._at):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    # One token without structure: nothing in it can nest.
                    parts.append(ast.literal_eval(match.group()))
            except (SyntaxError, ValueError) as error:
                raise self._problem("text that cannot be read") from error
            self._advance(match.end())
        texts = [part for part in parts if isinstance(part, str)]
        datas = [part for part in parts if isinstance(part, bytes)]
        if texts and datas:
            raise self._problem("text next to bytes")
        return b"".join(datas) if datas else "".join(texts)

    def _named(self, depth: int) -> Literal:
        match = _NAME.match(self._text, self._at)
        if match is None:
            raise self._problem("no value")
        name = match.group()
        if name in _CONSTANTS:
            self._advance(match.end())
            return _CONSTANTS[name]
        if name not in _DICTS and name not in _SETS:
            raise self._problem("a name")
        self._advance(match.end())
        self._take("(")
        if name == "defaultdict":
            factory = _FACTORY.match(self._text, self._at)
            if factory is None:
                raise self._problem("a defaultdict without factory")
            self._advance(factory.end())
            if self._peek() == ",":
                self._take(",")
        items = self._items(depth, ")")
        return self._built(name, items)

    def _built(self, name: str, items: list[Literal]) -> Literal:
        try:
            if len(items) > 1:
                raise TypeError
            argument = items[0] if items else ()
            if name in _DICTS:
                return dict(argument)  # type: ignore[call-overload]
            return (set if name == "set" else frozenset)(argument)  # type: ignore[call-overload]
        except (TypeError, ValueError) as error:
            raise self._problem(f"a {name} that cannot be") from error

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, character: str) -> None:
        if self._peek() != character:
            raise self._problem(f"{character!r} is missing")
        self._advance(self._at + len(character))

    def _advance(self, to: int) -> None:
        self._at = to
        self._skip_space()

    def _skip_space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _problem(self, what: str) -> NotALiteral:
        return NotALiteral(f"{what} at character {self._at}")


def _has_no_nan(value: Literal) -> bool:
    if isinstance(value, float):
        return not math.isnan(value)
    if isinstance(value, dict):
        return all(_has_no_nan(key) and _has_no_nan(member) for key, member in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_has_no_nan, value))
    return True
