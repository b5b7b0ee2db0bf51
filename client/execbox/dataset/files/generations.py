"""Reading files of generations, in the forms that benchmarks and ``infer`` write them.

Judging them is in ``cruxeval``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from execbox import strict_json
from execbox.dataset.files.json_lines import BadRecord, DatasetError, text_field
from execbox.dataset.files.records import BadLine, Record, read_records

__all__ = ["Generations", "read_generations"]

Generations: TypeAlias = Mapping[str, Sequence[str]]
"""Predictions by the id of their sample."""


def read_generations(path: Path) -> Generations:
    """The reference scorer's file, ``{"sample_0": ["f([1])", ...], ...}``, or JSONL.

    JSONL lines are ``{"id", "generations": [...]}``, or ``{"id", "output"}`` as ``infer`` writes
    them, where samples ``ID#1``, ``ID#2``... belong together. Raises ``DatasetError``.
    """
    try:
        whole = strict_json.decode(path.read_bytes(), lone_surrogates=True)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError:
        return _read_lines(path)  # Not one JSON document: lines of them.
    if isinstance(whole, dict) and not {"generations", "output"} & whole.keys():
        return {name: _texts(path, name, texts) for name, texts in whole.items()}
    return _read_lines(path)


def _texts(path: Path, name: str, texts: object) -> Sequence[str]:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DatasetError(f"{path}: {name}: must be an array of texts")
    return texts


def _read_lines(path: Path) -> Generations:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for line in _records(path):
        name, _, _ = line.id.partition("#")
        if "generations" in line.value:
            found[name].extend(_texts(path, f"line {line.number}", line.value["generations"]))
        else:
            found[name.partition("~")[0]].append(_output(line))
    return found


def _records(path: Path) -> Iterator[Record]:
    for line in read_records(path):
        if isinstance(line, BadLine):
            raise DatasetError(line.message)
        yield line


def _output(line: Record) -> str:
    try:
        return text_field(line.value, "output")
    except BadRecord as problem:
        raise DatasetError(f"{line.where}: {problem.message}") from problem
