from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox.dataset.scoring.literals import NotALiteral, equal, is_plain_call, parse_literal
from tests.effort import refuse_effort

atoms = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
)
keys = (
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.tuples(st.integers())
)
literals = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.frozensets(keys)
        | st.sets(keys)
    ),
    max_leaves=20,
)


def nested(depth: int) -> object:
    value: object = []
    for _ in range(depth - 1):
        value = [value]
    return value


@given(literals)
def test_whatever_repr_writes_is_read_back(value: object) -> None:
    """Type and value, all the way down."""
    read = parse_literal(repr(value))
    assert read == value
    assert repr(read) == repr(value) or isinstance(value, set | frozenset | dict | list | tuple)
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1, 2", (1, 2)),
        ("(1)", 1),
        ("(1,)", (1,)),
        ("[1, 2,]", [1, 2]),
        ("{'a': 1,}", {"a": 1}),
        ("{1, 2}", {1, 2}),
        ("'a' \"b\"", "ab"),
        ("b'a' b'b'", b"ab"),
        ("r'\\d'", "\\d"),
        ("'''a\nb'''", "a\nb"),
        ("0x1F", 31),
        ("1_000", 1000),
        ("-1.5e-3", -0.0015),
        ("-inf", -math.inf),
        ("set()", set()),
        ("frozenset({1})", frozenset({1})),
        ("Counter({'a': 2})", {"a": 2}),
        ("OrderedDict([('a', 1)])", {"a": 1}),
        ("defaultdict(<class 'list'>, {'a': [1]})", {"a": [1]}),
        ("[\n1, # one\n2]", [1, 2]),
        ("'é汉'", "é汉"),
        ("\n [1,\n\n2] # end", [1, 2]),
        ("'[(' , '# no'", ("[(", "# no")),
        ("'%s'" % ("(" * 500), "(" * 500),
        ("[" * 64 + "]" * 64, nested(64)),
        ("9" * 4300, 10**4300 - 1),
        ("(+1, -.5, 1E-3)", (1, -0.5, 0.001)),
        ("defaultdict(int, {})", {}),
        ("rb'\\d'", b"\\d"),
        ("bR'\\d'", b"\\d"),
    ],
)
def test_forms_that_people_and_reprs_write_are_read(text: str, value: object) -> None:
    """More than JSON, less than Python."""
    assert parse_literal(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "f(1)",
        "[1",
        "1]",
        "[1 2]",
        "[,]",
        "{1: }",
        "{[]: 1}",
        "1 + 1",
        "'a' b'b'",
        "'open",
        "f'{x}'",
        "-'a'",
        "-True",
        "__import__('os')",
        "[].append",
        "<object object at 0x7f>",
        "dict_keys([1])",
        "lambda: 1",
        "1 if True else 2",
        "'a'(1)",
        "[1][0]",
        "{**{1: 2}}",
        "[*[1]]",
        "--1",
        "1 - 1",
        "1+2j",
        "2j",
        "...",
        "(1)(2)",
        ")(",
        "1)+(1",
        "007",
        "[1;2]",
        "set()()",
        "set(1, 2)",
        "None()",
        "'\\x4'",
        "9" * 4301,
        "1" * 5000,
        "[" * 100_000,
        "-" * 100_000 + "1",
        "(" * 100_000 + ")" * 100_000,
        "{1:" * 100_000,
        '"' * 300_001,
        "'" + "\\'" * 200_000,
        "x" * 50_000_000,
    ],
    ids=lambda text: f"{text[:20]!r} {len(text)}",
)
def test_everything_else_is_refused_in_no_time(text: str) -> None:
    """Nothing is evaluated, and no text is long or deep enough to hurt."""

    def refused() -> None:
        with pytest.raises(NotALiteral):
            parse_literal(text)

    refuse_effort(refused)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, 1.0, True),
        (True, 1, True),
        ((1,), [1], False),
        ("a", b"a", False),
        (math.nan, math.nan, False),
        ([math.nan], [math.nan], False),
        ({"a": (1, math.nan)}, {"a": (1, math.nan)}, False),
        ({1: 2, 3: 4}, {3: 4, 1: 2}, True),
        ({1}, frozenset({1}), True),
    ],
)
def test_equality_is_pythons_with_nan_equal_to_nothing(
    left: object, right: object, same: bool
) -> None:
    """What an assert in the reference scorer would say."""
    assert equal(left, right) is same


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("f(1)", True),
        (" f( [1, 2], x='a' ) ", True),
        ("f([3, 1], (lambda x: x.reverse()))", True),
        ("f(x * 2 for x in range(3))", True),
        ("f(*[1], **{'a': 2})", True),
        ("f(sorted({3, 1}, key=lambda v: -v))", True),
        ("g(1)", False),
        ("f", False),
        ("f(1)[0]", False),
        ("f(1), f(2)", False),
        ("f(f(1))", False),
        ("f((f := 1))", False),
        ("f(lambda f: 1) or 2", False),
        ("f(globals())", False),
        ("f(type('X', (), {}))", False),
        ("f(''.__class__)", False),
        ("f('{0.__class__}'.format(1))", False),
        ("f(__import__('os'))", False),
        ("f(eval('1'))", False),
        ("f(setattr(1, 2, 3))", False),
        ("f(" + "-" * 3000 + "1)", False),
        ("f(" + "(" * 900 + "1" + ")" * 900 + ")", False),
        ("f(", False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_plain_call_computes_arguments_and_touches_nothing_else(text: str, plain: bool) -> None:
    """For arguments that are no data: what may run where the function is."""
    assert is_plain_call(text, name="f") is plain
