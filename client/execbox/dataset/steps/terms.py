"""What steps that run functions share: terms, sizes of requests, certificates, patience.

The steps are ``generate``, ``certify`` and ``cruxeval``. Nothing here talks to the service.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, TypeVar

from pydantic import ValidationError

from execbox import wire
from execbox.dataset.files.records import BadRecord, DatasetError, Value, object_field, text_field
from execbox.errors import (
    ConnectFailed,
    ExecboxError,
    RequestError,
    ServiceError,
    TransportError,
)

__all__ = [
    "FAILURES_IN_A_ROW_MAX",
    "OWN_META",
    "REFUSED_KEY",
    "Patience",
    "RunTerms",
    "certificates_of",
    "conversion_of",
    "for_service",
    "function_of",
    "invalid_record",
    "packed_certificates",
    "request_sized",
    "with_own_meta",
]

Complexity: TypeAlias = Literal["codeio"] | wire.ComplexityLimits | None

OWN_META = "execbox"
"""The member of a record's ``meta`` that everything of ours is in; nobody else's shape changes."""
FAILURES_IN_A_ROW_MAX = 5
"""So many requests without an answer, and not one with, and the run ends: it is not the records."""
REFUSED_KEY = frozenset({401, 403})
"""HTTP statuses that are nobody's record: every request would get them."""

_ItemT = TypeVar("_ItemT")

_JOB_TIME_S = 60.0
_CALLS_PER_REQUEST = 500
_BYTES_PER_REQUEST = 4 * 1024 * 1024


