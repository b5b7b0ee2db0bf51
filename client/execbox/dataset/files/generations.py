"""Reading files of generations, in the forms that benchmarks and ``infer`` write them.

Judging them is in ``cruxeval``.
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from execbox import strict_json
from execbox.dataset.files.json_lines import BadRecord, DatasetError, text_field
from execbox.dataset.files.records import BadLine, Record, problem_of, records_of
from execbox.dataset.files.sources import open_source, reading_errors

__all__ = ["Generations", "read_generations"]

Generations: TypeAlias = Mapping[str, Sequence[str]]
"""Predictions by the id of their sample."""

_BOM = b"\xef\xbb\xbf"
_SAMPLE_NUMBER = re.compile(r"#[0-9]+(?:~[0-9]+)?\Z")
_COME_AGAIN = re.compile(r"~[0-9]+\Z")


def read_generations(path: Path, *, asked_for: Literal["input", "output"]) -> Generations:
    """The reference scorer's file, ``{"sample_0": ["f([1])", ...], ...}``, or JSONL.

    JSONL lines are ``{"id", "generations": [...]}``, or ``{"id", "output"}`` as ``infer`` writes
    them, where samples ``ID#1``, ``ID#2``... belong together. Of an id that ends so and a line
    that does not say in ``sample`` that it is one, that may be the name: it is in what is returned
    under both, unless a line has the shorter one for itself. Of lines that say with ``io_pred``
    what they were asked for, the others are left out; ``sample_id`` names a line's sample where
    its ``id`` does not. Raises ``DatasetError``.
    """
    with open_source(path) as source, reading_errors(source.name):
        text, file = source.file.read().removeprefix(_BOM), source.name
    try:
        whole = strict_json.decode(text, lone_surrogates=True)
    except ValueError:
        return _read_lines(text, file, asked_for)  # Not one JSON document: lines of them.
    if isinstance(whole, dict) and not {"generations", "output"} & whole.keys():
        return {name: _texts(file, name, texts) for name, texts in whole.items()}
    return _read_lines(text, file, asked_for)


def _texts(path: str, name: str, texts: object) -> Sequence[str]:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DatasetError(f"{path}: {name}: must be an array of texts")
    return texts


def _read_lines(text: bytes, path: str, asked_for: str) -> Generations:
    found: defaultdict[str, list[str]] = defaultdict(list)
    found_by_number: defaultdict[str, list[str]] = defaultdict(list)
    others_count = 0
    for line in _records(text, path):
        if line.value.get("io_pred", asked_for[0]) != asked_for[0]:
            others_count += 1
            continue
        name, texts = _name(line), _texts_of(line, path)
        found[name].extend(texts)
        without_number = _SAMPLE_NUMBER.sub("", name)
        if without_number != name and not {"sample", "sample_id"} & line.value.keys():
            found_by_number[_COME_AGAIN.sub("", without_number)].extend(texts)
    if others_count and not found:
        raise DatasetError(
            f"{path}: all {others_count} lines are about something else than the {asked_for}; "
            f"score them with --mode {'output' if asked_for == 'input' else 'input'}"
        )
    return {**found_by_number, **found}


def _name(line: Record) -> str:
    """Its sample's name, without the number of an id that comes again: those are samples, too."""
    name = str(line.value.get("sample_id", problem_of(line)))
    if "sample_id" in line.value or "generations" in line.value:
        return name
    return _COME_AGAIN.sub("", name)


def _texts_of(line: Record, path: str) -> Sequence[str]:
    if "generations" in line.value:
        return _texts(path, f"line {line.number}", line.value["generations"])
    return [_output(line)]


def _records(text: bytes, path: str) -> Iterator[Record]:
    for line in records_of(io.BytesIO(text), name=path):
        if isinstance(line, BadLine):
            raise DatasetError(line.message)
        yield line


def _output(line: Record) -> str:
    try:
        return text_field(line.value, "output")
    except BadRecord as problem:
        raise DatasetError(f"{line.where}: {problem.message}") from problem
