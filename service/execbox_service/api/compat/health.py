"""``GET /health``, which more than one contract has."""

from __future__ import annotations

import json

from starlette.responses import Response

from execbox.wire import ErrorCode
from execbox_service.api.compat.exchange import Exchange
from execbox_service.failures import ServiceFailure

__all__ = ["health"]


async def health(exchange: Exchange) -> Response:
    """Healthy while code can be run. Raises ServiceFailure while it cannot."""
    state = exchange.services.runtime.readiness()
    if not state.ready:
        raise ServiceFailure(ErrorCode.NOT_READY, state.reason or "executions cannot run")
    return Response(json.dumps({"status": "healthy"}), media_type="application/json")
