"""Bodies and headers that are too large, too slow, or whose sender goes away (F01, F02, F03)."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from harness.meters import resident_mb

from execbox_service.settings import hash_api_key

from .harness import (
    RunningServer,
    assert_error,
    execute_body,
    is_closed,
    read_answer,
    running_server,
    wait_until,
)

POST = b"POST /v1/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
DEADLINE_S = 1.0
DRIPPING_S = 25.0
"""How long bytes go on dripping, if nobody ends it: a busy machine is not taken for that."""


@pytest.fixture(scope="module")
def hasty_server() -> Iterator[RunningServer]:
    """Gives a request one second to arrive."""
    with running_server(
        receive_timeout_s=str(DEADLINE_S), keep_alive_s="1", body_bytes_max="1000000"
    ) as running:
        yield running


def test_body_declared_too_large_is_refused_from_the_header_alone(server: RunningServer) -> None:
    """F01: at once, and the connection is closed."""
    with server.connect() as connection:
        connection.sendall(POST + b"Content-Length: 10000000000\r\n\r\nx")
        answer = read_answer(connection)
        assert_error(answer, 413)
        assert answer.headers["connection"] == "close"
        assert is_closed(connection)
    assert server.canary_is_ok()


def test_body_refused_while_it_comes_is_closed_without_reset(server: RunningServer) -> None:
    """A reset would destroy the answer before some clients' systems hand it to them."""
    with server.connect() as connection:
        connection.sendall(POST + b"Content-Length: 10000000000\r\n\r\n" + b"x" * 500_000)
        assert read_answer(connection).status == 413
        assert connection.recv(1) == b""


def test_body_declared_too_large_is_not_asked_for(server: RunningServer) -> None:
    """A client that waits for 100 Continue is spared sending it."""
    with server.connect() as connection:
        connection.sendall(POST + b"Content-Length: 200000\r\nExpect: 100-continue\r\n\r\n")
        assert read_answer(connection).status == 413


def test_body_expected_to_be_asked_for_is_asked_for(server: RunningServer) -> None:
    """Such as curl sends from 1 KiB on."""
    body = execute_body()
    with server.connect() as connection:
        head = POST + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body)
        connection.sendall(head)
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert read_answer(connection).status == 200


def test_body_chunked_without_end_is_refused_at_the_cap(hasty_server: RunningServer) -> None:
    """F02: counted as it comes, and memory stays flat."""
    before_mb = resident_mb()
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    with hasty_server.connect() as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(1000):
                connection.sendall(chunk)
        answer = read_answer(connection)
    assert_error(answer, 413)
    assert resident_mb() - before_mb < 19.5
    assert hasty_server.canary_is_ok()


def test_body_chunked_within_the_cap_is_read(server: RunningServer) -> None:
    """Chunks are no reason to refuse."""
    body = execute_body()
    chunks = b"".join(b"1\r\n" + body[i : i + 1] + b"\r\n" for i in range(len(body)))
    answer = server.exchange(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert answer.status == 200


@contextlib.contextmanager
def _dripping(connection: socket.socket, data: bytes) -> Iterator[None]:
    """A byte every tenth of a second, until the other side or the block ends it."""
    ended = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            for position in range(len(data)):
                connection.sendall(data[position : position + 1])
                if ended.wait(0.1):
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("at_once", "dripped"),
    [
        (b"", b"POST /v1/execute HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 40),
        (b"POST /v1/execute HTTP/1.1\r\nX-Endless: ", b"x" * 300),
        (POST + b"Content-Length: 1000\r\n\r\n", b" " * 300),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 50),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"e" * 300),
    ],
    ids=["headers", "one_header", "body", "chunks", "chunk_extension"],
)
def test_request_dripping_in_is_ended_at_an_absolute_deadline(
    hasty_server: RunningServer, at_once: bytes, dripped: bytes
) -> None:
    """F03: a timer that starts again with every byte would be none."""
    started_s = time.monotonic()
    with hasty_server.connect() as connection:
        connection.sendall(at_once)
        with _dripping(connection, dripped):
            answer = read_answer(connection)
            assert is_closed(connection)
        assert DEADLINE_S * 0.9 < time.monotonic() - started_s < DRIPPING_S / 2
    assert_error(answer, 408)


