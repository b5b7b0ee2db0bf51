"""``score cruxeval -o`` and ``score leetcode-o -o``: kept verdicts are those of what is scored."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from execbox import wire
from execbox.cli.entry import main
from execbox.dataset.files.resume import errors_path, run_path
from tests.dataset.fake_service import FakeService
from tests.dataset.files import read_lines, write_lines
from tests.dataset.verifying import Doubling


class Six(FakeService):
    """Whatever is run gives 6."""

    async def execute(
        self, function: object, calls: Sequence[object], **_: object
    ) -> wire.ExecuteResponse:
        return wire.ExecuteResponse.model_validate(
            {
                "executions": [_execution("6") for _ in calls],
                "isolation": "process",
                "engine": "fake",
                "image": "sha256:0",
                "queue_time_s": 0,
            }
        )


def _execution(output: str) -> wire.Execution:
    return wire.Execution(status=wire.Status.OK, output=output)


@pytest.fixture(autouse=True)
def services(monkeypatch: pytest.MonkeyPatch) -> None:
    def service(args: object) -> FakeService:
        return Six() if hasattr(args, "generations") else Doubling()

    monkeypatch.setattr("execbox.cli.score.async_client_of", service)


def cruxeval(folder: Path, *texts: str, restart: bool = False) -> int:
    sample = {"id": "sample_0", "code": "def f(x):\n    return x * 2", "input": "3", "output": "6"}
    samples = write_lines(folder / "cruxeval.jsonl", [sample])
    lines = [{"id": f"sample_0#{n}", "output": text} for n, text in enumerate(texts, start=1)]
    generations = write_lines(folder / "answers.jsonl", lines)
    argv = ["score", "cruxeval", str(generations), "--samples", str(samples), "--mode", "output"]
    options = ["-o", str(folder / "v.jsonl"), "--k", "1", *["--restart"] * restart]
    return main([*argv, *options])


def leetcode(folder: Path, output: str, *, restart: bool = False) -> int:
    line = {"question_id": 1, "expected_output": 2, "output": f'{{"output": {output}}}'}
    predictions = write_lines(folder / "predictions.jsonl", [line])
    argv = ["score", "leetcode-o", str(predictions), "-o", str(folder / "v.jsonl")]
    return main([*argv, *["--restart"] * restart])


def test_generations_of_another_model_are_not_scored_by_the_verdicts_of_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The score printed would be the other one's."""
    assert cruxeval(tmp_path, "6") == 0
    before = (tmp_path / "v.jsonl").read_bytes()
    assert cruxeval(tmp_path, "7") == 2
    assert "a different file of generations" in capsys.readouterr().err
    assert (tmp_path / "v.jsonl").read_bytes() == before
    assert cruxeval(tmp_path, "7", restart=True) == 0
    assert read_lines(tmp_path / "v.jsonl")[0]["outcomes"] == ["incorrect"]


@pytest.mark.parametrize("first", [[], ["6"]])
def test_generations_that_came_since_are_not_left_unscored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], first: list[str]
) -> None:
    """Scored while they were still being made: none yet of a sample, or some."""
    cruxeval(tmp_path, *first)
    capsys.readouterr()
    code = cruxeval(tmp_path, *first, "7")
    if code == 2:
        assert "--restart" in capsys.readouterr().err
        code = cruxeval(tmp_path, *first, "7", restart=True)
    assert code == 0
    assert len(read_lines(tmp_path / "v.jsonl")[0]["outcomes"]) == len(first) + 1


def test_predictions_of_another_model_are_not_scored_by_the_verdicts_of_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the questions are the same, as they are."""
    assert leetcode(tmp_path, "2") == 0
    assert leetcode(tmp_path, "3") == 2
    assert "a different file of predictions" in capsys.readouterr().err
    assert leetcode(tmp_path, "3", restart=True) == 0
    assert "examples   0.0 of 1" in capsys.readouterr().out


def without_files(folder: Path) -> None:
    """Note of a run no file that its verdicts are made of, as execbox 0.2 did, and as is done where
    predictions come through a pipe."""
    note = run_path(folder / "v.jsonl")
    members = json.loads(note.read_text())
    members.pop("made_of", None)
    assert not {"generations", "predictions"} & members["settings"].keys()
    note.write_text(json.dumps(members, indent=2, sort_keys=True) + "\n")


@pytest.mark.parametrize(("score", "text"), [(cruxeval, "6"), (leetcode, "2")])
def test_verdicts_that_do_not_say_what_they_are_of_are_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], score: Callable[..., int], text: str
) -> None:
    """What was paid for with version 0.2 is not thrown away; from then on they do say it."""
    assert score(tmp_path, text) == 0
    without_files(tmp_path)
    assert score(tmp_path, text) == 0
    assert "1 of them from earlier runs" in capsys.readouterr().out
    assert score(tmp_path, "9") == 2
    assert "a different file of" in capsys.readouterr().err


@pytest.mark.parametrize("is_noted", [True, False])
def test_sample_whose_generations_came_since_is_judged(tmp_path: Path, is_noted: bool) -> None:
    """Where nothing was judged yet nothing is refused, and its failure, which version 0.2 kept for
    good, does not stay."""
    assert cruxeval(tmp_path) == 2
    assert read_lines(errors_path(tmp_path / "v.jsonl"))[0]["reason"] == "no_generations"
    if not is_noted:
        without_files(tmp_path)
    assert cruxeval(tmp_path, "6") == 0
    assert read_lines(tmp_path / "v.jsonl")[0]["outcomes"] == ["correct"]


def test_score_says_how_many_verdicts_are_from_earlier_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody takes a score for new that is not; nothing is said of a first run."""
    for score in (cruxeval, leetcode):
        folder = tmp_path / score.__name__
        folder.mkdir()
        text = "6" if score is cruxeval else "2"
        score(folder, text)
        assert "earlier runs" not in capsys.readouterr().out
        assert score(folder, text) == 0
        said = capsys.readouterr().out
        assert f"1 verdicts in {folder / 'v.jsonl'}, 1 of them from earlier runs" in said
