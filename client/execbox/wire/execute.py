"""``POST /v1/execute``: its request, its answer, and what one execution gave."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SerializeAsAny, model_validator

from execbox.wire import html_view
from execbox.wire.checks import Certificate, Checks, Complexity, Determinism, Replay, ReplayResult
from execbox.wire.fields import CALLS_MAX, JSON, Request, Response
from execbox.wire.functions import Call, Function, Limits
from execbox.wire.vocabularies import Conversion, Isolation, OutputFlag, Profile, Status

__all__ = [
    "ExecuteRequest",
    "ExecuteResponse",
    "Execution",
    "ExecutionError",
    "Truncated",
    "Usage",
]


class ExecuteRequest(Request):
    """Body of ``POST /v1/execute``: one function and the calls to make of it."""

    function: Function
    calls: Annotated[list[Call], Field(min_length=1, max_length=CALLS_MAX)]
    limits: Limits = Limits()
    checks: Checks = Checks()
    isolation: Isolation = "container"
    profile: Profile = "default"
    convert: Conversion = Field(
        default="none",
        description="codeio turns sets, bytes, Decimal, numpy scalars and arrays into JSON; "
        "none answers unserializable for them.",
    )
    give_up_after: Annotated[int, Field(ge=1, le=CALLS_MAX)] | None = Field(
        default=None,
        description="After so many calls in a row that took all the time or memory they may, the "
        "rest is not_run; null runs all.",
    )
    non_finite: bool = Field(
        default=False,
        description="true lets arguments hold NaN, Infinity and -Infinity, as the words that "
        "Python's json writes. Such a request gets no certificate: what they give is no ground "
        "truth, and cannot be replayed.",
    )
    replay: Annotated[list[Replay], Field(min_length=1, max_length=CALLS_MAX)] | None = Field(
        default=None,
        description="One entry per call: each execution then says whether it still gives that "
        "output, and what has changed since it was certified.",
    )

    @model_validator(mode="after")
    def _one_replay_per_call(self) -> Self:
        if self.replay is not None and len(self.replay) != len(self.calls):
            raise ValueError(
                f"replay has {len(self.replay)} entries for {len(self.calls)} calls; give one each"
            )
        if self.replay is not None and self.non_finite:
            raise ValueError("replay is of ground truth, which non_finite arguments never give")
        return self


class ExecutionError(Response):
    """What the user's code raised, or why its result is not usable."""

    type: str = Field(description="The exception's real type, such as ZeroDivisionError.")
    message: str
    traceback: str | None = Field(default=None, description="Frames of the user's code only.")
    line: int | None = Field(default=None, description="Line of the source, from 1.")


class Truncated(Response):
    """Which streams were longer than ``stdout_bytes``; the rest was read and thrown away."""

    stdout: bool = False
    stderr: bool = False


class Usage(Response):
    """What one execution used, as the kernel measured it from outside the job."""

    cpu_time_s: float = Field(description="User and system time of every thread.")
    wall_time_s: float = Field(description="From the fork to the end, waiting for a core included.")
    peak_memory_bytes: int = Field(
        description="Peak resident set of the process, interpreter and loaded packages included."
    )


class Execution(Response):
    """One call's outcome. ``output`` is null unless ``status`` is ``ok``."""

    status: Status
    output: JSON = None
    output_text: str | None = Field(
        default=None,
        description="Only with non_finite: the value as Python's json writes it (NaN, Infinity).",
    )
    output_flags: list[OutputFlag] = Field(default_factory=list)
    error: ExecutionError | None = None
    limit: Literal["cpu_time", "wall_time"] | None = Field(
        default=None, description="With timeout: which limit was reached."
    )
    signal: str | None = Field(default=None, description="Name such as SIGSEGV, if one ended it.")
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: Truncated = Truncated()
    usage: Usage | None = Field(default=None, description="Null for not_run.")
    determinism: Determinism | None = None
    complexity: Complexity | None = None
    replay: ReplayResult | None = None

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return html_view.execution_html(self)


class ExecuteResponse(Response):
    """Answer of ``POST /v1/execute``: one execution per call, in the order of the calls."""

    executions: list[SerializeAsAny[Execution]]
    isolation: Isolation
    engine: str
    image: str = Field(description="Id of the sandbox image, which docker run accepts.")
    queue_time_s: float = Field(description="Waiting for a free slot, before the first execution.")
    certificate: Certificate | None = Field(
        default=None,
        description="With checks.determinism: of each execution found deterministic, but that its "
        "own determinism.runs may be more.",
    )

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return html_view.execute_html(self)
