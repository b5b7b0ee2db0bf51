"""Generating pairs: what is kept, what is dropped and why, and the same ones every time."""

from __future__ import annotations

from typing import Any

import pytest
from harness.bench import Bench, started_bench

from execbox.wire import ExecuteRequest, GenerateResponse
from execbox_service.operations.registry import EXECUTE
from execbox_service.scheduling.caller import Caller

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

DOUBLE = "def main_solution(n): return n * 2"
DRAW = "import random\ndef input_generator(): return {'n': random.randint(0, 9)}"


async def generate(
    bench: Bench, code: str = DOUBLE, generator: str = DRAW, **fields: Any
) -> GenerateResponse:
    """One request at the level that is quickest, unless ``fields`` say otherwise."""
    return await bench.generate(code, generator, **fields)


def pairs_of(response: GenerateResponse) -> list[tuple[Any, Any]]:
    return [(pair.input, pair.output) for pair in response.pairs]


async def test_generate_gives_distinct_pairs_with_their_certificates(bench: Bench) -> None:
    """Ten draws of ten numbers: every input once, every output true, every pair certified."""
    response = await generate(bench, count=8, seed=5)
    assert response.stopped == "count"
    assert len({pair.input["n"] for pair in response.pairs}) == 8
    for pair in response.pairs:
        assert pair.output == 2 * pair.input["n"]
        certificate = pair.certificate
        assert certificate is not None
        assert (certificate.seed, certificate.image) == (5, response.image)
        assert certificate.runs >= 2
        assert {"hash_seed", "clock", "entropy", "address_layout"} <= set(certificate.variations)
    attempts = [pair.certificate.attempt or 0 for pair in response.pairs if pair.certificate]
    assert attempts == sorted(attempts)
    assert response.attempts == len(response.pairs) + sum(response.rejected.values())


@pytest.mark.parametrize(
    "generator",
    [
        DRAW,
        "import random\ndef input_generator(): return {'n': random.SystemRandom().random()}",
        "import secrets\ndef input_generator(): return {'n': secrets.randbelow(10**9)}",
        "import uuid\ndef input_generator(): return {'n': str(uuid.uuid4())}",
        "import os\ndef input_generator(): return {'n': os.urandom(4).hex()}",
        "import numpy as np\ndef input_generator(): return {'n': int(np.random.randint(10**9))}",
        "from numpy.random import *\ndef input_generator(): return {'n': default_rng().random()}",
        "import random\ndef input_generator(): return {'n': [random.seed(), random.random()]}",
        "def input_generator(): return {'n': list({'ann', 'bob', 'cid', 'dan', 'eve'})}",
    ],
)
async def test_generate_twice_gives_the_same_pairs(bench: Bench, generator: str) -> None:
    """Whatever a generator draws from, and in whichever container."""
    first = await generate(bench, generator=generator, count=5, attempts=30, seed=3)
    second = await generate(
        bench, generator=generator, count=5, attempts=30, seed=3, isolation="container"
    )
    other = await generate(bench, generator=generator, count=5, attempts=30, seed=4)
    assert first.pairs
    assert (pairs_of(first), first.rejected) == (pairs_of(second), second.rejected)
    assert first.stopped == "attempts" or pairs_of(other) != pairs_of(first)


async def test_generate_draws_from_a_method_and_calls_one(bench: Bench) -> None:
    """What the generator's instance keeps moves on from draw to draw, as a module's state does."""
    code = "class Solution:\n    def double(self, n): return 2 * n\n"
    generator = (
        "import random\n"
        "class Inputs:\n"
        "    def __init__(self): self.rng = random.Random(7)\n"
        "    def draw(self): return {'n': self.rng.randint(0, 999)}\n"
    )
    response = await bench.generate(
        code,
        generator,
        function={"code": code, "entry_point": "Solution"},
        input_generator={"code": generator, "entry_point": "Inputs.draw"},
        count=5,
    )
    assert len(pairs_of(response)) == 5
    assert all(output == 2 * given["n"] for given, output in pairs_of(response))


async def test_generate_after_a_restart_gives_the_same_pairs(bench: Bench) -> None:
    """Another service, other containers; only what was asked for decides."""
    before = await generate(bench, count=6, seed=11)
    async with started_bench(pool_size="1") as another:
        after = await generate(another, count=6, seed=11)
    assert before.pairs == after.pairs
    assert before.rejected == after.rejected


async def test_generate_asked_for_more_begins_with_the_same_pairs(bench: Bench) -> None:
    """How many are drawn ahead depends on the count and changes nothing else."""
    few = await generate(bench, count=3, attempts=60)
    many = await generate(bench, count=9, attempts=60)
    assert pairs_of(many)[:3] == pairs_of(few)


