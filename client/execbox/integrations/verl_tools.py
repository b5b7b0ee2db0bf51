"""verl: a tool for its agent loop that runs what a model writes in the service."""

from __future__ import annotations

from typing import Any

from verl.tools.base_tool import BaseTool
from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse

from execbox import wire
from execbox.client import AsyncClient
from execbox.integrations._verl_runs import run_program

__all__ = ["ExecboxTool"]


class ExecboxTool(BaseTool):
    """Runs a Python program that the model wrote, and shows it what that printed.

    >>> # tools:
    >>> #   - class_name: execbox.integrations.verl_tools.ExecboxTool
    >>> #     config: {type: native, url: "http://127.0.0.1:8080"}
    >>> import asyncio
    >>> from execbox.integrations.verl_tools import ExecboxTool
    >>> tool = ExecboxTool({"type": "native"}, None)
    >>> async def use():
    ...     instance_id, _ = await tool.create()
    ...     response, reward, metrics = await tool.execute(instance_id, {"code": "print(42)"})
    ...     await tool.release(instance_id)
    ...     return response.text, reward, metrics
    >>> asyncio.run(use())
    ('42\\n', 0.0, {'execbox_unknown': 0.0})

    ``config`` may have ``url``, ``name`` (default ``code_interpreter``) and ``limits``. Where it is
    unknown, the text says that the sandbox failed and that this says nothing about the code, and
    the metric ``execbox_unknown`` is 1.0.
    """

    def __init__(
        self, config: dict[str, Any], tool_schema: OpenAIFunctionToolSchema | None = None
    ) -> None:
        schema = tool_schema or _schema(str(config.get("name", "code_interpreter")))
        super().__init__(config, schema)
        limits = config.get("limits")
        self._limits = None if limits is None else wire.ProgramLimits.model_validate(limits)
        self._client = AsyncClient(config.get("url"))

    async def execute(
        self, instance_id: str, parameters: dict[str, Any], **_others: Any
    ) -> tuple[ToolResponse, float, dict[str, float]]:
        """Run ``parameters["code"]``; no reward of its own."""
        del instance_id
        text, unknown = await run_program(
            self._client, str(parameters.get("code", "")), limits=self._limits
        )
        return ToolResponse(text=text), 0.0, {"execbox_unknown": float(unknown)}


def _schema(name: str) -> OpenAIFunctionToolSchema:
    code = {"type": "string", "description": "The program; print what you want to see."}
    return OpenAIFunctionToolSchema.model_validate(
        {
            "type": "function",
            "function": {
                "name": name,
                "description": "Run a Python program and return what it printed.",
                "parameters": {
                    "type": "object",
                    "properties": {"code": code},
                    "required": ["code"],
                },
            },
        }
    )
