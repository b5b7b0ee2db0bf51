"""Reading the public corpora: their records as dataclasses. Runs nothing.

``codeio_functions.jsonl`` holds functions with published pairs from the authors of CodeI/O,
``cruxeval.jsonl`` functions of CRUXEval, ``pyedu.jsonl.gz`` functions that a different group made
in the shape of CodeI/O's. None is part of this repository.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CODEIO_FILE = "codeio_functions.jsonl"
CRUXEVAL_FILE = "cruxeval.jsonl"
PYEDU_FILE = "pyedu.jsonl.gz"
DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "corpus"


@dataclass(frozen=True)
class CodeioFunction:
    """One function with its published pairs; ``number`` is the msgidx of the release."""

    number: int
    code: str
    entry_point: str
    pairs: tuple[tuple[dict[str, Any], Any], ...]


@dataclass(frozen=True)
class CruxevalFunction:
    """One function ``f``; ``arguments`` and ``output`` are Python source text."""

    name: str
    code: str
    arguments: str
    output: str


class CorpusMissing(Exception):
    """The folder does not hold the file; the message says what to do."""


def read_codeio(folder: Path) -> list[CodeioFunction]:
    """All functions of the CodeI/O sample, in the order of the file. Raises CorpusMissing."""
    return [_with_pairs(record) for record in _records(folder / CODEIO_FILE)]


def read_pyedu(folder: Path) -> list[CodeioFunction]:
    """All functions of the PyEdu sample, in the order of the file. Raises CorpusMissing."""
    return [_with_pairs(record) for record in _records(folder / PYEDU_FILE)]


def read_cruxeval(folder: Path) -> list[CruxevalFunction]:
    """All functions of the CRUXEval sample, in the order of the file. Raises CorpusMissing."""
    return [
        CruxevalFunction(
            name=record["id"],
            code=record["code"],
            arguments=record["input"],
            output=record["output"],
        )
        for record in _records(folder / CRUXEVAL_FILE)
    ]


def _with_pairs(record: dict[str, Any]) -> CodeioFunction:
    return CodeioFunction(
        number=record["meta"]["msgidx"],
        code=record["refcode"],
        entry_point=record["funcname"],
        pairs=tuple((pair["input"], pair["output"]) for pair in record["ios"]),
    )


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise CorpusMissing(
            f"{path} is not there: name the folder that holds {path.name} with --corpus"
        ) from error
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    # Not splitlines: a record may hold U+2028, which ends no line of a JSONL file.
    return [json.loads(line) for line in text.split("\n") if line]
