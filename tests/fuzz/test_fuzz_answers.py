"""Model text into the answer extractor and the literal readers: bounded, and never evaluated."""

from __future__ import annotations

import ast
import json
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox.dataset.scoring.literals import NotALiteral, parse_literal
from execbox.strict_json import encode
from execbox.wire import JSON_DEPTH_MAX, Tolerance
from execbox_service.answers.extraction import (
    READ_CHARS_MAX,
    SEARCHED_CHARS_MAX,
    Answer,
    NoAnswer,
    extract,
)
from execbox_service.answers.literals import Allowance, Broken, SearchTooLong, read_literal
from execbox_service.judge.comparison import ComparisonTooLong, equal
from tests.effort import EXTRACTION_LINES_MAX, lines_run, refuse_effort
from tests.fuzz.bounds import VALUES, bounded, same

PIECES = [
    *("```", "```json\n", "```python\n", "\n```\n", "````", "\\boxed{", "\\fboxed{", "}", "{"),
    *('{"output": ', '{"input": ', "{'output': ", '"', "'", "\\", "\\{", "\\}", "\\\\", ":", ","),
    *("(", ")", "[", "]", "True", "None", "nan", "-inf", "1e400", "0x1f", "1_0", "9" * 4301),
    *(".5", "-", "+-1", "01", "1.", "0b2", '"\\ud800"', '"\\x41"', "'\\N{DASH}'", "'\\u12'"),
    *('"\\U0011ffff"', "'\\777'", "b'x'", "f'{1}'", "r'\\'", "__import__('os').system('x')"),
    *("open('/etc/passwd')", "{1: 2}", "{None: 1, 'null': 2}", "lambda: 0", '{"$ref": "#/"}'),
    *('{"__class__": "x"}', '{"a":1,"a":2}', "\x00", "\ud800", "\u2028", "é", " ", "\n", "x"),
    *("\\text{", "\\left", "\\, ", "$", "# a", "set()", "()", "(1)", "(1,)", "{}", "[[", "]]"),
    *("...", "=", "<"),
]
TEXTS = st.lists(
    st.sampled_from(PIECES) | VALUES.map(json.dumps) | VALUES.map(repr) | st.text(max_size=5),
    max_size=14,
).map("".join)

_watching: list[bool] = []
_seen: list[str] = []
_ACTING = ("compile", "exec", "import", "open", "os.", "subprocess.", "socket.", "pickle.")


def _audit(event: str, _arguments: object) -> None:
    if _watching and event.startswith(_ACTING):
        _seen.append(event)


@cache
def _hooked() -> None:
    """An audit hook stays for ever; it does nothing while nobody watches."""
    sys.addaudithook(_audit)


@contextmanager
def nothing_evaluated(*, besides: str = "nothing") -> Iterator[None]:
    """Whoever compiles, runs, imports, opens or connects within the block fails the test."""
    _hooked()
    _seen.clear()
    _watching.append(True)
    try:
        yield
    finally:
        _watching.clear()
    assert set(_seen) <= {besides}


def test_watching_notices_what_evaluates() -> None:
    """The fuzzers below rest on it."""
    with pytest.raises(AssertionError), nothing_evaluated():
        ast.literal_eval("[1]")


def is_plain(value: Any, depth: int = 0) -> bool:
    """JSON that may be compared and answered: exact types, shallow, nothing of our own."""
    assert depth <= JSON_DEPTH_MAX
    if type(value) is dict:
        return all(type(key) is str and is_plain(value[key], depth + 1) for key in value)
    if type(value) is list:
        return all(is_plain(each, depth + 1) for each in value)
    return value is None or type(value) in (bool, int, float, str)


@bounded(300)
@given(text=TEXTS, kind=st.sampled_from(["input", "output"]))
def test_extract_of_any_text_is_plain_json_or_no_answer(text: str, kind: Any) -> None:
    """Nothing is raised, and whatever is found can be sent back."""
    with nothing_evaluated():
        found = extract(text, kind=kind)
    match found:
        case Answer(value):
            assert is_plain(value)
            assert encode(value)
        case NoAnswer(reason):
            assert len(reason) < 300
            assert json.dumps(reason)


