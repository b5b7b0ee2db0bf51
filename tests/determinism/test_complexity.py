"""The object-size rule against pympler itself, applied as the paper's text says, in the sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
from harness.bench import Bench
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from execbox.wire import ComplexityLimits, Status
from execbox_service.judge.complexity import recheck

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

T = TypeVar("T")

OBJECTS_COUNT = 10_000
BATCH_COUNT = 1_000
CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "codeio_functions.jsonl"

# The rule of the paper, written down once more, beside the one that runs inside the job.
COMPARING = """
import json
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from execbox_runner import complexity
from pympler import asizeof

LIMITS = {"total_bytes": 1024, "container_items": 20, "string_chars": 100, "other_bytes": 128}
inf, nan = float("inf"), float("nan")

class Point:
    def __init__(self, x):
        self.x = x

def within(value):
    if asizeof.asizeof(value) >= 1024:
        return False
    if isinstance(value, str):
        return len(value) < 100
    if isinstance(value, dict):
        members = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set)):
        members = list(value)
    else:
        return asizeof.asizeof(value) < 128
    return len(value) < 20 and all(map(within, members))

def compare(value):
    found = complexity.violations("output", value, LIMITS)
    return [within(value), not found, found]

def compare_expressions(expressions):
    return [compare(eval(expression)) for expression in expressions]

def compare_texts(texts):
    return [compare(json.loads(text)) for text in texts]

def sizes(values):
    return [asizeof.asizeof(value) for value in values]
"""

# About each number of 30-bit digits that Python makes an integer of, up to the longest one.
_INTEGERS = [
    sign * (2 ** (30 * count) + more)
    for count in (*range(12), *range(32, 476, 37), 475)
    for more in (-1, 0, 1)
    for sign in (1, -1)
]
NUMBERS = [None, True, False, 0.0, -0.0, 0.5, 5e-324, -1.7e308, 10**290, *_INTEGERS]
ROUNDED_BYTES = 8

_LETTERS = "abcXYZ 01\n'é€𝄞"
_ODD = ("Point({})", "deque([{}])", "frozenset([1, 2, {1}])", "OrderedDict(k={})", "Fraction(1, 3)")


def _scalar(draw: Random) -> str:
    kind = draw.randrange(12)
    if kind < 4:
        return repr(draw.choice([None, True, False, 0, 1, -7, 10**6, 2**61, 10**40, -(10**70)]))
    if kind < 6:
        return repr(draw.choice([draw.random(), draw.gauss(0, 1e9), float("inf"), 0.1]))
    if kind < 10:
        return repr("".join(draw.choices(_LETTERS, k=draw.choice([0, 1, 3, 8, 30, 98, 99, 100]))))
    if kind == 10:
        return repr(bytes(draw.choice([0, 5, 90, 95, 96, 120])))
    return draw.choice(["Decimal('1.25')", "2j", "range(3)", "(1).__class__", "len"])


def _hashable(draw: Random) -> str:
    return repr(
        draw.choice([draw.randrange(50), draw.random(), f"k{draw.randrange(50)}", (1, "a")])
    )


def expression(draw: Random, depth: int = 0) -> str:
    """A Python expression for an object: nested, shared and odd ones among them."""
    kind = draw.randrange(10) if depth < 4 else 0
    if kind < 4 - 2 * (depth == 0):
        return _scalar(draw)
    if kind == 4 and draw.random() < 0.5:
        return draw.choice(_ODD).format(expression(draw, depth + 1), _hashable(draw))
    if kind == 5:
        return f"[{expression(draw, depth + 1)}] * {draw.choice([2, 3, 19, 20])}"
    size = draw.choice([0, 1, 2, 3, 4]) if draw.random() < 0.9 else draw.choice([18, 19, 20, 21])
    inside = [_hashable(draw) if size > 9 else expression(draw, depth + 1) for _ in range(size)]
    if kind == 6:
        return f"set([{', '.join(_hashable(draw) for _ in inside)}])"
    if kind == 7:
        return f"({''.join(f'{item}, ' for item in inside)})"
    if kind == 8:
        return f"{{{', '.join(f'{_hashable(draw)}: {item}' for item in inside)}}}"
    return f"[{', '.join(inside)}]"


def json_value(draw: Random, depth: int = 0) -> Any:
    """A JSON value, of sizes about the limits."""
    kind = draw.randrange(8) if depth < 4 else 0
    if kind < 4 - 2 * (depth == 0):
        text = "".join(draw.choices(_LETTERS, k=draw.choice([0, 3, 40, 99, 100])))
        return draw.choice([None, True, 3, 10**30, draw.random(), text, text])
    size = draw.choice([0, 1, 3, 6]) if draw.random() < 0.9 else draw.choice([18, 19, 20, 21])
    if kind < 6:
        return [json_value(draw, depth + 1) for _ in range(size)]
    return {f"k{draw.randrange(99)}": json_value(draw, depth + 1) for _ in range(size)}


def generated(make: Callable[[Random], T], count: int) -> list[T]:
    """What is made of hypothesis' random sources, the same ones every time."""
    made: list[T] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=True))
    def collect(draw: Random) -> None:
        made.append(make(draw))

    collect()
    return made


