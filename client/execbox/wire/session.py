"""``/v1/sessions``: an interpreter that keeps its variables from cell to cell, and its files."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field

from execbox.wire import html_view
from execbox.wire.content import Content
from execbox.wire.execute import ExecutionError, Truncated, Usage
from execbox.wire.fields import JSON, Request, Response, Seconds, Text, exactly_one_of
from execbox.wire.functions import ExecutionLimits
from execbox.wire.run import FILES_MAX, FilePath
from execbox.wire.vocabularies import Prelude, Profile, Status

__all__ = [
    "CellLimits",
    "CellOutput",
    "CellRequest",
    "CellResponse",
    "CellValue",
    "Media",
    "SessionInfo",
    "SessionLimits",
    "SessionRequest",
]

SessionFiles: TypeAlias = Annotated[dict[FilePath, Content], Field(max_length=FILES_MAX)]
PackageName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.]+$")]


class SessionLimits(ExecutionLimits):
    """What each cell may use; memory and files are of the whole session."""

    files_bytes: Annotated[int, Field(ge=0, le=16 * 1024 * 1024)] = Field(
        default=16 * 1024 * 1024, description="The largest file that is put or got."
    )


class SessionRequest(Request):
    """Body of ``POST /v1/sessions``: an interpreter in a container of its own."""

    limits: SessionLimits = SessionLimits()
    profile: Profile = "default"
    prelude: Prelude = "none"
    files: SessionFiles = Field(
        default_factory=dict, description="In the working directory, by path."
    )
    preload: Annotated[list[PackageName], Field(max_length=20)] = Field(
        default_factory=list,
        description="Packages to have imported before the first cell, which then waits less.",
    )
    idle_time_s: Annotated[Seconds, Field(ge=1, le=3600)] = Field(
        default=600.0, description="Seconds without a cell after which the session ends."
    )
    lifetime_s: Annotated[Seconds, Field(ge=1, le=86400)] = Field(
        default=3600.0, description="Seconds after which it ends whatever it does."
    )


class SessionInfo(Response):
    """Answer of ``POST`` and ``GET``: a session that lives."""

    id: str = Field(description="Cannot be guessed; only its own API key can use it.")
    engine: str
    image: str = Field(description="Id of the sandbox image, which docker run accepts.")
    profile: Profile
    limits: dict[str, float]
    cells: int = Field(description="How many were run.")
    running: bool = Field(description="Whether one is running now.")
    ends_in_s: float = Field(description="Seconds until it ends if no cell is run before.")


class CellLimits(Request):
    """Limits of one cell; at most the session's, which hold where one is left out."""

    cpu_time_s: Annotated[Seconds, Field(ge=0.01, le=60)] | None = None
    wall_time_s: Annotated[Seconds, Field(ge=0.05, le=120)] | None = None


class CellRequest(Request):
    """Body of ``POST /v1/sessions/{id}/run``: one cell."""

    code: Text
    limits: CellLimits = CellLimits()
    stream: bool = Field(
        default=False,
        description="Answer in lines (application/x-ndjson): what the cell writes as it comes, "
        "each a CellOutput, and at last the CellResponse. A caller that goes away then interrupts "
        "the cell.",
    )


class CellOutput(Response):
    """A line of a streamed answer, of which one field is given: what the cell wrote on that stream
    since the line before."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, json_schema_extra=exactly_one_of("stdout", "stderr")
    )

    stdout: str | None = None
    stderr: str | None = None


class Media(Response):
    """An image that a cell made."""

    type: Literal["image/png"]
    base64: str


class CellValue(Response):
    """What a cell shows beside its output: its last expression, and figures that were open."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, validate_by_name=True, serialize_by_alias=True
    )

    repr: str | None = Field(
        default=None, description="Null where there are figures only. Cut after 20,000 characters."
    )
    json_value: JSON = Field(
        default=None,
        alias="json",
        description="The value, where it is strict JSON within output_bytes; else null.",
    )
    media: list[Media] = Field(default_factory=list)


class CellResponse(Response):
    """What one cell did."""

    status: Status = Field(
        description="ok, exception, invalid_code; timeout where it was interrupted at a limit; "
        "memory_exceeded and no_result with session_lost."
    )
    value: CellValue | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: Truncated = Truncated()
    error: ExecutionError | None = None
    limit: Literal["cpu_time", "wall_time"] | None = None
    signal: str | None = None
    exit_code: int | None = None
    usage: Usage
    cell: int = Field(description="Its number, from 1.")
    session_lost: bool = Field(
        default=False, description="Whether the session ended with it; lost_reason says why."
    )
    lost_reason: str | None = None

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return html_view.cell_html(self)