def _limits() -> wire.Limits:
    return wire.Limits(job_time_s=_JOB_TIME_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """How a function is run and what is checked.

    ``runs`` are the executions of each call that must agree, 2 to 10, and None leaves the
    determinism check out. ``prelude`` and ``convert`` are for records that name none of their own.
    ``isolation`` and ``concurrency`` None take the fastest the service permits and as many
    requests as keep all of its slots busy.
    """

    limits: wire.Limits = field(default_factory=_limits)
    runs: int | None = 2
    complexity: Complexity = "codeio"
    prelude: wire.Prelude = "codeio"
    convert: wire.Conversion = "none"
    isolation: wire.Isolation | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        if self.concurrency is not None and self.concurrency < 1:
            raise DatasetError(f"concurrency must be 1 or more, not {self.concurrency}")
        try:
            _ = self.checks
        except ValidationError as error:
            raise DatasetError(f"runs must be 2 to 10, not {self.runs}") from error

    @property
    def checks(self) -> wire.Checks:
        """What the service is asked to check."""
        determinism = None if self.runs is None else wire.DeterminismCheck(runs=self.runs)
        return wire.Checks(determinism=determinism, complexity=self.complexity)

    @property
    def settings(self) -> Mapping[str, object]:
        """What results depend on, for the run's settings file."""
        return {
            "limits": self.limits.model_dump(),
            "checks": self.checks.model_dump(),
            "prelude": self.prelude,
            "convert": self.convert,
        }


def for_service(terms: RunTerms, capabilities: wire.Capabilities) -> RunTerms:
    """Terms with isolation and concurrency decided by what the service says it can do."""
    fastest: wire.Isolation = (
        "process" if "process" in capabilities.isolation else capabilities.isolation[0]
    )
    # Half as many again, so that no slot is idle while an answer is read.
    slots = capabilities.concurrency
    return replace(
        terms,
        isolation=terms.isolation or fastest,
        concurrency=terms.concurrency or slots + max(1, slots // 2),
    )


def function_of(value: Value, terms: RunTerms) -> wire.Function:
    """A record's function. Raises ``BadRecord`` where there is none, or none that can be run."""
    if not text_field(value, "refcode").strip():
        raise BadRecord('"refcode" is empty: there is nothing to run', reason="missing_field")
    try:
        return wire.Function.model_validate(
            {
                "code": value["refcode"],
                "entry_point": value.get("funcname", "main_solution"),
                "prelude": value.get("prelude", terms.prelude),
            }
        )
    except ValidationError as error:
        names = {"code": "refcode", "entry_point": "funcname"}
        raise invalid_record(error, names=names) from error


def invalid_record(error: ValidationError, *, names: Mapping[str, str]) -> BadRecord:
    """The first thing wrong with a record, by the record's own name for it."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = str(first["loc"][0]) if first["loc"] else ""
    problem = first["msg"].removeprefix("Value error, ")
    return BadRecord(f'"{names.get(place, place)}": {problem}', reason="invalid_field")


def conversion_of(value: Value, terms: RunTerms) -> wire.Conversion:
    """How values without a JSON form are written for this record."""
    match value.get("convert", terms.convert):
        case "none":
            return "none"
        case "codeio":
            return "codeio"
    raise BadRecord('"convert" must be none or codeio', reason="invalid_field")


# What one request takes


def request_sized(
    items: Sequence[_ItemT], *, sent: Callable[[_ItemT], object]
) -> Iterator[Sequence[_ItemT]]:
    """``items`` in their order, as many at a time as one request takes; never none.

    ``sent`` is the JSON that is sent of an item. One that is too large alone comes alone.
    """
    chunk: list[_ItemT] = []
    chunk_bytes = 0
    for item in items:
        size_bytes = len(json.dumps(sent(item)))
        if chunk and (
            len(chunk) == _CALLS_PER_REQUEST or chunk_bytes + size_bytes > _BYTES_PER_REQUEST
        ):
            yield chunk
            chunk, chunk_bytes = [], 0
        chunk.append(item)
        chunk_bytes += size_bytes
    if chunk:
        yield chunk


# Certificates in a record


def packed_certificates(certificates: Sequence[wire.Certificate]) -> Value:
    """Members for a record: ``certificate`` holds what all have in common, ``certificates`` what
    each has of its own, in the order of ``ios``. They are nearly the same, and there are many.
    """
    dumped = [certificate.model_dump() for certificate in certificates]
    if not dumped:
        return {}
    common = {
        name: value
        for name, value in dumped[0].items()
        if all(other[name] == value for other in dumped)
    }
    own = [{name: value for name, value in one.items() if name not in common} for one in dumped]
    return {"certificate": common} | ({"certificates": own} if any(own) else {})


def certificates_of(value: Value) -> Sequence[wire.Certificate]:
    """The certificate of each of a record's ``ios``, in their order; none where it has none."""
    meta = value.get("meta")
    own = meta.get(OWN_META) if isinstance(meta, dict) else None
    common = own.get("certificate") if isinstance(own, dict) else None
    ios = value.get("ios")
    if not isinstance(own, dict) or not isinstance(common, dict) or not isinstance(ios, list):
        return []
    each = own.get("certificates", [{}] * len(ios))
    if not isinstance(each, list) or len(each) != len(ios):
        raise BadRecord(f'has {len(ios)} "ios" and another number of certificates')
    try:
        return [wire.Certificate.model_validate({**common, **one}) for one in each]
    except (ValidationError, TypeError) as error:
        raise BadRecord(f"a certificate that is none: {error}") from error


def with_own_meta(value: Value, own: Value) -> Value:
    """A record's ``meta`` with our member in it."""
    meta = object_field(value, "meta") if value.get("meta") is not None else {}
    return meta | {OWN_META: own}


# Failures that are not the record's


class Patience:
    """Tells one record that the service has no answer for from a service that answers nothing.

    A refused key or connection is nobody's record; other failures are, unless nothing but
    failures comes. What the client itself refused to send says nothing about the service.
    """

    def __init__(self) -> None:
        self._failures_in_a_row = 0

    def answered(self) -> None:
        self._failures_in_a_row = 0

    def problem_of(self, error: ExecboxError) -> BadRecord:
        """Why this record has no result; raises ``error`` where going on is no use."""
        if isinstance(error, RequestError) and error.http_status is None:
            return BadRecord(error.message, reason=error.code)
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= FAILURES_IN_A_ROW_MAX:
            raise error
        match error:
            case RequestError() if error.http_status not in REFUSED_KEY:
                return BadRecord(error.message, reason=error.code, retry=True)
            case ServiceError():
                message = f"the service failed, this is no fault of the record: {error.message}"
                return BadRecord(message, reason=error.code, retry=True)
            case TransportError() if not isinstance(error, ConnectFailed):
                return BadRecord(f"no answer: {error.message}", reason="no_answer", retry=True)
        raise error
