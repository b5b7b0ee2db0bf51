"""API keys and what is open without one (F14, F25)."""

from __future__ import annotations

import base64

import httpx
import pytest

from .conftest import KEY
from .harness import RunningServer, assert_error, execute_body, is_closed, read_answer, wait_until


def basic(pair: str) -> str:
    """The header that clients make of ``http://USER:PASSWORD@host``."""
    return f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"


REFUSED = {
    "none": "",
    "wrong": "Authorization: Bearer wrong-key\r\n",
    "empty": "Authorization:\r\n",
    "scheme_alone": "Authorization: Bearer\r\n",
    "scheme_and_space": "Authorization: Bearer \r\n",
    "trailing_space": f"Authorization: Bearer {KEY} \r\n",
    "trailing_tab": f"Authorization: Bearer {KEY}\t\r\n",
    "two_spaces": f"Authorization: Bearer  {KEY}\r\n",
    "twice": f"Authorization: Bearer {KEY}\r\n" * 2,
    "wrong_then_right": f"Authorization: Bearer x\r\nAuthorization: Bearer {KEY}\r\n",
    "two_in_one": f"Authorization: Bearer x, Bearer {KEY}\r\n",
    "non_ascii": "Authorization: Bearer schl\xfcssel\r\n",
    "basic_without_base64": f"Authorization: Basic {KEY}\r\n",
    "basic_scheme_alone": "Authorization: Basic \r\n",
    "basic_without_password": basic(KEY),
    "basic_empty_password": basic(f"{KEY}:"),
    "basic_wrong_password": basic(f"{KEY}:wrong"),
    "basic_two_colons": basic(f"user::{KEY}"),
    "basic_space": basic(f"user: {KEY}"),
    "basic_nul": basic(f"user:{KEY}\0"),
    "basic_padding": basic(f"user:{KEY}").replace("\r\n", "===\r\n"),
    "basic_and_bearer": basic(f"user:{KEY}") + f"Authorization: Bearer {KEY}\r\n",
    "no_scheme": f"Authorization: {KEY}\r\n",
    "prefix": f"Authorization: Bearer {KEY[:-1]}\r\n",
    "longer": f"Authorization: Bearer {KEY}0\r\n",
    "other_case": f"Authorization: Bearer {KEY.upper()}\r\n",
    "long": f"Authorization: Bearer {'k' * 20_000}\r\n",
    "other_header": f"X-Api-Key: {KEY}\r\n",
    "cookie": f"Cookie: Authorization=Bearer {KEY}\r\n",
}


@pytest.mark.parametrize("header", REFUSED.values(), ids=REFUSED.keys())
def test_execute_without_exactly_one_known_key_is_401(
    keyed_server: RunningServer, header: str
) -> None:
    """The answer is the same whatever was wrong, and nothing runs."""
    before = len(keyed_server.runtime.requests)
    answer = keyed_server.post(execute_body(), headers=header)
    assert_error(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.body == keyed_server.post(execute_body()).body
    assert len(keyed_server.runtime.requests) == before


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Authorization: Bearer {'k' * 1_000_000}\r\n", 431),
        (f"Authorization: Bearer {KEY}\r\n folded\r\n", 400),
        (f"Authorization: Bearer {KEY}\x00\r\n", 400),
        (f"Authorization : Bearer {KEY}\r\n", 400),
    ],
    ids=["one_megabyte", "folded", "nul", "space_before_colon"],
)
def test_execute_with_a_malformed_key_header_is_refused(
    keyed_server: RunningServer, header: str, status: int
) -> None:
    """The parser ends what is no header before anything looks at keys."""
    assert_error(keyed_server.post(execute_body(), headers=header), status)


def test_execute_key_in_the_query_is_401(keyed_server: RunningServer) -> None:
    """Queries end up in logs of proxies."""
    answer = keyed_server.post(execute_body(), path=f"/v1/execute?api_key={KEY}&key={KEY}")
    assert_error(answer, 401)


