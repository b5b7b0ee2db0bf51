"""Draws that would repeat, because the sources fix their randomness or count at their top level."""

from __future__ import annotations

from typing import Any

import pytest
from harness.bench import Bench

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

DOUBLE = "def main_solution(n): return n * 2"
PLAIN = "import random\ndef input_generator(): return {'n': random.randint(1, 10**6)}"
NUMPY = "import numpy as np\ndef input_generator(): return {'n': int(np.random.randint(10**6))}"
FIXED = {
    "random.seed of the source": (f"import random\nrandom.seed(42)\n{DOUBLE}", PLAIN),
    "random.seed of the generator": (DOUBLE, f"import random\nrandom.seed(0)\n{PLAIN}"),
    "np.random.seed": (f"import numpy as np\nnp.random.seed(0)\n{DOUBLE}", NUMPY),
    "Random": (
        DOUBLE,
        (
            "from random import Random\nrng = Random(1)\n"
            "def input_generator(): return {'n': rng.randrange(10**6)}"
        ),
    ),
    "Random in a class": (
        DOUBLE,
        (
            "import random\nclass Maker:\n    def __init__(self): self.rng = random.Random(5)\n"
            "maker = Maker()\ndef input_generator(): return {'n': maker.rng.getrandbits(30)}"
        ),
    ),
    "Random as a default": (
        DOUBLE,
        "import random\ndef input_generator(rng=random.Random('s')): return {'n': rng.random()}",
    ),
    "default_rng": (
        DOUBLE,
        (
            "import numpy as np\nrng = np.random.default_rng(7)\n"
            "def input_generator(): return {'n': int(rng.integers(1, 10**6))}"
        ),
    ),
    "RandomState": (
        DOUBLE,
        (
            "import numpy as np\nrng = np.random.RandomState(7)\n"
            "def input_generator(): return {'n': int(rng.randint(1, 10**6))}"
        ),
    ),
    "two generators": (
        DOUBLE,
        (
            "import random\na, b = random.Random(1), random.Random(2)\n"
            "def input_generator(): return {'n': a.randrange(9000) - b.randrange(9000)}"
        ),
    ),
    "cycle": (
        DOUBLE,
        (
            "import itertools\nvalues = itertools.cycle(range(50))\n"
            "def input_generator(): return {'n': next(values)}"
        ),
    ),
    "iterator": (
        DOUBLE,
        "values = iter([3, 1, 4, 15, 9, 2, 6])\ndef input_generator(): return {'n': next(values)}",
    ),
    "counter": (
        DOUBLE,
        (
            "count = 0\ndef input_generator():\n    global count\n    count += 1\n"
            "    return {'n': count}"
        ),
    ),
    "list that is used up": (
        DOUBLE,
        "todo = [5, 6, 7, 8, 9, 10]\ndef input_generator(): return {'n': todo.pop()}",
    ),
    "its own arithmetic": (
        DOUBLE,
        (
            "state = 1\ndef input_generator():\n    global state\n"
            "    state = state * 1103515245 % 2**31\n    return {'n': state}"
        ),
    ),
    "attribute of the function": (
        DOUBLE,
        (
            "def input_generator():\n"
            "    input_generator.n = getattr(input_generator, 'n', 0) + 1\n"
            "    return {'n': input_generator.n}"
        ),
    ),
}
LETHAL = {
    "hang in some draws": "import random\nrandom.seed(3)\ndef input_generator():\n"
    "    n = random.randrange(10**6)\n    while n % 3 == 0: pass\n    return {'n': n}",
    "exit in some draws": "import os, random\nrng = random.Random(3)\ndef input_generator():\n"
    "    n = rng.randrange(10**6)\n    if n % 3 == 0: os._exit(1)\n    return {'n': n}",
    "hang in the first draw": "import random\nrandom.seed(9)\nfirst = random.randrange(10**6)\n"
    "random.seed(9)\ndef input_generator():\n    n = random.randrange(10**6)\n"
    "    while n == first: pass\n    return {'n': n}",
    "hang while counting": "n = 0\ndef input_generator():\n    global n\n    n += 1\n"
    "    while n == 4: pass\n    return {'n': n}",
}


