"""The object-size rule against pympler itself, applied as the paper's text says, in the sandbox."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from harness.bench import Bench

from execbox.wire import ComplexityLimits, Status
from execbox_service.judge.complexity import recheck

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

VALUES_COUNT = 10_000
BATCH_COUNT = 1_000
CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "codeio_functions.jsonl"

# The rule of the paper, written down once more, beside the one that runs inside the job.
COMPARING = """
import json
from execbox_runner import complexity
from pympler import asizeof

LIMITS = {"total_bytes": 1024, "container_items": 20, "string_chars": 100, "other_bytes": 128}

def within(value):
    if asizeof.asizeof(value) >= 1024:
        return False
    if isinstance(value, str):
        return len(value) < 100
    if isinstance(value, dict):
        members = [*value.keys(), *value.values()]
    elif isinstance(value, list):
        members = value
    else:
        return asizeof.asizeof(value) < 128
    return len(value) < 20 and all(map(within, members))

def compare(value):
    found = complexity.violations("output", value, LIMITS)
    total = complexity.total_bytes(value)
    return [within(value), not found, found, asizeof.asizeof(value), total]

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


def generated(count: int) -> list[Any]:
    """So many JSON values, the same ones every time."""
    return [json_value(Random(seed)) for seed in range(count)]


async def compared(bench: Bench, entry_point: str, batch: list[Any]) -> list[list[Any]]:
    """[by pympler, by us, what we found, size by pympler, by us] for each object."""
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


async def test_complexity_of_generated_values_is_what_pympler_says(bench: Bench) -> None:
    """Accepted and rejected alike, and a violation is named exactly where one is rejected."""
    texts = [json.dumps(value) for value in generated(VALUES_COUNT)]
    batches = [texts[start : start + BATCH_COUNT] for start in range(0, len(texts), BATCH_COUNT)]
    results = await asyncio.gather(*(compared(bench, "compare_texts", each) for each in batches))
    accepted = 0
    for text, (by_pympler, by_us, found, measured, total) in zip(
        texts, itertools.chain(*results), strict=True
    ):
        assert by_pympler == by_us, (text, found)
        assert measured == total, text
        accepted += by_pympler
    # Both answers are common, and the values different, or agreeing would mean little.
    assert 0.2 < accepted / len(texts) < 0.8
    assert len(set(texts)) > 0.5 * VALUES_COUNT


SMALL, LARGE, UNSERIALIZABLE = "within", "beyond", "unserializable"


@pytest.mark.parametrize(
    ("expression", "convert", "outcome"),
    [
        ("numpy.array([1, 2, 3])", "codeio", SMALL),
        ("numpy.arange(100_000)[:3]", "codeio", SMALL),
        ("numpy.arange(6).reshape(2, 3).T", "codeio", SMALL),
        ("numpy.fft.fft(numpy.arange(4)).real", "codeio", SMALL),
        ("numpy.float64(0.5)", "none", SMALL),
        ("numpy.broadcast_to(1.5, (3, 3))", "codeio", SMALL),
        ("numpy.ma.array([1, 2], mask=[0, 0])", "codeio", SMALL),
        ("numpy.array(['a', 'b'])[::-1]", "codeio", SMALL),
        ("numpy.array([[1], {'a': 2}], dtype=object)", "codeio", SMALL),
        ("numpy.arange(1000)[::-1]", "codeio", LARGE),
        ("numpy.arange(400).reshape(20, 20)", "codeio", LARGE),
        ("numpy.zeros((1, 300)).squeeze()", "codeio", LARGE),
        ("numpy.broadcast_to(1.5, (30, 3))", "codeio", LARGE),
        ("numpy.arange(1000)[::-1]", "none", UNSERIALIZABLE),
        ("{1, 2, 3}", "codeio", SMALL),
        ("set(range(20))", "codeio", LARGE),
        ("decimal.Decimal('1.25')", "codeio", SMALL),
        ("b'x' * 99", "codeio", SMALL),
        ("b'x' * 100", "codeio", LARGE),
        ("Colour.RED", "none", SMALL),
        ("Pair(1, 2)", "none", SMALL),
        ("collections.Counter('aab')", "none", SMALL),
        ("collections.defaultdict(list, a=[1])", "none", SMALL),
        ("collections.OrderedDict(a=1)", "none", SMALL),
        ("Odd('abc')", "none", SMALL),
        ("OddDict(a=1)", "none", SMALL),
        ("[[0] * 5] * 5", "none", SMALL),
        ("[[0.5] * 10] * 19", "none", LARGE),
        ("object()", "none", UNSERIALIZABLE),
        ("type", "codeio", UNSERIALIZABLE),
    ],
)
async def test_complexity_is_that_of_the_stored_value_whatever_it_was_made_of(
    bench: Bench, expression: str, convert: str, outcome: str
) -> None:
    """A value and its JSON read back have one size; measuring is never the code's exception."""
    code = (
        "import collections, decimal, enum, json, numpy\n"
        "Pair = collections.namedtuple('Pair', 'x y')\n"
        "class Colour(enum.IntEnum):\n    RED = 1\n"
        "class Odd(str):\n    def __sizeof__(self): raise ValueError('mine')\n"
        "class OddDict(dict):\n    def __len__(self): raise ValueError('mine')\n"
        "    __iter__ = __len__\n"
        "def main_solution(text=None):\n"
        f"    return {expression} if text is None else json.loads(text)\n"
    )
    fields: dict[str, Any] = {
        "isolation": "process", "convert": convert, "checks": {"complexity": "codeio"}
    }  # fmt: skip
    ended = await bench.call(code, **fields)
    if outcome == UNSERIALIZABLE:
        assert (ended.status, ended.complexity) == (Status.UNSERIALIZABLE, None)
        return
    assert ended.status is Status.OK, ended.error
    assert ended.complexity is not None
    assert ended.complexity.ok is (outcome == SMALL), ended.complexity
    again = await bench.call(code, json.dumps(ended.output), **fields)
    assert again.output == ended.output
    measured = [each for each in ended.complexity.violations if each.path.startswith("output")]
    assert again.complexity is not None
    assert [e for e in again.complexity.violations if e.path.startswith("output")] == measured


async def test_complexity_of_decoded_json_is_never_stricter_than_pympler(bench: Bench) -> None:
    """What the service looks at again after decoding rejects nothing that pympler accepts."""
    values = generated(3_000)
    results = await compared(bench, "compare_texts", [json.dumps(value) for value in values])
    rejected = 0
    for value, (by_pympler, *_) in zip(values, results, strict=True):
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
    for value, (by_pympler, *_) in zip(sides, results, strict=True):
        assert not (by_pympler and recheck("output", value, ComplexityLimits()))
