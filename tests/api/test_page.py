"""The page at ``/``: who is served what, with which headers, and without a key what."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator

import pytest

from .harness import Answer, RunningServer, Server, assert_error, execute_body, running_server

BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
KEY = "a-key-of-the-tests"
HASHES = f"pipeline:{hashlib.sha256(KEY.encode()).hexdigest()}"
AUTHORIZED = f"Authorization: Bearer {KEY}\r\n"
FILES = ("page.js", "records.js", "page.css", "icon.svg", "licenses.txt")


@pytest.fixture(scope="module")
def keyed() -> Iterator[RunningServer]:
    """A service with one key."""
    with running_server(api_key_hashes=HASHES) as server:
        yield server


def directives(answer: Answer) -> dict[str, str]:
    """The content security policy, by directive."""
    parts = answer.headers["content-security-policy"].split(";")
    return dict(part.strip().split(" ", 1) for part in parts)


def test_root_asked_for_as_browsers_do_is_the_page(server: Server) -> None:
    """The page, in HTML, and told apart by what was accepted."""
    answer = server.get("/", headers=BROWSER)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert b'<main id="main"' in answer.body
    assert "Accept" in answer.headers["vary"]


@pytest.mark.parametrize("accept", ["", "Accept: */*\r\n", "Accept: application/json\r\n"])
def test_root_asked_for_as_programs_do_is_sandbox_fusions(server: Server, accept: str) -> None:
    """Clients of that contract send ``*/*`` or nothing, and find what they found before."""
    answer = server.get("/", headers=accept)
    assert answer.status == 200
    assert b"SandboxFusion" in answer.body


def test_page_policy_permits_this_service_only(server: Server) -> None:
    """No inline script or style, no other host, no frame round it, no form sent."""
    policy = directives(server.get("/", headers=BROWSER))
    assert policy.pop("img-src") == "'self' data:"
    assert {"script-src", "style-src", "connect-src", "worker-src"} <= set(policy)
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert set(policy.values()) == {"'self'", "'none'"}


def test_page_names_files_of_this_service_only_and_has_nothing_inline(server: Server) -> None:
    """What it refers to is here; a handler or style in the HTML would not be let run."""
    html = server.get("/", headers=BROWSER).body.decode()
    referred = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert len(referred) > 5
    for address in referred:
        assert address.startswith(("/", "#"))
        if address.startswith("/page/"):
            assert server.get(address).status == 200
    assert re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]* src=)", html) is None


@pytest.mark.parametrize("name", FILES)
def test_file_of_the_page_has_type_policy_and_tag(server: Server, name: str) -> None:
    """Each with the headers of the page itself; asked again, it is not sent again."""
    answer = server.get(f"/page/{name}")
    assert answer.status == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert directives(answer)["default-src"] == "'none'"
    assert answer.headers["cache-control"] == "no-cache"
    tag = answer.headers["etag"]
    with server.connect() as connection:
        connection.sendall(
            f"GET /page/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"If-None-Match: {tag}\r\n\r\n".encode()
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 304 ")


def test_file_of_the_page_is_packed_where_gzip_is_taken(server: Server) -> None:
    """The same bytes in a third of the size, with a tag of their own."""
    plain = server.get("/page/page.js")
    packed = server.get("/page/page.js", headers="Accept-Encoding: br, gzip\r\n")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2
    assert packed.headers["etag"] != plain.headers["etag"]


def test_file_of_the_page_is_not_packed_where_gzip_is_refused(server: Server) -> None:
    """``q=0`` says no."""
    answer = server.get("/page/page.js", headers="Accept-Encoding: gzip;q=0\r\n")
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("path", ["/page/", "/page/index.html", "/page/../app.py", "/page/x.js"])
def test_path_that_is_no_file_of_the_page_is_404(server: Server, path: str) -> None:
    """Only the files that there are have paths; none is looked up by what was asked for."""
    assert_error(server.get(path, headers=BROWSER), 404)


def test_page_and_files_need_no_key_and_all_else_does(keyed: RunningServer) -> None:
    """The page asks for the key, so it is there without one; what programs find at / is not."""
    assert keyed.get("/", headers=BROWSER).status == 200
    assert keyed.get("/page/page.js").status == 200
    for path, headers in [
        ("/", ""),
        ("/page/live", ""),
        ("/page/live", BROWSER),
        ("/page/none.js", BROWSER),
        ("/v1/capabilities", BROWSER),
        ("//", BROWSER),
    ]:
        assert_error(keyed.get(path, headers=headers), 401)


def test_root_without_a_key_is_open_to_reading_only(keyed: RunningServer) -> None:
    """A POST is no request for the page, whatever it accepts."""
    before = len(keyed.runtime.requests)
    assert_error(keyed.post(execute_body(), path="/", headers=BROWSER), 401)
    assert len(keyed.runtime.requests) == before


def test_page_off_leaves_root_and_the_other_paths_as_they_are() -> None:
    """With EXECBOX_PAGE_ENABLED=false a browser gets what programs get, and there are no files."""
    with running_server(page_enabled="false") as server:
        assert b"SandboxFusion" in server.get("/", headers=BROWSER).body
        for path in ("/page/page.js", "/page/live"):
            assert_error(server.get(path, headers=BROWSER), 404)


def test_page_off_with_keys_opens_nothing() -> None:
    """Its paths need a key as any path that is not there."""
    with running_server(page_enabled="false", api_key_hashes=HASHES) as server:
        for path in ("/", "/page/page.js", "/page/live"):
            assert_error(server.get(path, headers=BROWSER), 401)


def test_page_without_sandbox_fusions_contract_is_for_browsers_only() -> None:
    """Where that contract is off, a program finds nothing at / as before."""
    with running_server(compat="none") as server:
        assert server.get("/", headers=BROWSER).status == 200
        assert_error(server.get("/"), 404)


def test_page_under_a_host_name_that_is_not_answered_is_400(server: Server) -> None:
    """A page of another name that resolves to this machine is served nothing either."""
    raw = f"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n{BROWSER}\r\n"
    assert_error(server.exchange(raw.encode()), 400)
