"""inspect_ai: a scorer for code and predictions, and a tool, run by the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import TaskState
from inspect_ai.tool import Tool, ToolError, tool

from execbox import wire
from execbox.client import AsyncClient
from execbox.errors import ExecboxError, InvalidRequest
from execbox.integrations import _scores
from execbox.integrations._blame import is_about_the_code
from execbox.integrations._fenced import code_in

__all__ = ["execbox_scorer", "run_python"]


@scorer(metrics=[accuracy(), stderr()])
def execbox_scorer(
    *,
    partial: bool = False,
    limits: wire.Limits | None = None,
    isolation: wire.Isolation | None = None,
) -> Scorer:
    """Scores a completion by running it, as the sample's ``metadata`` says.

    >>> from inspect_ai import Task, eval
    >>> from inspect_ai.dataset import Sample
    >>> from execbox.integrations.inspect_ai import execbox_scorer, run_python
    >>> sample = Sample(input="Print twice the number on stdin.",
    ...                 metadata={"inputs": ["2"], "outputs": ["4"]})
    >>> task = Task(dataset=[sample], scorer=execbox_scorer())
    >>> (log,) = eval(task, model="openai/gpt-4o")

    ``metadata`` has ``inputs`` and ``outputs`` (a program's stdin and stdout), or ``tests``
    (statements such as asserts, run after the code), or ``kind``, ``function``, ``input`` and
    ``output`` of a prediction, as in a ``wire.VerifyItem``. Code is the last fenced block
    tagged as Python, else the last untagged one, else the whole completion. ``partial`` gives the
    share that passed.

    Where it is unknown, because the service failed or what the code gave is too large to be
    answered or compared, it is ``Score.unscored`` with the reason ``scoring_failed``, which metrics
    leave out and the log counts as an unscored sample.
    """
    options = _scores.Options(limits=limits, isolation=isolation, partial=partial)

    async def score(state: TaskState, target: Target) -> Score:
        del target
        text = state.output.completion
        check, answer = _check(text, state.metadata, options)
        async with AsyncClient() as client:
            found = await _scores.score(client, check)
        if found is None:
            return Score.unscored(
                reason="scoring_failed",
                answer=answer,
                explanation="execbox failed, or what the code gave is too large to be answered or "
                "compared; neither is a verdict about the answer",
            )
        value = found if partial else (CORRECT if found == 1.0 else INCORRECT)
        return Score(value=value, answer=answer)

    return score


@tool
def run_python(*, limits: wire.ProgramLimits | None = None) -> Tool:
    """A tool that runs a Python program and returns what it printed.

    Where it is unknown, because the service failed, the ``ExecboxError`` is raised, which ends the
    sample with an error (``retry_on_error``, ``fail_on_error``), and no model is shown it.
    """

    async def execute(code: str) -> str:
        """Run a Python program and return what it printed.

        Args:
            code: The program, which has no network; print what you want to see.
        """
        async with AsyncClient() as client:
            try:
                (run,) = (await client.run(code, limits=limits)).runs
            except ExecboxError as error:
                if is_about_the_code(error):
                    raise ToolError(f"This code cannot be run: {error}") from error
                raise
        ended = "" if run.status is wire.ProgramStatus.OK else f"\n[ended with {run.status}]"
        return f"{run.stdout}{run.stderr}{ended}"

    return execute


def _check(
    text: str, metadata: Mapping[str, Any], options: _scores.Options
) -> tuple[_scores.Check, str]:
    code = code_in(text)
    if "tests" in metadata:
        return _scores.tests_check(code, metadata["tests"], options), code
    if "inputs" in metadata and "outputs" in metadata:
        stdins, stdouts = metadata["inputs"], metadata["outputs"]
        return _scores.program_check(code, stdins, stdouts, options), code
    if "kind" in metadata:
        fields = {k: metadata[k] for k in wire.VerifyItem.model_fields if k in metadata}
        return _scores.codeio_check(text, fields, options), text
    raise InvalidRequest(
        f"the sample's metadata has {', '.join(metadata) or 'nothing'}; give inputs and outputs, "
        "tests, or kind"
    )
