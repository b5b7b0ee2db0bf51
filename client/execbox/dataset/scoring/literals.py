"""Reading Python literals without evaluating anything, for texts that models and sandboxes wrote.

Python's own parser reads them, so that what is a literal is what Python says. It is given no text
before each of its tokens was looked at here, in linear time: a literal has no operators but the
signs of numbers, few names, and nests no deeper than ``DEPTH_MAX``. Without that, nesting and long
chains can exhaust the parser's stack, and operators its memory.
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
LITERAL_CHARS_MAX = 128 * 1024
"""Python's tree of a text is up to 600 times as large as the text."""
_CALL_CHARS_MAX = 2000

Literal: TypeAlias = object
"""None, booleans, numbers, str, bytes, and lists, tuples, dicts, sets and frozensets of these."""

# Atomic groups where a part of a repeated group can fail after it took something: of possessive
# ones, Python before 3.11.5 keeps what that part took (github.com/python/cpython/issues/106052).
_TOKEN = re.compile(
    r"""(?P<space>(?:[ \t\f\r\n]|\\\n|\#[^\n]*+)++)
    | (?P<string>(?>(?:[bB][rR]|[rR]?[bB]|[rRuU])?)(?:
        '''(?>(?:[^\\']++|\\.|'(?!''))*)'''
        |\"\"\"(?>(?:[^\\"]++|\\.|"(?!""))*)\"\"\"
        |'(?:[^'\\\n]|\\.)*+'|"(?:[^"\\\n]|\\.)*+"))
    | (?P<factory>\bdefaultdict\([ ]?(?:<[^<>\n]{1,200}>|[A-Za-z_][\w.]{0,200}(?=[,)])))
    | (?P<number>(?:\d|\.\d)(?:[eE][-+]|[\w.])*+)
    | (?P<name>[A-Za-z_]\w*+)
    | (?P<open>[(\[{])
    | (?P<close>[)\]}])
    | (?P<mark>[,:])
    | (?P<sign>[-+])""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_CONSTANTS: Final[dict[str, float]] = {"inf": math.inf, "nan": math.nan}
# How their repr reads; all three equal a dict with the same members, so they are read as one.
_DICTS = frozenset({"Counter", "OrderedDict", "defaultdict"})
_SETS = frozenset({"set", "frozenset"})
_NAMES = frozenset({"None", "True", "False", *_CONSTANTS, *_DICTS, *_SETS})

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
    source = _of_literal_tokens(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(f"({source}\n)", mode="eval")
        return _value(tree.body)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise NotALiteral(f"not a literal: {error}"[:200]) from error


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


def _of_literal_tokens(text: str) -> str:
    """``text`` with nothing but the tokens of a literal, the factory of a defaultdict left out.

    What the tokens say together is left to Python's parser; that they are few kinds, and nest
    little, is what makes it safe to ask.
    """
    pieces: list[str] = []
    depth, place, before = 0, 0, "open"
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise NotALiteral(f"no literal at character {place}")
        kind, token = match.lastgroup, match.group()
        depth += {"open": 1, "factory": 1, "close": -1}.get(kind, 0)
        if not 0 <= depth <= DEPTH_MAX:
            raise NotALiteral(f"nested deeper than {DEPTH_MAX}, or closed before it was opened")
        if kind == "name" and token not in _NAMES:
            raise NotALiteral(f"the name {token[:60]} at character {place}")
        if kind == "sign" and before not in ("open", "factory", "mark"):
            raise NotALiteral(f"an operator at character {place}")
        pieces.append("defaultdict(None" if kind == "factory" else token)
        place = match.end()
        before = before if kind == "space" else kind
    if depth or not "".join(pieces).strip():
        raise NotALiteral("nothing, or something that is not closed")
    return "".join(pieces)


def _value(node: ast.expr) -> Literal:
    match node:
        case ast.Constant(value=value) if not isinstance(value, complex):
            return value
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.Set(elts=items):
            return {_hashable(_value(item)) for item in items}
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return {_hashable(_value(key)): _value(item) for key, item in pairs if key is not None}
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            return _signed(_value(operand), is_minus=isinstance(sign, ast.USub))
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _built(name, [_value(argument) for argument in arguments])
    raise ValueError(f"a {type(node).__name__} is none")


def _hashable(value: Literal) -> Hashable:
    hash(value)
    assert isinstance(value, Hashable)  # noqa: S101 - hash() has just shown it
    return value


def _signed(value: Literal, *, is_minus: bool) -> Literal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a sign before what is no number")
    return -value if is_minus else value


def _built(name: str, arguments: list[Literal]) -> Literal:
    if name == "defaultdict":
        arguments = arguments[1:]
    if len(arguments) > 1 or name not in _DICTS | _SETS:
        raise TypeError(f"a {name} that cannot be")
    argument = arguments[0] if arguments else ()
    if name in _DICTS:
        return dict(argument)  # type: ignore[call-overload]
    return (set if name == "set" else frozenset)(argument)  # type: ignore[call-overload]


def _has_no_nan(value: Literal) -> bool:
    if isinstance(value, float):
        return not math.isnan(value)
    if isinstance(value, dict):
        return all(_has_no_nan(key) and _has_no_nan(member) for key, member in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_has_no_nan, value))
    return True
