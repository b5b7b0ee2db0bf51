"""The streams of a batch: a real server around a runtime that runs nothing, and raw sockets."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest
from harness.unsteady_network import UnsteadyNetwork

from execbox import Client, ClientConfig, RetryPolicy
from execbox.wire import ErrorCode, ExecuteRequest, ExecuteResponse
from execbox_service.failures import Overloaded
from tests.api.harness import (
    RunningServer,
    assert_error,
    execute_body,
    running_server,
    wait_until,
)

CAP_BYTES = 100_000


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Two slots, so four lines under way; a line may be 100 KB long."""
    with running_server(
        body_bytes_max=str(CAP_BYTES), slot_count="2", receive_timeout_s="1"
    ) as running:
        yield running


def line(name: str, code: str = "pass", **fields: Any) -> bytes:
    """An execute line; the code says what the runtime does with it."""
    body = {"id": name, "op": "execute", "function": {"code": code}, "calls": [{"args": [name]}]}
    return json.dumps(body | fields).encode() + b"\n"


def check(name: str) -> bytes:
    item = {"id": "1", "kind": "output", "prediction": 1, "output": 1}
    return json.dumps({"id": name, "op": "verify", "items": [item]}).encode() + b"\n"


class Stream:
    """A batch over a socket of its own, sent and read as the test says."""

    def __init__(self, server: RunningServer, *, headers: str = "", receive_bytes: int = 0) -> None:
        self.connection = socket.socket()
        if receive_bytes:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.connection.settimeout(10)
        self.connection.connect(("127.0.0.1", server.port))
        self.connection.sendall(
            b"POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/x-ndjson\r\n" + headers.encode() + b"\r\n"
        )
        self._file = self.connection.makefile("rb")
        self._status: int | None = None
        self.headers: dict[str, str] = {}
        self._data = bytearray()

    def send(self, data: bytes) -> None:
        self.connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self) -> None:
        self.connection.sendall(b"0\r\n\r\n")

    def answer(self) -> dict[str, Any] | None:
        """The next answer line; None once the response is complete."""
        if self._status is None:
            self._status = int(self._file.readline().split()[1])
            while (header := self._file.readline()) != b"\r\n":
                name, _, value = header.decode().strip().partition(": ")
                self.headers[name.lower()] = value
        while b"\n" not in self._data.lstrip(b"\n"):
            size = int(self._file.readline(), 16)
            self._data += self._file.read(size)
            self._file.readline()
            if size == 0:
                assert not self._data.strip()
                return None
        text, _, self._data = self._data.lstrip(b"\n").partition(b"\n")
        answer: dict[str, Any] = json.loads(text)
        return answer

    def answers(self) -> dict[str, dict[str, Any]]:
        """All that are left, by id; those without one by their line."""
        found = {}
        while (answer := self.answer()) is not None:
            name = answer.get("id", f"line {answer.get('line')}")
            assert name not in found
            found[name] = answer
        return found

    def kill(self) -> None:
        """End it as the kernel does for a client that was killed with answers unread."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._file.close()
        self.connection.close()

    def close(self) -> None:
        self._file.close()
        self.connection.close()


@contextlib.contextmanager
def batch(server: RunningServer, **fields: Any) -> Iterator[Stream]:
    stream = Stream(server, **fields)
    try:
        yield stream
    finally:
        stream.close()


def posted(server: RunningServer, body: bytes) -> dict[str, dict[str, Any]]:
    """Send everything, then read everything."""
    with batch(server) as stream:
        stream.send(body)
        stream.end()
        return stream.answers()


def test_batch_of_every_operation_answers_each_line_once(server: RunningServer) -> None:
    """Each with its id, its op and the fields of its operation's response."""
    generate = {
        "id": "g",
        "op": "generate",
        "function": {"code": "pass"},
        "input_generator": {"code": "pass"},
    }
    body = line("e") + check("v") + json.dumps(generate).encode()
    answers = posted(server, body)
    assert set(answers) == {"e", "v", "g"}
    assert {name: answer["op"] for name, answer in answers.items()} == {
        "e": "execute",
        "v": "verify",
        "g": "generate",
    }
    assert answers["e"]["executions"][0]["output"] == ["e"]
    assert answers["v"]["items"][0]["verdict"] == "correct"
    assert answers["g"]["stopped"] == "attempts"