@pytest.mark.parametrize("name", FIXED)
async def test_generate_from_what_repeats_gives_pairs_all_the_same(bench: Bench, name: str) -> None:
    """As many as one process would give, the same ones whenever and wherever they are drawn."""
    code, generator = FIXED[name]
    first = await bench.generate(code, generator, count=5, attempts=60)
    assert (first.stopped, len(first.pairs)) == ("count", 5)
    assert len({pair.input["n"] for pair in first.pairs}) == 5
    again = await bench.generate(code, generator, count=3, attempts=60, isolation="container")
    assert [pair.input for pair in again.pairs] == [pair.input for pair in first.pairs[:3]]


async def test_generate_from_what_is_seeded_differs_between_seeds(bench: Bench) -> None:
    """A request's own seed decides, where the source's did."""
    code, generator = FIXED["random.seed of the source"]
    inputs = [
        [pair.input for pair in (await bench.generate(code, generator, count=4, seed=n)).pairs]
        for n in (1, 2)
    ]
    assert inputs[0][1:] != inputs[1][1:]


GIVEN = {
    "a parameter": "def input_generator(rng: Random) -> dict: return {'n': rng.randrange(10**6)}",
    "one by name": "def input_generator(*, rng, n=1): return {'n': rng.randrange(10**6)}",
    "beside a seeded source": "import random\nrandom.seed(1)\n"
    "def input_generator(rng): return {'n': random.randrange(9) + 10 * rng.randrange(10**5)}",
}


@pytest.mark.parametrize("name", GIVEN)
async def test_generator_that_takes_a_random_gets_one_of_its_draw(bench: Bench, name: str) -> None:
    """As reasoning_gym's do: seeded from seed and attempt, so the same draws at either level."""
    options: dict[str, Any] = {"count": 4, "attempts": 8}
    first = await bench.generate(DOUBLE, GIVEN[name], **options)
    assert (first.stopped, first.rejected) == ("count", {})
    assert len({pair.input["n"] for pair in first.pairs}) == 4
    again = await bench.generate(DOUBLE, GIVEN[name], isolation="container", **options)
    assert [pair.input for pair in again.pairs] == [pair.input for pair in first.pairs]
    other = await bench.generate(DOUBLE, GIVEN[name], seed=1, **options)
    assert {pair.input["n"] for pair in other.pairs}.isdisjoint(
        pair.input["n"] for pair in first.pairs
    )


@pytest.mark.parametrize("name", LETHAL)
async def test_generate_from_what_repeats_loses_a_lethal_draw_only(bench: Bench, name: str) -> None:
    """A draw that hangs or ends its process costs itself, whichever way it was made."""
    limits = {"cpu_time_s": 0.2}
    first = await bench.generate(DOUBLE, LETHAL[name], count=6, attempts=40, limits=limits)
    assert (first.stopped, len(first.pairs)) == ("count", 6)
    assert set(first.rejected) <= {"generator_timeout", "generator_no_result"}
    again = await bench.generate(DOUBLE, LETHAL[name], count=6, attempts=40, limits=limits)
    assert again.pairs == first.pairs


@pytest.mark.parametrize(
    "generator",
    [
        "def input_generator(): return {'n': 7}",
        (
            "import random\ndef input_generator():\n    random.seed(1)\n"
            "    return {'n': random.random()}"
        ),
    ],
)
async def test_generate_from_what_is_constant_gives_one_pair(bench: Bench, generator: str) -> None:
    """What gives one value in one process, however often it is asked, gives one pair."""
    response = await bench.generate(DOUBLE, generator, count=5, attempts=20)
    assert (response.stopped, len(response.pairs)) == ("attempts", 1)
    assert response.rejected == {"duplicate_input": 19}
