"""What a key may ask for, over HTTP: refused before the body, with an honest wait."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from execbox_service.settings import hash_api_key, load_settings

from .harness import (
    RunningServer,
    assert_error,
    execute_body,
    is_closed,
    read_answer,
    running_server,
    wait_until,
)

ONE_HASH = f"greedy:{hash_api_key('greedy-key')}"
HASHES = f"{ONE_HASH},other:{hash_api_key('other-key')}"
GREEDY = "Authorization: Bearer greedy-key\r\n"
OTHER = "Authorization: Bearer other-key\r\n"


@pytest.fixture(scope="module")
def limited_server() -> Iterator[RunningServer]:
    """Two requests of a key at once."""
    with running_server(api_key_hashes=HASHES, key_concurrency_max="2") as running:
        yield running


@pytest.fixture(scope="module")
def rated_server() -> Iterator[RunningServer]:
    """Two requests of a key in two seconds, both at once if it likes."""
    with running_server(
        api_key_hashes=HASHES, key_rate_per_s="1", key_burst_count="2", body_bytes_max="100000"
    ) as running:
        yield running


def _sent(server: RunningServer, body: bytes, *, path: str = "/v1/execute") -> socket.socket:
    kind = "application/x-ndjson" if path == "/v1/batch" else "application/json"
    connection = server.connect()
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n{GREEDY}\r\n".encode()
        + body
    )
    return connection


@contextlib.contextmanager
def _two_under_way(server: RunningServer) -> Iterator[None]:
    body = execute_body(function={"code": "sleep 30"})
    with _sent(server, body), _sent(server, body):
        wait_until(lambda: server.runtime.running == 2)
        yield
    wait_until(lambda: server.runtime.running == 0)


def test_key_with_all_its_requests_under_way_gets_429_and_others_are_answered(
    limited_server: RunningServer,
) -> None:
    """F18: whatever path the third asks for; a request of another key runs, and one of its own
    once the two have ended."""
    with _two_under_way(limited_server):
        for path in ("/v1/execute", "/v1/verify", "/v1/generate", "/v1/batch", "/v1/nothing"):
            answer = limited_server.post(execute_body(), path=path, headers=GREEDY)
            assert_error(answer, 429)
            assert answer.code == "key_concurrency_exceeded"
            assert int(answer.headers["retry-after"]) <= 60
        assert limited_server.post(execute_body(), headers=OTHER).status == 200
    wait_until(lambda: limited_server.post(execute_body(), headers=GREEDY).status == 200)


def test_key_with_all_its_requests_under_way_may_ask_what_its_limits_are(
    limited_server: RunningServer,
) -> None:
    """Only what asks for work counts."""
    with _two_under_way(limited_server):
        answer = limited_server.get("/v1/capabilities", headers=GREEDY)
        assert answer.json["key_concurrency_max"] == 2
        assert answer.json["key_rate_per_s"] is None
        metrics = limited_server.get("/metrics", headers=GREEDY)
        assert metrics.status == 200


def test_key_over_its_limit_is_refused_before_the_body_is_asked_for(
    limited_server: RunningServer,
) -> None:
    """A client that waits for 100 Continue never sends it."""
    with _two_under_way(limited_server), limited_server.connect() as connection:
        connection.sendall(
            b"POST /v1/execute HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            b"Content-Type: application/json\r\nContent-Length: 1000\r\n"
            + GREEDY.encode()
            + b"\r\n"
        )
        assert_error(read_answer(connection), 429)
        assert is_closed(connection)


def test_key_whose_requests_break_off_has_its_places_back(limited_server: RunningServer) -> None:
    """Bodies that never come, and clients that go away, hold nothing."""
    for _ in range(5):
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                connection = stack.enter_context(limited_server.connect())
                connection.sendall(
                    b"POST /v1/execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
                    b"Content-Type: application/json\r\n" + GREEDY.encode() + b"\r\n{"
                )
            wait_until(lambda: limited_server.post(execute_body(), headers=GREEDY).status == 429)
        wait_until(lambda: limited_server.post(execute_body(), headers=GREEDY).status == 200)


def test_batch_is_one_request_of_its_key_however_many_lines(limited_server: RunningServer) -> None:
    """Its lines have a bound of their own."""
    line = execute_body(id="a", op="execute", function={"code": "sleep 0.05"}) + b"\n"
    with _sent(limited_server, line * 12, path="/v1/batch") as batch:
        answer = limited_server.post(execute_body(), headers=GREEDY)
        assert answer.status == 200
        received = b""
        while received.count(b'"status":"ok"') < 12:
            piece = batch.recv(65536)
            assert piece, received
            received += piece
    assert b"key_concurrency" not in received


def test_key_over_its_rate_gets_429_until_the_time_it_was_told(rated_server: RunningServer) -> None:
    """The burst, then a refusal, and success for whoever comes back when told to."""
    statuses = [rated_server.post(execute_body(), headers=GREEDY).status for _ in range(2)]
    assert statuses == [200, 200]
    refused = rated_server.post(execute_body(), headers=GREEDY)
    assert_error(refused, 429)
    assert refused.code == "key_rate_exceeded"
    assert rated_server.post(execute_body(), headers=OTHER).status == 200
    time.sleep(int(refused.headers["retry-after"]))
    assert rated_server.post(execute_body(), headers=GREEDY).status == 200


def test_limited_requests_are_counted_by_limit_and_no_key_is_named(
    limited_server: RunningServer,
) -> None:
    """So that an operator sees that limits bind; the access log says whose."""
    name = 'execbox_requests_limited_total{limit="concurrency"}'
    with _two_under_way(limited_server):
        assert limited_server.post(execute_body(), headers=GREEDY).status == 429
        text = limited_server.get("/metrics", headers=GREEDY).body.decode()
    assert name in text
    assert "greedy" not in text


def test_callers_without_keys_count_as_one(server: RunningServer) -> None:
    """On loopback without keys everyone is the same caller, and by default has no such limit."""
    able = server.get("/v1/capabilities").json
    assert (able["key_concurrency_max"], able["key_rate_per_s"]) == (None, None)
    with running_server(key_concurrency_max="1") as limited:
        body = execute_body(function={"code": "sleep 30"})
        with limited.connect() as connection:
            head = (
                f"POST /v1/execute HTTP/1.1\r\nHost: localhost\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall(head.encode() + body)
            wait_until(lambda: limited.runtime.running == 1)
            assert_error(limited.post(execute_body()), 429)


@pytest.mark.parametrize(
    ("overrides", "concurrency", "burst_count"),
    [
        ({}, None, 1),
        ({"api_key_hashes": ONE_HASH}, None, 1),
        ({"api_key_hashes": HASHES, "slot_count": "4", "queue_size": "100"}, 78, 1),
        ({"api_key_hashes": HASHES, "slot_count": "1", "queue_size": "0"}, 1, 1),
        ({"key_concurrency_max": "7"}, 7, 1),
        ({"key_rate_per_s": "2.5"}, None, 3),
        ({"key_rate_per_s": "2.5", "key_burst_count": "40"}, None, 40),
    ],
)
def test_settings_of_key_limits_have_safe_defaults(
    overrides: dict[str, str], concurrency: int | None, burst_count: int
) -> None:
    """Of several keys none can fill the queue; one alone has nobody to harm."""
    settings = load_settings(overrides)
    assert settings.key_concurrency_limit == concurrency
    assert settings.key_burst_limit_count == burst_count
