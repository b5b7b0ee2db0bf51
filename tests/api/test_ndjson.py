"""Lines out of pieces of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox_service.api.ndjson import Line, LineBuffer


def taken(pieces: list[bytes], *, line_bytes_max: int = 1000) -> list[Line]:
    """All lines, taking them as soon as they are there."""
    buffer = LineBuffer(line_bytes_max)
    lines: list[Line] = []
    for piece in pieces:
        buffer.feed(piece)
        while (line := buffer.take()) is not None:
            lines.append(line)
    buffer.close()
    while (line := buffer.take()) is not None:
        lines.append(line)
    return lines


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n\n \n\t\n", []),
        (b"a\nb\n", [Line(1, b"a"), Line(2, b"b")]),
        (b"a\nb", [Line(1, b"a"), Line(2, b"b")]),
        (b"a\r\nb\r\n", [Line(1, b"a"), Line(2, b"b")]),
        (b"\n\na\n\nb", [Line(3, b"a"), Line(5, b"b")]),
        (b"a\x0bb\x85\xe2\x80\xa8c\n", [Line(1, b"a\x0bb\x85\xe2\x80\xa8c")]),
        (b"a\n  ", [Line(1, b"a")]),
        (b"a\n\r", [Line(1, b"a")]),
        (b"x" * 11 + b"\nb\n", [Line(1, b"", too_long=True), Line(2, b"b")]),
        (b"x" * 10 + b"\nb\n", [Line(1, b"x" * 10), Line(2, b"b")]),
        (b"b\n" + b"x" * 500, [Line(1, b"b"), Line(2, b"", too_long=True)]),
        (b"x" * 11 + b"\n" + b"y" * 12 + b"\n", [Line(n, b"", too_long=True) for n in (1, 2)]),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_lines_are_the_same_in_whatever_pieces_they_arrive(
    data: bytes, lines: list[Line], step: int
) -> None:
    """Split at line feeds only, empty ones counted and left out, a long one reported once."""
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    assert taken(pieces, line_bytes_max=10) == lines


@given(st.lists(st.binary(max_size=8), max_size=12), st.data())
def test_any_lines_survive_any_splitting(bodies: list[bytes], data: st.DataObject) -> None:
    """Nothing is lost, invented or moved."""
    bodies = [body.replace(b"\n", b"").rstrip(b"\r") for body in bodies]
    text = b"\n".join(bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    expected = [
        (number, body) for number, body in enumerate(bodies, 1) if body and not body.isspace()
    ]
    assert [(line.number, line.body) for line in taken(pieces)] == expected


def test_buffer_holds_no_more_than_a_line_and_a_piece() -> None:
    """Of a line that is too long, nothing is kept; and one that is full says so."""
    buffer = LineBuffer(100)
    buffer.feed(b"x" * 150)
    assert buffer.full
    assert buffer.take() is None
    for _ in range(1000):
        buffer.feed(b"x" * 150)
        assert buffer.take() is None
        assert buffer.size_bytes <= 150
    assert buffer.begun
    buffer.feed(b"x\nab")
    assert buffer.take() == Line(1, b"", too_long=True)
    buffer.feed(b"c\n")
    assert not buffer.begun
    assert buffer.take() == Line(2, b"abc")


def test_line_that_is_abandoned_leaves_those_before_it() -> None:
    """What was complete is still taken."""
    buffer = LineBuffer(100)
    buffer.feed(b"a\nb\nc")
    buffer.abandon()
    assert [buffer.take(), buffer.take(), buffer.take()] == [Line(1, b"a"), Line(2, b"b"), None]
    assert buffer.line_number == 3


@pytest.mark.parametrize("following", [[b"b\n"], [b"b", b"\n"], [b"", b"b"]])
def test_line_after_one_too_long_is_whole_however_late_it_is_taken(following: list[bytes]) -> None:
    """The end of the long line may wait in the buffer while more arrives."""
    buffer = LineBuffer(10)
    buffer.feed(b"x" * 11)
    assert buffer.take() is None
    buffer.feed(b"\n")
    assert not buffer.begun
    for piece in following:
        buffer.feed(piece)
    buffer.close()
    assert [buffer.take(), buffer.take()] == [Line(1, b"", too_long=True), Line(2, b"b")]


def test_line_too_long_and_ended_is_reported_though_the_rest_is_abandoned() -> None:
    """Only the line that was cut off is thrown away."""
    buffer = LineBuffer(10)
    buffer.feed(b"x" * 11)
    assert buffer.take() is None
    buffer.feed(b"\nabc")
    buffer.abandon()
    assert [buffer.take(), buffer.take()] == [Line(1, b"", too_long=True), None]
