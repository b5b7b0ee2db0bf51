"""Proxies and certificates of the environment: which apply, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from execbox import AsyncClient, Client, ClientConfig, ConfigError, ConnectFailed, RetryPolicy
from execbox._model_endpoint import ModelEndpoint
from execbox._proxies import proxy_for
from execbox.cli import main
from execbox.config import ModelConfig

if TYPE_CHECKING:
    from tests.client.conftest import ScriptedServer

ELSEWHERE = "http://192.0.2.2:8080"
"""An address that no route leads to (RFC 5737)."""
HEALTHY = {"status": "ok"}


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


def patient_once(url: str) -> ClientConfig:
    """A configuration that tries nothing twice."""
    return ClientConfig(base_url=url, retry=RetryPolicy.never(), connect_timeout_s=2)


@pytest.mark.parametrize(
    ("url", "environment", "chosen"),
    [
        (ELSEWHERE, {}, None),
        (ELSEWHERE, {"HTTP_PROXY": "http://p:1"}, ("http://p:1", "HTTP_PROXY")),
        (ELSEWHERE, {"HTTP_PROXY": "p:1"}, ("http://p:1", "HTTP_PROXY")),
        (ELSEWHERE, {"HTTP_PROXY": " p:1 "}, ("http://p:1", "HTTP_PROXY")),
        (ELSEWHERE, {"HTTPS_PROXY": "http://p:1"}, None),
        (ELSEWHERE, {"HTTPS_PROXY": "nonsense://"}, None),
        ("https://h", {"HTTPS_PROXY": "http://p:1"}, ("http://p:1", "HTTPS_PROXY")),
        (ELSEWHERE, {"ALL_PROXY": "https://p"}, ("https://p", "ALL_PROXY")),
        (ELSEWHERE, {"ALL_PROXY": "a:1", "HTTP_PROXY": "b:2"}, ("http://b:2", "HTTP_PROXY")),
        (ELSEWHERE, {"http_proxy": "a:1", "HTTP_PROXY": "b:2"}, ("http://a:1", "http_proxy")),
        (ELSEWHERE, {"http_proxy": "", "HTTP_PROXY": "b:2"}, None),
        (ELSEWHERE, {"http_proxy": "", "ALL_PROXY": "b:2"}, ("http://b:2", "ALL_PROXY")),
    ],
)
def test_proxy_is_chosen_as_other_programs_choose_it(
    url: str, environment: dict[str, str], chosen: tuple[str, str] | None
) -> None:
    """The scheme's own variable before the one for all, lower case before upper."""
    proxy = proxy_for(url, environment)
    assert (proxy and (proxy.url, proxy.variable)) == chosen


