"""The protocol between service and supervisor: both halves agree, and lies are refused."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import threading
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox_runner import protocol
from execbox_runner.execution import MachineOutOfMemory
from execbox_runner.supervisor import fault_header
from execbox_runner.zygote_link import ZygoteLost
from execbox_service import runner_frames
from execbox_service.engines.frame_stream import FrameReader
from execbox_service.runner_frames import (
    PROTOCOL,
    CellPiece,
    Fault,
    FrameKind,
    OtherProtocol,
    ProtocolViolation,
    Ready,
    Result,
    pack,
    parse_answer,
    parse_report,
    rest_bytes,
)
from tests.fake_engine import READY, measured, report_frame, result_frame

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def answer_of(data: bytes) -> Any:
    """The one answer that these bytes hold."""
    (answer,) = FrameReader().feed(data)
    return answer


# The two halves against each other


def test_kinds_are_the_same_on_both_sides() -> None:
    """The numbers of the frames are the runner's."""
    assert {kind.name: int(kind) for kind in FrameKind} == {
        kind.name: int(kind) for kind in protocol.Kind
    }


@given(header=st.dictionaries(st.text(), JSON, max_size=4), body=st.binary(max_size=500))
def test_frame_of_the_service_is_read_by_the_runner(header: dict[str, Any], body: bytes) -> None:
    """What ``pack`` makes, the supervisor's ``read_frame`` reads as it was."""
    read_fd, write_fd = os.pipe()
    try:
        os.write(write_fd, pack(FrameKind.EXECUTE, header, body))
        assert protocol.read_frame(read_fd) == (FrameKind.EXECUTE, header, body)
    finally:
        os.close(read_fd)
        os.close(write_fd)


@given(parts=st.lists(st.binary(max_size=300), min_size=3, max_size=3), seq=st.integers(0, 2**40))
def test_frame_of_the_runner_is_read_by_the_service(parts: list[bytes], seq: int) -> None:
    """What the supervisor's ``write_frame`` writes, the service reads as it was."""
    read_fd, write_fd = os.pipe()
    try:
        header = {"sizes": [len(part) for part in parts]} | measured(seq)
        protocol.write_frame(write_fd, protocol.Kind.RESULT, header, *parts)
        answer = answer_of(os.read(read_fd, 65536))
    finally:
        os.close(read_fd)
        os.close(write_fd)
    assert isinstance(answer, Result)
    assert answer.measured.seq == seq
    assert [answer.frame, answer.stdout, answer.stderr] == parts


@given(
    parts=st.lists(st.binary(min_size=1, max_size=300), min_size=3, max_size=3),
    place=st.integers(0, 299),
    instead=st.integers(1, 255),
)
def test_frame_whose_body_was_changed_on_its_way_is_no_answer(
    parts: list[bytes], place: int, instead: int
) -> None:
    """Where the service asks for a checksum, one byte of output that is different is enough."""
    read_fd, write_fd = os.pipe()
    try:
        header = {"sizes": [len(part) for part in parts]} | measured(1)
        protocol.write_frame(write_fd, protocol.Kind.RESULT, header, *parts, checked=True)
        data = bytearray(os.read(read_fd, 65536))
    finally:
        os.close(read_fd)
        os.close(write_fd)
    assert isinstance(answer_of(bytes(data)), Result)
    data[-1 - place % sum(map(len, parts))] ^= instead
    with pytest.raises(ProtocolViolation, match="is not what was sent"):
        answer_of(bytes(data))


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (FrameKind.CELL_OUTPUT, {"seq": 1, "sizes": [2, 1]}),
        (FrameKind.FILES, {"seq": 1, "written": None}),
    ],
)
def test_frame_of_a_session_that_was_changed_on_its_way_is_no_answer(
    kind: FrameKind, told: dict[str, Any]
) -> None:
    """Pieces of output and files are checked as results are."""
    header = told | {"crc32": zlib.crc32(b"abc")}
    assert answer_of(pack(kind, header, b"abc")).seq == 1
    with pytest.raises(ProtocolViolation, match="is not what was sent"):
        answer_of(pack(kind, header, b"abd"))


