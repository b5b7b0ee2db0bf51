"""SandboxFusion's requests and answers, as its clients send and read them. Translates nothing.

Fields that are not known are passed over, as its own server does.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from execbox_service.api.compat.fastapi_forms import AnyNumber, AnyWholeNumber

__all__ = [
    "CommandResult",
    "FusionCell",
    "FusionExtra",
    "JupyterAnswer",
    "JupyterRequest",
    "RunCodeAnswer",
    "RunCodeRequest",
]

_CELLS_MAX: Final = 1000
NotNegative = Annotated[AnyNumber, Field(ge=0)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class RunCodeRequest(_Request):
    """Body of ``POST /run_code``."""

    code: str
    language: str = Field(
        default="python", description="python, pytest; bash and cpp where the image has them."
    )
    compile_timeout: NotNegative | None = Field(
        default=None, description="Seconds; without it, the client waits run_timeout and 2 s."
    )
    run_timeout: NotNegative = Field(default=10.0, description="Seconds of running.")
    memory_limit_MB: AnyWholeNumber = Field(  # noqa: N815 - the contract's own name
        default=-1, description="Mebibytes; zero and below: the service's default."
    )
    stdin: str | None = None
    files: dict[str, str | None] = Field(
        default_factory=dict, description="Contents as base64, by path."
    )
    fetch_files: list[str] = Field(default_factory=list, description="Paths that come back.")


class JupyterRequest(_Request):
    """Body of ``POST /run_jupyter``."""

    cells: Annotated[list[str], Field(max_length=_CELLS_MAX)]
    cell_timeout: NotNegative = Field(
        default=0.0, description="Seconds for each cell; 0: as long as there is time for all."
    )
    total_timeout: NotNegative = Field(default=45.0, description="Seconds for all cells.")
    memory_limit_MB: AnyWholeNumber = -1  # noqa: N815 - the contract's own name
    kernel: Literal["python3"] = "python3"
    files: dict[str, str | None] = Field(default_factory=dict)
    fetch_files: list[str] = Field(default_factory=list)


class CommandResult(BaseModel):
    """What one command gave."""

    status: Literal["Finished", "Error", "TimeLimitExceeded"]
    execution_time: float | None = None
    return_code: int | None = None
    stdout: str = ""
    stderr: str = ""


class FusionExtra(BaseModel):
    """What the contract has no words for."""

    status: str | None = Field(
        default=None, description="The run's status as /v1/run has it, such as memory_exceeded."
    )
    limit: str | None = Field(default=None, description="With timeout: cpu_time or wall_time.")
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    queue_time_s: float | None = None
    error: str | None = Field(default=None, description="With SandboxError: its error code.")


class _Answer(BaseModel):
    status: Literal["Success", "Failed", "SandboxError"]
    message: str = ""
    executor_pod_name: str | None = None
    files: dict[str, str] = Field(default_factory=dict)
    execbox: FusionExtra = FusionExtra()


class RunCodeAnswer(_Answer):
    """Answer of ``POST /run_code``."""

    compile_result: CommandResult | None = None
    run_result: CommandResult


class FusionCell(BaseModel):
    """What one cell gave, in the form of Jupyter's own messages."""

    stdout: str
    stderr: str
    display: list[dict[str, Any]]
    error: list[dict[str, Any]]
    status: Literal["ok", "error"] = "ok"


class JupyterAnswer(_Answer):
    """Answer of ``POST /run_jupyter``."""

    driver: CommandResult
    cells: list[FusionCell] = Field(default_factory=list)
