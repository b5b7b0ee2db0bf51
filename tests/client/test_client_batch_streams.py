"""A batch's streams that break, end too early or are refused: no line is lost for it."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from execbox import (
    AuthenticationError,
    InvalidResponse,
)
from tests.client.batch_runs import Run, verify


class Scripted:
    """Answers the n-th request for a batch with what the n-th step makes of its lines."""

    def __init__(self, *steps: Callable[[list[dict[str, Any]]], bytes]) -> None:
        self.received: list[list[dict[str, Any]]] = []
        self._steps = list(steps)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._listener.accept()
                with connection, connection.makefile("rb") as file:
                    length = 0
                    while (header := file.readline()) != b"\r\n":
                        name, _, value = header.partition(b":")
                        length = int(value) if name.lower() == b"content-length" else length
                    lines = [json.loads(text) for text in file.read(length).splitlines()]
                    self.received.append(lines)
                    step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
                    connection.sendall(step(lines))


def answer_to(line: dict[str, Any]) -> bytes:
    item = {"id": "1", "verdict": "correct"}
    fields = {"items": [item], "isolation": "process", "engine": "fake", "image": "i"}
    return json.dumps({"id": line["id"], "op": "verify"} | fields).encode() + b"\n"


def response(body: bytes, *, status: str = "200 OK", complete: bool = True) -> bytes:
    length = len(body) if complete else len(body) + 100
    return (
        b"HTTP/1.1 %s\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (status.encode(), length, body)
    )


def all_answers(lines: list[dict[str, Any]]) -> bytes:
    return response(b"\n" + b"".join(answer_to(line) for line in lines))


def half_of_them(lines: list[dict[str, Any]]) -> bytes:
    """Breaks off in the middle of a line."""
    body = b"".join(answer_to(line) for line in lines)
    return response(body[: len(body) // 2], complete=False)


def error_body(code: str, *, retryable: bool) -> bytes:
    error = {"code": code, "message": f"{code} happened", "retryable": retryable}
    return json.dumps({"error": error}).encode()


def busy(_lines: list[dict[str, Any]]) -> bytes:
    return response(error_body("queue_full", retryable=True), status="429 Too Many Requests")


def ten() -> list[dict[str, Any]]:
    return [verify(str(number)) for number in range(10)]


def test_lines_left_unanswered_by_a_broken_stream_are_sent_again(run: Run) -> None:
    """Those and no others, so that every line has one result."""
    with Scripted(half_of_them, all_answers) as service:
        results = run(service.url, ten(), concurrency=1)
        sent = [len(lines) for lines in service.received]
    assert sorted(result.id or "" for result in results) == [str(n) for n in range(10)]
    assert all(result.answer is not None for result in results)
    assert sum(sent) > 10


def test_stream_that_broke_after_answers_may_break_once_before_any(run: Run) -> None:
    """As often as one that never had any: what came before is not counted against it."""
    brings_some = itertools.cycle([True, False])

    def breaks(lines: list[dict[str, Any]]) -> bytes:
        # The first stream may begin before all lines are there, and then has few.
        if len(lines) <= 3:
            return all_answers(lines)
        return half_of_them(lines) if next(brings_some) else response(b"", complete=False)

    with Scripted(*[breaks] * 20) as service:
        results = run(service.url, ten(), concurrency=1)
    assert [result.error for result in results] == [None] * 10


def test_stream_that_breaks_after_answers_is_sent_again_as_long_as_there_are_any(run: Run) -> None:
    """It is not its lines that break it, and each time there are fewer."""

    def breaks_while_there_are_many(lines: list[dict[str, Any]]) -> bytes:
        # The first stream may begin before all lines are there, and then has few.
        return half_of_them(lines[:3]) if len(lines) > 3 else all_answers(lines)

    with Scripted(*[breaks_while_there_are_many] * 20) as service:
        results = run(service.url, ten(), concurrency=1)
        sent = [len(lines) for lines in service.received]
    assert [result.error for result in results] == [None] * 10
    assert len(sent) > 4


def test_stream_that_ends_too_early_is_as_good_as_broken(run: Run) -> None:
    """Ended properly, but with lines unanswered."""
    with Scripted(lambda lines: all_answers(lines[:-1]), all_answers) as service:
        results = run(service.url, ten(), concurrency=1)
    assert len(results) == 10
    assert all(result.answer is not None for result in results)


def test_refusal_of_a_whole_stream_is_retried(run: Run) -> None:
    """As for any other request."""
    with Scripted(busy, busy, all_answers) as service:
        results = run(service.url, ten(), concurrency=1)
    assert [result.error for result in results] == [None] * 10


def gateway(_lines: list[dict[str, Any]]) -> bytes:
    return response(b"<html>Bad gateway</html>", status="502 Bad Gateway")


def test_gateway_whose_service_is_started_again_is_retried(run: Run) -> None:
    """Every line has its answer."""
    with Scripted(gateway, gateway, gateway, all_answers) as service:
        results = run(service.url, ten(), concurrency=1)
    assert [result.error for result in results] == [None] * 10


def test_gateways_answer_beyond_the_retries_is_no_mistake_of_a_line(run: Run) -> None:
    """A caller who sends these lines again later may get an answer."""
    with Scripted(gateway) as service:
        results = run(service.url, ten(), concurrency=1)
    errors = [result.error for result in results]
    assert len(errors) == 10
    assert {(error.code, error.retryable) for error in errors if error} == {("http_502", True)}


def test_failure_that_the_service_does_not_call_retryable_is_no_mistake_of_a_line(
    run: Run,
) -> None:
    """It is not sent again, and nothing is known against the lines."""

    def failing(_lines: list[dict[str, Any]]) -> bytes:
        body = error_body("internal_error", retryable=False)
        return response(body, status="503 Service Unavailable")

    with Scripted(failing) as service:
        results = run(service.url, [verify("a")], concurrency=1)
        assert len(service.received) == 1
    assert [result.error.retryable for result in results if result.error] == [True]


def test_lines_lost_beyond_the_retries_are_reported(run: Run) -> None:
    """Each with the reason, none dropped."""
    with Scripted(lambda _lines: b"") as service:
        results = run(service.url, ten(), concurrency=1)
    assert sorted(result.id or "" for result in results) == [str(n) for n in range(10)]
    errors = [result.error for result in results]
    assert all(error is not None and error.retryable for error in errors)
    assert {error.code for error in errors if error} == {"connection_broken"}


def test_service_that_is_gone_costs_its_retries_once(run: Run) -> None:
    """The lines after that are tried once each, and all are reported."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        results = run(url, (verify(str(n)) for n in range(500)))
    assert len(results) == 500
    assert {result.error.code for result in results if result.error} == {"connect_failed"}


