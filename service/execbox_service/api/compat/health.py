"""``GET /health``, which more than one contract has."""

from __future__ import annotations

from execbox.wire import ErrorCode
from execbox_service.api.compat.exchange import Exchange
from execbox_service.failures import ServiceFailure

__all__ = ["healthy"]


def healthy(exchange: Exchange) -> dict[str, str]:
    """What is said while code can be run. Raises ServiceFailure while it cannot."""
    state = exchange.services.runtime.readiness()
    if not state.ready:
        raise ServiceFailure(ErrorCode.NOT_READY, state.reason or "executions cannot run")
    return {"status": "healthy"}
