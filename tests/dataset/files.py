"""Writing and reading small JSONL files, and records that fit together. No tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DOUBLE = "def main_solution(n):\n    return n * 2\n"


def write_lines(path: Path, lines: Iterable[object]) -> Path:
    """One line each: bytes as they are, anything else as JSON."""
    data = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"".join(line + b"\n" for line in data))
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Every line of a JSONL file; nothing where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def function(number: int = 0, *, pairs: int = 2, **fields: object) -> dict[str, object]:
    """A function that doubles, with pairs that tell it from others."""
    ios = [{"input": {"n": number + i}, "output": 2 * (number + i)} for i in range(pairs)]
    return {
        "problem_description": f"What is twice the number `n`? (case {number})",
        "io_requirements": "Input:\n  `n` (int)\n\nOutput:\n  `return` (int)",
        "refcode": DOUBLE,
        "funcname": "main_solution",
        "ios": ios,
    } | fields


def answered(number: int, output: str, *, kind: str = "o", **fields: object) -> dict[str, object]:
    """What ``infer`` writes for a question about doubling ``number``."""
    return {
        "id": f"{number}.0.{kind}",
        "messages": [{"role": "user", "content": f"twice {number}?"}],
        "itemid": number,
        "ioid": 0,
        "io_pred": kind,
        "refcode": DOUBLE,
        "funcname": "main_solution",
        "io": {"input": {"n": number}, "output": 2 * number},
        "output": output,
    } | fields


def no_answer(_: object) -> str:
    """A model that never knows, for ``--model-callable``."""
    return "I do not know"
