"""Batches as plain data: lines to chunks of a stream, answers to results, and what to send again.

Pure: nothing is sent or awaited here, so that both clients share every decision. A batch of any
length goes out as many requests of a few lines each (a chunk), because a request's whole body is
sent before its answer is read. Running chunks side by side is in ``_batch_sync`` and
``_batch_async``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from pydantic import ValidationError

from execbox import errors, strict_json, wire
from execbox._exchange import Exchange, HttpAnswer
from execbox._nodes.failures import check_image
from execbox._requests import encoded
from execbox._retry import Retrying
from execbox._time_bounds import cases_bound_s, generation_bound_s, items_bound_s, job_bound_s
from execbox.config import RetryPolicy
from execbox.errors import (
    ConnectFailed,
    ConnectionBroken,
    ExecboxError,
    InvalidRequest,
    RequestError,
    RequestTimedOut,
    RequestTooLarge,
    ServiceError,
    ServiceUnavailable,
)
from execbox.wire.complaints import invalid_request

__all__ = [
    "CHUNK_BYTES",
    "CHUNK_LINES",
    "OUTSTANDING_BYTES_MAX",
    "BatchResult",
    "Chunk",
    "OutgoingLine",
    "Reachability",
    "Settled",
    "Way",
    "outgoing",
    "whole_lines",
]

CHUNK_LINES: Final = 64
CHUNK_BYTES: Final = 1024 * 1024
"""A chunk has no more lines, and no more bytes unless its only line does."""
OUTSTANDING_BYTES_MAX: Final = 64 * 1024 * 1024
"""Lines taken from the caller and not answered yet, in bytes; at least one is always taken."""

_NDJSON = "application/x-ndjson"

_OF_THESE_LINES = (ServiceError, ConnectFailed, ConnectionBroken, RequestTimedOut)
"""Failures that may concern these lines only, and not every request of this client."""

LineAnswer: TypeAlias = wire.ResultAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What became of one line: exactly one of ``answer`` and ``error`` is given.

    ``id`` and ``op`` are the line's, None where it had none. ``error`` is the caller's mistake,
    or with ``retryable`` a failure of the service or of the way there that outlasted the retries;
    it is never about the code that was run.
    """

    id: str | None
    op: str | None
    answer: LineAnswer | None = None
    error: wire.ErrorBody | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """A line that is done with, and how many bytes of what was sent it was."""

    result: BatchResult
    size_bytes: int


@dataclass(frozen=True, slots=True)
class OutgoingLine:
    """One line, encoded. On the wire it is known by ``number``, so ids need not be unique."""

    number: int
    id: str
    op: str
    body: bytes
    bound_s: float
    """The longest a healthy service may take over it once it runs."""


def outgoing(line: object, number: int) -> OutgoingLine | BatchResult:
    """``line`` as it is sent, or, if it cannot be, the result that says why."""
    try:
        checked = _checked(line)
        body = encoded(checked, id=str(number)) + b"\n"
        if len(body) > wire.BODY_BYTES_MAX:
            raise RequestTooLarge(
                f"the line is {len(body)} bytes of JSON and the service takes "
                f"{wire.BODY_BYTES_MAX}: split it into several",
                code=wire.ErrorCode.LINE_TOO_LARGE,
            )
    except RequestError as mistake:
        name, op = _names(line)
        return BatchResult(id=name, op=op, error=_error_body(mistake))
    return OutgoingLine(number, checked.id, checked.op, body, _bound_s(checked))


def _checked(line: object) -> wire.BatchLine:
    if isinstance(line, wire.BatchLine):
        return line
    if not isinstance(line, Mapping):
        *others, last = (model.__name__ for model in wire.BATCH_LINES.values())
        raise InvalidRequest(
            f"a batch's line must be a wire.{', '.join(others)} or {last}, or a mapping of its "
            f"fields, not a {type(line).__name__}"
        )
    model = wire.BATCH_LINES.get(str(line.get("op")))
    if model is None:
        raise InvalidRequest(f"op: must be one of {', '.join(wire.BATCH_LINES)}")
    try:
        return model.model_validate(dict(line))
    except ValidationError as error:
        raise invalid_request(error) from error


def _names(line: object) -> tuple[str | None, str | None]:
    if isinstance(line, Mapping):
        name, op = line.get("id"), line.get("op")
    else:
        name, op = getattr(line, "id", None), getattr(line, "op", None)
    return (
        name if isinstance(name, str) else None,
        op if isinstance(op, str) else None,
    )


def _bound_s(line: wire.BatchLine) -> float:
    if isinstance(line, wire.VerifyLine):
        return items_bound_s(line)
    if isinstance(line, wire.RunLine):
        return cases_bound_s(line)
    return generation_bound_s(line) if isinstance(line, wire.GenerateLine) else job_bound_s(line)


class Way(Protocol):
    """What a batch is sent through: the transport of one service, or of a fleet."""

    @property
    def image(self) -> str | None:
        """What every answer must have been made with; None where it may be any."""

    def pacing(self, policy: RetryPolicy | None = None) -> Retrying:
        """How often and when something is sent again."""


@dataclass(slots=True)
class Reachability:
    """Whether the service has been answering at all; shared by the chunks of one batch.

    Once a chunk has used up its retries without a single answer, the ones after it are tried once
    each: a batch of 100,000 lines is not to wait for a service that has gone 2,000 times.
    """

    way: Way
    answering: bool = True

    def pacing(self) -> Retrying:
        return self.way.pacing(None if self.answering else RetryPolicy.never())


