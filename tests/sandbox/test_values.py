"""Values on their way out: what becomes which JSON, what is refused, what is flagged."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from harness.bench import Bench

from execbox.wire import Execution, Status

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

BIG = 10**4300 - 1


async def returned(bench: Bench, expression: str, *, setup: str = "", **fields: Any) -> Execution:
    """The execution of a function that returns one expression."""
    code = f"{setup}\ndef main_solution():\n    return {expression}\n"
    return await bench.call(code, isolation="process", **fields)


def same(left: object, right: object) -> bool:
    """Equal, and of the same types all the way down: 1 is not True, nor 1.0."""
    return repr(left) == repr(right)


@pytest.mark.parametrize(
    ("expression", "output"),
    [
        ("[True, 1, 1.0, '1', None, False, 0]", [True, 1, 1.0, "1", None, False, 0]),
        ("(1, (2, ()), [])", [1, [2, []], []]),
        ("{1: 'a', True and 2: 'b'}", {"1": "a", "2": "b"}),
        ("{None: 1, True: 2, 1.5: 3, -0.0: 4}", {"null": 1, "true": 2, "1.5": 3, "-0.0": 4}),
        ("{'b': 1, 'a': 2}", {"b": 1, "a": 2}),
        ("-0.0", -0.0),
        ("[0.1 + 0.2, 5e-324, 1.7976931348623157e308, 1e16, 1e22]",
         [0.1 + 0.2, 5e-324, 1.7976931348623157e308, 1e16, 1e22]),
        ("10**4300 - 1", BIG),
        ("-(10**4300 - 1)", -BIG),
        ("[10**4300 - 1, 1]", [BIG, 1]),
        ("{10**4300 - 1: 0}", {repr(BIG): 0}),
        ("['e\\u0301', '\\u00e9', '\\x00', '\\u2028', '\\ufeff', '\\U0001f600', '\\\\', '\"']",
         ["e\u0301", "\u00e9", "\x00", "\u2028", "\ufeff", "\U0001f600", "\\", '"']),
        ("'\\x7f\\x1f</script>'", "\x7f\x1f</script>"),
        ("Color.RED", 3),
        ("[Color.RED, Name('n'), Real(2.5), Pair(1, 2)]", [3, "n", 2.5, [1, 2]]),
        ("collections.OrderedDict(a=1)", {"a": 1}),
        ("collections.Counter('aab')", {"a": 2, "b": 1}),
        ("collections.defaultdict(int, a=1)", {"a": 1}),
        ("[]", []),
        ("''", ""),
        ("None", None),
    ],
)  # fmt: skip
async def test_value_of_json_kind_comes_back_exactly(
    bench: Bench, expression: str, output: object
) -> None:
    """Types, order, signs, big integers and characters survive; tuples and keys as documented."""
    setup = (
        "import collections, enum\nclass Color(enum.IntEnum):\n    RED = 3\n"
        "class Name(str): pass\nclass Real(float): pass\n"
        "class Pair(collections.namedtuple('Pair', 'x y')): pass\n"
    )
    ended = await returned(bench, expression, setup=setup)
    assert ended.status is Status.OK, ended.error
    assert same(ended.output, output)
    assert ended.output_flags == []


@pytest.mark.parametrize("literal", ["0.1", "1/3", "2**0.5", "1e-7", "123456789.123456789", "1e23"])
async def test_value_of_float_keeps_every_bit(bench: Bench, literal: str) -> None:
    """A float is the same 64 bits on both sides."""
    ended = await returned(bench, literal)
    expected = eval(literal)  # one of the literals above
    assert struct.pack("d", ended.output) == struct.pack("d", expected)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("10**4300", "4300 digits"),
        ("-10**4300", "4300 digits"),
        ("[1, 10**4300]", "4300 digits"),
        ("{10**4300: 1}", "4300 digits"),
        ("{1: 'a', '1': 'b'}", "same JSON key '1'"),
        ("{True: 1, 'true': 2}", "same JSON key 'true'"),
        ("{None: 1, 'null': 2}", "same JSON key 'null'"),
        ("'\\ud800'", "lone surrogate"),
        ("{'\\udfff': 1}", "lone surrogate"),
        ("{(1, 2): 3}", "key of type tuple"),
        ("{b'k': 3}", "key of type bytes"),
        ("{1, 2}", "type set"),
        ("[frozenset()]", "type frozenset"),
        ("b'x'", "type bytes"),
        ("decimal.Decimal('1.10')", "type Decimal"),
        ("datetime.date(2024, 1, 1)", "type date"),
        ("fractions.Fraction(1, 2)", "type Fraction"),
        ("1j", "type complex"),
        ("range(3)", "type range"),
        ("iter([])", "type list_iterator"),
        ("main_solution", "type function"),
        ("type", "type type"),
        ("numpy.float32(1.5)", "type float32"),
        ("numpy.arange(3)", "type ndarray"),
        ("numpy.int64(3)", "type int64"),
        ("Liar()", "type Liar"),
        ("Fake()", "type Fake"),
    ],
)
async def test_value_without_exact_json_is_refused_with_the_reason(
    bench: Bench, expression: str, why: str
) -> None:
    """Nothing is rounded, dropped or turned into text on the way: it is refused, saying why."""
    setup = (
        "import datetime, decimal, fractions, numpy\n"
        "class Liar:\n    __class__ = property(lambda self: int)\n"
        "    __eq__ = lambda self, other: True\n    __hash__ = None\n"
        "class Meta(type):\n    __name__ = 'dict'\n    __instancecheck__ = lambda *a: True\n"
        "class Fake(metaclass=Meta): pass\n"
    )
    ended = await returned(bench, expression, setup=setup)
    assert ended.status is Status.UNSERIALIZABLE
    assert ended.error is not None
    assert why in ended.error.message


@pytest.mark.parametrize(
    ("wrap", "unwrap"), [("[{}]", "[0]"), ("{{'a': {}}}", "['a']"), ("({},)", "[0]")]
)
@pytest.mark.parametrize(("depth", "fits"), [(63, True), (64, True), (65, False)])
async def test_value_may_nest_as_deep_as_a_request(
    bench: Bench, wrap: str, unwrap: str, depth: int, fits: bool
) -> None:
    """64 levels are fine in arrays and objects alike, 65 are refused."""
    setup = (
        f"def nest():\n    value = {wrap.format('')!s}\n".replace("{'a': }", "{}").replace(
            "(,)", "()"
        )
        + f"    for _ in range({depth - 1}): value = {wrap.format('value')}\n    return value\n"
    )
    ended = await returned(bench, "nest()", setup=setup)
    if not fits:
        assert ended.status is Status.UNSERIALIZABLE
        assert ended.error is not None
        assert "64 levels" in ended.error.message
        return
    assert ended.status is Status.OK
    value, found = ended.output, 1
    while value:
        value = value["a" if "a" in unwrap else 0]
        found += 1
    assert found == depth


CYCLES = {
    "list": "loop = []\nloop.append({'a': loop})",
    "dict": "loop = {}\nloop['me'] = loop",
    "tuple": "inner = []\nloop = (inner,)\ninner.append(loop)",
    "twice": "loop = []\nloop += [loop, loop]",
    "tree": "loop = {'kids': [], 'up': None}\nloop['kids'] += [{'up': loop} for _ in range(9)]",
    "late": "loop = [list(range(1000)), 'x' * 1000]\nloop.append(loop)",
}
SIZED: list[dict[str, Any]] = [{}, {"checks": {"complexity": "codeio"}}]


@pytest.mark.parametrize("fields", SIZED, ids=["plain", "size rule"])
@pytest.mark.parametrize("setup", CYCLES.values(), ids=CYCLES)
async def test_value_that_contains_itself_is_refused(
    bench: Bench, setup: str, fields: dict[str, Any]
) -> None:
    """A cycle is refused when it is met, not followed until something runs out."""
    ended = await returned(bench, "loop", setup=setup, **fields)
    assert ended.status is Status.UNSERIALIZABLE
    assert ended.error is not None
    assert "contains itself" in ended.error.message
    assert ended.complexity is None


@pytest.mark.parametrize("fields", SIZED, ids=["plain", "size rule"])
@pytest.mark.parametrize("convert", ["none", "codeio"])
@pytest.mark.parametrize(("levels", "status"), [(63, "output_too_large"), (70, "unserializable")])
async def test_value_shared_a_thousand_million_times_is_looked_at_once(
    bench: Bench, levels: int, status: str, convert: str, fields: dict[str, Any]
) -> None:
    """2**60 lists that are sixty: copied once each, counted as often as their text has them."""
    setup = f"value = []\nfor _ in range({levels}): value = [value, value]"
    limits = {"cpu_time_s": 1.0, "output_bytes": 2**24}
    ended = await returned(bench, "value", setup=setup, convert=convert, limits=limits, **fields)
    assert ended.status.value == status
    assert ended.usage is not None
    assert ended.usage.cpu_time_s < 0.5


async def test_value_shared_is_written_wherever_it_is(bench: Bench) -> None:
    """One list in three places is three lists in JSON; sharing is no cycle."""
    setup = "row = [1, {'a': [2]}]\nvalue = [row, {'b': row}, (row, row)]"
    ended = await returned(bench, "value", setup=setup)
    row = [1, {"a": [2]}]
    assert (ended.status, ended.output) == (Status.OK, [row, {"b": row}, [row, row]])


@pytest.mark.parametrize(("depth", "fits"), [(63, True), (64, False)])
async def test_value_shared_counts_as_deep_as_it_is_where_it_is_deepest(
    bench: Bench, depth: int, fits: bool
) -> None:
    """Seen first where it would fit, and again where it does not."""
    setup = (
        f"low = [[]]\nhigh = low\nfor _ in range({depth} - 2): high = [high]\nvalue = [low, high]"
    )
    ended = await returned(bench, "value", setup=setup)
    assert ended.status is (Status.OK if fits else Status.UNSERIALIZABLE)


async def test_value_of_sets_in_sets_is_refused_where_they_are_too_deep(bench: Bench) -> None:
    """They become arrays, and are counted as such; two thousand levels are no fault of ours."""
    setup = "value = frozenset()\nfor _ in range(2000): value = frozenset([value])"
    ended = await returned(bench, "value", setup=setup, convert="codeio")
    assert ended.status is Status.UNSERIALIZABLE
    assert ended.error is not None
    assert "64 levels" in ended.error.message


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("numpy.bool_(True)", "type bool (of numpy) has no JSON form; return it as another type"),
        ("{1}", 'ask for convert: "codeio"'),
        ("object()", "type object has no JSON form"),
    ],
)
async def test_value_that_could_be_converted_is_refused_with_the_way_to_do_it(
    bench: Bench, expression: str, says: str
) -> None:
    """numpy's bool is not taken for Python's, and what helps is named where something does."""
    ended = await returned(bench, expression, setup="import numpy")
    assert ended.status is Status.UNSERIALIZABLE
    assert ended.error is not None
    assert says.replace("bool (", "bool_ (") in ended.error.message.replace("bool (", "bool_ (")


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("float('nan')", "NaN"),
        ("[float('inf'), -float('inf'), -0.0, 5e-324]", "[Infinity,-Infinity,-0.0,5e-324]"),
        ("{'a': float('nan'), 'b': (1, 2)}", '{"a":NaN,"b":[1,2]}'),
        ("[1e308, 1e308, float('inf'), float('-inf')]", "[1e+308,1e+308,Infinity,-Infinity]"),
    ],
)
async def test_value_that_is_not_finite_is_flagged_and_carried_as_text(
    bench: Bench, expression: str, text: str
) -> None:
    """NaN and infinities have no JSON: output stays null, the text holds them, a flag says so."""
    ended = await returned(bench, expression)
    assert ended.status is Status.OK
    assert (ended.output, ended.output_text) == (None, text)
    assert ended.output_flags == ["non_finite"]


@pytest.mark.parametrize(
    ("expression", "output"),
    [("{float('nan'): 1}", {"NaN": 1}), ("[1e308, 1e308]", [1e308, 1e308])],
)
async def test_value_that_only_looks_not_finite_is_an_output(
    bench: Bench, expression: str, output: object
) -> None:
    """A key named NaN is text, and finite numbers whose sum is infinite are finite."""
    ended = await returned(bench, expression)
    assert (ended.output, ended.output_flags) == (output, [])


@pytest.mark.parametrize(
    ("expression", "output"),
    [
        ("{3, 1, 2}", [1, 2, 3]),
        ("frozenset({'b', 'a'})", ["a", "b"]),
        ("{1, 'a', None, 2.5}", ["a", 1, 2.5, None]),
        ("b'caf\\xc3\\xa9 \\xff'", "café \\xff"),
        ("bytearray(b'x')", "x"),
        ("decimal.Decimal('1.10')", 1.1),
        ("numpy.float32(1.5)", 1.5),
        ("numpy.int64(3)", 3),
        ("numpy.bool_(True)", True),
        ("numpy.str_('x')", "x"),
        ("numpy.arange(4).reshape(2, 2)", [[0, 1], [2, 3]]),
        ("numpy.array(5)", 5),
        ("[{'k': numpy.array([1.5])}, {2}]", [{"k": [1.5]}, [2]]),
    ],
)
async def test_value_converted_on_request_becomes_json(
    bench: Bench, expression: str, output: object
) -> None:
    """``codeio`` turns sets, bytes, Decimal and numpy values into JSON, in a fixed order."""
    setup = "import decimal, numpy"
    ended = await returned(bench, expression, setup=setup, convert="codeio")
    assert ended.status is Status.OK, ended.error
    assert same(ended.output, output)


@pytest.mark.parametrize(
    "expression",
    [
        "object()",
        "1j",
        "numpy.array([object()])",
        "numpy.datetime64('2020-01-01')",
        "{(1, 2)} and 1j",
        "[decimal.Decimal('sNaN')]",
    ],
)
async def test_value_without_conversion_is_refused_under_conversion(
    bench: Bench, expression: str
) -> None:
    """What the conversion does not cover is refused as without it."""
    setup = "import decimal, numpy"
    ended = await returned(bench, expression, setup=setup, convert="codeio")
    assert ended.status is Status.UNSERIALIZABLE


LYING_SUBCLASSES = """
class D(dict):
    def items(self): return [('a', 1)]
    def __iter__(self): return iter(['a'])
    def keys(self): return ['a']
    def __len__(self): return 99
