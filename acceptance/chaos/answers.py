"""The models of a run of chaos: functions that answer its questions, and never anything else.

They are found by name, ``--model-callable acceptance.chaos.answers:predicted``, in processes that
are killed and begun again, so all they know is what they are asked.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from typing import Any, Final

__all__ = ["counting", "predicted"]

_CONSTANTS: Final = re.compile(r"return \{'n': n, 'value': n \* (\d+) \+ (\d+)\}")
_N: Final = re.compile(r'"n": (\d+)')
_ASKED: Final = re.compile(r"What is (\d+) times (\d+)\? \((program|session)\)")
_PRINTED: Final = re.compile(r"Output:\n(\d+)")
_WAYS: Final = 4


def predicted(messages: Sequence[Any]) -> str:
    """A prediction of CodeI/O: by the question's text right, wrong at first, always wrong, or none
    at first."""
    question = str(messages[0]["content"])
    constants, numbers = _CONSTANTS.search(question), _N.findall(question)
    if constants is None or not numbers:
        return "This is no question of mine."
    n, way = int(numbers[-1]), zlib.crc32(question.encode()) % _WAYS
    is_first = len(messages) == 1
    if way == 3 and is_first:
        return "I cannot tell."
    error = int(way == 2 or (way == 1 and is_first))
    value = n * int(constants[1]) + int(constants[2]) + error
    answer = {"input": {"n": n + error}}
    if "Now look at this output" not in question:
        answer = {"output": {"n": n, "value": value}}
    return f"Step by step.\n{json.dumps(answer)}"


def counting(messages: Sequence[Any]) -> str:
    """Two blocks, of which in a session the second needs a variable of the first; then the answer
    that the second printed, whatever it was."""
    asked = _ASKED.search(str(messages[0]["content"]))
    if asked is None:
        return "This is no question of mine."
    a, b, run_as = asked[1], asked[2], asked[3]
    said_count = sum(message["role"] == "assistant" for message in messages)
    if said_count == 0:
        return f"```python\nx = {a}\nprint(x + 1)\n```"
    if said_count == 1:
        again = "" if run_as == "session" else f"x = {a}\n"
        return f"```python\n{again}print(x * {b})\n```"
    printed = _PRINTED.search(str(messages[-1]["content"]))
    return f"<<<{printed[1] if printed else 'nothing was printed'}>>>"