def test_frame_larger_than_a_pipe_is_carried_whole() -> None:
    """Writing goes on where the pipe was full, and reading where it was empty."""
    body = os.urandom(3_000_000)
    read_fd, write_fd = os.pipe()
    writer = threading.Thread(
        target=protocol.write_frame, args=(write_fd, protocol.Kind.RESULT, {"a": 1}, body)
    )
    writer.start()
    try:
        assert protocol.read_frame(read_fd) == (FrameKind.RESULT, {"a": 1}, body)
    finally:
        writer.join()
        os.close(read_fd)
        os.close(write_fd)


@pytest.mark.parametrize("data", [b"", b"\0\0", struct.pack("!IBI", 2**31, 1, 2), b"\xff" * 64])
def test_frame_that_is_none_ends_the_supervisor(data: bytes) -> None:
    """A closed or broken stream is one exception on the runner's side, too."""
    read_fd, write_fd = os.pipe()
    os.write(write_fd, data)
    os.close(write_fd)
    try:
        with pytest.raises(protocol.StreamClosed):
            protocol.read_frame(read_fd)
    finally:
        os.close(read_fd)


# What a container may send


def test_ready_and_fault_are_read() -> None:
    """The two answers without a body."""
    assert answer_of(pack(FrameKind.READY, READY.model_dump())) == READY
    assert answer_of(pack(FrameKind.FAULT, {"message": "why"})) == Fault("why")


def test_protocol_is_the_same_on_both_sides() -> None:
    """The service refuses every other."""
    assert protocol.PROTOCOL == PROTOCOL == READY.protocol


@pytest.mark.parametrize(
    ("header", "spoken"),
    [
        ({"protocol": PROTOCOL + 1, "whatever": ["it", "holds"]}, PROTOCOL + 1),
        (READY.model_dump(exclude={"protocol"}), 0),
        ({}, 0),
    ],
)
def test_ready_of_another_protocol_is_told_from_a_lie(header: dict[str, Any], spoken: int) -> None:
    """Nothing else of it is read: what fields mean there is not known."""
    assert answer_of(pack(FrameKind.READY, header)) == OtherProtocol(spoken)


@pytest.mark.parametrize(
    ("error", "is_machine"), [(MachineOutOfMemory("why"), True), (ZygoteLost("why"), False)]
)
def test_fault_of_the_runner_says_whose_memory_it_was(error: Exception, is_machine: bool) -> None:
    """Both halves agree on the statement that keeps the machine's failure out of a verdict."""
    sent = pack(FrameKind.FAULT, fault_header(error))
    assert answer_of(sent) == Fault("why", machine_out_of_memory=is_machine)


@pytest.mark.parametrize(
    ("total", "header_bytes"),
    [(0, 0), (4, 0), (5, 0), (5, 1), (100, 96), (2**32 - 1, 10), (2**26, 2**17), (200_000, 65_537)],
)
def test_prefix_with_impossible_lengths_is_refused(total: int, header_bytes: int) -> None:
    """Lengths are checked before anything is read or kept for them."""
    with pytest.raises(ProtocolViolation):
        rest_bytes(struct.pack("!IBI", total, FrameKind.RESULT, header_bytes))


def test_prefix_of_the_largest_honest_answer_is_accepted() -> None:
    """16 MiB of output and both streams at their maximum fit into a frame."""
    body_bytes = 16 * 2**20 + 256 * 2**10 + 2 * 2**20
    assert rest_bytes(struct.pack("!IBI", 5 + 1000 + body_bytes, 17, 1000)) == (
        17,
        1000,
        1000 + body_bytes,
    )