@bounded(250)
@given(text=TEXTS, start=st.integers(0, 5), unit_count=st.integers(0, 60) | st.just(10_000))
def test_literal_of_any_text_is_read_or_refused(text: str, start: int, unit_count: int) -> None:
    """What is read lies within the text; what is refused says where."""
    start = min(start, len(text))
    refusal = completed = None
    try:
        with nothing_evaluated():
            completed = read_literal(text, start, allowance=Allowance(unit_count))
    except SearchTooLong:
        return
    except Broken as broken:
        refusal = broken
    if completed is None:
        assert refusal is not None
        assert start <= refusal.position <= len(text)
        assert refusal.inner is None or is_plain(refusal.inner.value)
        return
    assert start <= completed.start < completed.end <= len(text)
    assert is_plain(completed.value)
    again = read_literal(text[completed.start : completed.end], 0, allowance=Allowance(10**6))
    assert same(again.value, completed.value)


@bounded(250)
@given(value=VALUES, after=st.sampled_from(["", " ", "\n}", ", 1", " x"]))
def test_literal_as_json_or_python_writes_it_is_that_value(value: Any, after: str) -> None:
    """The oracle is the value that was written."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1), repr(value)):
        completed = read_literal(text + after, 0, allowance=Allowance(10**6))
        assert same(completed.value, value)
        assert completed.end == len(text)


@bounded(250)
@given(value=VALUES, prose=st.text("abc \n.", max_size=20))
def test_extract_of_an_answer_in_a_fence_is_that_answer(value: Any, prose: str) -> None:
    """Whatever the value holds: fences, braces and quotes in its strings, too."""
    text = f"{prose}\n```json\n{json.dumps({'output': value})}\n```\n{prose}"
    found = extract(text, kind="output")
    assert isinstance(found, Answer)
    assert same(found.value, value)


@pytest.mark.parametrize("piece", PIECES)
def test_extract_of_a_repeated_piece_is_quick(piece: str) -> None:
    """F30: the longest text that is looked at, full of one thing; 50 ms at most are usual."""
    text = piece * (SEARCHED_CHARS_MAX // len(piece) + 1)
    refuse_effort(lambda: extract(text, kind="output"), lines_max=EXTRACTION_LINES_MAX)


@pytest.mark.parametrize("piece", [*PIECES, ":[1,", '\n{"a":', ':"', '>["', "`[", '\n[0,"'])
def test_extract_of_a_megabyte_of_one_piece_is_quick(piece: str) -> None:
    """Also the longest text in which large values are looked for: what fails is read few times."""
    text = piece * (READ_CHARS_MAX // len(piece) + 1)
    refuse_effort(lambda: extract(text, kind="output"), lines_max=EXTRACTION_LINES_MAX)


# Not drawn by hypothesis, which would look for smaller examples that take as long.
@pytest.mark.parametrize("seed", range(30))
def test_extract_of_repeated_pieces_is_quick(seed: int) -> None:
    """F30: and of several together, some of which begin what others end."""
    first, second, third = random.Random(seed).sample(PIECES, 3)
    unit = first + second
    text = unit * ((SEARCHED_CHARS_MAX - 1000) // len(unit)) + third * (1000 // len(third))
    refuse_effort(lambda: extract(text, kind="input"), lines_max=EXTRACTION_LINES_MAX)


PYTHON_VALUES = st.recursive(
    VALUES | st.binary(max_size=4) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(st.integers() | st.text(max_size=2), max_size=3)
        | st.dictionaries(st.text(max_size=2) | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=6,
)


def written(value: Any) -> str:
    """``repr``, with sets in an order that does not depend on how they were filled."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__}{sorted(map(written, value))}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}{list(map(written, value))}"
    if isinstance(value, dict):
        return str([(written(key), written(member)) for key, member in value.items()])
    return repr(value)


