"""``POST /v1/batch``: one line a request, one line an answer, in any order."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from execbox.wire.error_codes import ErrorBody
from execbox.wire.execute import ExecuteRequest, ExecuteResponse
from execbox.wire.fields import Response
from execbox.wire.generate import GenerateRequest, GenerateResponse
from execbox.wire.run import RunRequest, RunResponse
from execbox.wire.verify import VerifyRequest, VerifyResponse

__all__ = [
    "BATCH_ANSWERS",
    "BATCH_LINES",
    "BatchAnswer",
    "BatchLine",
    "ExecuteAnswer",
    "ExecuteLine",
    "FailedAnswer",
    "GenerateAnswer",
    "GenerateLine",
    "LineId",
    "ResultAnswer",
    "RunAnswer",
    "RunLine",
    "VerifyAnswer",
    "VerifyLine",
]

LineId: TypeAlias = Annotated[str, Field(max_length=1000)]
"""The caller's name for a line; answers come in any order and carry it."""


class ExecuteLine(ExecuteRequest):
    """A line of ``POST /v1/batch``: the body of ``/v1/execute``, and whose answer it gets."""

    id: LineId
    op: Literal["execute"]


class GenerateLine(GenerateRequest):
    """A line of ``POST /v1/batch``: the body of ``/v1/generate``, and whose answer it gets."""

    id: LineId
    op: Literal["generate"]


class VerifyLine(VerifyRequest):
    """A line of ``POST /v1/batch``: the body of ``/v1/verify``, and whose answer it gets."""

    id: LineId
    op: Literal["verify"]


class RunLine(RunRequest):
    """A line of ``POST /v1/batch``: the body of ``/v1/run``, and whose answer it gets."""

    id: LineId
    op: Literal["run"]


BatchLine: TypeAlias = ExecuteLine | GenerateLine | VerifyLine | RunLine
BATCH_LINES: dict[str, type[BatchLine]] = {
    "execute": ExecuteLine,
    "generate": GenerateLine,
    "verify": VerifyLine,
    "run": RunLine,
}
"""What a line of each ``op`` is."""


class ExecuteAnswer(ExecuteResponse):
    """The answer line of an ``ExecuteLine``."""

    id: str
    op: Literal["execute"] = "execute"


class GenerateAnswer(GenerateResponse):
    """The answer line of a ``GenerateLine``."""

    id: str
    op: Literal["generate"] = "generate"


class VerifyAnswer(VerifyResponse):
    """The answer line of a ``VerifyLine``."""

    id: str
    op: Literal["verify"] = "verify"


class RunAnswer(RunResponse):
    """The answer line of a ``RunLine``."""

    id: str
    op: Literal["run"] = "run"


class FailedAnswer(Response):
    """The answer line of a line that has no result."""

    id: str | None = Field(default=None, description="Left out where the line has none.")
    op: str | None = Field(default=None, description="Left out where the line has none.")
    line: int | None = Field(default=None, description="Its number in the request, from 1.")
    error: ErrorBody


ResultAnswer: TypeAlias = ExecuteAnswer | GenerateAnswer | VerifyAnswer | RunAnswer
BatchAnswer: TypeAlias = ResultAnswer | FailedAnswer
BATCH_ANSWERS: dict[str, type[ResultAnswer]] = {
    "execute": ExecuteAnswer,
    "generate": GenerateAnswer,
    "verify": VerifyAnswer,
    "run": RunAnswer,
}
"""What a line with a result is, by its ``op``; one with ``error`` is a ``FailedAnswer``."""