class L(list):
    def __iter__(self): return iter([1])
    def __len__(self): return 0
class T(tuple):
    def __iter__(self): return iter([1])
class I(int):
    def __repr__(self): return '1],"status":"ok","x":['
    __str__ = __repr__
    def __index__(self): return 5
    def __int__(self): return 6
class F(float):
    def __repr__(self): return 'null'
    def __float__(self): return 0.0
class S(str):
    def __str__(self): return 'other'
    def encode(self, *a): return b'other'
class E(Exception): pass
"""


@pytest.mark.parametrize(
    ("expression", "output"),
    [
        ("D(b=2)", {"b": 2}),
        ("L([9])", [9]),
        ("T((9,))", [9]),
        ("I(7)", 7),
        ("[I(7), I(8)]", [7, 8]),
        ("F(1.5)", 1.5),
        ("S('x')", "x"),
        ("{S('k'): I(1)}", {"k": 1}),
        ("{I(7): F(2.5)}", {"7": 2.5}),
    ],
)
async def test_value_of_a_lying_subclass_is_what_it_holds(
    bench: Bench, expression: str, output: object
) -> None:
    """Subclasses are written by their contents; what their methods say does not matter."""
    ended = await returned(bench, expression, setup=LYING_SUBCLASSES)
    assert ended.status is Status.OK, ended.error
    assert same(ended.output, output)


async def test_value_is_encoded_although_the_code_broke_everything_by_name(bench: Bench) -> None:
    """Replacing builtins, json, math, sys and linecache changes nothing in the answer."""
    code = """
