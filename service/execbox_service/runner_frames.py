"""The service's half of the stream to a supervisor: what it sends, and a strict reading of answers.

The runner's half is ``execbox_runner/protocol.py``. What comes out of a container is hostile
until shown otherwise: every length is checked before it is used, every header is validated, and
anything unexpected is a ``ProtocolViolation``, after which the container is destroyed.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, Final, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PROTOCOL: Final = 1
"""The runner's number of the same name: what it means is in ``execbox_runner/protocol.py``."""
FRAME_BYTES_MAX = 32 * 1024 * 1024
"""The largest honest answer: 16 MiB of output, 2 MiB of streams, and room for their headers."""
_HEADER_BYTES_MAX = 64 * 1024
_PREFIX = struct.Struct("!IBI")
_AFTER_LENGTH_BYTES = _PREFIX.size - 4
_RESULT_PREFIX = struct.Struct("!4sI")
_RESULT_PREFIX_BYTES = _RESULT_PREFIX.size
_RESULT_MAGIC = b"xbx1"
_RESULT_HEADER_BYTES_MAX = 256 * 1024

_HEADER_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)

PREFIX_BYTES = _PREFIX.size


class FrameKind(IntEnum):
    """What a frame says; the numbers are the runner's."""

    JOB = 1
    EXECUTE = 2
    SESSION = 3
    CELL = 4
    PUT = 5
    FETCH = 6
    CELL_MORE = 7
    CELL_INTERRUPT = 8
    READY = 16
    RESULT = 17
    FAULT = 18
    REFUSED = 19
    CELL_RESULT = 20
    FILES = 21
    CELL_OUTPUT = 22


class ProtocolViolation(Exception):
    """A container sent what no supervisor of ours sends."""


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _BodyHeader(_Header):
    """Of a frame with a body."""

    crc32: int | None = Field(default=None, ge=0, lt=2**32)
    """Of the body, so that what was damaged on its way is taken for no result. None where the image
    is from before there was one."""


_BodyHeaderT = TypeVar("_BodyHeaderT", bound=_BodyHeader)


class _Spoken(BaseModel):
    """All that is read of a supervisor before it is known to speak as we do."""

    model_config = ConfigDict(extra="ignore", strict=True)
    protocol: int = Field(default=0, ge=0, le=2**31)
    """An image from before there were numbers says none."""


@dataclass(frozen=True)
class OtherProtocol:
    """A runner that does not speak as this service does; nothing else of it can be believed."""

    spoken: int

    def __str__(self) -> str:
        return (
            f"its runner speaks protocol {self.spoken} and this service {PROTOCOL}: they are of "
            "different versions of execbox"
        )


class Ready(_Header):
    """What a supervisor found about its own container."""

    protocol: Literal[1]
    python: str = Field(max_length=40)
    pid: int
    capabilities: str = Field(pattern=r"^[0-9a-f]{1,16}$")
    no_new_privileges: bool
    seccomp: bool
    memory_limit_bytes: int
    process_count_max: int
    interfaces: list[str] = Field(max_length=16)
    open_file_count: int
    core_bytes: int


Killed = Literal["cpu_time", "wall_time", "hard_stop", "result_bytes"]
_Count = Field(ge=0, le=2**62)
_Size = Annotated[int, _Count]


class Measured(_BodyHeader):
    """What a supervisor measured of one execution."""

    seq: int = _Count
    pid: int | None = Field(default=None, ge=0, le=2**62)
    """The process's number in its container."""
    exit_code: int | None = Field(ge=0, le=255)
    signal: int | None = Field(ge=1, le=64)
    cpu_time_ns: int = _Count
    wall_time_ns: int = _Count
    peak_memory_bytes: int = _Count
    killed: Killed | None
    oom_kill_count: int = _Count
    throttled_ns: int = _Count
    drained: bool
    reusable: bool
    result_overflowed: bool
    stdout_truncated: bool
    stderr_truncated: bool
    sizes: tuple[_Size, _Size, _Size]
    files_bytes: int = Field(default=0, ge=0, le=2**62)


class CellMeasured(_BodyHeader):
    """What a supervisor measured of one cell of a session."""

    seq: int = _Count
    alive: bool
    exit_code: int | None = Field(ge=0, le=255)
    signal: int | None = Field(ge=1, le=64)
    cpu_time_ns: int = _Count
    wall_time_ns: int = _Count
    peak_memory_bytes: int = _Count
    limit: Literal["cpu_time", "wall_time", "result_bytes", "interrupt"] | None
    oom_kill_count: int = _Count
    stdout_truncated: bool
    stderr_truncated: bool
    sizes: tuple[_Size, _Size, _Size]


