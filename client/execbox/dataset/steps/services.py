"""What the steps need of a service, as protocols; ``execbox.AsyncClient`` is all of them.

Opened around a run, and used by several tasks of one event loop at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol, Self

from execbox import wire

__all__ = [
    "CellsOfSession",
    "ExecuteService",
    "GenerateService",
    "InterpretService",
    "Service",
    "VerifyService",
]


class Service(Protocol):
    """A service that is opened around its use and says what it permits."""

    async def capabilities(self) -> wire.Capabilities:
        """What the service permits and runs."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class ExecuteService(Service, Protocol):
    """Runs functions."""

    async def execute(
        self,
        function: wire.Function | str,
        calls: Sequence[wire.Call | Mapping[str, object]],
        *,
        limits: wire.Limits | None = None,
        checks: wire.Checks | None = None,
        isolation: wire.Isolation | None = None,
        convert: wire.Conversion | None = None,
        give_up_after: int | None = None,
    ) -> wire.ExecuteResponse:
        """One execution per call, in their order. Raises ``RequestError`` where refused."""


class CellsOfSession(Protocol):
    """A session that has begun."""

    async def run(self, code: str) -> wire.CellResponse:
        """Run one cell. Raises ``SessionGone`` where its variables are lost."""


class InterpretService(Service, Protocol):
    """Runs programs, and cells of sessions."""

    async def run(
        self,
        program: wire.Program | str,
        *,
        limits: wire.ProgramLimits | None = None,
        isolation: wire.Isolation | None = None,
    ) -> wire.RunResponse:
        """One run of the program. Raises ``RequestError`` where it is refused."""

    def session(
        self, *, limits: wire.SessionLimits | None, idle_time_s: float, lifetime_s: float
    ) -> AbstractAsyncContextManager[CellsOfSession]:
        """A session that begins when it is entered and ends when it is left."""


class GenerateService(Service, Protocol):
    """Samples pairs."""

    async def generate(
        self,
        function: wire.Function | str,
        input_generator: wire.InputGenerator | str,
        *,
        count: int,
        attempts: int,
        give_up_after: int | None,
        seed: int,
        limits: wire.Limits,
        checks: wire.Checks,
        isolation: wire.Isolation | None,
        convert: wire.Conversion,
    ) -> wire.GenerateResponse:
        """The pairs of one function. Raises ``RequestError`` where the request is refused."""


class VerifyService(Service, Protocol):
    """Checks predictions."""

    async def verify(
        self,
        items: Sequence[wire.VerifyItem],
        *,
        isolation: wire.Isolation | None = None,
        convert: wire.Conversion | None = None,
        feedback_templates: wire.FeedbackTemplates | None = None,
    ) -> wire.VerifyResponse:
        """One entry per item, in their order. Raises ``RequestError`` for unacceptable items."""
