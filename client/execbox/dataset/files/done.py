"""What a run would find done already, and left to do, looked up without touching a file of it.

Going on with a run, which locks and repairs its files, is in ``resume``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from execbox.dataset.files.append_log import as_dataset_error
from execbox.dataset.files.destinations import is_stream
from execbox.dataset.files.input_start import InputStart
from execbox.dataset.files.json_lines import DatasetError, Value
from execbox.dataset.files.records import Record, digest_of, read_records
from execbox.dataset.files.results_file import ResultsFile, packing_of, target_of
from execbox.dataset.files.resume import errors_path, refuse_other_input, run_path, stays_failed
from execbox.dataset.files.run_note import INPUT, RunNote, noted_in
from execbox.dataset.files.sources import STANDARD_STREAM

__all__ = ["done_ids", "refuse_unfinished", "result_ids"]


def done_ids(
    output: Path,
    *,
    step: str,
    settings: Mapping[str, object],
    start: InputStart | None,
    restart: bool,
) -> frozenset[int]:
    """Digests of the ids that have a result, or can have none; empty with ``restart``.

    Raises ``DatasetError``, as the run would, where the output belongs to a different one, or to
    an input that does not begin as ``start`` says.
    """
    if restart or is_stream(output):
        return frozenset()
    results = ResultsFile(target_of(output), packing=packing_of(output))
    theirs, _ = noted_in(_noted(output))
    if results.hold_something():
        RunNote(step=step, settings=settings, made_of={}).refuse_other(output, theirs)
        if start is not None and theirs is not None:
            refuse_other_input(output, theirs.made_of.get(INPUT), start)
    failed = (
        digest_of(str(value["id"])) for value in _values(errors_path(output)) if stays_failed(value)
    )
    return result_ids(output) | frozenset(failed)


def result_ids(output: Path) -> frozenset[int]:
    """Digests of the ids that have a result there so far; none where there is no such file."""
    where = ResultsFile(target_of(output), packing=packing_of(output)).readable()
    return frozenset(digest_of(str(value.get("id"))) for value in _values(where))


def refuse_unfinished(source: Path) -> None:
    """Raise ``DatasetError`` where ``source`` is the output of a run that has not come to its end,
    or that left records to the next one: their lines come in between, so that the lines that are
    there do not have their numbers yet."""
    left = _left_to_do(source)
    if left is not None:
        raise DatasetError(
            f"{source}: {left}. What is made of this file is numbered by its lines, and the lines "
            "that are missing come in between: run the command that wrote it again first. To do "
            "without them for good, copy the file and give the copy"
        )


def _left_to_do(output: Path) -> str | None:
    """What the command that writes ``output`` does when it is run again; None for nothing, and
    for a file that no run wrote."""
    if output == STANDARD_STREAM:
        return None
    if not noted_in(_noted(output))[1]:
        return "the run that writes it has not come to its end"
    errors = errors_path(output)
    count = sum(value.get("retry") is True for value in _values(errors))
    if not count:
        return None
    have = "record has" if count == 1 else "records have"
    return (
        f"{count} {have} no result yet, because the service or the model failed, or the service "
        f"does not permit what is needed ({errors})"
    )


def _noted(output: Path) -> str:
    with as_dataset_error(output), suppress(FileNotFoundError):
        return run_path(output).read_text("utf-8", "replace")
    return ""


def _values(path: Path) -> Iterator[Value]:
    """The records of a file that a run may be writing: a torn last line is none."""
    if path.is_file():
        for line in read_records(path):
            if isinstance(line, Record):
                yield line.value