class _PieceHeader(_BodyHeader):
    seq: int = _Count
    sizes: tuple[_Size, _Size]


class _FilesHeader(_BodyHeader):
    seq: int = _Count
    written: bool | None = None


@dataclass(frozen=True)
class CellResult:
    """One cell as it came out of a container."""

    measured: CellMeasured
    frame: bytes
    stdout: bytes
    stderr: bytes

    @property
    def seq(self) -> int:
        return self.measured.seq


@dataclass(frozen=True)
class CellPiece:
    """What a cell that runs has written since the piece before."""

    seq: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class FilesAnswer:
    """Files of a session that were asked for, or whether one was written."""

    seq: int
    written: bool | None
    files: bytes


class Refused(_Header):
    """A call that was not begun, because what an earlier one left could not be removed."""

    seq: int = _Count


class _Fault(_Header):
    message: str = Field(max_length=2000)
    machine_out_of_memory: bool = False


@dataclass(slots=True)
class Result:
    """One execution as it came out of a container: measurements, and the job's own bytes. Nothing
    of it is changed; that it could be makes it several times quicker to make."""

    measured: Measured
    frame: bytes
    stdout: bytes
    stderr: bytes
    files: bytes = b""
    """What was fetched of the files that a program left; see ``fetched_files``."""
    _report: JobReport | None = field(default=None, init=False, repr=False, compare=False)
    _is_read: bool = field(default=False, init=False, repr=False, compare=False)

    @property
    def report(self) -> JobReport | None:
        """What the job says of itself; None where its frame is not exactly one complete one."""
        if not self._is_read:
            self._report, self._is_read = parse_report(self.frame), True
        return self._report


@dataclass(frozen=True)
class Fault:
    """The supervisor gave up; its container is finished."""

    message: str
    machine_out_of_memory: bool = False
    """A process was ended for want of memory, and it was not this container's limit."""


SupervisorFrame = (
    Ready | OtherProtocol | Result | Refused | Fault | CellResult | CellPiece | FilesAnswer
)


class ReportedError(_Header):
    """An error as a job describes it; any job can write anything here, so all of it is bounded."""

    type: str = Field(max_length=1000)
    message: str = Field(max_length=20_000)
    traceback: str | None = Field(max_length=40_000)
    line: int | None = Field(ge=0, le=2**31)


class ReportedViolation(_Header):
    """One breach of the object-size rule as a job reports it."""

    path: str = Field(max_length=1000)
    rule: Literal["total_bytes", "container_items", "string_chars", "other_bytes"]
    measured: int = _Count
    limit: int = _Count


class ReportHeader(_Header):
    """What a job says of itself: believed in form only."""

    status: Literal["ok", "exception", "invalid_code", "unserializable", "output_too_large"]
    flags: list[Literal["non_finite", "mutates_input"]] = Field(max_length=2)
    error: ReportedError | None
    violations: list[ReportedViolation] | None = Field(max_length=100)
    output_bytes: int = _Count


class JobReport(NamedTuple):
    """A job's frame, taken apart."""

    header: ReportHeader
    output: bytes


def pack(kind: FrameKind, header: object, body: bytes = b"") -> bytes:
    """One frame for a supervisor."""
    return b"".join(framed(kind, json_text(header), body))


def json_text(header: object) -> bytes:
    """A header as it is sent."""
    return _HEADER_ENCODER.encode(header).encode()


def framed(kind: FrameKind, header: bytes, *body: bytes) -> tuple[bytes, ...]:
    """One frame for a supervisor, given the text of its header; the parts of its body are left
    apart, so that they are not copied."""
    header_bytes = len(header)
    total_bytes = _AFTER_LENGTH_BYTES + header_bytes + sum(map(len, body))
    return _PREFIX.pack(total_bytes, kind, header_bytes) + header, *body


def rest_bytes(prefix: bytes | bytearray) -> tuple[int, int, int]:
    """Read a frame's prefix: its kind, the length of its header, the bytes that follow."""
    total, kind, header_bytes = _PREFIX.unpack(prefix)
    rest = total - _AFTER_LENGTH_BYTES
    most_bytes = rest if rest < _HEADER_BYTES_MAX else _HEADER_BYTES_MAX
    if not 0 < header_bytes <= most_bytes or rest > FRAME_BYTES_MAX:
        raise ProtocolViolation(f"a frame of {total} bytes with a header of {header_bytes}")
    return kind, header_bytes, rest


