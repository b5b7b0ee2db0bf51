"""TRL: reward functions for ``GRPOTrainer`` and its like, and a tool, run by the service.

They are plain functions of TRL's signature, so TRL itself is not imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from execbox import strict_json, wire
from execbox.client import Client
from execbox.errors import ExecboxError, InvalidRequest
from execbox.integrations import _scores
from execbox.integrations._blame import is_about_the_code
from execbox.integrations._fenced import code_in

__all__ = ["Rewards", "codeio_reward", "program_reward", "run_python", "tests_reward"]

Completion: TypeAlias = str | Sequence[Mapping[str, Any]]
"""A text, or in a conversation the messages that were generated, the last of which counts."""
_UNKNOWN_METRIC = "execbox_unknown_share"


class Rewards:
    """The reward functions with a client and options of one's own; ``Rewards().program_reward``
    is what ``program_reward`` is.

    >>> from trl import GRPOConfig, GRPOTrainer
    >>> from execbox.integrations.trl import Rewards
    >>> rewards = Rewards(isolation="process", partial=True)
    >>> trainer = GRPOTrainer(
    ...     model="Qwen/Qwen3-0.6B",
    ...     reward_funcs=[rewards.program_reward],
    ...     train_dataset=dataset,  # columns prompt, inputs, outputs
    ...     args=GRPOConfig(output_dir="out"),
    ... )
    >>> trainer.train()

    A reward is None where it is unknown: the service failed, or a completion, or what its code
    gave, is too large to be sent, answered or compared. TRL leaves such a completion out of that
    function's rewards, and the share of them is logged as ``execbox_unknown_share``. Raises
    ``RequestError`` for what would be wrong of every completion, such as a column that is not what
    it should be.
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        limits: wire.Limits | None = None,
        isolation: wire.Isolation | None = None,
        partial: bool = False,
    ) -> None:
        self._client = Client() if client is None else client
        self._options = _scores.Options(limits=limits, isolation=isolation, partial=partial)

    def codeio_reward(
        self,
        completions: Sequence[Completion],
        *,
        kind: Sequence[str],
        function: Sequence[str] | None = None,
        input_json: Sequence[str | None] | None = None,
        output_json: Sequence[str | None] | None = None,
        entry_point: Sequence[str] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_columns: object,
    ) -> list[float | None]:
        """1.0 where a predicted input or output (``kind``) is right, else 0.0.

        ``function`` is source, ``input_json`` and ``output_json`` are JSON text: as columns of
        their own, datasets would give every object the keys of all others. An output prediction is
        compared with ``output_json`` or, without it, with what the function gives.
        """
        columns = {"function": function, "entry_point": entry_point}
        values = {"input": input_json, "output": output_json}
        checks = []
        for number, completion in enumerate(completions):
            item: dict[str, object] = {"kind": kind[number]}
            given = {name: column[number] for name, column in columns.items() if column is not None}
            if given.get("function") is not None:
                source = {"code": given["function"], "entry_point": given.get("entry_point")}
                item["function"] = {k: v for k, v in source.items() if v is not None}
            for name, column in values.items():
                text = None if column is None else column[number]
                if text is not None:
                    item[name] = _value(text, where=f"{name}_json[{number}]")
            checks.append(_scores.codeio_check(_text(completion), item, self._options))
        return self._scored(checks, log_metric)

    def program_reward(
        self,
        completions: Sequence[Completion],
        *,
        inputs: Sequence[Sequence[str]],
        outputs: Sequence[Sequence[str]],
        log_metric: Callable[[str, float], None] | None = None,
        **_columns: object,
    ) -> list[float | None]:
        """1.0 where the program in a completion prints each of ``outputs`` for its stdin."""
        checks = [
            _scores.program_check(code_in(_text(completion)), given, wanted, self._options)
            for completion, given, wanted in zip(completions, inputs, outputs, strict=True)
        ]
        return self._scored(checks, log_metric)

    def tests_reward(
        self,
        completions: Sequence[Completion],
        *,
        tests: Sequence[Sequence[str]],
        log_metric: Callable[[str, float], None] | None = None,
        **_columns: object,
    ) -> list[float | None]:
        """1.0 where each of ``tests``, such as ``assert f(1) == 2``, passes with the code of a
        completion, in a process each. Code that ends its process passes nothing."""
        checks = [
            _scores.tests_check(code_in(_text(completion)), wanted, self._options)
            for completion, wanted in zip(completions, tests, strict=True)
        ]
        return self._scored(checks, log_metric)

    def run_python(self, code: str) -> str:
        """Run a Python program and return what it printed.

        Args:
            code: The program, which has no network; print what you want to see.

        Returns:
            What it printed, and how it ended if it did not end well.
        """
        try:
            (run,) = self._client.run(code, limits=self._program_limits()).runs
        except ExecboxError as error:
            if is_about_the_code(error):
                return f"This code cannot be run: {error}"
            return f"The sandbox failed, which says nothing about this code: {error}"
        ended = "" if run.status is wire.ProgramStatus.OK else f"\n[ended with {run.status}]"
        return f"{run.stdout}{run.stderr}{ended}"

    def _program_limits(self) -> wire.ProgramLimits | None:
        limits = self._options.limits
        return None if limits is None else wire.ProgramLimits(**limits.model_dump())

    def _scored(
        self, checks: Sequence[_scores.Check], log_metric: Callable[[str, float], None] | None
    ) -> list[float | None]:
        found = _scores.scores(self._client, checks)
        if log_metric is not None and found:
            log_metric(_UNKNOWN_METRIC, found.count(None) / len(found))
        return found


def codeio_reward(completions: Sequence[Completion], **columns: Any) -> list[float | None]:
    """See ``Rewards.codeio_reward``; with the service of ``EXECBOX_URL`` and its defaults."""
    return _defaults().codeio_reward(completions, **columns)


def program_reward(completions: Sequence[Completion], **columns: Any) -> list[float | None]:
    """See ``Rewards.program_reward``; with the service of ``EXECBOX_URL`` and its defaults."""
    return _defaults().program_reward(completions, **columns)


def tests_reward(completions: Sequence[Completion], **columns: Any) -> list[float | None]:
    """See ``Rewards.tests_reward``; with the service of ``EXECBOX_URL`` and its defaults."""
    return _defaults().tests_reward(completions, **columns)


def run_python(code: str) -> str:
    """Run a Python program and return what it printed.

    Args:
        code: The program, which has no network; print what you want to see.

    Returns:
        What it printed, and how it ended if it did not end well.
    """
    return _defaults().run_python(code)


@cache
def _defaults() -> Rewards:
    return Rewards()


def _text(completion: Completion) -> str:
    if isinstance(completion, str):
        return completion
    content = completion[-1].get("content") if completion else ""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return str(content or "")


def _value(text: str, *, where: str) -> Any:
    try:
        return strict_json.decode(text)
    except ValueError as error:
        raise InvalidRequest(f"{where} is not JSON: {error}; write it with json.dumps") from error
