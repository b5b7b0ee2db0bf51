"""verl's ``function_tool_path``: this file registers ``run_python`` when verl loads it.

>>> # actor_rollout_ref.rollout.multi_turn.function_tool_path: what this prints
>>> import importlib.util
>>> importlib.util.find_spec("execbox.integrations.verl_functions").origin

Where it is unknown, the text says that the sandbox failed and that this says nothing about the
code, and the metric ``execbox_unknown`` is 1.0.
"""

from __future__ import annotations

from functools import cache

from verl.tools.function_tool import function_tool

from execbox.client import AsyncClient
from execbox.integrations._verl_runs import run_program


@function_tool("run_python")
async def run_python(code: str) -> tuple[str, float, dict[str, float]]:
    """Run a Python program and return what it printed.

    Args:
        code: The program; print what you want to see.
    """
    text, unknown = await run_program(_client(), code)
    return text, 0.0, {"execbox_unknown": float(unknown)}


@cache
def _client() -> AsyncClient:
    return AsyncClient()
