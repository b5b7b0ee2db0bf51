"""Paths, methods, hosts and byte streams that are not what they should be (F15, F22, F25)."""

from __future__ import annotations

import contextlib
import re

import pytest

from execbox.wire import WIRE_VERSION

from .harness import (
    Answer,
    RunningServer,
    assert_error,
    execute_body,
    is_closed,
    read_answer,
    running_server,
)

HOST = "Host: localhost\r\n"
BODY = execute_body()
HEAD = "POST /v1/execute HTTP/1.1\r\n" + HOST + "Content-Type: application/json\r\n"


@pytest.mark.parametrize(
    "path",
    [
        "//v1/execute",
        "/v1/execute/",
        "/v1/execute/..;/",
        "/v1/%2e%2e/metrics",
        "/v1/../v1/execute",
        "/V1/EXECUTE",
        "/v1/execute%2f",
        "/v1/execute%00",
        "/v1%2fexecute/x",
        "/%ff",
        "/metrics/",
        "/redoc",
        "/docs/oauth2-redirect",
        "*",
    ],
)
def test_post_to_a_path_that_is_not_ours_is_404(server: RunningServer, path: str) -> None:
    """Paths are compared as they are; nothing is cleaned up or redirected."""
    before = len(server.runtime.requests)
    assert_error(server.post(BODY, path=path), 404)
    assert len(server.runtime.requests) == before


@pytest.mark.parametrize(
    "raw",
    [
        (HEAD + f"Content-Length: {len(BODY)}\r\n\r\n").encode() + BODY,
        b"GET /healthz HTTP/1.1\r\n" + HOST.encode() + b"\r\n",
        b"GET /nowhere HTTP/1.1\r\n" + HOST.encode() + b"\r\n",
        b"no request at all\r\n\r\n",
    ],
    ids=["an answer", "health", "an error", "no HTTP"],
)
def test_every_answer_says_the_version_of_the_wire(server: RunningServer, raw: bytes) -> None:
    """Also where nothing of the application was reached."""
    assert server.exchange(raw).headers["execbox-wire-version"] == str(WIRE_VERSION)


