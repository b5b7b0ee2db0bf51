"""Streams of lines in any pieces, on both sides: nothing lost, invented or kept without bound."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox import wire
from execbox._batch import Chunk, OutgoingLine, Reachability, outgoing, whole_lines
from execbox._transport import SyncTransport
from execbox.config import ClientConfig, RetryPolicy
from execbox.errors import ConnectionBroken
from execbox_service.api.ndjson import Line, LineBuffer
from tests.effort import refuse_effort
from tests.fuzz.bounds import VALUES, bounded, damaged, portions

LINE_BYTES_MAX = 12
BODIES = st.lists(
    st.sampled_from([b"", b" ", b"\r", b"\t \r", b"x", b"x" * 12, b"x" * 13, b"x" * 40, b"\x00"])
    | st.binary(max_size=15),
    max_size=10,
).map(b"\n".join)


def expected_lines(body: bytes) -> list[Line]:
    """By the plainest rule: cut the whole at its line feeds."""
    lines = []
    for number, text in enumerate(body.split(b"\n"), 1):
        if len(text) > LINE_BYTES_MAX:
            lines.append(Line(number, b"", too_long=True))
        elif text.strip():
            lines.append(Line(number, text.removesuffix(b"\r")))
    return lines


@bounded(500)
@given(pieces=portions(BODIES), take_counts=st.lists(st.integers(0, 3), min_size=9, max_size=9))
def test_line_buffer_gives_the_same_lines_however_they_arrive(
    pieces: list[bytes], take_counts: list[int]
) -> None:
    """Taken at any time; and it never holds more than a line and a piece."""
    buffer = LineBuffer(LINE_BYTES_MAX)
    lines: list[Line] = []

    def take(count: int) -> None:
        for _ in range(count):
            line = buffer.take()
            if line is None:
                return
            lines.append(line)

    for piece, take_count in zip(pieces, take_counts, strict=False):
        while buffer.full:
            held_bytes = buffer.size_bytes
            take(1)
            assert buffer.size_bytes < held_bytes
        buffer.feed(piece)
        assert buffer.size_bytes <= LINE_BYTES_MAX + len(piece)
        take(take_count)
    for piece in pieces[len(take_counts) :]:
        take(10**6)
        buffer.feed(piece)
    take(10**6)
    buffer.close()
    take(10**6)
    assert lines == expected_lines(b"".join(pieces))
    assert (buffer.size_bytes, buffer.take()) == (0, None)


@bounded(200)
@given(pieces=portions(BODIES), taking=st.lists(st.booleans(), min_size=9, max_size=9))
def test_line_buffer_abandoned_gives_the_whole_lines_only(
    pieces: list[bytes], taking: list[bool]
) -> None:
    """What the end of the stream cut off is thrown away, and is no line."""
    buffer = LineBuffer(LINE_BYTES_MAX)
    lines: list[Line] = []
    for piece, take_now in zip(pieces, taking, strict=False):
        buffer.feed(piece)
        while (take_now or buffer.full) and (line := buffer.take()) is not None:
            lines.append(line)
    buffer.abandon()
    while (line := buffer.take()) is not None:
        lines.append(line)
    whole = b"".join(pieces)
    assert lines == expected_lines(whole[: whole.rfind(b"\n") + 1])


@bounded(300)
@given(pieces=portions(BODIES))
def test_client_lines_are_the_same_however_they_arrive(pieces: list[bytes]) -> None:
    """What is complete is given, what is not stays."""
    rest = bytearray()
    lines = list(whole_lines(pieces, rest))
    *complete, last = b"".join(pieces).split(b"\n")
    assert lines == [line for line in complete if line.strip()]
    assert rest == last


@pytest.mark.parametrize("piece_bytes", [1, 1000])
def test_line_buffer_of_one_long_line_in_small_pieces_takes_linear_time(piece_bytes: int) -> None:
    """Nothing that was searched once is searched again."""

    def read(size: int) -> None:
        buffer = LineBuffer(10 * size)
        for _ in range(size // piece_bytes):
            buffer.feed(b"x" * piece_bytes)
            buffer.take()

    size = 20_000 * piece_bytes
    refuse_effort(lambda: read(4 * size))


# The answers of a batch, as a client takes them


def a_chunk() -> Chunk:
    lines = [
        outgoing({"id": f"n{number}", "op": "execute"} | a_job(), number) for number in range(3)
    ]
    sent = [line for line in lines if isinstance(line, OutgoingLine)]
    assert len(sent) == 3
    chunk = Chunk(sent, Reachability(SyncTransport(ClientConfig(retry=RetryPolicy.never()))))
    chunk.exchange()
    return chunk


def a_job() -> dict[str, Any]:
    return {"function": {"code": "def main_solution(): return 1"}, "calls": [{"args": []}]}


EXECUTED = wire.ExecuteResponse.model_validate(
    {
        "executions": [{"status": "ok", "output": 1}],
        "isolation": "container",
        "engine": "fake",
        "image": "sha256:0",
        "queue_time_s": 0.0,
    }
).model_dump(mode="json")
IDS = st.sampled_from(["0", "1", "2", "3", "-1", "", "x", "٣", "²", "1" * 500, None]) | VALUES
ANSWERS = st.one_of(
    IDS.map(lambda name: {"id": name, "op": "execute"} | EXECUTED),
    st.tuples(IDS, st.integers(-1, 5) | VALUES, VALUES).map(
        lambda each: {
            "id": each[0],
            "line": each[1],
            "error": {"code": "c", "message": "m", "retryable": True},
            "more": each[2],
        }
    ),
    st.dictionaries(st.sampled_from(["id", "op", "line", "error", "items"]), VALUES, max_size=5),
    VALUES,
).map(lambda each: json.dumps(each).encode())


@bounded(200)
@given(texts=st.lists(ANSWERS | damaged(ANSWERS) | st.binary(max_size=20), max_size=6))
def test_client_batch_of_any_answers_settles_each_line_once_or_breaks_off(
    texts: list[bytes],
) -> None:
    """A service that lies, or a proxy that cuts, costs another attempt at most: no line is
    settled twice and none is lost."""
    chunk = a_chunk()
    settled = []
    with suppress(ConnectionBroken):
        for text in texts:
            result = chunk.take(text)
            if result is not None:
                settled.append(result.result.id)
    settled += [given_up.result.id for given_up in chunk.unanswered()]
    assert sorted(str(name) for name in settled) == ["n0", "n1", "n2"]
