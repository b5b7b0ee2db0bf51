"""The client of execbox: what `import execbox` offers, by name; all of it is defined elsewhere.

The schema of requests and responses is ``execbox.wire``. Nothing here prints, exits, or reads the
environment before a client is made.
"""

from __future__ import annotations

from execbox import wire
from execbox._batch import BatchResult
from execbox._nodes.state import NodeReport, NodeState
from execbox.client import AsyncClient, Client
from execbox.config import ClientConfig, RetryPolicy, Waiting
from execbox.errors import (
    AuthenticationError,
    ClientMisused,
    ConfigError,
    ConnectFailed,
    ConnectionBroken,
    ExecboxError,
    InvalidRequest,
    InvalidResponse,
    MixedNodes,
    NoNodeAvailable,
    Overloaded,
    RequestError,
    RequestNotReceived,
    RequestTimedOut,
    RequestTooLarge,
    ServiceError,
    ServiceUnavailable,
    SessionGone,
    TransportError,
)
from execbox.wire import (
    Call,
    Capabilities,
    Checks,
    ComplexityLimits,
    DeterminismCheck,
    ExecuteResponse,
    Execution,
    Function,
    Limits,
    Status,
)

__all__ = [
    "AsyncClient",
    "AuthenticationError",
    "BatchResult",
    "Call",
    "Capabilities",
    "Checks",
    "Client",
    "ClientConfig",
    "ClientMisused",
    "ComplexityLimits",
    "ConfigError",
    "ConnectFailed",
    "ConnectionBroken",
    "DeterminismCheck",
    "ExecboxError",
    "ExecuteResponse",
    "Execution",
    "Function",
    "InvalidRequest",
    "InvalidResponse",
    "Limits",
    "MixedNodes",
    "NoNodeAvailable",
    "NodeReport",
    "NodeState",
    "Overloaded",
    "RequestError",
    "RequestNotReceived",
    "RequestTimedOut",
    "RequestTooLarge",
    "RetryPolicy",
    "ServiceError",
    "ServiceUnavailable",
    "SessionGone",
    "Status",
    "TransportError",
    "Waiting",
    "__version__",
    "wire",
]

__version__: str


def __getattr__(name: str) -> str:
    # Looked up when asked for: reading the installed metadata is work, and rarely wanted.
    if name == "__version__":
        from execbox._version import client_version

        return client_version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