BAD_LINES = [
    (b"not json", "invalid_json"),
    (b'"text"', "invalid_request"),
    (b"[]", "invalid_request"),
    (b"{}", "invalid_request"),
    (b'{"id": "bad", "op": "destroy"}', "invalid_request"),
    (b'{"id": "bad", "op": 7}', "invalid_request"),
    (b'{"id": "bad", "op": "execute"}', "invalid_request"),
    (b'{"id": 7, "op": "verify", "items": []}', "invalid_request"),
    (b'{"op": "verify", "items": [{"id":"1","kind":"output","prediction":1,"output":1}]}', ""),
    (b'{"id": "bad", "id": "bad", "op": "execute"}', "invalid_json"),
    (b'{"id": "bad", "op": "execute", "calls": NaN}', "invalid_json"),
    (b"[" * 90_000, "invalid_json"),
    (b'{"id": "bad", "n": ' + b"9" * 5000 + b"}", "invalid_json"),
    (b"\xff\xfe", "invalid_json"),
    (b"x" * (CAP_BYTES + 1), "line_too_large"),
    (b"x" * (5 * CAP_BYTES), "line_too_large"),
    (b'{"id": "bad", "op": "execute", "x": "' + b"x" * CAP_BYTES + b'"}', "line_too_large"),
    (b'{"id": "bad", "op": "execute", "x": "' + b"x" * (5 * CAP_BYTES), "line_too_large"),
    (b'{"op": "execute", "calls": [01], "id": "bad"}', "invalid_json"),
    (line("bad", limits={"cpu_time_s": 1e9}).strip(), "invalid_request"),
    (line("bad", image="x").strip(), "invalid_request"),
]


@pytest.mark.parametrize(("bad", "code"), BAD_LINES, ids=range(len(BAD_LINES)))
def test_bad_line_is_one_error_line_and_the_stream_goes_on(
    server: RunningServer, bad: bytes, code: str
) -> None:
    """With its number, its id if that can be told, and the others unharmed."""
    answers = posted(server, line("a") + b"\n" + bad + b"\n" + line("b"))
    failed = answers.pop("bad" if b'"id": "bad"' in bad else "line 3")
    assert set(answers) == {"a", "b"}
    assert "error" not in answers["a"]
    assert "error" not in answers["b"]
    assert failed["line"] == 3
    assert failed["error"]["code"] == (code or "invalid_request")
    assert failed["error"]["retryable"] is False
    assert len(json.dumps(failed)) < 5000


def test_line_with_infinite_arguments_is_done_where_it_permits_them(server: RunningServer) -> None:
    """As a request of its own."""
    infinite = line("inf", calls=[{"args": [float("inf")]}], non_finite=True)
    assert b"Infinity" in infinite
    answers = posted(server, infinite + line("a"))
    assert answers["inf"]["executions"][0]["status"] == "ok"


def test_failure_of_ours_is_its_lines_error_only(server: RunningServer) -> None:
    """A lost engine is retryable, and so is a bug of ours, which tells nothing."""
    answers = posted(server, line("lost", "engine_lost") + line("bug", "bug") + line("fine"))
    assert answers["lost"]["error"]["retryable"] is True
    assert answers["bug"]["error"]["code"] == "internal_error"
    assert "secret" not in json.dumps(answers["bug"])
    assert answers["fine"]["executions"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Content-Type: application/json", 415),
        ("Content-Type: application/x-ndjson\r\nContent-Encoding: gzip", 415),
        ("X: y", 415),
    ],
)
def test_request_that_is_no_batch_is_refused(server: RunningServer, head: str, status: int) -> None:
    """Before anything of it is read."""
    raw = f"POST /v1/batch HTTP/1.1\r\nHost: localhost\r\n{head}\r\nContent-Length: 3\r\n\r\n{{}}\n"
    assert_error(server.exchange(raw.encode()), status)


def test_batch_over_an_old_protocol_is_refused(server: RunningServer) -> None:
    """HTTP/1.0 has no way to say where a stream ends, and is what nginx speaks unless told."""
    raw = (
        b"POST /v1/batch HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
        b"Content-Length: 3\r\n\r\n{}\n"
    )
    answer = server.exchange(raw)
    assert_error(answer, 400)
    assert "proxy_http_version 1.1" in answer.json["error"]["message"]


def test_batch_is_kept_together_by_no_proxy(server: RunningServer) -> None:
    """Its answer asks those that would collect it to pass it on as it comes."""
    with batch(server) as stream:
        stream.end()
        assert stream.answer() is None
        assert stream.headers["x-accel-buffering"] == "no"


def test_answers_come_while_the_request_is_still_being_sent(server: RunningServer) -> None:
    """One line, its answer, the next line: a conversation."""
    with batch(server) as stream:
        for number in range(3):
            stream.send(line(str(number)))
            answer = stream.answer()
            assert answer is not None
            assert answer["id"] == str(number)
        stream.end()
        assert stream.answer() is None