REJECTED = [
    ("duplicate_input", DOUBLE, "def input_generator(): return {'n': 1}", {}),
    ("invalid_input", DOUBLE, "def input_generator(): return [1]", {}),
    ("invalid_input", DOUBLE, "def input_generator(): return None", {}),
    ("invalid_input", DOUBLE, "def input_generator(): return {'n': float('nan')}", {}),
    ("invalid_input", DOUBLE, "def input_generator(): return {'n': {1, 2}}", {}),
    ("input_complexity", DOUBLE, "def input_generator(): return {'n': 'x' * 100}", {}),
    ("generator_exception", DOUBLE, "def input_generator(): return {'n': 1 // 0}", {}),
    ("generator_exception", DOUBLE, "def input_generator(n, m): return {'n': n}", {}),
    ("generator_invalid_code", DOUBLE, "def another(): return {'n': 1}", {}),
    ("generator_invalid_code", DOUBLE, "def input_generator(: return", {}),
    ("generator_no_result", DOUBLE, "import os\ndef input_generator(): os._exit(0)", {}),
    ("output_complexity", "def main_solution(n): return [n] * 20", DRAW, {}),
    ("none_output", "def main_solution(n): return None", DRAW, {}),
    ("non_finite", "def main_solution(n): return float('inf')", DRAW, {}),
    ("exception", "def main_solution(n): raise KeyError(n)", DRAW, {}),
    ("exception", "def main_solution(m): return m", DRAW, {}),
    ("unserializable", "def main_solution(n): return {n}", DRAW, {}),
    ("output_too_large", "def main_solution(n): return 'x' * 99", DRAW, {"output_bytes": 50}),
    ("no_result", "import os\ndef main_solution(n): os._exit(3)", DRAW, {}),
    ("invalid_code", "def another(n): return n", DRAW, {}),
    ("invalid_code", "def main_solution(n: return n", DRAW, {}),
    ("exception", "import no_such_package\ndef main_solution(n): return n", DRAW, {}),
    (
        "non_deterministic",
        "import random\ndef main_solution(n): return random.random()",
        DRAW,
        {},
    ),
]


@pytest.mark.parametrize(
    ("reason", "code", "generator", "limits"),
    REJECTED,
    ids=[f"{reason}-{number}" for number, (reason, *_) in enumerate(REJECTED)],
)
async def test_generate_counts_every_reason_with_its_first_example(
    bench: Bench, reason: str, code: str, generator: str, limits: dict[str, Any]
) -> None:
    """Nothing is dropped silently, and the example says what happened."""
    response = await generate(bench, code, generator, count=2, attempts=4, limits=limits)
    assert response.rejected.get(reason, 0) >= 1
    example = response.examples[reason]
    assert example.attempt == (1 if reason == "duplicate_input" else 0)
    assert set(response.examples) == set(response.rejected)
    explained = (
        example.error is not None
        or example.violations
        or example.determinism is not None
        or reason in ("duplicate_input", "none_output", "non_finite")
        or "no_result" in reason
    )
    assert explained
    assert len(response.pairs) + sum(response.rejected.values()) == response.attempts


async def test_generate_with_positional_data_says_what_was_returned(bench: Bench) -> None:
    """The commonest mistake in a generator names itself."""
    response = await generate(bench, generator="def input_generator(): return [1, 2]", attempts=1)
    error = response.examples["invalid_input"].error
    assert error is not None
    assert "[1, 2]" in error.message
    assert "keyword" in error.message


async def test_generate_stops_at_once_where_the_source_is_unusable(bench: Bench) -> None:
    """It will not get better by drawing on."""
    response = await generate(bench, generator="def another(): return {}", attempts=10_000)
    assert (response.stopped, response.pairs) == ("invalid_code", [])
    assert response.attempts < 100


FAILING = {
    "raises": "raise ValueError",
    "hangs": "\n        while True: pass",
    "sleeps": "__import__('time').sleep(60)",
    "eats_memory": "x = bytearray(10**10)",
    "grows": "\n        x = []\n        while True: x.append(bytearray(10**7))",
    "exits": "__import__('os')._exit(1)",
    "kills_itself": "__import__('os').kill(__import__('os').getpid(), 9)",
    "recurses": "(lambda f: f(f))(lambda f: f(f))",
}


@pytest.mark.parametrize("name", FAILING)
async def test_generator_that_fails_now_and_then_costs_that_draw_only(
    bench: Bench, name: str
) -> None:
    """One draw in two fails; the others give the pairs they would give without it."""
    generator = f"""
import random
def input_generator():
    n = random.randint(0, 999)
    if n % 2 == 0:
        {FAILING[name]}
    return {{'n': n}}
"""
    limits = {"cpu_time_s": 0.2, "wall_time_s": 0.3, "memory_mb": 64}
    fields: dict[str, Any] = {"count": 3, "attempts": 12, "seed": 2, "limits": limits}
    response = await generate(bench, generator=generator, **fields)
    undisturbed = await generate(
        bench, generator=generator.replace("n % 2 == 0", "False"), **fields | {"count": 12}
    )
    failed = {reason for reason in response.rejected if reason.startswith("generator_")}
    assert failed
    good = [pair for pair in pairs_of(undisturbed) if pair[0]["n"] % 2]
    assert pairs_of(response) == good[: len(response.pairs)]
    assert len(response.pairs) == 3


