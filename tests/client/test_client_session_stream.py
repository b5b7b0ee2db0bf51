"""A streamed cell's answer as the client reads it, from a service that answers over a seam."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from execbox import (
    Client,
    ClientConfig,
    ConnectionBroken,
    ExecboxError,
    InvalidResponse,
    ServiceUnavailable,
    SessionGone,
)
from execbox.config import RetryPolicy
from execbox.wire import CellOutput, CellResponse, SessionInfo, Usage

BUSY = b'{"error": {"code": "queue_full", "message": "later", "retryable": true}}'
GONE = b'{"error": {"code": "session_gone", "message": "it is gone", "retryable": false}}\n'
LOST = b'{"error": {"code": "sandbox_lost", "message": "lost", "retryable": true}}\n'
NEWER = b'{"error": {"code": "of_a_newer_service", "message": "?", "retryable": true}}\n'
USAGE = Usage(cpu_time_s=0, wall_time_s=0, peak_memory_bytes=0)
CELL = CellResponse(status="ok", stdout="ab", usage=USAGE, cell=1)
WHOLE = b'{"stdout":"a"}\n{"stdout":"b"}\n' + CELL.model_dump_json().encode() + b"\n"
INFO = SessionInfo(
    id="s", engine="e", image="i", profile="default", limits={"wall_time_s": 1.0}, cells=0,
    running=False, ends_in_s=1,
)  # fmt: skip


class Service:
    """Begins any session, and answers its cells from a list."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self.answers = list(answers)
        self.cells_sent = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/run"):
            is_end = request.method == "DELETE"
            return (
                httpx.Response(204) if is_end else httpx.Response(200, text=INFO.model_dump_json())
            )
        self.cells_sent += 1
        status, body = self.answers.pop(0)
        return httpx.Response(status, stream=_Pieces(body))


class _Pieces(httpx.SyncByteStream):
    """A body in pieces of a few bytes."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._body), 7):
            yield self._body[start : start + 7]


def streamed(service: Service) -> tuple[list[CellOutput], CellResponse]:
    """What a cell's caller gets."""
    policy = RetryPolicy(backoff_s=0.001, backoff_max_s=0.001)
    config = ClientConfig(base_url="http://service", retry=policy)
    pieces: list[CellOutput] = []
    with (
        Client(config=config, transport=httpx.MockTransport(service)) as client,
        client.session() as session,
    ):
        return pieces, session.run("1", on_output=pieces.append)


def test_pieces_come_before_the_cell() -> None:
    """However the bytes are divided on their way."""
    pieces, cell = streamed(Service((200, WHOLE)))
    assert [piece.stdout for piece in pieces] == ["a", "b"]
    assert cell == CELL


def test_cell_that_was_not_begun_is_sent_again() -> None:
    """A refusal before the first line says that nothing has been run."""
    service = Service((429, BUSY), (503, BUSY), (200, WHOLE))
    assert streamed(service)[1] == CELL
    assert service.cells_sent == 3


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (b'{"stdout":"a"}\n' + GONE, SessionGone),
        (b'{"stdout":"a"}\n' + LOST, ServiceUnavailable),
        (b'{"stdout":"a"}\n' + NEWER, ServiceUnavailable),
        (b'{"stdout":"a"}\n', ConnectionBroken),
        (b"", ConnectionBroken),
        (b"<html>\n", InvalidResponse),
        (b"5\n", InvalidResponse),
    ],
)
def test_answer_that_fails_after_its_beginning_is_not_sent_again(
    answer: bytes, raised: type[ExecboxError]
) -> None:
    """A cell is never run twice; the exception says whose failure it was."""
    service = Service((200, answer))
    with pytest.raises(raised):
        streamed(service)
    assert service.cells_sent == 1