def test_answers_come_as_they_are_done_and_not_as_they_were_sent(server: RunningServer) -> None:
    """A quick line overtakes a slow one."""
    with batch(server) as stream:
        stream.send(line("slow", "sleep 1") + line("quick"))
        stream.end()
        assert list(stream.answers()) == ["quick", "slow"]


def test_no_more_than_two_lines_a_slot_are_under_way(server: RunningServer) -> None:
    """However many have been sent."""
    with batch(server) as stream:
        stream.send(b"".join(line(str(number), "sleep 0.3") for number in range(12)))
        stream.end()
        wait_until(lambda: server.runtime.running)
        time.sleep(0.1)
        assert server.runtime.running == 4
        assert len(stream.answers()) == 12


def test_answer_of_a_batch_is_never_silent_for_long(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy on the way would take it for idle; before the body's end nothing is to be heard."""
    monkeypatch.setattr("execbox_service.api.batch_stream._SILENT_S", 0.2)
    with batch(server) as stream:
        stream.send(line("slow", "sleep 2.5"))
        stream.connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            stream.connection.recv(1)
        stream.end()
        # Less than the call takes, and more than a busy machine delays a line.
        stream.connection.settimeout(2)
        received = b""
        while b"executions" not in received:
            received += stream.connection.recv(65536)
    assert received.count(b"\r\n1\r\n\n\r\n") >= 2


def test_batch_through_a_proxy_that_ends_idle_connections_is_answered_in_one_go(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a line takes: what is asked for once is done once."""
    monkeypatch.setattr("execbox_service.api.batch_stream._SILENT_S", 0.1)
    call = {"function": {"code": "sleep 1.5"}, "calls": [{"args": [1]}]}
    lines = [{"id": str(n), "op": "execute", **call} for n in range(2)]
    begun_count = len(server.runtime.requests)
    with UnsteadyNetwork(seed=1) as network:
        network.port, network.idle_limit_s = server.port, 0.7
        config = ClientConfig(base_url=network.url, retry=RetryPolicy.never())
        with Client(config=config) as client:
            assert [result.error for result in client.batch(lines)] == [None, None]
        assert len(server.runtime.requests) == begun_count + 2


def test_batch_may_last_longer_than_a_request_may_take_to_arrive(server: RunningServer) -> None:
    """The deadline is for a line that has begun, here 1 s; between lines there is time."""
    with batch(server) as stream:
        for number in range(4):
            text = line(str(number))
            stream.send(text[:20])
            time.sleep(0.5)
            stream.send(text[20:])
            time.sleep(0.2)
        stream.end()
        assert len(stream.answers()) == 4


@pytest.mark.alone
def test_line_that_does_not_get_finished_ends_the_batch_with_what_is_there(
    server: RunningServer,
) -> None:
    """Bytes that trickle are no progress; whole lines before that are answered."""
    with batch(server) as stream:
        stream.send(line("whole"))
        begun_s = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - begun_s < 2.5:
                stream.send(b"x")
                time.sleep(0.1)
        answers = stream.answers()
    assert set(answers) == {"whole", "line 2"}
    assert answers["line 2"]["error"]["code"] == "receive_timeout"
    assert time.monotonic() - begun_s < 4


def test_overload_inside_a_batch_is_waited_for(server: RunningServer) -> None:
    """Nobody has to send a line again because the queue was full."""
    refusals = 3
    execute = server.runtime.execute

    async def busy_at_first(request: ExecuteRequest) -> ExecuteResponse:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise Overloaded(ErrorCode.QUEUE_FULL, "the queue is full", retry_after_s=0.05)
        return await execute(request)

    server.runtime.execute = busy_at_first  # type: ignore[method-assign]
    try:
        answers = posted(server, line("a"))
    finally:
        server.runtime.execute = execute  # type: ignore[method-assign]
    assert "error" not in answers["a"]
    assert refusals == -1


def test_connection_of_a_complete_batch_can_be_used_again(server: RunningServer) -> None:
    """For another batch, or anything else."""
    with batch(server) as stream:
        for _ in range(2):
            # In one piece: a body that is complete when its first answer is ready.
            piece = line("a")
            stream.connection.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(piece), piece))
            assert set(stream.answers()) == {"a"}
            stream._status = None
            stream.connection.sendall(
                b"POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                b"Content-Type: application/x-ndjson\r\n\r\n"
            )


def test_single_request_is_answered_while_a_batch_is_under_way(server: RunningServer) -> None:
    """The batch does not have the service to itself."""
    with batch(server) as stream:
        stream.send(b"".join(line(str(number), "sleep 0.2") for number in range(8)))
        assert server.post(execute_body()).status == 200
        stream.end()
        assert len(stream.answers()) == 8


# Whoever stalls or leaves


def send_until_blocked(stream: Stream, text: bytes, *, bytes_max: int) -> int:
    """Send without reading until the other side takes no more for a second; how much it took."""
    stream.connection.settimeout(1)
    taken_bytes = 0
    frame = b"%x\r\n%s\r\n" % (len(text), text)
    with contextlib.suppress(TimeoutError):
        while taken_bytes < bytes_max:
            taken_bytes += stream.connection.send(frame)
    return taken_bytes


def test_reader_that_stalls_stops_its_work_and_costs_bounded_memory(
    server: RunningServer,
) -> None:
    """What is sent after the buffers are full stays with the sender; then all is answered."""
    big = "x" * 20_000
    text = b"".join(line(f"{n}", limits={}, calls=[{"args": [big]}]) for n in range(4))
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with batch(server, receive_bytes=8192) as stream:
        taken_bytes = send_until_blocked(stream, text, bytes_max=200_000_000)
        assert taken_bytes < 40_000_000
        answered_count = len(server.runtime.requests)
        time.sleep(0.5)
        assert len(server.runtime.requests) == answered_count
        assert server.runtime.running == 0
        assert server.canary_is_ok()
        stream.kill()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mb < 60


@pytest.mark.parametrize("how", ["kill", "close"])
@pytest.mark.parametrize("sent", ["some", "everything", "more than is read ahead"])
def test_client_that_leaves_has_its_work_cancelled_within_two_seconds(
    server: RunningServer, how: str, sent: str
) -> None:
    """Whether the body was complete, or the service was not even reading any more."""
    stream = Stream(server)
    slow = line("slow", "sleep 60")
    stream.send(slow * 10)
    if sent == "everything":
        stream.end()
    if sent == "more than is read ahead":
        send_until_blocked(stream, slow * 500, bytes_max=200_000_000)
    wait_until(lambda: server.runtime.running == 4)
    cancelled = server.runtime.cancelled
    getattr(stream, how)()
    wait_until(lambda: server.runtime.running == 0, timeout_s=2)
    assert server.runtime.cancelled == cancelled + 4
    assert server.canary_is_ok()


def test_memory_of_bodies_is_given_back(server: RunningServer) -> None:
    """After batches that ended well, badly, and in the middle, nothing is counted any more."""
    with running_server(body_bytes_max="100000", bodies_bytes_max="600000") as small:
        for _ in range(5):
            posted(small, line("a", code="x" * 60_000) + b"y" * 120_000 + b"\n" + line("b"))
            stream = Stream(small)
            stream.send(line("a", code="x" * 60_000)[:-1])
            stream.kill()
        wait_until(lambda: small.post(execute_body(function={"code": "x" * 90_000})).status == 200)


def test_stream_reads_on_in_the_memory_there_is(server: RunningServer) -> None:
    """Where bodies have no memory left, a batch waits for some instead of failing."""
    with running_server(body_bytes_max="100000", bodies_bytes_max="400000") as small:
        text = b"".join(line(str(n), code="sleep 0.01" + " " * 30_000) for n in range(60))
        assert len(posted(small, text)) == 60


def test_answer_to_a_batch_names_its_content_type(server: RunningServer) -> None:
    """And begins even where there is nothing to say."""
    raw = (
        b"POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
        b"Content-Length: 1\r\nConnection: close\r\n\r\n\n"
    )
    with server.connect() as connection:
        connection.sendall(raw)
        head = b""
        while piece := connection.recv(4096):
            head += piece
    assert b"200 OK" in head
    assert b"content-type: application/x-ndjson" in head
    assert head.endswith(b"\r\n\r\n0\r\n\r\n")


def test_batch_is_described_with_its_lines_and_answers(server: RunningServer) -> None:
    """OpenAPI has both, by reference to schemas that are there."""
    document = server.get("/openapi.json").json
    described = document["paths"]["/v1/batch"]["post"]
    content = described["requestBody"]["content"]["application/x-ndjson"]["schema"]["oneOf"]
    answers = described["responses"]["200"]["content"]["application/x-ndjson"]["schema"]["oneOf"]
    names = {each["$ref"].rpartition("/")[2] for each in content + answers}
    assert names == {
        "ExecuteLine",
        "GenerateLine",
        "VerifyLine",
        "RunLine",
        "ExecuteAnswer",
        "GenerateAnswer",
        "VerifyAnswer",
        "RunAnswer",
        "FailedAnswer",
    }
    assert names | {"VerifyRequest", "FeedbackTemplates"} <= set(document["components"]["schemas"])
