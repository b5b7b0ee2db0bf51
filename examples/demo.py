"""Runs the functions of ``functions.jsonl`` through a service of its own and shows what happened.

``make demo`` sets up what this needs and starts it, as ``python -m examples.demo``. For each
function the service draws inputs with the function's own generator, runs them, runs them again
under variation, and keeps the pairs that hold. The exit status is 1 when an outcome is not what
the function's record says it must be.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from harness.local_service import LocalService, ServiceDidNotStart

from execbox import Client, ExecboxError, Limits
from execbox.wire import (
    Capabilities,
    Execution,
    Function,
    GenerateResponse,
    InputGenerator,
    Pair,
)

_FUNCTIONS = Path(__file__).with_name("functions.jsonl")
# Small, so that the function that never ends and the one that eats memory are soon over.
_LIMITS = Limits(cpu_time_s=1.0, wall_time_s=5.0, memory_mb=64)
_PAIR_COUNT = 2
_DRAW_COUNT = 3
_NAME_CHARS = 24
_HAPPENED_CHARS = 18
_DETAIL_CHARS = 62


@dataclass(frozen=True)
class Example:
    """One record of ``functions.jsonl``."""

    name: str
    function: Function
    input_generator: InputGenerator
    expect: str
    cause: str | None


@dataclass(frozen=True)
class Seen:
    """What the service made of an example: its pairs, and one call of it looked at closely."""

    example: Example
    generated: GenerateResponse
    execution: Execution | None
    limits: Limits
    packages_may_lack: bool = False
    """Without an image of ours, the packages are what this machine happens to have."""

    @property
    def pairs(self) -> list[Pair]:
        return self.generated.pairs

    @property
    def happened(self) -> str:
        """``deterministic`` if there are pairs, else the reason why the first draw gave none."""
        if self.pairs:
            return "deterministic"
        if self.packages_may_lack and self._missing_package:
            return "package_missing"
        return min(self.generated.examples.items(), key=lambda item: item[1].attempt)[0]

    @property
    def cause(self) -> str | None:
        example = self.generated.examples.get("non_deterministic")
        if self.pairs or example is None or example.determinism is None:
            return None
        return example.determinism.cause

    @property
    def _missing_package(self) -> bool:
        errors = [example.error for example in self.generated.examples.values()]
        return any(error is not None and error.type == "ModuleNotFoundError" for error in errors)

    @property
    def as_expected(self) -> bool:
        if self.happened == "package_missing":
            return True
        return (self.happened, self.cause) == (self.example.expect, self.example.cause)


def main(argv: Sequence[str] | None = None) -> int:
    """Run all examples; 0 if each ended as its record says, 1 if not, 2 if none could run."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--cpu-time-s",
        type=_limits,
        default=_LIMITS,
        dest="limits",
        metavar="SECONDS",
        help=f"of CPU for each call (default {_LIMITS.cpu_time_s:g}): more where a machine is so "
        "slow that a call takes all of it before it meets its memory limit",
    )
    limits: Limits = parser.parse_args(argv).limits
    signal.signal(signal.SIGTERM, _end)
    began_s = time.monotonic()
    try:
        with LocalService() as service, Client(config=service.config()) as client:
            able = client.capabilities()
            _print_head(able, limits, started_s=time.monotonic() - began_s)
            for reason in service.engines_not_taken():
                print(f"Not taken: {reason}\n")
            seen = []
            for one in _look_at_all(client, read_examples(_FUNCTIONS), able, limits):
                print(row(one), flush=True)
                seen.append(one)
            print(f"\n{foot(seen, took_s=time.monotonic() - began_s)}")
    except ServiceDidNotStart as error:
        print(f"The service did not start:\n\n{error}\n", file=sys.stderr)
        print("`.venv/bin/execbox doctor` says what is missing and how to get it.", file=sys.stderr)
        return 2
    except ExecboxError as error:
        print(f"The service gave no answer: {error}", file=sys.stderr)
        return 2
    return 0 if all(one.as_expected for one in seen) else 1


def _limits(cpu_time_s: str) -> Limits:
    """Those of the demonstration with other CPU time, and a wall time that leaves room for it."""
    try:
        given_s = float(cpu_time_s)
        changed = {"cpu_time_s": given_s, "wall_time_s": max(_LIMITS.wall_time_s, 2 * given_s)}
        return Limits(**_LIMITS.model_dump() | changed)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{cpu_time_s!r} is no number of seconds from 0.01 to 60"
        ) from error