@pytest.mark.parametrize(("key", "name"), [(KEY, "tester"), ("other-key", "other")])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_execute_with_a_known_key_runs_as_its_name(
    keyed_server: RunningServer, key: str, name: str, scheme: str
) -> None:
    """Every key has its own name, for queues and logs."""
    answer = keyed_server.post(execute_body(), headers=f"Authorization: {scheme} {key}\r\n")
    assert answer.status == 200
    assert keyed_server.runtime.principals[-1] == name


@pytest.mark.parametrize("user", ["execbox", "", "x" * 100, "schl\xfcssel"])
@pytest.mark.parametrize("scheme", ["Basic", "basic"])
def test_execute_with_a_known_key_as_password_runs_as_its_name(
    keyed_server: RunningServer, user: str, scheme: str
) -> None:
    """For clients that can be given a URL and no header; nobody looks at the user's name."""
    header = basic(f"{user}:{KEY}").replace("Basic", scheme)
    answer = keyed_server.post(execute_body(), headers=header)
    assert answer.status == 200
    assert keyed_server.runtime.principals[-1] == "tester"


def test_url_with_the_key_is_all_that_a_client_needs(keyed_server: RunningServer) -> None:
    """As it is written in a trainer's configuration."""
    url = f"http://execbox:{KEY}@127.0.0.1:{keyed_server.port}/v1/capabilities"
    with httpx.Client(trust_env=False) as client:
        assert client.get(url).status_code == 200
        assert client.get(url.replace(KEY, "wrong")).status_code == 401


def test_execute_without_a_key_is_answered_before_the_body(keyed_server: RunningServer) -> None:
    """Whoever has no key cannot make the service read, wait or ask for a body."""
    with keyed_server.connect() as connection:
        connection.sendall(
            b"POST /v1/execute HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        )
        answer = read_answer(connection)
        assert_error(answer, 401)
        assert is_closed(connection)


def test_execute_trailers_bring_no_key(keyed_server: RunningServer) -> None:
    """What comes after the body cannot be part of what was checked before it."""
    head = (
        b"POST /v1/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    )
    answer = keyed_server.exchange(head + f"Authorization: Bearer {KEY}\r\n\r\n".encode())
    assert_error(answer, 401)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/capabilities",
        "/docs",
        "/openapi.json",
        "/metrics",
        "/",
        "/nothing",
        "/healthz/",
        "//healthz",
        "/HEALTHZ",
        "/healthz/../v1/capabilities",
        "/healthz;x",
        "/readyz%00",
        "/v1/%2e%2e/metrics",
    ],
)
def test_paths_other_than_the_two_probes_need_a_key(keyed_server: RunningServer, path: str) -> None:
    """F15, F25: whether a path exists is nobody's business who has no key."""
    assert_error(keyed_server.get(path), 401)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/healthz?x=1"])
def test_probes_need_no_key(keyed_server: RunningServer, path: str) -> None:
    """Those who ask whether it lives have no keys."""
    assert keyed_server.get(path).status == 200
    assert keyed_server.get(path, headers="Authorization: Bearer wrong\r\n").status == 200


def test_no_key_right_or_wrong_is_in_any_log(
    keyed_server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The name of a known key is; its value and unknown ones are not."""
    caplog.set_level("DEBUG")
    keyed_server.post(execute_body(), headers=f"Authorization: Bearer {KEY}\r\n")
    keyed_server.post(execute_body(), headers="Authorization: Bearer wrong-key\r\n")
    keyed_server.post(execute_body(), path=f"/v1/execute?key={KEY}")
    wait_until(lambda: [r.name for r in caplog.records].count("execbox_service.access") == 3)
    text = " ".join(str(record.__dict__) for record in caplog.records)
    assert "tester" in text
    assert KEY not in text
    assert "wrong-key" not in text


def test_log_holds_no_id_of_a_session(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A service without keys asks for nothing else, so a log's reader must not learn it."""
    caplog.set_level("INFO")
    server.get("/v1/sessions/an-id-to-guess")
    server.get("/v1/sessions/an-id-to-guess/files/a-name")
    wait_until(lambda: [r.name for r in caplog.records].count("execbox_service.access") == 2)
    lines = [str(r.__dict__) for r in caplog.records if r.name == "execbox_service.access"]
    assert not any("an-id-to-guess" in line or "a-name" in line for line in lines)
    assert "/v1/sessions/{session_id}" in lines[0]
