"""Steps that make all results again in every run: ``assemble``, and the chain that ends with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from execbox.dataset.files.done import refuse_unfinished
from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.records import read_records
from execbox.dataset.files.resume import errors_path
from execbox.dataset.steps.assemble import AssembleOptions, open_assemble_step
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.model import CallableModel
from execbox.dataset.steps.pipeline import PipelineOptions, PipelineResult, run_pipeline
from execbox.dataset.steps.progress import Summary
from execbox.dataset.steps.prompts import PromptOptions
from tests.dataset.files import function, read_lines, write_lines
from tests.dataset.verifying import Doubling


def verified(name: str, verdict: str, **fields: object) -> dict[str, object]:
    question = {"role": "user", "content": f"{name}?"}
    return {"id": name, "messages": [question], "output": "1", "verdict": verdict} | fields


def revised(name: str) -> dict[str, object]:
    turns = [{"response": "1", "verdict": "incorrect", "feedback": "no"}]
    said = [("user", f"{name}?"), ("assistant", "1"), ("user", "no")]
    messages = [{"role": role, "content": content} for role, content in said]
    return verified(name, "correct", turns=turns, messages=messages, output="2")


def assembled(folder: Path, second: Sequence[object], **options: object) -> Summary:
    """``train.jsonl`` of a first round with two wrong answers and of this second one."""
    one = folder / "v1.jsonl"
    if not one.exists():
        write_lines(one, [verified("a", "incorrect"), verified("b", "incorrect")])
    two = write_lines(folder / "v2.jsonl", second)
    name = str(options.pop("name", "train.jsonl"))
    restart = bool(options.pop("restart", False))
    step = open_assemble_step([one, two], AssembleOptions(**options))  # type: ignore[arg-type]
    return run_step(step, source=one, output=folder / name, restart=restart)


def outcomes(path: Path) -> list[object]:
    return [line.value["outcome"] for line in read_records(path)]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.gz"])
def test_assembling_again_sees_the_answers_that_were_missing(tmp_path: Path, name: str) -> None:
    """What a later round has got since is in the records, and nothing is left beside them."""
    assembled(tmp_path, [revised("a")], name=name)
    assert outcomes(tmp_path / name) == ["corrected", "not_revised"]
    summary = assembled(tmp_path, [revised("a"), revised("b")], name=name)
    assert outcomes(tmp_path / name) == ["corrected", "corrected"]
    assert (summary.counts, summary.resumed_count) == ({"corrected": 2}, 0)
    assert not list(tmp_path.glob("*.partial"))


def test_assembling_again_with_other_options_is_refused_as_ever(tmp_path: Path) -> None:
    """Beginning anew is no leave to replace what is not this command's."""
    assembled(tmp_path, [revised("a")])
    before = (tmp_path / "train.jsonl").read_bytes()
    with pytest.raises(DatasetError, match="keep was 'all' and is 'correct' now"):
        assembled(tmp_path, [revised("a")], keep="correct")
    assert (tmp_path / "train.jsonl").read_bytes() == before


def test_records_there_stay_until_all_that_replaces_them_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends on the way, at any record, leaves the file as it was."""
    assembled(tmp_path, [revised("a")])
    before = (tmp_path / "train.jsonl").read_bytes()

    def broken(*_: object, **__: object) -> bytes:
        raise OSError("no more")

    with monkeypatch.context() as patched:
        patched.setattr("execbox.dataset.files.resume.AppendLog.append", broken)
        with pytest.raises(OSError, match="no more"):
            assembled(tmp_path, [revised("a"), revised("b")])
    assert (tmp_path / "train.jsonl").read_bytes() == before
    assembled(tmp_path, [revised("a"), revised("b")])
    assert outcomes(tmp_path / "train.jsonl") == ["corrected", "corrected"]


@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.gz"])
def test_records_that_do_not_come_again_are_not_lost(tmp_path: Path, name: str) -> None:
    """Another first round of the same name: refused, unless told."""
    assembled(tmp_path, [revised("a")], name=name)
    before = (tmp_path / name).read_bytes()
    write_lines(tmp_path / "v1.jsonl", [verified("a", "incorrect")])
    with pytest.raises(DatasetError, match=r"1 of its records, the first on line 2.*--restart"):
        assembled(tmp_path, [], name=name)
    assert (tmp_path / name).read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))
    assembled(tmp_path, [], name=name, restart=True)
    assert outcomes(tmp_path / name) == ["not_revised"]


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*train*")}


@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.gz", "train.parquet"])
def test_refused_assemble_changes_no_file(tmp_path: Path, name: str) -> None:
    """Also not the list of what failed, nor what is noted of the run, which came to its end."""
    write_lines(tmp_path / "v1.jsonl", [verified("a", "incorrect"), verified("b", "correct"), {}])
    assembled(tmp_path, [revised("a")], name=name)
    before = everything(tmp_path)
    assert len(before) == 3
    write_lines(tmp_path / "v1.jsonl", [verified("a", "incorrect")])
    for _ in range(2):
        with pytest.raises(DatasetError, match="nothing of it was changed"):
            assembled(tmp_path, [], name=name)
        assert everything(tmp_path) == before
    refuse_unfinished(tmp_path / name)


def test_assemble_that_ends_on_the_way_leaves_what_failed_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All three files are of one run, whenever that was; the next one replaces all three."""
    write_lines(tmp_path / "v1.jsonl", [verified("a", "incorrect"), {"id": "b"}])
    assembled(tmp_path, [revised("a")])
    before = everything(tmp_path)

    def broken(*_: object, **__: object) -> bytes:
        raise OSError("no more")

    with monkeypatch.context() as patched:
        patched.setattr("execbox.dataset.files.resume.AppendLog.arrange", broken)
        with pytest.raises(OSError, match="no more"):
            assembled(tmp_path, [])
    after = everything(tmp_path)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"train.jsonl.partial"}
    write_lines(tmp_path / "v1.jsonl", [verified("a", "incorrect"), {"id": "c"}])
    assembled(tmp_path, [revised("a")])
    assert [entry["id"] for entry in read_lines(errors_path(tmp_path / "train.jsonl"))] == ["c"]
    assert set(everything(tmp_path)) == set(before)


