"""The work of a soak: honest jobs whose answers are known, and attacks whose statuses are.

Each kind sends itself through a client and yields what came of it. When and how much of it is
sent is decided in ``soak.py``.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

from pydantic import BaseModel

from acceptance.attack_targets import FAULT_CHARS, Came, Target, judged
from execbox import AsyncClient, BatchResult, wire

_ECHO = "def main_solution(x):\n    print(x)\n    return [x, {'twice': x * 2}]\n"
_SQUARE = "def main_solution(n):\n    return n * n\n"
_DRAW = "import random\ndef input_generator():\n    return {'n': random.randrange(10**6)}\n"
_NUMPY = "import numpy as np\ndef main_solution(n):\n    return int(np.arange(n).sum())\n"
_RAISES = "def main_solution(n):\n    return n / 0\n"
_SLEEPS = "import time\ndef main_solution(n):\n    time.sleep(0.3)\n    return n\n"


Honest: TypeAlias = Callable[[AsyncClient, wire.Isolation, random.Random], Awaitable[list[Came]]]


async def attacked(
    client: AsyncClient, target: Target, isolation: wire.Isolation
) -> AsyncIterator[Came]:
    """Send an attack as often in a row as it asks for."""
    for _ in range(target.attack.repeat):
        response = await client.execute(
            target.attack.code,
            [wire.Call(args=list(target.attack.arguments))],
            limits=target.limits,
            isolation=isolation,
        )
        yield judged(target, response.executions[0], isolation=isolation)


async def _execute(
    client: AsyncClient, isolation: wire.Isolation, chance: random.Random
) -> list[Came]:
    first = chance.randrange(10**6)
    numbers = [first, first + 1, first + 2]
    checks = wire.Checks(determinism=wire.DeterminismCheck()) if chance.random() < 0.2 else None
    response = await client.execute(
        _ECHO, [{"x": number} for number in numbers], isolation=isolation, checks=checks
    )
    right = [(wire.Status.OK, [n, {"twice": 2 * n}], f"{n}\n") for n in numbers]
    got = [(each.status, each.output, each.stdout) for each in response.executions]
    held = checks is None or all(
        each.determinism is not None and each.determinism.deterministic
        for each in response.executions
    )
    return [_came("execute", isolation, right=got == right and held, answer=response)]


async def _other_statuses(
    client: AsyncClient, isolation: wire.Isolation, chance: random.Random
) -> list[Came]:
    number = chance.randrange(10**5)
    code, status, output = chance.choice(
        [
            (_NUMPY, wire.Status.OK, number * (number - 1) // 2),
            (_RAISES, wire.Status.EXCEPTION, None),
            (_SLEEPS, wire.Status.OK, number),
        ]
    )
    response = await client.execute(code, [{"n": number}], isolation=isolation)
    ended = response.executions[0]
    right = (ended.status, ended.output) == (status, output)
    return [_came("execute", isolation, right=right, answer=response, status=ended.status.value)]


async def _generate(
    client: AsyncClient, isolation: wire.Isolation, chance: random.Random
) -> list[Came]:
    response = await client.generate(
        _SQUARE, _DRAW, count=3, attempts=30, seed=chance.randrange(10**6), isolation=isolation
    )
    right = len(response.pairs) == 3 and all(
        pair.output == pair.input["n"] ** 2 for pair in response.pairs
    )
    return [_came("generate", isolation, right=right, answer=response)]


def _items(chance: random.Random) -> tuple[list[dict[str, Any]], list[str]]:
    """Predictions, and the verdict each deserves."""
    number = chance.randrange(2, 10**6)
    function = {"code": _SQUARE}
    items: list[dict[str, Any]] = [
        {"kind": "input", "function": function, "prediction": {"n": number}, "output": number**2},
        {"kind": "input", "function": function, "prediction": {"n": number}, "output": -1},
        {"kind": "output", "function": function, "input": {"n": number}, "prediction": number**2},
        {"kind": "output", "prediction": [number], "output": [number]},
        {"kind": "output", "response": "no answer here", "output": [number]},
    ]
    verdicts = ["correct", "incorrect", "correct", "correct", "no_answer"]
    return [{"id": str(at)} | item for at, item in enumerate(items)], verdicts


async def _verify(
    client: AsyncClient, isolation: wire.Isolation, chance: random.Random
) -> list[Came]:
    items, verdicts = _items(chance)
    response = await client.verify(items, isolation=isolation)
    right = [item.verdict for item in response.items] == verdicts
    return [_came("verify", isolation, right=right, answer=response)]


HONEST: tuple[Honest, ...] = (_execute, _execute, _other_statuses, _generate, _verify)


async def batch(
    client: AsyncClient, isolation: wire.Isolation, chance: random.Random, *, targets: list[Target]
) -> list[Came]:
    """One stream of honest lines and attacks together; every line is answered once, and right."""
    target = chance.choice(targets)
    number = chance.randrange(10**6)
    items, verdicts = _items(chance)
    square: dict[str, Any] = {"function": {"code": _SQUARE}, "isolation": isolation}
    lines: list[dict[str, Any]] = [
        {"id": f"execute {at}", "op": "execute", "calls": [{"args": [number]}]} | square
        for at in range(3)
    ]
    lines += [
        {"id": "verify", "op": "verify", "items": items, "isolation": isolation},
        {"id": "generate", "op": "generate", "input_generator": {"code": _DRAW}, "count": 2}
        | square,
        {
            "id": "attack",
            "op": "execute",
            "function": {"code": target.attack.code},
            "calls": [{"args": list(target.attack.arguments)}],
            "limits": target.limits.model_dump(),
            "isolation": isolation,
        },
    ]
    chance.shuffle(lines)
    results = [result async for result in client.batch(lines, concurrency=1)]
    if sorted(str(result.id) for result in results) != sorted(line["id"] for line in lines):
        return [Came("batch", isolation, "lines lost or answered twice", "lines do not match")]
    return [
        _of_line(result, target, isolation=isolation, number=number, verdicts=verdicts)
        for result in results
    ]


def _of_line(
    result: BatchResult,
    target: Target,
    *,
    isolation: str,
    number: int,
    verdicts: list[str],
) -> Came:
    name = f"batch {str(result.id).split(maxsplit=1)[0]}"
    match result.answer:
        case None:
            return Came(name, isolation, "error", f"{result.error}", repr(result.error))
        case wire.ExecuteAnswer() if result.id == "attack":
            return judged(target, result.answer.executions[0], isolation=isolation)
        case wire.ExecuteAnswer():
            ended = result.answer.executions[0]
            right = (ended.status, ended.output) == (wire.Status.OK, number**2)
        case wire.VerifyAnswer():
            right = [item.verdict for item in result.answer.items] == verdicts
        case wire.GenerateAnswer():
            right = len(result.answer.pairs) == 2
        case wire.RunAnswer():
            right = all(run.status is wire.ProgramStatus.OK for run in result.answer.runs)
    return _came(name, isolation, right=right, answer=result.answer)


def _came(
    name: str,
    isolation: str,
    *,
    right: bool,
    answer: BaseModel,
    status: str = "ok",
) -> Came:
    if right:
        return Came(name, isolation, status)
    return Came(name, isolation, "wrong", "a wrong answer", answer.model_dump_json()[:FAULT_CHARS])
