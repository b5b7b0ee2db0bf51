"""The work of a run of chaos: its files, the commands that do it, and what must come of it.

Nothing is started here. Everything is drawn from a seed, and what a command writes depends on its
input only, so that two runs can be compared byte by byte.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acceptance.chaos.programs import as_value
from acceptance.unknowns.checks import checks_of

__all__ = ["Command", "commands", "differences", "result_count", "write_inputs", "wrong_in"]

_PADDING: Final = "x" * 3000
"""Printed by every program: most of an answer is output then, and most damage to it hits that."""
_BODIES: Final = (
    "",
    "    import time\n    time.sleep(0.02)\n",
    "    kept = bytearray(30_000_000)\n",
    "    if n % 3 == 0:\n        raise ValueError(n)\n",
    (
        "    from pathlib import Path\n    Path('n').write_text(str(n))\n"
        "    n = int(Path('n').read_text())\n"
    ),
    "    if n % 7 == 0:\n        while True:\n            pass\n",
    "    if n % 20 == 0:\n        bytearray(2_000_000_000)\n",
)
"""What comes before a function's answer: nothing, a wait, memory, an exception now and then, a
file, and two that reach a limit now and then."""
_DRAW: Final = (
    "import random\n\ndef input_generator():\n    return {'n': random.randint(1, 100_000)}\n"
)
_PAIRS: Final = 4
_EXECUTIONS_PER_FUNCTION: Final = 20
_LIMITS: Final = ("--cpu-time-s", "0.3", "--wall-time-s", "2")
_PARTS: Final = {"functions": 0.5, "programs": 0.35, "questions": 0.12, "sessions": 0.03}
"""Of the executions. A session takes a container, which costs as much as a hundred executions."""
_CHAIN: Final = (
    *("pairs", "prompts-1", "answers-1", "verified-1"),
    *("prompts-2", "answers-2", "verified-2", "train"),
)


@dataclass(frozen=True, slots=True)
class Command:
    """One client: its name, its command line, and the files that it writes below its folder."""

    name: str
    words: tuple[str, ...]
    outputs: tuple[str, ...]


def write_inputs(folder: Path, *, execution_count: int, seed: int) -> None:
    """The files that the commands read; about so many executions are asked for."""
    drawn = random.Random(seed)
    counts = {name: int(part * execution_count) for name, part in _PARTS.items()}
    functions = max(len(_BODIES), counts["functions"] // _EXECUTIONS_PER_FUNCTION)
    _write(folder / "functions.jsonl", (_function(n, drawn) for n in range(functions)))
    _write(folder / "programs.jsonl", _programs(max(12, counts["programs"])))
    for run_as, count in (("program", counts["questions"]), ("session", counts["sessions"])):
        questions = (_question(drawn, run_as) for _ in range(max(3, count // 2)))
        _write(folder / f"questions-{run_as}.jsonl", questions)


def _write(path: Path, lines: Iterable[Mapping[str, object]]) -> None:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def _function(number: int, drawn: random.Random) -> dict[str, object]:
    answer = f"n * {drawn.randint(2, 9999)} + {drawn.randint(0, 9999)}"
    body = f"{_BODIES[number % len(_BODIES)]}    return {{'n': n, 'value': {answer}}}\n"
    return {
        "problem_description": "A line through numbers.",
        "io_requirements": "n is a number; the result holds it and its value.",
        "refcode": f"def main_solution(n):\n{body}",
        "funcname": "main_solution",
        "input_generator": _DRAW,
    }


def _programs(count: int) -> Iterable[dict[str, object]]:
    for check in checks_of(count):
        code = f"{check.program}import sys\nsys.stdout.write({_PADDING!r})\n"
        expected = f"{check.wanted}\n{_PADDING}"
        yield as_value(code, stdin=str(check.n), expected=expected) | {"is_right": check.is_right}


def _question(drawn: random.Random, run_as: str) -> dict[str, object]:
    a, b = drawn.randint(2, 10**6), drawn.randint(2, 10**6)
    return {"question": f"What is {a} times {b}? ({run_as})", "expected": a * b}


def commands(inputs: Path, folder: Path, *, url: str) -> list[Command]:
    """The clients that do the work, each writing below ``folder``."""
    execbox = (sys.executable, "-m", "execbox")
    model = ("--model-callable", "acceptance.chaos.answers:")
    asked = ("--concurrency", "4", "--url", url, *_LIMITS)
    found = [
        Command(
            "pipeline",
            (
                *(*execbox, "pipeline", str(inputs / "functions.jsonl")),
                *("--directory", str(folder / "chain"), "--count", str(_PAIRS)),
                *(model[0], f"{model[1]}predicted", "--requests", "4", *asked),
            ),
            tuple(f"chain/{name}.jsonl" for name in _CHAIN),
        ),
        Command(
            "programs",
            (
                *(sys.executable, "-m", "acceptance.chaos.programs"),
                *(str(inputs / "programs.jsonl"), str(folder / "programs.jsonl"), url),
            ),
            ("programs.jsonl",),
        ),
    ]
    for run_as in ("program", "session"):
        output = f"answers-{run_as}.jsonl"
        words = (
            *(*execbox, "interpret", str(inputs / f"questions-{run_as}.jsonl")),
            *("-o", str(folder / output), "--run-as", run_as),
            *(model[0], f"{model[1]}counting", *asked),
        )
        found.append(Command(f"interpret as {run_as}", words, (output,)))
    return found


def differences(one: Path, other: Path, *, outputs: Sequence[str]) -> list[str]:
    """In which files two runs differ, and from which line on; what was refused is compared, too."""
    found = []
    for name in outputs:
        for beside in ("", ".errors.jsonl"):
            lines = [_lines(folder / f"{name}{beside}") for folder in (one, other)]
            if lines[0] != lines[1]:
                pairs = enumerate(zip(*lines, strict=False), start=1)
                at = next((n for n, (a, b) in pairs if a != b), min(map(len, lines)) + 1)
                counts = " and ".join(f"{len(each)} lines" for each in lines)
                found.append(f"{name}{beside} differs from line {at} on ({counts})")
    return found


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def result_count(folder: Path, *, outputs: Sequence[str]) -> int:
    """Records that have a result."""
    return sum(len(_lines(folder / name)) for name in outputs)


def wrong_in(inputs: Path, folder: Path) -> list[str]:
    """Verdicts that the code does not deserve, of programs and answers whose worth is known: what
    every run gets wrong in the same way would not be seen by comparing two of them."""
    found = []
    asked = [json.loads(line) for line in _lines(inputs / "programs.jsonl")]
    given = [json.loads(line) for line in _lines(folder / "programs.jsonl")]
    for number, (program, result) in enumerate(zip(asked, given, strict=True)):
        if (result["verdict"] == "correct") is not program["is_right"]:
            found.append(f"program {number} is {result['verdict']}, {result['status']}")
    for run_as in ("program", "session"):
        answers = map(json.loads, _lines(folder / f"answers-{run_as}.jsonl"))
        found += [
            f"question {line['id']} ({run_as}) is {line['verdict']}"
            for line in answers
            if line["verdict"] != "correct"
        ]
    return found