@pytest.mark.parametrize("first", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_connection_dripping_blank_lines_is_ended(
    hasty_server: RunningServer, first: bytes
) -> None:
    """Blank lines before a request are skipped by the parser, but they are no way to stay."""
    with hasty_server.connect() as connection:
        connection.sendall(first)
        if first:
            assert read_answer(connection).status == 200
        started_s = time.monotonic()
        with _dripping(connection, b"\r\n" * 150), contextlib.suppress(ConnectionResetError):
            while connection.recv(4096):
                pass
        assert time.monotonic() - started_s < DRIPPING_S / 2


def test_connection_without_a_request_is_ended(hasty_server: RunningServer) -> None:
    """Nothing sent at all is slow as well; nothing after an answer ends with keep-alive."""
    with hasty_server.connect() as silent, hasty_server.connect() as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_answer(idle).status == 200
        assert read_answer(silent).status == 408
        assert is_closed(silent)
        assert is_closed(idle)


def test_body_unread_by_the_application_is_not_waited_for(hasty_server: RunningServer) -> None:
    """A path that takes no body answers at once, and closes instead of reading on."""
    with hasty_server.connect() as connection:
        connection.sendall(
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx"
        )
        answer = read_answer(connection)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert is_closed(connection)


def test_hundreds_of_slow_connections_leave_room_for_others(hasty_server: RunningServer) -> None:
    """F03: a canary is answered meanwhile, and each connection is closed at its deadline."""
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(hasty_server.connect()) for _ in range(400)]
        started_s = time.monotonic()
        for connection in slow:
            connection.sendall(POST)
        assert hasty_server.canary_is_ok()
        for connection in slow:
            assert read_answer(connection).status == 408
            assert is_closed(connection)
        assert time.monotonic() - started_s < DRIPPING_S / 2
    assert hasty_server.canary_is_ok()


def test_connections_beyond_the_maximum_are_refused_while_all_are_answered() -> None:
    """The number of descriptors is bounded; a request that is under way is never given up."""
    body = execute_body(function={"code": "sleep 60"})
    with running_server(connection_count_max="8") as server, contextlib.ExitStack() as stack:
        for _ in range(8):
            _send_and_leave_waiting(stack.enter_context(server.connect()), body)
        wait_until(lambda: server.runtime.running == 8)
        assert _is_refused(server)
        assert server.runtime.running == 8
        stack.pop_all().close()
        wait_until(lambda: not _is_refused(server))


def test_connections_that_never_end_their_headers_give_way_oldest_first() -> None:
    """G08: 4200 of them kept everybody out. Each is told so, and the answer to a caller whose
    request is under way is not lost."""
    body = execute_body(function={"code": "sleep 1"})
    with running_server(connection_count_max="50") as server, contextlib.ExitStack() as stack:
        under_way = stack.enter_context(server.connect())
        _send_and_leave_waiting(under_way, body)
        wait_until(lambda: server.runtime.running == 1)
        held = [stack.enter_context(server.connect()) for _ in range(120)]
        for connection in held:
            with contextlib.suppress(OSError):
                connection.sendall(b"GET / HTTP/1.1\r\n")
        assert server.canary_is_ok()
        assert read_answer(under_way).status == 200
        with contextlib.suppress(ConnectionResetError):
            while held[0].recv(4096):
                pass
        held[-1].settimeout(0.3)
        assert not is_closed(held[-1])


def test_connections_that_ask_without_a_key_give_way() -> None:
    """Keeping a connection open after a request that needs no key is no better than saying
    nothing."""
    probe = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with running_server(connection_count_max="10") as server, contextlib.ExitStack() as stack:
        for _ in range(40):
            connection = stack.enter_context(server.connect())
            connection.sendall(probe)
            assert read_answer(connection).status == 200
        assert server.canary_is_ok()


