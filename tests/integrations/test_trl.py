"""TRL's reward functions on execbox, called as ``GRPOTrainer`` calls them."""

from __future__ import annotations

from typing import Any

import pytest

from execbox import Client, InvalidRequest
from execbox.integrations import trl
from execbox.wire import Limits

pytestmark = pytest.mark.docker

DATACLASS = """
from __future__ import annotations
import dataclasses, pickle

@dataclasses.dataclass
class Number:
    value: int = 1

def f(n):
    return pickle.loads(pickle.dumps(Number(n))).value + 1
"""
DOUBLE = "def main_solution(n):\n    return n * 2"


def as_trl(reward: Any, completions: list[Any], **columns: list[Any]) -> list[float | None]:
    """Every column of the dataset, and what the trainer adds, by keyword."""
    found: list[float | None] = reward(
        prompts=["?"] * len(completions),
        completions=completions,
        completion_ids=[[1]] * len(completions),
        trainer_state=None,
        log_extra=None,
        **columns,
    )
    return found


def conversation(text: str) -> list[dict[str, Any]]:
    """What a chat model generated after a call of a tool."""
    return [{"role": "tool", "content": "9"}, {"role": "assistant", "content": text}]


def test_codeio_rewards_are_of_the_prediction(client: Client) -> None:
    """Both kinds, as text and as messages; a dataset's other columns do not matter."""
    logged: dict[str, float] = {}
    rewards = as_trl(
        trl.Rewards(client, isolation="process").codeio_reward,
        [
            'so ```json\n{"input": {"n": 3}}\n```',
            conversation('{"input": {"n": 4}}'),
            [{"role": "assistant", "content": [{"type": "text", "text": '{"output": 8}'}]}],
            '{"output": 6}',
            "no idea",
            '{"output": "\ud800"}',
        ],
        kind=["input", "input", "output", "output", "output", "output"],
        function=[DOUBLE] * 6,
        input_json=[None, None, '{"n": 4}', '{"n": 4}', '{"n": 4}', '{"n": 4}'],
        output_json=["6", "6", None, "8", "8", "8"],
        difficulty=[1, 2, 3, 4, 5, 6],
        log_metric=logged.__setitem__,  # type: ignore[arg-type]
    )
    assert rewards == [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    assert logged == {"execbox_unknown_share": 0.0}


PROGRAMS = [
    "Here:\n```python\nprint(int(input()) * 2)\n```\nDone.",
    "```\nprint(int(input()) * 2)\n```\nNo, rather:\n```py\nprint(4)\n```",
    "print(8 if input() == '4' else '4 ')",
    "```python\nimport os\nprint(4, flush=True)\nos._exit(0)\n```",
    "while True: pass",
    "print('\x00')",
    "",
]


@pytest.mark.parametrize(
    ("partial", "expected"),
    [(False, [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]), (True, [1.0, 0.5, 1.0, 0.5, 0.0, 0.0, 0.0])],
)
def test_program_rewards_are_of_what_is_printed(
    client: Client, partial: bool, expected: list[float]
) -> None:
    """Of the last fenced block, over all cases; or the share of them."""
    rewards = trl.Rewards(
        client, partial=partial, limits=Limits(cpu_time_s=0.3), isolation="process"
    )
    count = len(PROGRAMS)
    found = as_trl(
        rewards.program_reward,
        PROGRAMS,
        inputs=[["2\n", "4"]] * count,
        outputs=[["4\n", "8"]] * count,
    )
    assert found == expected


@pytest.mark.parametrize(
    ("code", "reward"),
    [
        ("def f(n):\n    return n + 1", 1.0),
        ("def f(n):\n    return 2", 0.5),
        ("import sys\nsys.exit(0)", 0.0),
        ("import os\nos._exit(0)", 0.0),
        ("exec = eval = compile = print\ndef f(n): return 0", 0.0),
        ("import builtins\nbuiltins.exec = print\ndef f(n): return 0", 0.0),
        ("def f(n):\n    return n +", 0.0),
        ("import gc, sys\ndef f(n):\n    raise SystemExit(0)", 0.0),
        (DATACLASS, 1.0),
    ],
)
def test_test_rewards_are_of_asserts_that_were_reached_and_held(
    client: Client, code: str, reward: float
) -> None:
    """Code that ends itself or rebinds what it is run with passes nothing; its classes belong to
    a module that there is."""
    found = as_trl(
        trl.Rewards(client, partial=True, isolation="process").tests_reward,
        [f"```python\n{code}\n```"],
        tests=[["assert f(1) == 2", "for n in range(3):\n    assert f(n) == n + 1"]],
    )
    assert found == [reward]


def test_tool_returns_what_is_printed_and_blames_no_code_for_a_failure_of_ours(
    client: Client, lost_client: Client
) -> None:
    """What a model reads next."""
    assert trl.Rewards(client).run_python("print(1)") == "1\n"
    failed = trl.Rewards(client).run_python("print(1)\n1/0")
    assert failed.startswith("1\nTraceback")
    assert failed.endswith("division by zero\n\n[ended with exit_nonzero]")
    assert "says nothing about this code" in trl.Rewards(lost_client).run_python("1/0")
    assert trl.Rewards(lost_client).run_python("\x00").startswith("This code cannot be run")


def test_rewards_are_none_where_the_service_failed(lost_client: Client) -> None:
    """And only there: what cannot be a program is wrong whether a service is there or not."""
    logged: dict[str, float] = {}
    rewards = trl.Rewards(lost_client)
    found = as_trl(
        rewards.program_reward,
        ["print(1)", "\x00"],
        inputs=[[""], [""]],
        outputs=[["1"], ["1"]],
        log_metric=logged.__setitem__,  # type: ignore[arg-type]
    )
    assert found == [None, 0.0]
    assert logged == {"execbox_unknown_share": 0.5}
    assert as_trl(rewards.tests_reward, ["x = 1"], tests=[["assert x"]]) == [None]
    columns: dict[str, list[Any]] = {"kind": ["output"], "output_json": ["1"], "function": [DOUBLE]}
    assert as_trl(rewards.codeio_reward, ['{"output": 1}'], **columns) == [None]


@pytest.mark.parametrize(
    ("reward", "columns", "complaint"),
    [
        ("codeio_reward", {"kind": ["output"], "output_json": ["{'a': 1}"]}, r"output_json\[0\]"),
        ("codeio_reward", {"kind": ["both"], "output_json": ["1"]}, "kind"),
        ("codeio_reward", {"kind": ["input"], "output_json": ["1"]}, "function is missing"),
        ("program_reward", {"inputs": [["1"]], "outputs": [["1", "2"]]}, "1 inputs and 2 outputs"),
        ("program_reward", {"inputs": [[]], "outputs": [[]]}, "at least one"),
        ("tests_reward", {"tests": [[]]}, "no tests"),
        ("tests_reward", {"tests": ["assert f()"]}, "tests is 'assert"),
        ("program_reward", {"inputs": ["12"], "outputs": ["24"]}, "inputs is '12'; give a list"),
    ],
)
def test_columns_that_are_wrong_are_the_callers_mistake(
    lost_client: Client, reward: str, columns: dict[str, list[Any]], complaint: str
) -> None:
    """Said at once, and no reward of anything."""
    with pytest.raises(InvalidRequest, match=complaint):
        as_trl(getattr(trl.Rewards(lost_client), reward), ["x"], **columns)
