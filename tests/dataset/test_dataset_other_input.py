"""Another input under the output of an earlier run is refused where it can be told."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value, text_field
from execbox.dataset.files.records import Record
from execbox.dataset.files.resume import errors_path, run_path
from execbox.dataset.steps.dry_run import estimate_step
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.infer import InferOptions, infer_step
from execbox.dataset.steps.model import CallableModel
from execbox.dataset.steps.progress import Summary
from execbox.dataset.steps.step import Step, per_record
from execbox.dataset.steps.verify import open_verify_step
from tests.dataset.files import answered, read_lines, write_lines
from tests.dataset.verifying import Doubling

A = [{"text": "a0"}, {"text": "a1"}, {"text": "a2"}]
NAMED = [{"id": text, "text": text} for text in ("a", "b", "c")]
REFUSED = r"out\.jsonl: was begun with another input.*--restart"


async def shout(record: Record) -> Value:
    text = text_field(record.value, "text")
    if text == "away":
        raise BadRecord("away", reason="away", retry=True)
    return {"text": text.upper()}


SHOUT = Step(name="shout", settings={}, work=per_record(shout), reason_of=lambda _: "done")


def run(folder: Path, lines: Sequence[object], *, restart: bool = False) -> Summary:
    source = write_lines(folder / "in.jsonl", lines)
    return run_step(SHOUT, source=source, output=folder / "out.jsonl", restart=restart)


def shouted(folder: Path) -> list[object]:
    return [line["text"] for line in read_lines(folder / "out.jsonl")]


@pytest.mark.parametrize(
    "other", [[{"text": "b0"}, *A[1:]], A[1:], NAMED, [{"text": "new"}, *A], [*reversed(A)]]
)
def test_input_whose_first_record_is_changed_or_gone_is_refused(
    tmp_path: Path, other: list[object]
) -> None:
    """Its results would be those of the records that had these places before."""
    run(tmp_path, A)
    names = ["out.jsonl", "out.jsonl.run.json"]
    before = [(tmp_path / name).read_bytes() for name in names]
    with pytest.raises(DatasetError, match=REFUSED):
        run(tmp_path, other)
    assert [(tmp_path / name).read_bytes() for name in names] == before
    assert run(tmp_path, other, restart=True).resumed_count == 0
    assert len(shouted(tmp_path)) == len(other)
    assert run(tmp_path, other).resumed_count == len(other)


def test_failures_listed_beside_an_output_that_is_refused_stay(tmp_path: Path) -> None:
    """The error file says what is missing, also to the step after."""
    run(tmp_path, [*A, {"text": "away"}])
    listed = errors_path(tmp_path / "out.jsonl").read_bytes()
    with pytest.raises(DatasetError, match=REFUSED):
        run(tmp_path, NAMED)
    assert errors_path(tmp_path / "out.jsonl").read_bytes() == listed


@pytest.mark.parametrize(
    ("first", "then", "resumed_count"),
    [
        (A, [*A, {"text": "a3"}], 3),
        (NAMED, [{"id": "0", "text": "new"}, *NAMED], 3),
        (NAMED, [*reversed(NAMED)], 3),
        (NAMED, [b"", NAMED[0], NAMED[2]], 3),
        ([{"text": "away"}, *A], [{"text": "away"}, *A, {"text": "a3"}], 3),
        # Whether the input is another one is not known where it began with no record.
        ([b"{bad", *A], [{"text": "good"}, *A], 3),
        ([], A, 0),
    ],
)
def test_input_that_has_grown_or_is_in_another_order_is_gone_on_with(
    tmp_path: Path, first: list[object], then: list[object], resumed_count: int
) -> None:
    """Ids decide what is done, and the record that was first is there as it was."""
    run(tmp_path, first)
    assert run(tmp_path, then).resumed_count == resumed_count


def test_first_record_that_was_refused_may_be_put_right(tmp_path: Path) -> None:
    """It has no result that another one could be taken for."""
    assert run(tmp_path, [{"txt": "oops"}, *A]).failures == {"missing_field": 1}
    assert run(tmp_path, [{"text": "mended"}, *A]).failures == {}
    assert shouted(tmp_path) == ["MENDED", "A0", "A1", "A2"]
    with pytest.raises(DatasetError, match=REFUSED):
        run(tmp_path, [{"text": "other"}, *A])


def test_output_of_the_released_version_is_gone_on_with_and_noted(tmp_path: Path) -> None:
    """It notes no input; the next run after this one knows it."""
    run(tmp_path, A)
    note = run_path(tmp_path / "out.jsonl")
    members = json.loads(note.read_text())
    del members["made_of"]
    note.write_text(json.dumps(members, indent=2, sort_keys=True) + "\n")
    assert run(tmp_path, [*A, {"text": "a3"}]).resumed_count == 3
    with pytest.raises(DatasetError, match=REFUSED):
        run(tmp_path, NAMED)


def test_note_that_is_longer_than_the_one_after_it_leaves_nothing_behind(tmp_path: Path) -> None:
    """The note is always one JSON document, and says that the run has ended."""
    run(tmp_path, [{"id": "x" * 150, "text": "a"}, {"id": "b", "text": "b"}])
    run(tmp_path, [{"id": "b", "text": "b"}, {"id": "x" * 150, "text": "a"}])
    members = json.loads(run_path(tmp_path / "out.jsonl").read_text())
    assert members["made_of"]["input"]["id"] == "b"


def test_same_records_are_the_same_input_however_they_are_packed(tmp_path: Path) -> None:
    """Plain and gzip, members of an object in any order."""
    run(tmp_path, [{"id": "a", "text": "a", "n": 1.5}])
    packed = tmp_path / "in.gz"
    packed.write_bytes(gzip.compress(b'\xef\xbb\xbf{"n": 1.5, "text": "\\u0061", "id": "a"}\n'))
    run_step(SHOUT, source=packed, output=tmp_path / "out.jsonl")
    packed.write_bytes(gzip.compress(b'{"n": 1.5, "text": "b", "id": "a"}\n'))
    with pytest.raises(DatasetError, match=REFUSED):
        run_step(SHOUT, source=packed, output=tmp_path / "out.jsonl")


def test_pipe_is_compared_by_its_first_record_and_read_from_there(tmp_path: Path) -> None:
    """It cannot be read again: in another order it is taken as it is."""

    def piped(lines: Sequence[object]) -> Summary:
        reading, writing = os.pipe()
        os.write(writing, b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        os.close(writing)
        try:
            source = Path(f"/dev/fd/{reading}")
            return run_step(SHOUT, source=source, output=tmp_path / "out.jsonl")
        finally:
            os.close(reading)

    assert piped(NAMED).result_count == 3
    assert piped([*reversed(NAMED)]).resumed_count == 3
    with pytest.raises(DatasetError, match=REFUSED):
        piped([NAMED[2] | {"text": "other"}, *NAMED])


def test_verdicts_of_answers_that_were_made_anew_are_not_kept(tmp_path: Path) -> None:
    """`infer --restart`, then `verify` as before."""
    answers, output = tmp_path / "answers.jsonl", tmp_path / "out.jsonl"
    for text in ('{"output": 2}', '{"output": 3}'):
        write_lines(answers, [answered(1, text), answered(2, text)])
        if output.exists():
            with pytest.raises(DatasetError, match=REFUSED):
                run_step(open_verify_step(Doubling()), source=answers, output=output)
        else:
            run_step(open_verify_step(Doubling()), source=answers, output=output)


def test_answers_put_in_order_since_are_no_other_input(tmp_path: Path) -> None:
    """A run puts its results in order at its end: until then another one may be the first."""
    run(tmp_path, [NAMED[2], NAMED[0]])
    assert run(tmp_path, NAMED).resumed_count == 2
    assert shouted(tmp_path) == ["A", "B", "C"]


def test_dry_run_over_another_input_is_refused_as_the_run_would_be(tmp_path: Path) -> None:
    """What it would send is not what it counts otherwise."""
    question = {"messages": [{"role": "user", "content": "a?"}]}
    source, output = write_lines(tmp_path / "p.jsonl", [question]), tmp_path / "out.jsonl"
    step = infer_step(CallableModel(lambda _: "1"), InferOptions())
    run_step(step, source=source, output=output)
    assert estimate_step(step, source=source, output=output, restart=False).answered_count == 1
    write_lines(source, [question | {"more": 1}])
    with pytest.raises(DatasetError, match=REFUSED):
        estimate_step(step, source=source, output=output, restart=False)