def test_answers_nobody_asked_for_are_ignored(run: Run) -> None:
    """A number that was not sent, or an answer given twice, is no result."""

    def too_many(lines: list[dict[str, Any]]) -> bytes:
        stranger = answer_to({"id": "99999"})
        return response(stranger + b"".join(answer_to(line) * 2 for line in lines))

    with Scripted(too_many) as service:
        assert len(run(service.url, ten(), concurrency=1)) == 10


def test_failure_of_the_stream_is_its_lines_failure(run: Run) -> None:
    """The service names a line by its number where it could not read its id."""

    def refuse_first(lines: list[dict[str, Any]]) -> bytes:
        error = {"code": "line_too_large", "message": "too large", "retryable": False}
        failed = json.dumps({"line": 1, "error": error}).encode() + b"\n"
        return response(failed + b"".join(answer_to(line) for line in lines[1:]))

    with Scripted(refuse_first) as service:
        results = run(service.url, [verify("a")], concurrency=1)
    assert [result.id for result in results] == ["a"]
    assert results[0].error is not None
    assert results[0].error.code == "line_too_large"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        ("401 Unauthorized", error_body("unauthorized", retryable=False), AuthenticationError),
        ("404 Not Found", b"<html>", InvalidResponse),
    ],
)
def test_refusal_that_would_meet_every_line_is_raised(
    run: Run, status: str, body: bytes, kind: type[Exception]
) -> None:
    """There is no point in going on."""
    with Scripted(lambda _lines: response(body, status=status)) as service, pytest.raises(kind):
        run(service.url, ten())
