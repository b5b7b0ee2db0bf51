"""What the HTTP layer needs of whatever runs executions. The contract only, no implementation."""

from __future__ import annotations

from typing import Protocol

from execbox.wire import (
    Capabilities,
    ExecuteRequest,
    ExecuteResponse,
    GenerateRequest,
    GenerateResponse,
    Readiness,
    VerifyRequest,
    VerifyResponse,
)
from execbox_service.metrics import Metrics

__all__ = ["ExecutionRuntime"]


class ExecutionRuntime(Protocol):
    """Runs jobs. Raises ``failures.RequestFailed`` for every outcome that is not a response."""

    metrics: Metrics

    async def start(self) -> None:
        """Make it ready to execute; raises ServiceFailure where it cannot isolate anything."""

    async def stop(self) -> None:
        """Leave nothing behind. Called once, after requests have ended or been cancelled."""

    async def execute(self, request: ExecuteRequest, *, principal: str) -> ExecuteResponse:
        """Run one job for the API key named ``principal``; cancelling it destroys its work.

        ``request`` is within the operator's maxima already.
        """

    async def generate(self, request: GenerateRequest, *, principal: str) -> GenerateResponse:
        """Sample the pairs of one function, as ``execute`` runs a job."""

    async def verify(self, request: VerifyRequest, *, principal: str) -> VerifyResponse:
        """Give a verdict for every item, as ``execute`` runs a job."""

    def readiness(self) -> Readiness:
        """Whether executions can run now, without asking anything that may block."""

    def capabilities(self) -> Capabilities:
        """What is permitted and available; constant between start and stop."""