async def test_generate_gives_what_it_has_when_the_job_time_is_over(bench: Bench) -> None:
    """A slow function: the pairs found so far, and why there are no more."""
    response = await generate(
        bench,
        "import time\ndef main_solution(n):\n    time.sleep(0.2)\n    return n",
        "import random\ndef input_generator(): return {'n': random.random()}",
        count=1000,
        limits={"job_time_s": 3},
    )
    assert response.stopped == "job_time"
    assert len(response.pairs) < 20
    assert "not_run" not in response.rejected
    assert all(pair.certificate and pair.certificate.runs >= 2 for pair in response.pairs)


@pytest.mark.parametrize(
    ("code", "limits", "draws"),
    [
        ("def main_solution(n): raise ValueError", {}, 20),
        ("def main_solution(n):\n    while True: pass", {"cpu_time_s": 0.1}, 2),
    ],
)
async def test_generate_gives_up_after_so_many_draws_without_a_pair(
    bench: Bench, code: str, limits: dict[str, Any], draws: int
) -> None:
    """A draw that took all the time it may counts ten times."""
    response = await generate(
        bench,
        code,
        count=5,
        give_up_after=20,
        seed=1,
        limits=limits,
        generator="import random\ndef input_generator(): return {'n': random.random()}",
    )
    assert (response.stopped, response.attempts) == ("given_up", draws)


async def test_generate_gives_up_only_where_draws_in_a_row_gave_nothing(bench: Bench) -> None:
    """Three in four draws fail, and every pair begins the count anew."""
    code = "def main_solution(n):\n    assert n % 4 == 0\n    return n"
    generator = "import random\ndef input_generator(): return {'n': random.randint(0, 10**6)}"
    response = await generate(bench, code, generator, count=10, give_up_after=30, seed=1)
    assert (response.stopped, len(response.pairs)) == ("count", 10)
    assert sum(response.rejected.values()) > 20


async def test_generate_shares_one_namespace(bench: Bench) -> None:
    """As in the reference data, a generator may use what the function's source defines."""
    code = "LETTERS = 'abc'\ndef main_solution(s): return s.upper()"
    generator = "def input_generator(): return {'s': LETTERS[:2]}"
    response = await generate(bench, code, generator, count=1)
    assert pairs_of(response) == [({"s": "ab"}, "AB")]


async def test_generate_keeps_the_input_as_it_was_before_the_call(bench: Bench) -> None:
    """A function that sorts in place must not leak the sorted input into the pair."""
    code = "def main_solution(x):\n    x.sort()\n    return x[0]"
    generator = "def input_generator(): return {'x': [3, 1, 2]}"
    response = await generate(bench, code, generator, count=1)
    assert pairs_of(response) == [({"x": [3, 1, 2]}, 1)]


async def test_generated_pair_replayed_holds_and_a_changed_one_does_not(bench: Bench) -> None:
    """The certificate says under what, the replay whether it is still so."""
    response = await generate(bench, count=1)
    pair = response.pairs[0]
    assert pair.certificate is not None
    older = pair.certificate.model_copy(update={"image": "sha256:0", "python": "3.9.1"})
    request = ExecuteRequest.model_validate(
        {
            "function": {"code": DOUBLE},
            "calls": [{"kwargs": pair.input}] * 3,
            "replay": [
                {"output": pair.output, "certificate": pair.certificate},
                {"output": -1, "certificate": pair.certificate},
                {"output": pair.output, "certificate": older},
            ],
            "isolation": "process",
        }
    )
    answer = await bench.runtime.perform(EXECUTE, request, caller=Caller("test"))
    replays = [execution.replay for execution in answer.executions]
    assert [(replay.holds, replay.drifted) for replay in replays if replay is not None] == [
        (True, []),
        (False, ["output"]),
        (True, ["image", f"python 3.9.1 to {pair.certificate.python}"]),
    ]


async def test_execute_with_the_check_carries_a_certificate(bench: Bench) -> None:
    """What a caller with inputs of its own writes beside its pairs; without the check, none."""
    with_check = await bench.request(
        DOUBLE, [{"args": [1]}], isolation="process", checks={"determinism": {"runs": 3}}
    )
    without = await bench.request(DOUBLE, [{"args": [1]}], isolation="process")
    assert with_check.certificate is not None
    assert with_check.certificate.runs == 3
    assert without.certificate is None


async def test_execute_out_of_job_time_leaves_the_check_without_a_result(bench: Bench) -> None:
    """One run is no evidence: a call that was not run again is not called deterministic."""
    response = await bench.request(
        "import time\ndef main_solution(n):\n    time.sleep(0.3)\n    return n",
        [{"args": [n]} for n in range(4)],
        isolation="process",
        checks={"determinism": {"runs": 2}},
        limits={"job_time_s": 1},
    )
    assert response.executions[0].status == "ok"
    for execution in response.executions:
        assert execution.determinism is None or execution.determinism.runs >= 2
    assert response.executions[-1].determinism is None