@pytest.mark.parametrize("method", ["GET", "PUT", "TRACE", "DELETE", "PATCH", "OPTIONS"])
def test_execute_with_another_method_is_405(server: RunningServer, method: str) -> None:
    """And says which one is right; a header cannot change the method."""
    override = "X-HTTP-Method-Override: POST\r\nX-HTTP-Method: POST\r\n"
    answer = server.get("/v1/execute", method=method, headers=override)
    assert_error(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_execute_with_head_is_405_without_a_body(server: RunningServer) -> None:
    """HEAD has headers only, so that the next answer is not misread."""
    with server.connect() as connection:
        connection.sendall(f"HEAD /v1/execute HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n".encode())
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert received.startswith(b"HTTP/1.1 405 ")
    assert received.endswith(b"\r\n\r\n")


def head_of(server: RunningServer, path: str) -> bytes:
    """All that comes before the connection ends."""
    with server.connect() as connection:
        connection.sendall(f"HEAD {path} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n".encode())
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/capabilities"])
def test_head_of_what_can_be_read_is_the_answer_without_its_body(
    server: RunningServer, path: str
) -> None:
    """As `wget --spider`, `curl -I` and load balancers ask; the length is that of GET."""
    received = head_of(server, path)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.endswith(b"\r\n\r\n")
    assert b"content-length: 0\r\n" not in received.lower()


def test_head_of_readyz_not_ready_is_503(server: RunningServer) -> None:
    """A load balancer that only asks for headers must see it too."""
    server.runtime.ready = False
    try:
        assert head_of(server, "/readyz").startswith(b"HTTP/1.1 503 ")
    finally:
        server.runtime.ready = True


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_post_to_what_can_be_read_is_405_with_what_is_allowed(
    server: RunningServer, path: str
) -> None:
    """Both methods are named."""
    answer = server.get(path, method="POST")
    assert_error(answer, 405)
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_execute_upgrade_is_405_and_the_connection_ends(
    server: RunningServer, protocol: str
) -> None:
    """What follows an upgrade would be another protocol, so it is not read as HTTP."""
    request = (
        f"GET /v1/execute HTTP/1.1\r\n{HOST}Connection: Upgrade\r\nUpgrade: {protocol}\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    before = len(server.runtime.requests)
    with server.connect() as connection:
        connection.sendall((request + HEAD).encode() + b"Content-Length: 2\r\n\r\n{}")
        assert_error(read_answer(connection), 405)
        assert is_closed(connection)
    assert len(server.runtime.requests) == before


def test_execute_post_with_upgrade_is_400(server: RunningServer) -> None:
    """Its body could be read in two ways."""
    request = HEAD + f"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: {len(BODY)}\r\n\r\n"
    assert_error(server.exchange(request.encode() + BODY), 400)


MALFORMED = {
    "length_and_chunked": HEAD + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked_and_length": HEAD + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two_lengths": HEAD + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "same_length_twice": HEAD + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "list_of_lengths": HEAD + "Content-Length: 2, 2\r\n\r\n{}",
    "signed_length": HEAD + "Content-Length: +2\r\n\r\n{}",
    "negative_length": HEAD + "Content-Length: -1\r\n\r\n{}",
    "huge_length": HEAD + f"Content-Length: {10**40}\r\n\r\n{{}}",
    "unknown_coding": HEAD + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "compressed_chunks": HEAD + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity_coding": HEAD + "Transfer-Encoding: identity\r\n\r\n",
    "two_codings": HEAD + "Transfer-Encoding: chunked\r\n" * 2 + "\r\n0\r\n\r\n",
    "chunks_in_http_1_0": HEAD.replace("1.1", "1.0")
    + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad_chunk_size": HEAD + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "chunk_size_overflow": HEAD + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "bare_line_feeds": f"GET /healthz HTTP/1.1\n{HOST.strip()}\n\n",
    "bare_line_feed": f"GET /healthz HTTP/1.1\r\n{HOST.strip()}\nX-Other: 1\r\n\r\n",
    "bare_line_feeds_in_chunks": HEAD + "Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "http_0_9": "GET /healthz\r\n\r\n",
    "http_2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http_3_5": f"GET /healthz HTTP/3.5\r\n{HOST}\r\n",
    "unknown_method": f"FETCH /healthz HTTP/1.1\r\n{HOST}\r\n",
    "connect": f"CONNECT localhost:80 HTTP/1.1\r\n{HOST}\r\n",
    "tls": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "non_ascii_path": f"GET /\xff HTTP/1.1\r\n{HOST}\r\n",
}


@pytest.mark.parametrize("request_text", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_http_is_400_and_the_connection_ends(
    server: RunningServer, request_text: str
) -> None:
    """F22: never two readings of one byte stream."""
    before = len(server.runtime.requests)
    with server.connect() as connection:
        connection.sendall(request_text.encode("latin-1"))
        answer = read_answer(connection)
        assert_error(answer, 413 if "9" * 4 in request_text else 400)
        assert is_closed(connection)
    assert len(server.runtime.requests) == before
    assert server.canary_is_ok()


def test_pipelined_requests_get_one_answer_each_in_order(server: RunningServer) -> None:
    """F22: the third is refused for itself, and the fourth still read."""
    length = f"Content-Length: {len(BODY)}\r\n\r\n"
    stream = f"GET /healthz HTTP/1.1\r\n{HOST}\r\n".encode()
    stream += (HEAD + length).encode() + BODY
    stream += f"GET /nothing HTTP/1.1\r\n{HOST}\r\n".encode()
    stream += f"GET /readyz HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n".encode()
    with server.connect() as connection:
        connection.sendall(stream)
        statuses = [read_answer(connection).status for _ in range(4)]
        assert is_closed(connection)
    assert statuses == [200, 200, 404, 200]


def test_malformed_http_after_a_request_does_not_replace_its_answer(
    server: RunningServer,
) -> None:
    """F22: an answer given out of turn would be taken for that of the request before."""
    slow = execute_body(function={"code": "sleep 0.3"})
    stream = (HEAD + f"Content-Length: {len(slow)}\r\n\r\n").encode() + slow
    for garbage in (
        b"GARBAGE\r\n\r\n",
        HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ):
        with server.connect() as connection:
            connection.sendall(stream + garbage)
            assert read_answer(connection).status == 200
            assert is_closed(connection)


def test_request_in_http_1_0_is_answered_and_closed(server: RunningServer) -> None:
    """F22: defined behaviour, even if keep-alive is asked for."""
    with server.connect() as connection:
        connection.sendall(
            f"GET /healthz HTTP/1.0\r\n{HOST}Connection: keep-alive\r\n\r\n".encode()
        )
        assert read_answer(connection).status == 200
        assert is_closed(connection)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Host: localhost\r\n", 200),
        ("Host: LOCALHOST:8080\r\n", 200),
        ("Host: 127.0.0.1:1\r\n", 200),
        ("Host: [::1]:8080\r\n", 200),
        ("Host: attacker.example\r\n", 400),
        ("Host: localhost.attacker.example\r\n", 400),
        ("Host: localhost@attacker.example\r\n", 400),
        ("Host:\r\n", 400),
        ("", 400),
        ("Host: localhost\r\nHost: localhost\r\n", 400),
    ],
)
def test_host_other_than_loopback_is_refused_on_loopback(
    server: RunningServer, headers: str, status: int
) -> None:
    """A web page whose name resolves to 127.0.0.1 is same-origin to its visitor's browser."""
    answer = server.exchange(f"GET /v1/capabilities HTTP/1.1\r\n{headers}\r\n".encode())
    assert answer.status == status
    if status == 400:
        assert_error(answer, 400)
        assert answer.code == "host_not_allowed"


def test_host_that_is_not_allowed_is_asked_of_no_health_check() -> None:
    """The images' own ask 127.0.0.1 and Kubernetes a pod's address, whatever callers have to."""
    address = "Host: 127.0.0.1:8080\r\nConnection: close\r\n\r\n"
    with running_server(allowed_hosts="box.example") as server:
        for path, status in {"/healthz": 200, "/readyz": 200, "/metrics": 400}.items():
            answer = server.exchange(f"GET {path} HTTP/1.1\r\n{address}".encode())
            assert (path, answer.status) == (path, status)


def test_readyz_not_ready_is_503_with_the_reason(server: RunningServer) -> None:
    """Balancers look at the status, people at the reason; healthz stays 200."""
    server.runtime.ready = False
    try:
        answer = server.get("/readyz")
        assert_error(answer, 503)
        assert "no engine" in answer.json["error"]["message"]
        assert server.get("/healthz").json == {"status": "ok"}
    finally:
        server.runtime.ready = True
    assert server.get("/readyz").json == {"ready": True, "reason": None}


def test_docs_disabled_are_404() -> None:
    """F25: off by setting."""
    with running_server(docs_enabled="false") as server:
        assert_error(server.get("/docs"), 404)
        assert_error(server.get("/openapi.json"), 404)
        assert server.canary_is_ok()


def test_openapi_describes_requests_answers_and_errors(server: RunningServer) -> None:
    """Every reference resolves, and clients can be generated from it."""
    document = server.get("/openapi.json").json
    operation = document["paths"]["/v1/execute"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/ExecuteRequest"}
    assert set(operation["responses"]) == {
        *("200", "400", "401", "408", "413", "415", "422", "429", "431", "503")
    }
    for status, response in operation["responses"].items():
        (media,) = response["content"].values()
        name = "ExecuteResponse" if status == "200" else "ErrorResponse"
        assert media["schema"] == {"$ref": f"#/components/schemas/{name}"}
    schemas = document["components"]["schemas"]
    references = set(_references(document))
    assert {reference.removeprefix("#/components/schemas/") for reference in references} <= set(
        schemas
    )
    limits = schemas["Limits"]["properties"]
    assert (limits["cpu_time_s"]["minimum"], limits["cpu_time_s"]["maximum"]) == (0.01, 60)


def test_docs_page_and_all_it_loads_come_from_this_service(server: RunningServer) -> None:
    """No other machine is asked for a script, a style or a picture; the policy forbids it, too."""
    page = server.get("/docs")
    assert page.status == 200
    text = page.body.decode("utf-8")
    loaded = re.findall(r"""(?:src|href)="([^"]+)\"""", text)
    assert len(loaded) == 3
    for path in loaded:
        assert path.startswith("/docs/")
        answer = server.get(path)
        assert answer.status == 200
        assert len(answer.body) > 1000
    (document,) = re.findall(r"url: ['\"]([^'\"]+)['\"]", text)
    assert document == "/openapi.json"
    assert server.get(document).status == 200
    styles = server.get("/docs/swagger-ui.css").body.decode("utf-8")
    outside = [url for url in re.findall(r"url\(([^)]*)\)", styles) if "data:" not in url]
    assert outside == re.findall(r"@import[^;]*", styles) == []
    assert re.findall(r"""[\"'(=]\s*(?:https?:)?//[^\"'\s)]+""", text) == []
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in _references(value)]
    if isinstance(node, list):
        return [found for value in node for found in _references(value)]
    return []


def test_any_bytes_are_never_answered_500(server: RunningServer) -> None:
    """No request whatever makes the service answer 500."""
    valid = (HEAD + f"Content-Length: {len(BODY)}\r\n\r\n").encode() + BODY
    for position in range(0, len(valid), 3):
        for replacement in (b"\x00", b"\xff", b"\n", b" "):
            broken = valid[:position] + replacement + valid[position + 1 :]
            answer = _answer_or_none(server, broken)
            assert answer is None or answer.status in (200, 400, 404, 415, 422)
    assert server.canary_is_ok()


def _answer_or_none(server: RunningServer, request: bytes) -> Answer | None:
    """None if the server rightly waits for more, as when the length is made longer."""
    with server.connect() as connection:
        connection.settimeout(0.3)
        with contextlib.suppress(OSError):
            connection.sendall(request)
        try:
            return read_answer(connection)
        except TimeoutError:
            return None