import builtins, gc, json, linecache, math, os, struct, sys
def main_solution(x):
    sys.set_int_max_str_digits(700)
    sys.setrecursionlimit(60)
    for module in (json, json.encoder, json.decoder, math, struct, linecache, gc, os):
        for name in list(vars(module)):
            if not name.startswith("__") and module is not os:
                setattr(module, name, None)
    os.write = os._exit = None
    for name in ("len", "type", "list", "dict", "int", "str", "isinstance", "issubclass", "print",
                 "ValueError", "BaseException", "Exception", "sorted", "map", "set", "tuple",
                 "__import__", "memoryview", "bytes", "sum", "min", "max"):
        setattr(builtins, name, None)
    sys.modules.clear()
    sys.stdout = sys.stderr = None
    return [x, {"k": (1.5, 10 ** 1000)}]
"""
    ended = await bench.call(code, "é", isolation="process")
    assert ended.status is Status.OK, ended
    assert ended.output == ["é", {"k": [1.5, 10**1000]}]


@pytest.mark.parametrize(
    ("body", "argument", "flagged"),
    [
        ("return x", [1, {"a": [2]}], False),
        ("return sorted(x)", [3, 1], False),
        ("x.append(1); x.pop(); return 0", [1], False),
        ("x.sort(); return x", [3, 1], True),
        ("x['a']['b'].append(1); return 0", {"a": {"b": []}}, True),
        ("x['new'] = 1; return 0", {}, True),
        ("x['a'] = x.pop('a'); return 0", {"a": 1, "b": 2}, True),
        ("x[0] = 1.0; return 0", [1], True),
        ("x[0] = True; return 0", [1], True),
        ("x[0] = 0.0; return 0", [-0.0], True),
        ("x[0] = tuple(x[0]); return 0", [[1]], True),
        ("x.append(x); return 0", [1], True),
        ("x = 5; return x", [1], False),
        ("x += '!'; return x", "text", False),
    ],
)
async def test_value_of_changed_arguments_is_flagged(
    bench: Bench, body: str, argument: object, flagged: bool
) -> None:
    """A function that changes its arguments in place is flagged; one that does not is not."""
    code = f"def main_solution(x):\n    {body}\n"
    for call in ({"args": [argument]}, {"kwargs": {"x": argument}}):
        response = await bench.request(code, [call], isolation="process")
        (ended,) = response.executions
        assert ended.status is Status.OK, ended.error
        assert ("mutates_input" in ended.output_flags) is flagged


async def test_value_of_changed_and_non_finite_has_both_flags(bench: Bench) -> None:
    """Flags do not exclude each other."""
    ended = await bench.call(
        "def main_solution(x):\n    x.append(float('nan'))\n    return x", [1], isolation="process"
    )
    assert sorted(ended.output_flags) == ["mutates_input", "non_finite"]


@pytest.mark.parametrize(
    "argument",
    [
        [True, 1, 1.0, "1", -0.0, None, {"a": [[]]}],
        BIG,
        ["\u2028", "\x00", "\U0001f600", "'\"'''\"\"\"\\\n); import os #{}{{}}%s"],
        {"$ref": "#/x", "__class__": {"__init__": 1}, "": {"": ""}, "status": "ok", "output": 5},
        [5e-324, 1e22, 0.1],
    ],
)
async def test_value_of_argument_arrives_and_returns_unchanged(
    bench: Bench, argument: object
) -> None:
    """Arguments are data: they arrive as they are, and come back as they are."""
    ended = await bench.call("def main_solution(x): return x", argument, isolation="process")
    assert ended.status is Status.OK, ended.error
    assert same(ended.output, argument)
    assert ended.output_flags == []
