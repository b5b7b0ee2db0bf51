"""Answers out of bytes, however those are divided, and Docker's multiplexing around them."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox_service.engines.docker.attach import AttachedStream
from execbox_service.engines.frame_stream import FrameReader, FrameStream
from execbox_service.runner_frames import Fault, FrameKind, ProtocolViolation, pack

MESSAGES = ["first", "a longer second message", "3"]
STREAM = b"".join(pack(FrameKind.FAULT, {"message": text}) for text in MESSAGES)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_reader_gives_the_same_answers_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    """Bytes arrive in any portions."""
    reader = FrameReader()
    edges = [0, *sorted(cuts), len(STREAM)]
    portions = [STREAM[start:end] for start, end in itertools.pairwise(edges)]
    answers = [answer for portion in portions for answer in reader.feed(portion)]
    assert answers == [Fault(text) for text in MESSAGES]


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=6), size=st.integers(1, 50))
def test_attached_stream_takes_the_multiplexing_apart(cuts: list[int], size: int) -> None:
    """stdout is frames and stderr is not, in parts of any length, cut anywhere."""
    edges = [0, *sorted(cuts), len(STREAM)]
    wire = b""
    for start, end in itertools.pairwise(edges):
        wire += struct.pack("!BxxxI", 2, 5) + b"noise"
        wire += struct.pack("!BxxxI", 1, end - start) + STREAM[start:end]
    stream = AttachedStream()
    for start in range(0, len(wire), size):
        stream.data_received(wire[start : start + size])
    assert len(stream._answers) == len(MESSAGES)
    assert stream.stderr_text == "noise" * (len(edges) - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 9,
        struct.pack("!IBI", 5, 17, 0),
        struct.pack("!IBI", 5 + 10, 17, 11),
        struct.pack("!IBI", 2**31, 17, 10),
        pack(FrameKind.JOB, {"message": "x"}),
        pack(FrameKind.FAULT, {"message": "x", "more": 1}),
        pack(FrameKind.FAULT, {"message": "x"}, b"body"),
    ],
)
def test_reader_refuses_what_no_supervisor_sends(data: bytes) -> None:
    """Lengths are refused before anything of that length is waited for."""
    with pytest.raises(ProtocolViolation):
        list(FrameReader().feed(data))


def test_reader_keeps_an_unfinished_frame_only() -> None:
    """Half a frame is no answer, and no error."""
    assert list(FrameReader().feed(STREAM[:8])) == []
    assert json.loads(STREAM[9 : 9 + struct.unpack("!IBI", STREAM[:9])[2]]) == {"message": "first"}


def test_stream_after_a_violation_takes_nothing_more() -> None:
    """What follows a lie is not believed, however well it is formed."""
    stream = AttachedStream()
    stream.data_received(struct.pack("!BxxxI", 9, 1) + b"x")
    stream.data_received(struct.pack("!BxxxI", 1, len(STREAM)) + STREAM)
    assert stream.closed
    assert len(stream._answers) == 0


async def test_large_frame_reaches_a_slow_reader_whole_and_in_order() -> None:
    """It is handed to the transport as the other side takes it, and never all at once."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    stream = await FrameStream.open(ours)
    frames = [b"small", bytes(3_000_000), b"x" * 1_000_000, b"last"]
    for frame in frames:
        stream.send(b"<", frame)
    wanted, got = b"<" + b"<".join(frames), bytearray()
    with theirs:
        while len(got) < len(wanted):
            await asyncio.sleep(0)
            assert stream._transport is not None
            assert stream._transport.get_write_buffer_size() <= 512 * 1024
            got += await loop.sock_recv(theirs, 50_000)
        stream.close()
    assert bytes(got) == wanted