@dataclass(slots=True)
class Chunk:
    """Some lines on their way: which are still unanswered, and whether to send them again."""

    lines: list[OutgoingLine]
    health: Reachability
    _pending: dict[int, OutgoingLine] = field(init=False)
    _sent: list[int] = field(init=False)
    _answered_count: int = 0
    _progress_count: int = 0
    """Answers of the newest attempt."""
    _errors: dict[int, wire.ErrorBody] = field(default_factory=dict)
    _failure: ExecboxError | None = None
    _pacing: Retrying = field(init=False)

    def __post_init__(self) -> None:
        self._pending = {line.number: line for line in self.lines}
        self._sent = []
        self._pacing = self.health.pacing()

    def exchange(self) -> Exchange[None]:
        """What to send now: every line without an answer."""
        self._sent = list(self._pending)
        return Exchange(
            method="POST",
            path="/v1/batch",
            body=b"".join(line.body for line in self._pending.values()),
            content_type=_NDJSON,
            read=_read_nothing,
            # Something is always running, so this is the longest there may be between answers.
            read_timeout_s=max(line.bound_s for line in self._pending.values()),
            line_count=len(self._pending),
        )

    def take(self, text: bytes) -> Settled | None:
        """Work in one line of the answer; None if its line is to be sent again first."""
        answer = _parsed(text)
        number = self._number(answer)
        line = self._pending.get(number) if number is not None else None
        if line is None:
            return None
        if isinstance(answer, wire.FailedAnswer):
            if answer.error.retryable:
                self._errors[line.number] = answer.error
                return None
            return self._settled(line, error=answer.error)
        check_image(answer, wanted=self.health.way.image, address="a node")
        self._answered_count += 1
        self._progress_count += 1
        self.health.answering = True
        return self._settled(line, answer=answer.model_copy(update={"id": line.id}))

    def ended(self) -> None:
        """The answer has ended by itself. Raises what kept lines from being answered."""
        if self._pending:
            raise self._incomplete()

    def pause_s(self, failure: ExecboxError | None) -> float | None:
        """After an attempt, which ``failure`` ended if it did not end by itself: how long to wait
        before the next one, None if there is none. Raises what would be true of every line."""
        if not self._pending:
            return None
        if failure is not None and not isinstance(failure, _OF_THESE_LINES):
            raise failure
        self._failure = failure or self._incomplete()
        progressed, self._progress_count = self._progress_count > 0, 0
        if progressed:
            # It is not these lines that break it, and each such attempt leaves fewer of them.
            self._pacing = self.health.pacing()
        pause_s = self._pacing.pause_s(self._failure)
        if progressed and isinstance(self._failure, ConnectionBroken):
            # Nor does it count against the next attempt, which may bring none by bad luck.
            self._pacing = self.health.pacing()
        if pause_s is None and not self._answered_count and not self._errors:
            self.health.answering = False
        return pause_s

    def unanswered(self) -> Iterator[Settled]:
        """For every line that was given up: what is known about why."""
        reason = _error_body(self._failure or self._incomplete())
        for line in list(self._pending.values()):
            yield self._settled(line, error=self._errors.get(line.number, reason))

    def _settled(
        self,
        line: OutgoingLine,
        *,
        answer: LineAnswer | None = None,
        error: wire.ErrorBody | None = None,
    ) -> Settled:
        del self._pending[line.number]
        result = BatchResult(id=line.id, op=line.op, answer=answer, error=error)
        return Settled(result, len(line.body))

    def _number(self, answer: wire.BatchAnswer) -> int | None:
        if answer.id is not None and answer.id.isdecimal():
            return int(answer.id)
        place = answer.line if isinstance(answer, wire.FailedAnswer) else None
        if place is not None and 0 < place <= len(self._sent):
            return self._sent[place - 1]
        return None

    def _incomplete(self) -> ExecboxError:
        """What it was, when the answer ended properly and lines are left."""
        for error in self._errors.values():
            return ServiceUnavailable(
                error.message, code=error.code, http_status=503, retryable=True
            )
        return ConnectionBroken(f"the answer ended with {len(self._pending)} lines unanswered")


def whole_lines(pieces: Iterable[bytes], rest: bytearray) -> Iterator[bytes]:
    """Lines that are complete, empty ones left out; what is not stays in ``rest``."""
    for piece in pieces:
        searched = len(rest)
        rest += piece
        while (end := rest.find(b"\n", searched)) >= 0:
            line = bytes(rest[:end])
            del rest[: end + 1]
            searched = 0
            if line.strip():
                yield line


def _parsed(text: bytes) -> wire.BatchAnswer:
    """Raises ConnectionBroken: what cannot be read is as good as not arrived."""
    try:
        document: Any = strict_json.decode(text, depth_max=strict_json.DOCUMENT_DEPTH_MAX)
        if "error" in document and document["error"] is not None and "items" not in document:
            return wire.FailedAnswer.model_validate(document)
        return wire.BATCH_ANSWERS[document["op"]].model_validate(document)
    except (ValueError, KeyError, TypeError) as error:
        raise ConnectionBroken(f"a line of the answer cannot be read: {error}"[:300]) from error


def _read_nothing(_answer: HttpAnswer) -> None:
    return None


def _error_body(failure: ExecboxError) -> wire.ErrorBody:
    if isinstance(failure, RequestError):
        return wire.ErrorBody(
            code=failure.code, message=failure.message, detail=failure.detail, retryable=False
        )
    if isinstance(failure, ServiceError):
        # Also where the service, or a proxy, does not say so: nothing is known against the line.
        return wire.ErrorBody(code=failure.code, message=failure.message, retryable=True)
    # The one that callers know, of those that are told apart in here.
    public = next(each for each in type(failure).__mro__ if each.__module__ == errors.__name__)
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", public.__name__).lower()
    return wire.ErrorBody(code=name, message=failure.message, retryable=True)
