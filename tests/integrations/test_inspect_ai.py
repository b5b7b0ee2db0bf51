"""inspect_ai's own ``eval`` with a scripted model, execbox's scorer and its tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness.local_service import free_port

from tests.live_service import LiveService

inspect_ai = pytest.importorskip("inspect_ai", reason="inspect_ai is not installed")

from inspect_ai.dataset import Sample  # noqa: E402
from inspect_ai.model import ModelOutput, ModelUsage, get_model  # noqa: E402
from inspect_ai.solver import generate, use_tools  # noqa: E402

from execbox.integrations.inspect_ai import execbox_scorer, run_python  # noqa: E402

# The framework's own, of its dependencies.
pytestmark = [pytest.mark.docker, pytest.mark.filterwarnings("default")]

TWICE = {"inputs": ["2", "3"], "outputs": ["4", "6"]}
TESTS = {"tests": ["assert f(1) == 2", "assert f(2) == 4"]}
PREDICTED = {"kind": "output", "function": {"code": "def main_solution(n): return n * n"}}


def run_eval(
    outputs: list[Any], metadata: list[dict[str, Any]], folder: Path, **options: Any
) -> Any:
    """The log of an evaluation in which the model answers these, one after another."""
    samples = [Sample(input="?", metadata=each) for each in metadata]
    for output in outputs:
        # Else it is counted, with a file that is downloaded.
        output.usage = ModelUsage()
    model = get_model("mockllm/model", custom_outputs=outputs)
    solver = options.pop("solver", generate())
    scorer = execbox_scorer(isolation="process", **options)
    task = inspect_ai.Task(dataset=samples, solver=solver, scorer=scorer)
    (log,) = inspect_ai.eval(
        task, model=model, log_dir=str(folder), display="none", max_samples=1, fail_on_error=False
    )
    return log


def said(text: str) -> Any:
    return ModelOutput.from_content("mockllm/model", text)


def test_scores_are_of_what_the_code_does(
    service: LiveService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs, tests and predictions; the accuracy is over all of them."""
    monkeypatch.setenv("EXECBOX_URL", service.url)
    log = run_eval(
        [
            said("```python\nprint(int(input()) * 2)\n```"),
            said("print(4)"),
            said("def f(n): return n * 2"),
            said("def f(n): raise SystemExit(0)"),
            said('{"output": 9}'),
            said("\x00"),
        ],
        [TWICE, TWICE, TESTS, TESTS, PREDICTED | {"input": {"n": 3}}, TWICE],
        tmp_path,
    )
    values = [sample.scores["execbox_scorer"].value for sample in log.samples]
    assert values == ["C", "I", "C", "I", "C", "I"]
    assert log.results.scores[0].metrics["accuracy"].value == 0.5


def test_metadata_whose_cases_are_one_text_is_the_datasets_mistake(tmp_path: Path) -> None:
    """Its characters are no cases, of which the sample would be wrong."""
    log = run_eval([said("print(4)")], [{"inputs": "12", "outputs": "24"}], tmp_path)
    assert "inputs is '12'; give a list" in log.samples[0].error.message


def test_partial_score_is_the_share_that_passed(
    service: LiveService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number, which the metrics take as it is."""
    monkeypatch.setenv("EXECBOX_URL", service.url)
    log = run_eval([said("print(4)")], [TWICE], tmp_path, partial=True)
    assert log.samples[0].scores["execbox_scorer"].value == 0.5


def test_failure_of_the_service_is_an_unscored_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left out of the accuracy, and counted as unscored."""
    monkeypatch.setenv("EXECBOX_URL", f"http://127.0.0.1:{free_port()}")
    log = run_eval([said("print(4)"), said("\x00")], [TWICE, TWICE], tmp_path)
    score = log.samples[0].scores["execbox_scorer"]
    assert (score.value != score.value, score.reason) == (True, "scoring_failed")
    (results,) = log.results.scores
    assert (results.scored_samples, results.unscored_samples) == (1, 1)
    assert results.metrics["accuracy"].value == 0.0


def test_tool_shows_what_is_printed_and_its_failure_ends_the_sample(
    service: LiveService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the code did is for the model to read; a failure of ours is the sample's error."""
    call = ModelOutput.for_tool_call("mockllm/model", "run_python", {"code": "print(6 * 7)"})
    solver = [use_tools(run_python()), generate()]
    monkeypatch.setenv("EXECBOX_URL", service.url)
    log = run_eval([call, said("print(4)")], [TWICE], tmp_path, solver=list(solver))
    assert any(message.text == "42\n" for message in log.samples[0].messages)
    monkeypatch.setenv("EXECBOX_URL", f"http://127.0.0.1:{free_port()}")
    log = run_eval([call, said("print(4)")], [TWICE], tmp_path, solver=solver)
    assert "could not connect" in log.samples[0].error.message