@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.gz", "train.parquet"])
def test_what_a_killed_run_left_does_not_hide_the_records_that_would_be_lost(
    tmp_path: Path, name: str
) -> None:
    """It had come to the first record only; the file has two."""
    assembled(tmp_path, [], name=name)
    before = everything(tmp_path)
    lines = [line.value for line in read_records(tmp_path / name)]  # type: ignore[union-attr]
    write_lines(tmp_path / "v1.jsonl", [verified("a", "incorrect")])
    write_lines(tmp_path / f"{name}.partial", lines[:1])
    with pytest.raises(DatasetError, match=r"1 of its records, the first on line 2"):
        assembled(tmp_path, [], name=name)
    assert everything(tmp_path) == before


def test_records_that_version_0_2_left_beside_a_packed_output_are_not_lost(tmp_path: Path) -> None:
    """It appended to them from run to run, so nothing else may hold them."""
    name = "train.jsonl.gz"
    assembled(tmp_path, [], name=name)
    lines = [line.value for line in read_records(tmp_path / name)]  # type: ignore[union-attr]
    write_lines(tmp_path / f"{name}.partial", lines)
    (tmp_path / name).unlink()
    write_lines(tmp_path / "v1.jsonl", [verified("a", "incorrect")])
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"1 of its records, the first on line 2"):
            assembled(tmp_path, [], name=name)
        assert outcomes(tmp_path / name) == ["not_revised", "not_revised"]


def test_lines_that_were_not_assembled_are_refused_and_not_replaced(tmp_path: Path) -> None:
    """What somebody has put into the file is theirs."""
    assembled(tmp_path, [revised("a")])
    with (tmp_path / "train.jsonl").open("ab") as file:
        file.write(b'{"prompt": "mine"}\n')
    before = (tmp_path / "train.jsonl").read_bytes()
    with pytest.raises(DatasetError, match=r"train\.jsonl:3: has no \"id\""):
        assembled(tmp_path, [revised("a")])
    assert (tmp_path / "train.jsonl").read_bytes() == before


def test_record_corrected_since_it_could_not_be_assembled_is_in_the_file(tmp_path: Path) -> None:
    """Failures are found again, or not."""
    write_lines(tmp_path / "v1.jsonl", [verified("a", "correct"), {"id": "b"}])
    assembled(tmp_path, [])
    assert [entry["id"] for entry in read_lines(errors_path(tmp_path / "train.jsonl"))] == ["b"]
    write_lines(tmp_path / "v1.jsonl", [verified("a", "correct"), verified("b", "correct")])
    assert assembled(tmp_path, []).failures == {}
    assert outcomes(tmp_path / "train.jsonl") == ["correct", "correct"]


def chain(folder: Path, *, revises: bool) -> PipelineResult:
    """Two rounds over two functions; the model answers again only where ``revises``."""

    def model(messages: Sequence[object]) -> str:
        if len(messages) > 1 and not revises:
            raise TimeoutError
        return json.dumps({"output": 0 if len(messages) == 1 else 2})

    source = write_lines(folder.parent / "f.jsonl", [function(1, pairs=1)])
    return asyncio.run(
        run_pipeline(
            source,
            folder,
            model=CallableModel(model),
            service=Doubling(),
            options=PipelineOptions(prompts=PromptOptions(kinds=("output",))),
        )
    )


def test_chain_run_again_puts_the_answers_of_the_second_time_into_its_records(
    tmp_path: Path,
) -> None:
    """It said that the same command tries again; what that gave is in the end of the chain."""
    assert chain(tmp_path / "out", revises=False).retryable_count == 1
    assert outcomes(tmp_path / "out" / "train.jsonl") == ["not_revised"]
    assert chain(tmp_path / "out", revises=True).retryable_count == 0
    (record,) = read_lines(tmp_path / "out" / "train.jsonl")
    assert (record["outcome"], record["turn_2"]) == ("corrected", '{"output": 2}')