def test_connection_that_gives_way_in_its_headers_is_told_why() -> None:
    """It may be an honest caller's on a slow line, who is to come again."""
    with running_server(connection_count_max="8") as server, contextlib.ExitStack() as stack:
        oldest = stack.enter_context(server.connect())
        oldest.sendall(b"POST /v1/execute HTTP/1.1\r\nHost: local")
        time.sleep(0.1)
        for _ in range(8):
            stack.enter_context(server.connect())
        answer = read_answer(oldest)
        assert_error(answer, 503)
        assert answer.code == "too_many_connections"


def test_headers_have_a_deadline_of_their_own() -> None:
    """A body may take its time; four lines of text need none."""
    with running_server(header_timeout_s="0.5") as server, server.connect() as connection:
        began_s = time.monotonic()
        connection.sendall(POST)
        answer = read_answer(connection)
        assert_error(answer, 408)
        assert "0.5 seconds" in answer.json["error"]["message"]
        assert time.monotonic() - began_s < 5
    body = execute_body()
    with running_server(header_timeout_s="0.5") as server, server.connect() as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body))
        time.sleep(1)
        connection.sendall(body)
        assert read_answer(connection).status == 200


def test_requests_sent_ahead_beyond_the_maximum_end_the_connection(server: RunningServer) -> None:
    """Each waits as an object of kilobytes, and needs no key to be made: those that fit are
    answered, and the rest is not read."""
    ahead = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
    with server.connect() as connection:
        connection.sendall(ahead)
        answered_count = 0
        with contextlib.suppress(ConnectionResetError, AssertionError):
            while read_answer(connection).status == 200:
                answered_count += 1
    assert 1 <= answered_count <= 20
    assert server.canary_is_ok()


def _send_and_leave_waiting(connection: socket.socket, body: bytes) -> None:
    connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def _is_refused(server: RunningServer) -> bool:
    """Whether a whole request on a connection of its own is turned away."""
    with server.connect() as connection:
        connection.settimeout(2)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = read_answer(connection)
    if answer.status == 200:
        return False
    assert_error(answer, 503)
    return answer.code == "too_many_connections"


@pytest.mark.parametrize("pieces", [1, 40])
def test_headers_above_the_cap_are_refused(server: RunningServer, pieces: int) -> None:
    """F14: 431 whether one header is too long or there are too many, ended or not."""
    header = b"X-Long: " + b"x" * (1_000_000 // pieces) + b"\r\n"
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + header * pieces
    for ending in (b"\r\n", b""):
        answer = server.exchange(request + ending)
        assert_error(answer, 431)
    target = b"GET /healthz?" + b"x" * 1_000_000 + b" HTTP/1.1\r\n\r\n"
    assert_error(server.exchange(target), 431)
    assert server.canary_is_ok()


def test_headers_just_below_the_cap_are_accepted(server: RunningServer) -> None:
    """The cap counts what it says, with large bodies before and after."""
    padding = server.settings.header_bytes_max - 500
    body = execute_body(function={"code": "#" * 90_000})
    head = POST + b"X-Long: " + b"x" * padding + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(head + body)
            assert read_answer(connection).status == 200


def test_body_whose_end_comes_by_itself_is_not_counted_as_headers(server: RunningServer) -> None:
    """However long the last piece is: the connection stays usable."""
    body = execute_body(function={"code": "#" * 90_000})
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body[:10])
            time.sleep(0.1)
            connection.sendall(body[10:])
            answer = read_answer(connection)
            assert (answer.status, answer.headers.get("connection")) == (200, None)


def test_trailers_above_the_cap_are_refused(server: RunningServer) -> None:
    """What comes after the last chunk are headers too."""
    trailers = b"X-Long: " + b"x" * 20_000 + b"\r\n"
    answer = server.exchange(POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + trailers + b"\r\n")
    assert_error(answer, 431)