@pytest.mark.parametrize(
    "change",
    [
        {"seq": -1},
        {"seq": "1"},
        {"seq": True},
        {"seq": 1.0},
        {"seq": 2**63},
        {"exit_code": 256},
        {"exit_code": -1},
        {"signal": 0},
        {"signal": 65},
        {"cpu_time_ns": -1},
        {"cpu_time_ns": 10**400},
        {"wall_time_ns": None},
        {"killed": "bored"},
        {"drained": 1},
        {"reusable": "yes"},
        {"sizes": [0, 0]},
        {"sizes": [0, 0, 0, 0]},
        {"sizes": [-1, 1, 0]},
        {"sizes": ["0", 0, 0]},
        {"sizes": [1, 0, 0]},
        {"sizes": [2**62, 0, 0]},
        {"more": 1},
    ],
)
def test_result_with_a_field_out_of_range_is_refused(change: dict[str, Any]) -> None:
    """Every field is strictly typed and bounded, and the sizes are those of the body."""
    header = json.dumps({"sizes": [0, 0, 0]} | measured(1) | change).encode()
    with pytest.raises(ProtocolViolation):
        parse_answer(FrameKind.RESULT, header, b"")


@pytest.mark.parametrize("name", sorted({*measured(1), "sizes"} - {"pid"}))
def test_result_without_a_field_is_refused(name: str) -> None:
    """Nothing is optional but the process's number, which runners before 0.2 do not say."""
    header = {"sizes": [0, 0, 0]} | measured(1)
    del header[name]
    with pytest.raises(ProtocolViolation):
        parse_answer(FrameKind.RESULT, json.dumps(header).encode(), b"")


@pytest.mark.parametrize(
    "change",
    [{"capabilities": "xyz"}, {"capabilities": ""}, {"pid": "1"}, {"interfaces": ["a"] * 17},
     {"seccomp": 1}, {"python": "3" * 41}, {"extra": 1}],
)  # fmt: skip
def test_ready_with_a_wrong_field_is_refused(change: dict[str, Any]) -> None:
    """What the self-test will read is checked for its form first."""
    with pytest.raises(ProtocolViolation):
        parse_answer(FrameKind.READY, json.dumps(READY.model_dump() | change).encode(), b"")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (FrameKind.READY, b"x"),
        (FrameKind.FAULT, b"x"),
        (FrameKind.JOB, b""),
        (FrameKind.EXECUTE, b""),
        (0, b""),
        (99, b""),
    ],
)
def test_frame_of_the_wrong_kind_is_refused(kind: int, body: bytes) -> None:
    """A container answers; it does not ask, and ready has no body."""
    with pytest.raises(ProtocolViolation):
        parse_answer(kind, json.dumps(READY.model_dump()).encode(), body)


@given(data=st.binary(max_size=400))
def test_parser_of_any_bytes_raises_nothing_else(data: bytes) -> None:
    """Whatever comes, the reader gives answers or says that the protocol was broken."""
    try:
        for answer in FrameReader().feed(data):
            assert isinstance(answer, Ready | OtherProtocol | Result | Fault)
    except ProtocolViolation:
        pass


@given(kind=st.sampled_from([16, 17, 18, 1, 255]), header=st.binary(max_size=200) | JSON.map(
    lambda value: json.dumps(value).encode()), body=st.binary(max_size=50))  # fmt: skip
def test_parser_of_any_header_raises_nothing_else(kind: int, header: bytes, body: bytes) -> None:
    """A header may be any bytes or any JSON."""
    with contextlib.suppress(ProtocolViolation):
        parse_answer(kind, header, body)


