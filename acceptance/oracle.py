"""The corpus as oracle: what `verify` must say about every published pair of the CodeI/O authors.

    python -m acceptance.oracle [--corpus FOLDER] [--functions N]

For every pair whose function is deterministic: predicting the published output is correct,
predicting the published input is correct, a changed output is incorrect with feedback that names
both values, and a changed input gets the verdict of what running it gives. Prints the counts and
every exception; exits with 1 if there is one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.corpus_files import DEFAULT_FOLDER, CodeioFunction, read_codeio
from harness.local_service import LocalService

from execbox import AsyncClient
from execbox.wire import Call, Execution, Function, Limits, VerifiedItem, VerifyItem

NOT_DETERMINISTIC = frozenset({178, 317, 389, 523, 650, 760, 776, 800, 833, 846, 902, 974})
"""Two runs can give two outputs."""
NOT_REPRODUCIBLE = frozenset({202, 266, 784, 899, 953, 966, 999})
"""The published output came from arguments or state that an earlier call had changed."""
WITHOUT_ANSWER = frozenset({198, 867})
"""One needs a display, one returns an infinity."""
EXCLUDED = NOT_DETERMINISTIC | NOT_REPRODUCIBLE | WITHOUT_ANSWER

LIMITS = Limits(cpu_time_s=10, wall_time_s=20)
_AT_ONCE = 4


@dataclass
class Findings:
    """How often each expectation was met, and every time one was not."""

    met: Counter[str] = field(default_factory=Counter)
    changed_input: Counter[str] = field(default_factory=Counter)
    unmet: list[str] = field(default_factory=list)

    def note(self, what: str, *, holds: bool, about: str) -> None:
        if holds:
            self.met[what] += 1
        else:
            self.unmet.append(f"{what}: {about}")


def deterministic(folder: Path) -> list[CodeioFunction]:
    """The functions whose published pairs hold. Raises CorpusMissing."""
    return [each for each in read_codeio(folder) if each.number not in EXCLUDED]


def changed(value: Any, draw: random.Random) -> Any:
    """Another value of much the same kind, never an equal one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + draw.choice([-1, 1])
    if isinstance(value, float):
        return value + draw.choice([-1, 1]) * (1 + abs(value))
    if isinstance(value, str):
        return value + draw.choice("abc")
    if isinstance(value, list) and value:
        place = draw.randrange(len(value))
        return [*value[:place], changed(value[place], draw), *value[place + 1 :]]
    if isinstance(value, dict) and value:
        key = draw.choice(sorted(value))
        return value | {key: changed(value[key], draw)}
    return [1] if value is None or isinstance(value, list) else {"a": 1}


async def check(client: AsyncClient, subject: CodeioFunction, findings: Findings) -> None:
    """Hold one function's pairs against the oracle."""
    draw = random.Random(subject.number)
    function = Function(code=subject.code, entry_point=subject.entry_point, prelude="codeio")
    wrong_inputs = [changed(given, draw) for given, _output in subject.pairs]
    wrong_outputs = [changed(output, draw) for _given, output in subject.pairs]
    ran = await executions(client, function, wrong_inputs)
    items: list[VerifyItem] = []
    for number, (given, output) in enumerate(subject.pairs):
        items += [
            item("output", function, prediction=output, input=given),
            item("input", function, prediction=given, output=output),
            item("output", function, prediction=wrong_outputs[number], input=given),
            item("output", function, prediction=wrong_outputs[number], output=output),
            item("input", function, prediction=wrong_inputs[number], output=output),
        ]
    verified = (await client.verify(items, isolation="process")).items
    for number, (_given, output) in enumerate(subject.pairs):
        right, feasible, wrong, wrong_known, other = verified[5 * number : 5 * number + 5]
        about = f"function {subject.number}, pair {number}"
        for what, found in (("output correct", right), ("input correct", feasible)):
            holds = found.verdict == "correct"
            findings.note(what, holds=holds, about=f"{about}: {found.verdict}")
        for found in (wrong, wrong_known):
            named = names_both(found, wrong_outputs[number], output)
            holds = found.verdict == "incorrect" and named
            findings.note("changed output incorrect", holds=holds, about=about)
        expected = verdict_of(ran[number], output)
        findings.changed_input[str(other.verdict)] += 1
        findings.note(
            "changed input as it runs",
            holds=other.verdict == expected,
            about=f"{about}: {other.verdict}, and running it gives {expected}",
        )


def item(kind: str, function: Function, **fields: Any) -> VerifyItem:
    """``fields`` are the prediction and what is known: ``input`` or ``output``."""
    common = {"id": "", "kind": kind, "function": function, "limits": LIMITS}
    return VerifyItem.model_validate(common | fields)


async def executions(
    client: AsyncClient, function: Function, inputs: Sequence[dict[str, Any]]
) -> Sequence[Execution]:
    """What running these inputs gives, by the path that compares nothing."""
    calls = [Call(kwargs=given) for given in inputs]
    response = await client.execute(function, calls, limits=LIMITS, isolation="process")
    return response.executions


def verdict_of(execution: Execution, output: Any) -> str:
    """What a prediction of an input that ran like this is worth, by the rule written out again."""
    if execution.status != "ok":
        return execution.status.value
    if execution.output_text is not None:
        return "incorrect"
    return "correct" if alike(execution.output, output) else "incorrect"


def alike(ours: Any, theirs: Any) -> bool:
    """The paper's rule, for the values of this corpus."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(alike(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(alike, ours, theirs))
    if isinstance(ours, float) or isinstance(theirs, float):
        # Not ``isinstance``: a boolean is an int to Python, and no number in JSON.
        if not {type(ours), type(theirs)} <= {int, float}:
            return False
        return abs(ours - theirs) <= 0.001 * abs(theirs) and int(ours) == int(theirs)
    return json.dumps(ours) == json.dumps(theirs)


def names_both(found: VerifiedItem, predicted: Any, expected: Any) -> bool:
    feedback = found.feedback or ""
    return all(json.dumps(value, ensure_ascii=False) in feedback for value in (predicted, expected))


async def check_all(client: AsyncClient, chosen: Sequence[CodeioFunction]) -> Findings:
    """Every chosen function, some of them at a time."""
    findings = Findings()
    limiter = asyncio.Semaphore(_AT_ONCE)

    async def one(subject: CodeioFunction) -> None:
        async with limiter:
            await check(client, subject, findings)

    async with asyncio.TaskGroup() as group:
        for subject in chosen:
            group.create_task(one(subject))
    return findings


async def run(folder: Path, functions_max: int) -> Findings:
    """On a service of its own."""
    chosen = deterministic(folder)[:functions_max]
    with LocalService() as service:
        async with AsyncClient(config=service.config()) as client:
            return await check_all(client, chosen)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.oracle", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--corpus", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--functions", type=int, default=10_000, help="the first N only")
    args = parser.parse_args(argv)
    begun_s = time.monotonic()
    findings = asyncio.run(run(args.corpus, args.functions))
    for what, count in sorted(findings.met.items()):
        print(f"{count:6}  {what}")
    print("        changed inputs:", dict(sorted(findings.changed_input.items())))
    for line in findings.unmet:
        print("NOT MET", line)
    print(f"{len(findings.unmet)} not met, {time.monotonic() - begun_s:.0f} s")
    return 1 if findings.unmet else 0


if __name__ == "__main__":
    sys.exit(main())
