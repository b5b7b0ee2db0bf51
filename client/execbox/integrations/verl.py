"""verl: a reward function for its reward managers, run by execbox. It imports nothing of verl.

The tool for verl's agent loop is in ``verl_tools``, and for ``function_tool_path`` in
``verl_functions``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from execbox import strict_json, wire
from execbox.client import AsyncClient
from execbox.config import RetryPolicy, config_from_env
from execbox.errors import ExecboxError, InvalidRequest
from execbox.integrations import _scores
from execbox.integrations import _verl_truth as _truth
from execbox.integrations._fenced import code_in

__all__ = ["OutcomeUnknown", "compute_score"]

_PATIENT = RetryPolicy(unavailable_retries_max=100, broken_retries_max=5)


class OutcomeUnknown(ExecboxError):
    """What a response is worth was not found out, for a reason that is not the response's."""


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    unknown_score: float | None = None,
    partial: bool = False,
    isolation: wire.Isolation | None = None,
    **_others: object,
) -> dict[str, float]:
    """A custom reward function, in the configuration of ``verl.trainer.main_ppo``:

    >>> # reward:
    >>> #   custom_reward_function:
    >>> #     path: pkg://execbox.integrations.verl
    >>> #     name: compute_score
    >>> #     reward_kwargs: {partial: true, unknown_score: 0.0}
    >>> import asyncio
    >>> from execbox.integrations.verl import compute_score
    >>> truth = {"inputs": ["2"], "outputs": ["4"]}
    >>> asyncio.run(compute_score("code", "print(int(input()) * 2)", truth))
    {'score': 1.0, 'acc': 1.0, 'execbox_unknown': 0.0}

    ``ground_truth`` is an object, or its JSON text: ``{"inputs", "outputs"}`` of a program, with
    ``fn_name`` of a function's calls; ``{"tests"}`` or ``{"assert_case"}``, statements such as
    asserts; or the fields of a ``wire.VerifyItem`` (``kind``, ``function``, ``input``, ``output``)
    for a prediction. Raises ``InvalidRequest`` for what is none of these.

    Where it is unknown, because the service still failed after ten minutes, or what the code gave
    is too large to be answered or compared, verl's reward tensor has no word for it, so by default
    ``OutcomeUnknown`` is raised and ends the step. With ``unknown_score`` that number is the score,
    ``execbox_unknown`` is 1.0 and ``acc`` is NaN, which goes along as extra information: whatever
    masks, filters or counts by it sees no false zero.
    """
    del data_source, extra_info
    options = _scores.Options(isolation=isolation, partial=partial)
    found = await _scores.score(_client(), _check(solution_str, ground_truth, options))
    if found is not None:
        return {"score": found, "acc": found, "execbox_unknown": 0.0}
    if unknown_score is None:
        raise OutcomeUnknown(
            "the service failed, or what the code gave is too large to be answered or compared; "
            "neither is a verdict about the response"
        )
    return {"score": unknown_score, "acc": math.nan, "execbox_unknown": 1.0}


def _check(response: str, truth: Any, options: _scores.Options) -> _scores.Check:
    if isinstance(truth, str):
        truth = strict_json.decode(truth)
    if not isinstance(truth, Mapping):
        raise InvalidRequest(f"ground_truth is an object, not {str(truth)[:80]!r}")
    code = code_in(response)
    if _truth.has(truth, "tests"):
        return _scores.tests_check(code, _truth.texts(truth["tests"], name="tests"), options)
    if tests := _truth.asserts(truth):
        return _scores.tests_check(code, tests, options)
    if _truth.has(truth, "inputs", "outputs"):
        return _program_check(code, truth, options)
    if _truth.has(truth, "kind"):
        item = {name: value for name, value in truth.items() if name not in _truth.OF_CODE}
        return _scores.codeio_check(response, item, options)
    raise InvalidRequest(
        f"ground_truth has {', '.join(truth) or 'nothing'}; give inputs and outputs, tests, or kind"
    )


def _program_check(code: str, truth: Mapping[str, Any], options: _scores.Options) -> _scores.Check:
    inputs, outputs, name = truth["inputs"], truth["outputs"], truth.get("fn_name")
    if not name:
        stdins, stdouts = _truth.texts(inputs, name="inputs"), _truth.texts(outputs, name="outputs")
        return _scores.program_check(code, stdins, stdouts, options)
    given = [_truth.printed(value) for value in _scores.listed(outputs, name="outputs")]
    calling = _truth.program_that_calls(name, code)
    return _scores.program_check(calling, _truth.arguments(inputs), given, options)


@cache
def _client() -> AsyncClient:
    # What is unknown ends a training step, which costs more than to wait.
    return AsyncClient(config=replace(config_from_env(), retry=_PATIENT))