def read_by_python(text: str) -> Any:
    """Python's own reading. Raises what ``ast`` raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.literal_eval(text)


@bounded(200)
@given(value=PYTHON_VALUES)
def test_client_literal_reads_what_repr_writes(value: Any) -> None:
    """Types and all; infinities and NaN are how their repr names them."""
    assert written(parse_literal(repr(value))) == written(value)


@bounded(250)
@given(text=TEXTS | PYTHON_VALUES.map(repr))
def test_client_literal_of_any_text_agrees_with_python_or_is_refused(text: str) -> None:
    """Nothing is raised but NotALiteral, and where Python reads a literal it is the same one."""
    try:
        # It has Python's parser read what consists of tokens of literals.
        with nothing_evaluated(besides="compile"):
            value = parse_literal(text)
    except NotALiteral:
        return
    try:
        expected = read_by_python(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return
    assert written(value) == written(expected)


REPEATED = [*PIECES, "'''", '"""', "'a' ", "{1,", "(1,", "a(", "1j+", "\\\n", "set(", "<a>"]


@pytest.mark.parametrize("piece", REPEATED)
def test_client_literal_of_a_repeated_piece_takes_linear_time(piece: str) -> None:
    """Four times as much text, no more than four times the lines run, and a few besides."""

    def tried(chars: int) -> None:
        with suppress(NotALiteral):
            parse_literal("[" + piece * (chars // len(piece)))

    small_count = lines_run(lambda: tried(20_000))
    refuse_effort(lambda: tried(80_000), lines_max=4 * small_count + 100)


@bounded(200)
@given(
    left=VALUES,
    right=VALUES,
    alike=st.booleans(),
    comparator=st.sampled_from(["codeio", "exact", "tolerance"]),
)
def test_comparison_of_any_values_is_an_answer(
    left: Any, right: Any, alike: bool, comparator: Any
) -> None:
    """A value counts as itself, every time it is asked; nothing is raised."""
    other = json.loads(json.dumps(left)) if alike else right
    try:
        found = equal(left, other, comparator=comparator)
    except ComparisonTooLong:
        return
    assert found or not alike
    assert equal(left, other, comparator=comparator) == found


# Doubles end between integers of 309 digits.
HUGE_NUMBERS = st.builds(
    lambda size, sign: sign * size,
    st.integers(300, 320).flatmap(lambda digits: st.integers(10 ** (digits - 1), 10**digits - 1))
    | st.integers(10**307, 2**1024)
    | st.floats(1e300, sys.float_info.max),
    st.sampled_from([1, -1]),
)


@bounded(400)
@given(
    left=HUGE_NUMBERS,
    right=HUGE_NUMBERS,
    rel=st.sampled_from([0.0, 1e-6, 0.5, 1.0]),
    absolute=st.sampled_from([0.0, 1.0, 1e300, 1.7e308]),
)
def test_comparison_of_numbers_about_the_end_of_doubles_is_exact(
    left: Any, right: Any, rel: float, absolute: float
) -> None:
    """Against fractions; nothing is raised, in arrays either, whichever side overflows."""
    tolerance = Tolerance(rel=rel, abs=absolute)
    a, b = Fraction(left), Fraction(right)
    distance = abs(a - b)
    bound = max(Fraction(rel) * max(abs(a), abs(b)), Fraction(absolute))
    for ours, theirs in ((left, right), (right, left), ([left, 0], [right, 0])):
        # Whole numbers, so of the same integer part only where they are equal.
        assert equal(ours, theirs, comparator="exact") is (a == b)
        assert equal(ours, theirs, comparator="codeio") is (a == b)
        near = equal(ours, theirs, comparator="tolerance", tolerance=tolerance)
        # A hair inside or outside of the bound, floating point may differ.
        if abs(distance - bound) > bound / 10**9:
            assert near is (distance <= bound)