@pytest.mark.parametrize(
    ("url", "no_proxy", "bypassed"),
    [
        ("http://box.example.org", "box.example.org", True),
        ("http://box.example.org", "BOX.example.ORG", True),
        ("http://box.example.org", "example.org", True),
        ("http://box.example.org", ".example.org", True),
        ("http://box.example.org", "*.example.org", True),
        ("http://box.example.org.", "example.org", True),
        ("http://example.org", ".example.org", True),
        ("http://badexample.org", "example.org", False),
        ("http://box.example.org", "other.org, example.org", True),
        ("http://box.example.org", "other.org example.org", True),
        ("http://box.example.org", "http://box.example.org", True),
        ("http://box.example.org:8080", "box.example.org:8080", True),
        ("http://box.example.org:8080", "box.example.org:9090", False),
        ("http://box.example.org", "box.example.org:80", True),
        ("https://box.example.org", "box.example.org:443", True),
        ("http://anything", "*", True),
        ("http://anything", "", False),
        ("http://anything", ", ,", False),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://10.1.2.3", "10.1.2.3", True),
        ("http://10.1.2.3", "10.1.2.4/32", False),
        ("http://10.1.2.3", "fd00::/8", False),
        ("http://[fd07:b51a::1]:8080", "localhost,fd07:b51a::/64", True),
        ("http://[fd07:b51a::1]:8080", "[fd07:b51a::1]", True),
        ("http://[fd07:b51a::1]:8080", "[fd07:b51a::1]:8080", True),
        ("http://[fd07:b51a::1]:8080", "[fd07:b51a::1]:80", False),
        ("http://[fd07:b51a::1]:8080", "[fd07:b51a::]/64", True),
        ("http://[fd07:b51a::1]:8080", "fd07:b51a:0:0::1", True),
        ("http://192.0.2.2:8080", "localhost,fd07:b51a::/64", False),
        ("http://192.0.2.2:8080", "1.2.3.4/99,[::,::::,/,:", False),
    ],
)
def test_no_proxy_entry_means_what_it_means_elsewhere(
    url: str, no_proxy: str, *, bypassed: bool
) -> None:
    """Names, domains, addresses, networks, ports; what cannot be read means no host."""
    environment = {"HTTP_PROXY": "p:1", "HTTPS_PROXY": "p:1", "NO_PROXY": no_proxy}
    assert (proxy_for(url, environment) is None) is bypassed


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("HTTP_PROXY", "socks4://x:1", "not socks4"),
        ("ALL_PROXY", "ftp://x", "not ftp"),
        ("ALL_PROXY", "socks5://127.0.0.1:9", r"pip install 'httpx\[socks\]'"),
        ("all_proxy", "socks5h://127.0.0.1:9", r"pip install 'httpx\[socks\]'"),
        ("HTTP_PROXY", "http://", "no host"),
        ("HTTP_PROXY", "http://x:99999", "no URL"),
        ("HTTP_PROXY", "http://x:abc", "no URL"),
        ("HTTP_PROXY", "http://x:0", "no port"),
        ("http_proxy", "http://[::1", "no URL"),
        ("HTTP_PROXY", "http://a b:1", "no URL"),
        ("HTTP_PROXY", "http://pröxy:1", "no URL"),
        ("HTTP_PROXY", "http://a..b:1", "empty part between dots"),
        ("HTTP_PROXY", "://x", "not ?"),
    ],
)
@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_proxy_that_cannot_be_used_is_named_with_what_to_do(
    client: type[Client] | type[AsyncClient],
    variable: str,
    value: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The variable, its value, what is wrong and the way out, before anything is sent."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        client(ELSEWHERE)
    assert caught.match(says)
    assert str(caught.value).startswith(f"{variable} is {value!r}, ")
    assert caught.match("add 192.0.2.2 to NO_PROXY")


@pytest.mark.parametrize(
    "value", ["socks4://joe:s3cret@x:1", "joe:s3cret@", "http://joe:s3@cret@x:0"]
)
def test_proxy_password_is_in_no_message(value: str) -> None:
    """Messages end up in logs."""
    with pytest.raises(ConfigError) as caught:
        proxy_for(ELSEWHERE, {"HTTP_PROXY": value})
    assert "s3" not in str(caught.value)


def test_no_proxy_with_an_ipv6_network_is_no_obstacle(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request goes through the proxy, which NO_PROXY does not exclude."""
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "localhost,fd07:b51a::/64")
    server.reply(200, HEALTHY)
    with Client(ELSEWHERE) as client:
        assert client.healthz().status == "ok"
    assert server.received[0].path == f"{ELSEWHERE}/healthz"


def test_proxy_of_a_cgi_request_is_not_used(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In CGI, HTTP_PROXY is the request's Proxy header, so anybody's."""
    monkeypatch.setenv("REQUEST_METHOD", "GET")
    monkeypatch.setenv("HTTP_PROXY", server.url)
    with Client(config=patient_once(ELSEWHERE)) as client, pytest.raises(ConnectFailed):
        client.healthz()
    assert not server.received


def test_proxy_that_cannot_be_reached_is_blamed_and_not_the_service(
    dead_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the proxy and its variable."""
    monkeypatch.setenv("HTTP_PROXY", dead_url)
    with Client(config=patient_once(ELSEWHERE)) as client, pytest.raises(ConnectFailed) as caught:
        client.healthz()
    assert caught.match(rf"{ELSEWHERE} through the proxy {dead_url} \(HTTP_PROXY\)")
    assert caught.match("check HTTP_PROXY, or add the host to NO_PROXY")


def test_proxy_that_wants_a_password_is_answered_by_saying_where_to_write_it(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """407 is about the variable, not about the API key."""
    monkeypatch.setenv("HTTP_PROXY", server.url)
    server.reply(407, b"<html>who are you</html>")
    with Client(ELSEWHERE) as client, pytest.raises(ConfigError, match="into HTTP_PROXY, as in"):
        client.healthz()


@pytest.mark.parametrize(
    ("status_line", "kind", "says"),
    [
        ("407 Proxy Authentication Required", ConfigError, "into HTTPS_PROXY, as in"),
        ("403 Forbidden", ConnectFailed, "the proxy answered 403 Forbidden"),
    ],
)
def test_proxy_that_refuses_a_tunnel_is_blamed(
    status_line: str,
    kind: type[Exception],
    says: str,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the proxy says to CONNECT is shown with the proxy's name."""
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    server.raw(f"HTTP/1.1 {status_line}\r\nContent-Length: 0\r\n\r\n".encode())
    config = patient_once("https://192.0.2.2:8080")
    with Client(config=config) as client, pytest.raises(kind, match=says) as caught:
        client.healthz()
    assert "HTTPS_PROXY" in str(caught.value)


def test_error_page_of_a_proxy_is_shown_with_the_proxy(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 502 on the way is not the service's."""
    monkeypatch.setenv("HTTP_PROXY", server.url)
    server.reply(502, b"<html>no route</html>")
    with Client(ELSEWHERE) as client, pytest.raises(Exception, match=r"\(HTTP_PROXY\)"):
        client.healthz()


@pytest.fixture
def not_pem(tmp_path: Path) -> str:
    path = tmp_path / "certificates.txt"
    path.write_text("no certificate")
    return str(path)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_missing_matter_to_https_only(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An http:// address needs none; an https:// one is told which variable names nothing."""
    monkeypatch.setenv(variable, "/nope.pem")
    Client(ELSEWHERE).close()
    with pytest.raises(ConfigError, match=f"{variable} is '/nope.pem', .*No such file"):
        Client("https://192.0.2.2:8080")


def test_certificate_file_without_certificates_is_named(
    not_pem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of a different kind, and a folder where a file is needed."""
    monkeypatch.setenv("SSL_CERT_FILE", not_pem)
    with pytest.raises(ConfigError, match=r"SSL_CERT_FILE is .*PEM form: it holds none"):
        Client("https://192.0.2.2:8080")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"SSL_CERT_FILE is .*Is a directory"):
        Client("https://192.0.2.2:8080")


def test_key_log_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's ssl opens it by itself."""
    monkeypatch.setenv("SSLKEYLOGFILE", "/nope/keys.log")
    with pytest.raises(ConfigError, match=r"SSLKEYLOGFILE is '/nope/keys.log'"):
        Client("https://192.0.2.2:8080")


def test_https_to_a_service_without_tls_asks_for_http(server: ScriptedServer) -> None:
    """The likeliest mistake is in the address."""
    server.raw(b"")
    config = patient_once(server.url.replace("http://", "https://"))
    with Client(config=config) as client, pytest.raises(ConnectFailed, match="http:// and not"):
        client.healthz()


async def test_model_endpoint_gets_the_same_way_and_the_same_errors(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both read one environment."""
    endpoint = ModelEndpoint(ModelConfig(base_url=f"{ELSEWHERE}/v1", model="m"))
    monkeypatch.setenv("HTTP_PROXY", "socks4://x")
    with pytest.raises(ConfigError, match="HTTP_PROXY is 'socks4://x'"):
        await endpoint.__aenter__()
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "fd07:b51a::/64")
    server.reply(200, {"model": "m", "choices": [{"message": {"content": "hello"}}]})
    async with endpoint:
        answer = await endpoint.complete([{"role": "user", "content": "hi"}])
    assert (answer.text, server.received[0].path) == ("hello", f"{ELSEWHERE}/v1/chat/completions")


@pytest.mark.parametrize(
    ("variable", "value", "url"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9", ELSEWHERE),
        ("HTTP_PROXY", "socks4://x:1", ELSEWHERE),
        ("SSL_CERT_FILE", "/nope.pem", "https://192.0.2.2:8080"),
    ],
)
def test_command_with_a_wrong_variable_ends_with_2_and_names_it(
    variable: str,
    value: str,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No traceback, and no word of a bug."""
    source = tmp_path / "f.py"
    source.write_text("def main_solution(): return 1")
    monkeypatch.setenv("EXECBOX_URL", url)
    monkeypatch.setenv(variable, value)
    assert main(["run", str(source), "--input", "{}"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"execbox: {variable} is ")
    assert "bug" not in shown
