"""Clients that are kept waiting: by which libraries, on which paths, and that they do wait."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import requests

from execbox_service.api.kept_waiting import passes_over_interim_answers
from execbox_service.settings import hash_api_key

from .harness import RunningServer, execute_body, running_server

BODY = {"program": "x", "tests": ["assert True"]}
REQUESTS = (b"user-agent", b"python-requests/2.34.2")
PATIENCE_S = 1.6
TAKES_S = 2.7
"""Of an answer: more than a client's patience, and two interim answers."""


@pytest.mark.parametrize(
    ("agent", "passes"),
    [
        (b"python-requests/2.34.2", True),
        (b"python-httpx/0.28.1", True),
        (b"python-urllib3/2.5.0", True),
        (b"Python-urllib/3.11", True),
        (b"Python/3.11 aiohttp/3.13.0", True),
        (b"node", False),
        (b"curl/8.0 python-requests/2", False),
        (b"Go-http-client/1.1", False),
        (b"", False),
    ],
)
def test_libraries_that_pass_over_interim_answers_are_known_by_name(
    agent: bytes, passes: bool
) -> None:
    """Others break on them: undici, and Go's after the fifth."""
    headers = [(b"host", b"localhost"), (b"user-agent", agent)]
    assert passes_over_interim_answers(headers, version="1.1") is passes


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ([REQUESTS], "1.0"),
        ([], "1.1"),
        ([REQUESTS, REQUESTS], "1.1"),
        ([REQUESTS, (b"via", b"1.1 proxy")], "1.1"),
        ([(b"x-forwarded-for", b"10.0.0.1"), REQUESTS], "1.1"),
        ([REQUESTS, (b"forwarded", b"for=10.0.0.1")], "1.1"),
        ([REQUESTS, (b"x-real-ip", b"10.0.0.1")], "1.1"),
    ],
)
def test_who_may_not_pass_them_on_gets_none(
    headers: list[tuple[bytes, bytes]], version: str
) -> None:
    """Proxies, HTTP/1.0, and whoever does not say what it is."""
    assert not passes_over_interim_answers(headers, version=version)


@pytest.fixture(scope="module")
def slow_server() -> Iterator[RunningServer]:
    """Answers after longer than its clients wait."""
    with running_server() as running:
        running.runtime.delay_s = TAKES_S
        yield running


def by_requests(url: str) -> Any:
    return requests.post(url, json=BODY, timeout=PATIENCE_S).json()


def by_httpx(url: str) -> Any:
    return httpx.post(url, json=BODY, timeout=PATIENCE_S).json()


def by_urllib(url: str) -> Any:
    request = urllib.request.Request(
        url, json.dumps(BODY).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize("ask", [by_requests, by_httpx, by_urllib])
def test_client_waits_longer_than_by_itself(
    slow_server: RunningServer, ask: Callable[[str], Any]
) -> None:
    """And reads the one real answer."""
    assert ask(f"{slow_server.url}/test_program")["results"] == [0]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/execute", execute_body()),
        ("/run_code", b'{"code": "print(1)", "run_timeout": 9}'),
    ],
)
def test_client_that_sends_again_is_not_kept_waiting(
    slow_server: RunningServer, path: str, body: bytes
) -> None:
    """The service's own, which knows how long a request may take, and SandboxFusion's."""
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{slow_server.url}{path}",
            content=body,
            headers={"Content-Type": "application/json"},
            timeout=PATIENCE_S,
        )


@pytest.mark.parametrize(
    ("agent", "count"), [("python-requests/2", 2), ("curl/8", 0)], ids=["requests", "curl"]
)
def test_interim_answers_come_every_second_and_none_after_the_answer(
    slow_server: RunningServer, agent: str, count: int
) -> None:
    """Byte for byte, on a connection that is used again."""
    body = json.dumps(BODY)
    request = (
        "POST /test_program HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"User-Agent: {agent}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    with slow_server.connect() as connection:
        for _ in range(2):
            connection.sendall(request.encode())
            received = b""
            while not received.endswith(b"}"):
                received += connection.recv(65536)
            interim, _, answer = received.rpartition(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert received.count(b"100 Continue") == count
            assert interim == b"HTTP/1.1 100 Continue\r\n\r\n" * max(0, count - 1)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(("path", "status"), [("/test_program", 503), ("/v1/execute", 429)])
def test_key_over_its_limits_is_told_so_at_once(path: str, status: int) -> None:
    """Also where its client is kept waiting for a slot: the limit is the operator's wish."""
    settings = {"api_key_hashes": f"a:{hash_api_key('secret')}", "key_rate_per_s": "0.1"}
    content = execute_body() if path == "/v1/execute" else json.dumps(BODY).encode()
    headers = {"Authorization": "Bearer secret", "Content-Type": "application/json"}
    with running_server(**settings) as server:
        statuses = [
            httpx.post(
                f"{server.url}{path}", content=content, headers=headers, timeout=5
            ).status_code
            for _ in range(2)
        ]
    assert statuses == [200, status]