def parse_answer(kind: int, header: bytes, body: bytes | memoryview) -> SupervisorFrame:
    """Validate a supervisor's frame. Raises ProtocolViolation."""
    try:
        # First what comes once for every execution.
        if kind == FrameKind.RESULT:
            return _parse_result(_intact(Measured, header, body), body)
        if kind == FrameKind.READY and not body:
            return _parse_ready(header)
        if kind == FrameKind.FAULT and not body:
            return Fault(**_Fault.model_validate_json(header).model_dump())
        if kind == FrameKind.CELL_RESULT:
            return _parse_cell(_intact(CellMeasured, header, body), bytes(body))
        if kind == FrameKind.CELL_OUTPUT:
            return _parse_piece(_intact(_PieceHeader, header, body), bytes(body))
        if kind == FrameKind.FILES:
            told = _intact(_FilesHeader, header, body)
            return FilesAnswer(told.seq, told.written, bytes(body))
        if kind == FrameKind.REFUSED and not body:
            return Refused.model_validate_json(header)
    except ValidationError as error:
        raise ProtocolViolation(f"a header that does not validate: {_first(error)}") from error
    raise ProtocolViolation(f"a frame of kind {kind} with {len(body)} bytes")


def _intact(kind: type[_BodyHeaderT], header: bytes, body: bytes | memoryview) -> _BodyHeaderT:
    told = kind.model_validate_json(header)
    if told.crc32 is not None and told.crc32 != zlib.crc32(body):
        raise ProtocolViolation(f"a body of {len(body)} bytes that is not what was sent")
    return told


def _parse_ready(header: bytes) -> Ready | OtherProtocol:
    spoken = _Spoken.model_validate_json(header).protocol
    return Ready.model_validate_json(header) if spoken == PROTOCOL else OtherProtocol(spoken)


def _parse_result(measured: Measured, body: bytes | memoryview) -> Result:
    frame_bytes, stdout_bytes, stderr_bytes = measured.sizes
    after_stdout = frame_bytes + stdout_bytes
    after_stderr = after_stdout + stderr_bytes
    if after_stderr + measured.files_bytes != len(body):
        raise ProtocolViolation(f"sizes {measured.sizes} in a body of {len(body)} bytes")
    if frame_bytes == len(body):
        return Result(measured, bytes(body), b"", b"")
    return Result(
        measured,
        frame=bytes(body[:frame_bytes]),
        stdout=bytes(body[frame_bytes:after_stdout]),
        stderr=bytes(body[after_stdout:after_stderr]),
        files=bytes(body[after_stderr:]),
    )


def _parse_cell(measured: CellMeasured, body: bytes) -> CellResult:
    frame_bytes, stdout_bytes, _stderr_bytes = measured.sizes
    if sum(measured.sizes) != len(body):
        raise ProtocolViolation(f"sizes {measured.sizes} in a body of {len(body)} bytes")
    after_stdout = frame_bytes + stdout_bytes
    return CellResult(
        measured, body[:frame_bytes], body[frame_bytes:after_stdout], body[after_stdout:]
    )


def _parse_piece(told: _PieceHeader, body: bytes) -> CellPiece:
    stdout_bytes, _stderr_bytes = told.sizes
    if sum(told.sizes) != len(body):
        raise ProtocolViolation(f"sizes {told.sizes} in a body of {len(body)} bytes")
    return CellPiece(told.seq, body[:stdout_bytes], body[stdout_bytes:])


def parse_report(frame: bytes) -> JobReport | None:
    """Take a job's frame apart; None where it is not exactly one complete frame."""
    size_bytes = len(frame)
    if size_bytes < _RESULT_PREFIX_BYTES:
        return None
    magic, header_bytes = _RESULT_PREFIX.unpack_from(frame)
    start = _RESULT_PREFIX_BYTES + header_bytes
    if magic != _RESULT_MAGIC or header_bytes > _RESULT_HEADER_BYTES_MAX or size_bytes < start:
        return None
    try:
        header = ReportHeader.model_validate_json(frame[_RESULT_PREFIX_BYTES:start])
    except ValidationError:
        return None
    if header.output_bytes != size_bytes - start:
        return None
    if (header.status == "ok") != (header.error is None):
        return None
    return JobReport(header, frame[start:])


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"[:300]