async def compared(bench: Bench, entry_point: str, batch: list[Any]) -> list[list[Any]]:
    """[by pympler, by us, what we found] for each object."""
    execution = await bench.call(
        COMPARING,
        batch,
        entry_point=entry_point,
        isolation="process",
        limits={"cpu_time_s": 60, "wall_time_s": 120, "output_bytes": 2**24},
    )
    assert execution.status is Status.OK, execution.error
    assert isinstance(execution.output, list)
    return execution.output


async def test_complexity_of_generated_objects_is_what_pympler_says(bench: Bench) -> None:
    """Accepted and rejected alike, and a violation is named exactly where one is rejected."""
    expressions = generated(expression, OBJECTS_COUNT)
    accepted = 0
    for start in range(0, len(expressions), BATCH_COUNT):
        batch = expressions[start : start + BATCH_COUNT]
        for source, (by_pympler, by_us, found) in zip(
            batch, await compared(bench, "compare_expressions", batch), strict=True
        ):
            assert by_pympler == by_us, (source, found)
            accepted += by_pympler
    assert len(expressions) >= OBJECTS_COUNT * 0.9
    # Both answers are common, and the objects different, or agreeing would mean little.
    assert 0.2 < accepted / len(expressions) < 0.8
    assert len(set(expressions)) > 0.5 * OBJECTS_COUNT


async def test_complexity_of_decoded_json_is_never_stricter_than_pympler(bench: Bench) -> None:
    """What the service looks at again after decoding rejects nothing that pympler accepts."""
    values = generated(json_value, 3_000)
    results = await compared(bench, "compare_texts", [json.dumps(value) for value in values])
    rejected = 0
    for value, (by_pympler, _by_us, _found) in zip(values, results, strict=True):
        found = recheck("output", value, ComplexityLimits())
        assert not (by_pympler and found), (value, found)
        rejected += bool(found)
    assert rejected > 100


async def test_complexity_of_decoded_numbers_is_within_a_word_of_pympler(bench: Bench) -> None:
    """None, booleans, floats and integers of every size: never stricter, and hardly laxer."""
    execution = await bench.call(COMPARING, NUMBERS, entry_point="sizes")
    assert isinstance(execution.output, list), execution.error
    for value, size_bytes in zip(NUMBERS, execution.output, strict=True):
        accepting = ComplexityLimits(total_bytes=2**40, other_bytes=size_bytes + 1)
        assert recheck("output", [value], accepting) == [], value
        refusing = ComplexityLimits(total_bytes=2**40, other_bytes=size_bytes - ROUNDED_BYTES + 1)
        (found,) = recheck("output", [value], refusing)
        assert (found.path, found.rule) == ("output[0]", "other_bytes")


@pytest.mark.corpus
async def test_complexity_of_published_pairs_is_what_pympler_says(bench: Bench) -> None:
    """Both sides of every pair of the released sample."""
    if not CORPUS.exists():
        pytest.skip("no ../shared/corpus")
    with CORPUS.open(encoding="utf-8") as file:
        pairs = [pair for line in file for pair in json.loads(line)["ios"]]
    sides = [side for pair in pairs for side in (pair["input"], pair["output"])]
    # As text, because published outputs have NaN among them, which no request may.
    results = await compared(bench, "compare_texts", [json.dumps(side) for side in sides])
    assert [result for result in results if result[0] != result[1]] == []
    for value, (by_pympler, _by_us, _found) in zip(sides, results, strict=True):
        assert not (by_pympler and recheck("output", value, ComplexityLimits()))