def read_examples(path: Path) -> list[Example]:
    """All records of the file, in its order."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        Example(
            name=record["meta"]["name"],
            function=Function(code=record["refcode"], entry_point=record["funcname"]),
            input_generator=InputGenerator(code=record["input_generator"]),
            expect=record["meta"]["expect"],
            cause=record["meta"]["cause"],
        )
        for record in records
    ]


def _look_at_all(
    client: Client, examples: list[Example], able: Capabilities, limits: Limits
) -> Iterator[Seen]:
    def look(example: Example) -> Seen:
        return look_at(client, example, able=able, limits=limits)

    with ThreadPoolExecutor(able.concurrency) as threads:
        yield from threads.map(look, examples)


def look_at(client: Client, example: Example, *, able: Capabilities, limits: Limits) -> Seen:
    """Generate pairs, then run one of the inputs once more to see its output, error and usage."""
    generated = client.generate(
        example.function,
        example.input_generator,
        count=_PAIR_COUNT,
        attempts=_DRAW_COUNT,
        limits=limits,
    )
    given = _an_input(generated)
    may_lack = able.engine != "docker"
    if given is None:
        return Seen(example, generated, None, limits, may_lack)
    # At the other level of isolation, which spares this second look a container of its own.
    response = client.execute(example.function, [given], limits=limits, isolation="process")
    return Seen(example, generated, response.executions[0], limits, may_lack)


def _an_input(generated: GenerateResponse) -> dict[str, Any] | None:
    inputs = [pair.input for pair in generated.pairs]
    inputs += [example.input for example in generated.examples.values()]
    return next((given for given in inputs if given is not None), None)


def row(seen: Seen) -> str:
    """One line of the table."""
    usage = seen.execution.usage if seen.execution is not None else None
    cpu = f"{usage.cpu_time_s * 1000:7.0f}" if usage is not None else "      -"
    happened = f"ok, {len(seen.pairs)} pairs" if seen.pairs else seen.happened
    text = _short(_detail(seen))
    if not seen.as_expected:
        cause = f" because of {seen.example.cause}" if seen.example.cause else ""
        text += f"  <-- EXPECTED {seen.example.expect}{cause}"
    return f"{seen.example.name:<{_NAME_CHARS}} {happened:<{_HAPPENED_CHARS}} {cpu}  {text}"


def _detail(seen: Seen) -> str:
    """The output where the function gave pairs, else why it was dropped."""
    execution, limits = seen.execution, seen.limits
    if execution is None:
        error = next(iter(seen.generated.examples.values())).error
        return f"{error.type}: {error.message}" if error else "no input was drawn"
    if seen.pairs:
        return json.dumps(execution.output)
    if seen.happened == "non_deterministic":
        found = seen.generated.examples["non_deterministic"].determinism
        outputs = [json.dumps(output) for output in found.outputs[:2]] if found else []
        room = (_DETAIL_CHARS - len(seen.cause or "") - 6) // 2
        return f"{seen.cause}: " + " then ".join(_short(text, room) for text in outputs)
    if execution.status.value == "timeout":
        return f"stopped at its {execution.limit} limit of {limits.cpu_time_s:g} s"
    if execution.status.value == "memory_exceeded":
        return f"stopped at its memory limit of {limits.memory_mb} MB"
    if execution.error is not None:
        return f"{execution.error.type}: {execution.error.message}"
    return seen.happened


def _short(text: str, chars: int = _DETAIL_CHARS) -> str:
    return text if len(text) <= chars else text[: chars - 3] + "..."


def _print_head(able: Capabilities, limits: Limits, *, started_s: float) -> None:
    engine = {"docker": "Docker", "bubblewrap": "bubblewrap"}.get(able.engine, able.engine)
    print(f"The service runs functions in throwaway {engine} containers (ready in", end="")
    print(f" {started_s:.1f} s, Python {able.python}, image {able.image[:19]}).")
    for weakness in able.weaker_than_docker:
        print(f"  weaker than Docker: {weakness}")
    print(f"Limits of each call: {limits.cpu_time_s:g} s of CPU, {limits.memory_mb} MB.", end="")
    print(f" Each input is run twice under variation; up to {_PAIR_COUNT} pairs are kept.\n")
    names = ("function", "what happened", " cpu ms", "output, or why it was dropped")
    print(f"{names[0]:<{_NAME_CHARS}} {names[1]:<{_HAPPENED_CHARS}} {names[2]}  {names[3]}")


def foot(seen: list[Seen], *, took_s: float) -> str:
    """What is below the table: how many ended how, and which not as their records say."""
    counts = Counter(one.happened for one in seen)
    counts["ok"] = counts.pop("deterministic", 0)
    pair_count = sum(len(one.pairs) for one in seen)
    told = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    lines = [f"{len(seen)} functions: {told}; {pair_count} pairs in {took_s:.1f} s."]
    unexpected = [one for one in seen if not one.as_expected]
    if not unexpected:
        lines.append("Every function ended as its record says it must.")
    else:
        lines.append(f"NOT as expected: {', '.join(one.example.name for one in unexpected)}")
    if any(one.happened == "timeout" for one in unexpected):
        lines.append(
            "If this machine is slow, give calls more CPU time: "
            ".venv/bin/python -m examples.demo --cpu-time-s 10"
        )
    return "\n".join(lines)


def _end(_number: int, _frame: FrameType | None) -> None:
    # As an exception, so that the service is ended on the way out.
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
