"""Whatever a container sends, in whatever pieces: answers of ours, or one violation (F27)."""

from __future__ import annotations

import json
import logging
import struct
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox_service.engines.docker.attach import AttachedStream
from execbox_service.engines.frame_stream import FrameReader, FrameStream
from execbox_service.runner_frames import (
    FRAME_BYTES_MAX,
    Fault,
    FrameKind,
    JobReport,
    OtherProtocol,
    ProtocolViolation,
    Ready,
    Result,
    SupervisorFrame,
    pack,
    parse_report,
)
from tests.fake_engine import READY, measured
from tests.fuzz.bounds import VALUES, bounded, damaged, portions

# Each example's warning about a broken protocol is what should be there, and nothing to read.
pytestmark = pytest.mark.usefixtures("_quiet")

REPORT_STATUSES = ["ok", "exception", "invalid_code", "unserializable", "output_too_large"]


@pytest.fixture(scope="module")
def _quiet() -> Iterator[None]:
    name = "execbox_service.engines.frame_stream"
    logging.getLogger(name).disabled = True
    yield
    logging.getLogger(name).disabled = False


@st.composite
def results(draw: st.DrawFn) -> bytes:
    parts = draw(st.lists(st.binary(max_size=40), min_size=3, max_size=3))
    sizes = [len(part) + draw(st.sampled_from([0] * 8 + [1, -1, 2**40])) for part in parts]
    changes = draw(st.dictionaries(st.sampled_from(sorted(measured(0))), VALUES, max_size=1))
    header = measured(draw(st.integers(0, 9))) | {"sizes": sizes}
    return pack(FrameKind.RESULT, header | draw(st.sampled_from([{}, changes])), b"".join(parts))


@st.composite
def any_frames(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from([*map(int, FrameKind), 0, 255]))
    header = draw(
        VALUES | st.just(READY.model_dump()) | st.fixed_dictionaries({"message": st.text()})
    )
    # pack takes any number that fits; what no supervisor sends is what this is for.
    return pack(kind, header, draw(st.binary(max_size=8)))  # type: ignore[arg-type]


@st.composite
def prefixes(draw: st.DrawFn) -> bytes:
    total = draw(st.integers(0, 40) | st.integers(0, 2**32 - 1) | st.just(FRAME_BYTES_MAX + 5))
    header_bytes = draw(st.integers(0, 40) | st.integers(0, 2**32 - 1))
    return struct.pack("!IBI", total, draw(st.integers(0, 255)), header_bytes)


GOOD = st.one_of(
    st.just(pack(FrameKind.READY, READY.model_dump())),
    st.text(max_size=20).map(lambda text: pack(FrameKind.FAULT, {"message": text})),
    results(),
)
FRAMES = st.lists(
    GOOD | any_frames() | damaged(GOOD) | prefixes() | st.binary(max_size=30), max_size=5
).map(b"".join)


def read(pieces: list[bytes]) -> tuple[list[SupervisorFrame], str | None]:
    """The answers up to a violation, and the violation; any other exception is the test's end."""
    reader = FrameReader()
    answers: list[SupervisorFrame] = []
    try:
        for piece in pieces:
            for answer in reader.feed(piece):
                answers.append(answer)  # noqa: PERF402 - those before a violation count
    except ProtocolViolation as violation:
        return answers, str(violation)
    return answers, None


@bounded(400)
@given(pieces=portions(FRAMES))
def test_reader_of_any_bytes_gives_answers_or_one_violation(pieces: list[bytes]) -> None:
    """Never another exception, and never anything that depends on how the bytes were cut."""
    answers, violation = read(pieces)
    assert all(isinstance(answer, Ready | OtherProtocol | Result | Fault) for answer in answers)
    assert violation is None or len(violation) < 1000
    assert (answers, violation) == read([b"".join(pieces)])


@bounded(150)
@given(frames=st.lists(GOOD, max_size=5))
def test_reader_bytes_taken_one_at_a_time_are_the_same_answers(frames: list[bytes]) -> None:
    """The finest cut there is."""
    data = b"".join(frames)
    assert read([data[at : at + 1] for at in range(len(data))]) == read([data])


@bounded(200)
@given(pieces=portions(FRAMES))
def test_stream_given_any_bytes_raises_nothing(pieces: list[bytes]) -> None:
    """asyncio calls this: what went wrong is told to whoever waits, not to the event loop."""
    for stream in (FrameStream(), AttachedStream()):
        for piece in pieces:
            stream.data_received(piece)
        assert len(stream.stderr_text) <= 4000


@bounded(200)
@given(pieces=portions(st.lists(st.binary(max_size=30) | prefixes(), max_size=4).map(b"".join)))
def test_attached_stream_multiplexed_bytes_in_any_pieces_are_the_same(pieces: list[bytes]) -> None:
    """Docker's own headers may be cut anywhere, too."""
    wire = b"".join(
        struct.pack("!BxxxI", 1 + index % 2, len(piece)) + piece
        for index, piece in enumerate(pieces)
    )
    whole, single = AttachedStream(), AttachedStream()
    whole.data_received(wire)
    for at in range(len(wire)):
        single.data_received(wire[at : at + 1])
    assert (whole.closed, whole.stderr_text) == (single.closed, single.stderr_text)
    assert len(whole._answers) == len(single._answers)


@bounded(60)
@given(total=st.integers(0, 2**32 - 1), header_bytes=st.integers(0, 2**32 - 1))
def test_reader_told_of_a_large_frame_keeps_what_has_come_and_no_more(
    total: int, header_bytes: int
) -> None:
    """No length that is claimed is ever reserved."""
    tracemalloc.start()
    try:
        read([struct.pack("!IBI", total, 17, header_bytes), b"x" * 10_000])
        _now_bytes, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 200_000


@st.composite
def reports(draw: st.DrawFn) -> bytes:
    output = draw(st.binary(max_size=30))
    status = draw(st.sampled_from(REPORT_STATUSES))
    error = {"type": "E", "message": "m", "traceback": None, "line": 1}
    header: dict[str, Any] = {
        "status": status,
        "flags": draw(st.lists(st.sampled_from(["non_finite", "mutates_input"]), max_size=3)),
        "error": draw(st.sampled_from([None, error])),
        "violations": None,
        "output_bytes": draw(st.sampled_from([len(output)] * 4 + [0, -1, 2**63])),
    }
    header |= draw(st.dictionaries(st.sampled_from([*header, "more"]), VALUES, max_size=1))
    text = json.dumps(header).encode()
    return struct.pack("!4sI", b"xbx1", len(text)) + text + output


@bounded(250)
@given(frame=reports() | damaged(reports()) | st.binary(max_size=40))
def test_report_of_any_bytes_is_a_report_or_none(frame: bytes) -> None:
    """A job writes what it likes; what is no report says nothing, and raises nothing."""
    report = parse_report(frame)
    assert report is None or isinstance(report, JobReport)
    if report is not None:
        assert frame.endswith(report.output)
        assert (report.header.status == "ok") == (report.header.error is None)
