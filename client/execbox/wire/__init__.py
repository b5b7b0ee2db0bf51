"""The schema of the HTTP API: requests, responses and closed vocabularies. Does no work.

The service and the client both import this package, so a field exists in one place only. Its names
are imported from here; which module holds one is this package's own business: a module per
endpoint, and ``fields``, ``vocabularies`` and ``error_codes`` for what the endpoints share.
Requests forbid unknown fields and are strict about types (``true`` and ``"10"`` are not numbers);
responses ignore unknown fields, so that an older client can read a newer service.

Quantities carry their unit in the name: ``_s`` seconds, ``_mb`` mebibytes, ``_bytes`` bytes,
``_count`` how many.
"""

from __future__ import annotations

from execbox.wire.about_service import (
    Capabilities,
    Health,
    Readiness,
)
from execbox.wire.batch import (
    BATCH_ANSWERS,
    BATCH_LINES,
    BatchAnswer,
    BatchLine,
    ExecuteAnswer,
    ExecuteLine,
    FailedAnswer,
    GenerateAnswer,
    GenerateLine,
    LineId,
    VerifyAnswer,
    VerifyLine,
)
from execbox.wire.checks import (
    Certificate,
    Checks,
    Complexity,
    ComplexityLimits,
    Determinism,
    DeterminismCheck,
    Hint,
    Replay,
    ReplayResult,
    Violation,
)
from execbox.wire.error_codes import (
    ERROR_CODES,
    ErrorBody,
    ErrorCode,
    ErrorFacts,
    ErrorResponse,
    Fault,
)
from execbox.wire.execute import (
    ExecuteRequest,
    ExecuteResponse,
    Execution,
    ExecutionError,
    Truncated,
    Usage,
)
from execbox.wire.feedback_templates import (
    FeedbackTemplates,
)
from execbox.wire.fields import (
    BODY_BYTES_MAX,
    CALLS_MAX,
    JSON,
    JSON_DEPTH_MAX,
    EntryPoint,
    Seconds,
    Text,
)
from execbox.wire.functions import (
    Call,
    Function,
    Limits,
)
from execbox.wire.generate import (
    GenerateRequest,
    GenerateResponse,
    InputGenerator,
    Pair,
    RejectedExample,
)
from execbox.wire.verify import (
    Tolerance,
    VerifiedItem,
    VerifyItem,
    VerifyRequest,
    VerifyResponse,
)
from execbox.wire.vocabularies import (
    Comparator,
    Conversion,
    Extraction,
    Isolation,
    OutputFlag,
    Prelude,
    Profile,
    RejectReason,
    Status,
    Stopped,
    Verdict,
)

__all__ = [
    "BATCH_ANSWERS",
    "BATCH_LINES",
    "BODY_BYTES_MAX",
    "CALLS_MAX",
    "ERROR_CODES",
    "JSON",
    "JSON_DEPTH_MAX",
    "BatchAnswer",
    "BatchLine",
    "Call",
    "Capabilities",
    "Certificate",
    "Checks",
    "Comparator",
    "Complexity",
    "ComplexityLimits",
    "Conversion",
    "Determinism",
    "DeterminismCheck",
    "EntryPoint",
    "ErrorBody",
    "ErrorCode",
    "ErrorFacts",
    "ErrorResponse",
    "ExecuteAnswer",
    "ExecuteLine",
    "ExecuteRequest",
    "ExecuteResponse",
    "Execution",
    "ExecutionError",
    "Extraction",
    "FailedAnswer",
    "Fault",
    "FeedbackTemplates",
    "Function",
    "GenerateAnswer",
    "GenerateLine",
    "GenerateRequest",
    "GenerateResponse",
    "Health",
    "Hint",
    "InputGenerator",
    "Isolation",
    "Limits",
    "LineId",
    "OutputFlag",
    "Pair",
    "Prelude",
    "Profile",
    "Readiness",
    "RejectReason",
    "RejectedExample",
    "Replay",
    "ReplayResult",
    "Seconds",
    "Status",
    "Stopped",
    "Text",
    "Tolerance",
    "Truncated",
    "Usage",
    "Verdict",
    "VerifiedItem",
    "VerifyAnswer",
    "VerifyItem",
    "VerifyLine",
    "VerifyRequest",
    "VerifyResponse",
    "Violation",
]