@given(
    field=st.sampled_from([*measured(1), "sizes"]),
    value=JSON,
    position=st.integers(0, 200),
    byte=st.integers(0, 255),
)
def test_parser_of_a_changed_result_raises_nothing_else(
    field: str, value: object, position: int, byte: int
) -> None:
    """An honest answer with one field replaced, and one byte, is an answer or a violation."""
    header = {"sizes": [0, 0, 0]} | measured(1) | {field: value}
    data = bytearray(pack(FrameKind.RESULT, header))
    data[position % len(data)] = byte
    with contextlib.suppress(ProtocolViolation):
        list(FrameReader().feed(bytes(data)))


@pytest.mark.parametrize("header", [b"[" * 60_000, b'{"a":' * 10_000, b"1" * 60_000, b'"\\ud800"'])
def test_parser_of_a_hostile_header_is_quick_and_refuses(header: bytes) -> None:
    """Deep nesting, long numbers and lone surrogates are violations like any other."""
    with pytest.raises(ProtocolViolation):
        parse_answer(FrameKind.RESULT, header, b"")


# What a job may say


def test_report_is_taken_apart() -> None:
    """An honest frame gives its header and its output."""
    report = parse_report(report_frame([1, "é"], flags=["non_finite"]))
    assert report is not None
    assert report.header.flags == ["non_finite"]
    assert json.loads(report.output) == [1, "é"]


ERROR = {"type": "E", "message": "m", "traceback": None, "line": None}


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"xbx1",
        report_frame(1)[:-1],
        report_frame(1) + b"0",
        report_frame(1) + report_frame(1),
        b"XBX1" + report_frame(1)[4:],
        struct.pack("!4sI", b"xbx1", 2**32 - 1) + b"{}",
        struct.pack("!4sI", b"xbx1", 2) + b"{}",
        report_frame(1, status="timeout"),
        report_frame(1, status="memory_exceeded"),
        report_frame(1, flags=["other"]),
        report_frame(1, flags=["non_finite"] * 3),
        report_frame(1, extra=1),
        report_frame(1, error=ERROR),
        report_frame(b"", status="exception"),
        report_frame(b"", status="exception", error=ERROR | {"line": -1}),
        report_frame(b"", status="exception", error=ERROR | {"message": "m" * 20_001}),
        report_frame(b"", status="exception", error=ERROR | {"traceback": "t" * 40_001}),
        report_frame(1, violations=[{"path": "p", "rule": "other", "measured": 1, "limit": 1}]),
    ],
)
def test_report_that_is_not_exactly_one_frame_is_none(frame: bytes) -> None:
    """A job is believed in form only: anything but one complete, bounded frame is no result."""
    assert parse_report(frame) is None


@given(data=st.binary(max_size=200) | st.binary(max_size=100).map(lambda b: b"xbx1\0\0\0\x02" + b))
def test_report_of_any_bytes_raises_nothing(data: bytes) -> None:
    """No bytes of a job's make the service stumble."""
    report = parse_report(data)
    assert report is None or report.header.output_bytes == len(report.output)


def test_answers_made_for_tests_are_what_the_service_reads() -> None:
    """The frames that fakes send are complete and honest."""
    answer = answer_of(result_frame(7, frame=report_frame(5), stdout=b"o", stderr=b"e"))
    assert (answer.measured.seq, answer.stdout, answer.stderr) == (7, b"o", b"e")
    assert runner_frames.parse_report(answer.frame) is not None


def test_piece_of_a_cells_output_is_read_as_it_was_written() -> None:
    """And one whose sizes are not those of its body is refused."""
    read_fd, write_fd = os.pipe()
    protocol.write_frame(
        write_fd, protocol.Kind.CELL_OUTPUT, {"seq": 5, "sizes": [2, 1]}, b"ab", b"c"
    )
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as file:
        assert answer_of(file.read()) == CellPiece(5, b"ab", b"c")
    for sizes in ([2, 2], [3, -1], [3], [2.0, 1]):
        header = json.dumps({"seq": 5, "sizes": sizes}).encode()
        with pytest.raises(ProtocolViolation):
            parse_answer(FrameKind.CELL_OUTPUT, header, b"abc")