def test_bodies_beyond_the_memory_for_them_are_refused() -> None:
    """Every body alone is within the cap; together they must not fill the memory."""
    overrides = {"body_bytes_max": "100000", "bodies_bytes_max": "280000"}
    with running_server(**overrides) as server, server.connect() as holder:
        holder.sendall(POST + b"Content-Length: 100000\r\n\r\n" + b" " * 99_000)
        large = execute_body(function={"code": "#" * 90_000})
        wait_until(lambda: server.post(large).status == 429)
        answer = server.post(large)
        assert_error(answer, 429)
        assert answer.code == "bodies_too_many"
        assert server.canary_is_ok()
        holder.close()
        wait_until(lambda: server.post(large).status == 200)


@pytest.mark.parametrize("sent_bytes", [0, 99_000])
def test_bodies_that_are_held_back_keep_no_other_key_out(sent_bytes: int) -> None:
    """G05: 32 connections of one key that declared large bodies, and sent next to nothing of them,
    were 429 for every other key. What is declared costs nothing, and what is sent is the key's."""
    keys = f"first:{hash_api_key('first')},second:{hash_api_key('second')}"
    overrides = {"body_bytes_max": "100000", "bodies_bytes_max": "800000", "api_key_hashes": keys}
    large = execute_body(function={"code": "#" * 90_000})
    with running_server(**overrides) as server, contextlib.ExitStack() as stack:
        for _ in range(32):
            holder = stack.enter_context(server.connect())
            head = POST + b"Authorization: Bearer first\r\nContent-Length: 100000\r\n\r\n"
            holder.sendall(head + b" " * sent_bytes)
        time.sleep(0.5)
        for _ in range(3):
            assert server.post(large, headers="Authorization: Bearer second\r\n").status == 200
        own = server.post(large, headers="Authorization: Bearer first\r\n").status
        assert own == (429 if sent_bytes else 200)


def test_body_that_takes_more_memory_than_its_key_may_have_is_refused() -> None:
    """Empty arrays take thirty times the memory of their text. It can never be read here, so it is
    413 and not 429."""
    with running_server(bodies_bytes_max="4000000") as server:
        body = execute_body(calls=[{"args": [[[]] * 100_000]}])
        answer = server.post(body)
        assert_error(answer, 413)
        assert answer.code == "body_too_large"
        assert "4000000" in answer.json["error"]["message"]
        assert server.canary_is_ok()


def test_client_gone_during_execution_cancels_the_work(server: RunningServer) -> None:
    """Nobody is left to answer, so nothing is left to run."""
    cancelled = server.runtime.cancelled
    body = execute_body(function={"code": "sleep 60"})
    with server.connect() as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        wait_until(lambda: server.runtime.running == 1)
    wait_until(lambda: server.runtime.running == 0)
    assert server.runtime.cancelled == cancelled + 1


def test_client_gone_while_sending_leaves_nothing_behind(server: RunningServer) -> None:
    """Half a body is no request."""
    before = len(server.runtime.requests)
    for _ in range(20):
        with server.connect() as connection:
            connection.sendall(POST + b"Content-Length: 1000\r\n\r\n{")
    assert server.canary_is_ok()
    assert len(server.runtime.requests) == before + 1


def test_client_that_takes_no_answer_is_dropped() -> None:
    """An answer nobody reads must not stay in memory for ever."""
    with running_server(send_timeout_s="0.5") as server, server.connect() as connection:
        server.runtime.answer = "x" * 30_000_000
        body = execute_body()
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        wait_until(lambda: len(server.runtime.requests) == 1)
        time.sleep(1.5)
        received_bytes = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(1 << 20):
                received_bytes += len(piece)
        assert received_bytes < 30_000_000


def test_large_answer_is_received_by_a_client_that_reads(server: RunningServer) -> None:
    """The deadline for taking an answer is no cap on its size."""
    server.runtime.answer = "x" * 20_000_000
    try:
        answer = server.post(execute_body())
    finally:
        server.runtime.answer = None
    assert len(answer.json["executions"][0]["output"]) == 20_000_000
