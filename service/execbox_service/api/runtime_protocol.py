"""What the HTTP layer needs of whatever runs operations. The contract only, no implementation."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Protocol

from execbox.wire import Capabilities, Readiness
from execbox_service.metrics import Metrics, MetricSample
from execbox_service.operations.registry import Operation, RequestT, ResponseT
from execbox_service.operations.session_protocols import LiveSessions
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.reservations import KeyQueue

__all__ = ["ExecutionRuntime"]


class ExecutionRuntime(Protocol):
    """Runs operations. Raises ``failures.RequestFailed`` for every outcome that is no response."""

    metrics: Metrics
    """Where this process counts what it does."""

    async def start(self) -> None:
        """Make it ready to execute; raises ServiceFailure where it cannot isolate anything."""

    async def stop(self) -> None:
        """Leave nothing behind. Called once, after requests have ended or been cancelled."""

    def perform(
        self, operation: Operation[RequestT, ResponseT], request: RequestT, *, caller: Caller
    ) -> Awaitable[ResponseT]:
        """Do what ``request`` asks for, on behalf of ``caller``; cancelling it ends its work.

        ``request`` is within the operator's maxima already.
        """

    @property
    def sessions(self) -> LiveSessions:
        """The sessions that live. Raises ServiceFailure before it is started."""

    @property
    def waiting_count(self) -> int:
        """How many jobs wait for a slot. Raises ServiceFailure before it is started."""

    async def exposition(self) -> bytes:
        """The metrics of the whole service, in Prometheus' text format."""

    async def samples(self) -> Iterable[MetricSample]:
        """The same as numbers."""

    def key_queues(self) -> list[KeyQueue]:
        """The keys that wait for a slot or hold one, in the whole service: now, or when
        either was last asked for. None before it is started."""

    def readiness(self) -> Readiness:
        """Whether executions can run now, without asking anything that may block."""

    def capabilities(self) -> Capabilities:
        """What is permitted and available; constant between start and stop."""
